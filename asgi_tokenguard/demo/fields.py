"""What a form or a JSON object says, for the demo's handlers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from starlette.requests import Request


async def fields(request: Request) -> dict[str, str]:
    """The fields of a JSON object or a form; empty where there are none."""
    body = (await request.body()).decode(errors="replace")
    found: object
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
    else:
        found = dict(parse_qsl(body))
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}
