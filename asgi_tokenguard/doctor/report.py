"""The findings in words, or as JSON, and the exit code that says whether there is something to mend."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any, Final

from asgi_tokenguard.doctor.diagnosis import is_sentinel, why_not
from asgi_tokenguard.doctor.finding import Finding, Weight
from asgi_tokenguard.doctor.findings import findings
from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.examination import Facts, ask

FINE: Final = 0
UNSAFE: Final = 1
UNASKED: Final = 2  # as of the command's other errors


def main(*, redis: str, as_json: bool) -> int:
    """Examine the server at the URL *redis*, and those that it names; the exit code."""
    servers = asyncio.run(_asked(redis))
    found = [each for facts in servers for each in findings(facts)]
    code = UNSAFE if any(each.weight is Weight.UNSAFE for each in found) else FINE
    print(json.dumps(_as_json(code, servers, found), indent=2) if as_json else _as_text(servers, found))
    return code


async def _asked(redis: str) -> list[Facts]:
    try:
        servers = await ask(redis)
    except StoreUnavailable as error:
        raise await why_not(redis, error) from error
    if servers[0].is_sentinel:
        raise is_sentinel(servers[0])
    return servers


def _as_json(code: int, servers: list[Facts], found: list[Finding]) -> dict[str, Any]:
    named = [
        {"node": each.node, "replica": each.stands_by, "product": each.product, "version": each.version} for each in servers
    ]
    return {"exit": code, "servers": named, "findings": [asdict(each) for each in found]}


def _as_text(servers: list[Facts], found: list[Finding]) -> str:
    lines = []
    for facts in servers:
        own = [each for each in found if each.node == facts.node]
        lines += [f"{_title(facts)}: {'fine' if not own else f'{len(own)} to look at'}"]
        for each in own:
            lines += [f"\n  {each.weight}: {each.what} ({each.code})", f"    {each.why}", f"    -> {each.remedy}"]
    if any(each.remedy.startswith("CONFIG SET") for each in found):
        lines += ["\nWhat CONFIG SET changes lasts until the next start; CONFIG REWRITE makes it stay."]
    if any(facts.is_clustered for facts in servers):
        lines += ["\nThis is a cluster: the guard needs a RedisCluster client, with a URL it would reach one node alone."]
    return "\n".join(lines)


def _title(facts: Facts) -> str:
    product = f"{facts.product} {facts.version}".strip()
    return product + (f" at {facts.node}" if facts.node else "") + (", a replica" if facts.stands_by else "")
