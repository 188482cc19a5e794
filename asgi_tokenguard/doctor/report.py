"""The findings in words, or as JSON, and the exit code that says whether there is something to mend."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.doctor.findings import Finding, Weight, findings
from asgi_tokenguard.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from asgi_tokenguard.store.examination import Facts

FINE: Final = 0
UNSAFE: Final = 1
UNASKED: Final = 2  # as of the command's other errors


def main(*, redis: str, as_json: bool) -> int:
    """Examine the server at the URL *redis*; the exit code."""
    from asgi_tokenguard.store.examination import ask  # redis costs 300 ms to import

    try:
        servers = asyncio.run(ask(redis))
    except StoreUnavailable as error:
        cause = error.__cause__
        problem = "it does not answer" if isinstance(cause, TimeoutError) else f"{type(cause).__name__}: {cause}"
        raise ConfigurationError("redis", problem, "check the URL, and that the server runs") from error
    found = [each for facts in servers for each in findings(facts)]
    code = UNSAFE if any(each.weight is Weight.UNSAFE for each in found) else FINE
    print(json.dumps(_as_json(code, servers, found), indent=2) if as_json else _as_text(servers, found))
    return code


def _as_json(code: int, servers: list[Facts], found: list[Finding]) -> dict[str, Any]:
    named = [{"node": facts.node, "product": facts.product, "version": facts.version} for facts in servers]
    return {"exit": code, "servers": named, "findings": [asdict(each) for each in found]}


def _as_text(servers: list[Facts], found: list[Finding]) -> str:
    lines = []
    for facts in servers:
        name = f"{facts.product} {facts.version}".strip() + (f" at {facts.node}" if facts.node else "")
        own = [each for each in found if each.node == facts.node]
        lines += [f"{name}: {'fine' if not own else f'{len(own)} to look at'}"]
        for each in own:
            lines += [f"\n  {each.weight}: {each.what} ({each.code})", f"    {each.why}", f"    -> {each.remedy}"]
    if any(each.remedy.startswith("CONFIG SET") for each in found):
        lines += ["\nWhat CONFIG SET changes lasts until the next start; CONFIG REWRITE makes it stay."]
    return "\n".join(lines)
