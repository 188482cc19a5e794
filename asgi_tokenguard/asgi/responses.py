"""The guard's own answers: JSON `{"detail", "code"}`, never stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asgi_tokenguard.errors import Code, CrossSiteRequest, NotAuthenticated, Refusal

if TYPE_CHECKING:
    from starlette.types import Send


def refusal_for(code: Code) -> Refusal:
    """The refusal that a rejected decision becomes."""
    return CrossSiteRequest() if code is Code.CROSS_SITE_REQUEST else NotAuthenticated(code)


async def answer(refusal: Refusal, send: Send) -> None:
    body = json.dumps({"detail": refusal.detail, "code": refusal.code.value}).encode() + b"\n"  # for people with curl
    headers = [(name.lower().encode(), value.encode()) for name, value in (refusal.headers or {}).items()]
    await _send(send, refusal.status_code, b"application/json", body, headers)


async def server_error(send: Send) -> None:
    """A plain 500, as servers write it where an app has raised."""
    await _send(send, 500, b"text/plain; charset=utf-8", b"Internal Server Error", [])


async def _send(send: Send, status: int, kind: bytes, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    head = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*head, *headers]})
    await send({"type": "http.response.body", "body": body})
