"""
How long a revoked token is served by another process.

    python benchmarks/propagation.py

Two uvicorn processes share a server.  A user logs in; the second process is asked with the token until it knows it; the
session is revoked through the first one, over HTTP, while the second is asked with the token all the time: on one connection
(idle), and on eight that keep it busy (under load; with the process that asks, all cores of a small machine are then taken).

What is measured is the time from when the first process begins to revoke until the first request reaches the second one that
it refuses: both stamp their answers with the clock that all processes of a machine share.  Stamps of the asking process would
tell how long answers wait for it.  The revocation itself, some 0.7 ms, is in the figure.  A token that is served after it was
refused fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from statistics import median
from typing import Any

from _common import add_common, facts, real_server, server_name, show, write
from _http import Connection, connect, header_of, uvicorn
from redis.asyncio import Redis

TARGET_P99_MS = 5.0


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revocations", type=int, default=1_000, help="how many in each row (default: %(default)s)")
    add_common(parser)
    asked = parser.parse_args()
    times = 30 if asked.quick else asked.revocations
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        first, second = [
            await stack.enter_async_context(uvicorn("_propagation_app:app", {"PROPAGATION_REDIS": url})) for _ in range(2)
        ]
        client = await stack.enter_async_context(Redis.from_url(url))
        rows = [await row(name, first, second, times, connections=of) for name, of in (("idle", 1), ("under load", 8))]
        setting = facts(await server_name(client))
    print(f"{setting['server']}, Python {setting['python']}, {times} revocations a row\n")
    show(rows, {"name": "", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "max_ms": "max ms", "served": "served meanwhile"})
    write({"benchmark": "propagation", **setting, "target_p99_ms": TARGET_P99_MS, "rows": rows}, asked.json)


async def row(name: str, first: int, second: int, times: int, *, connections: int) -> dict[str, Any]:
    admin, pages = await connect(first), [await connect(second) for _ in range(connections)]
    took, asked = [], 0
    for number in range(times):
        milliseconds, requests = await revocation(admin, pages, f"{name.replace(' ', '-')}-{number}")
        took.append(milliseconds)
        asked += requests
    for connection in (admin, *pages):
        connection.close()
    took.sort()
    p99 = took[min(len(took) - 1, round(len(took) * 0.99))]
    return {"name": name, "p50_ms": median(took), "p99_ms": p99, "max_ms": took[-1], "served": asked}


async def revocation(admin: Connection, pages: list[Connection], user: str) -> tuple[float, int]:
    """Milliseconds from the revocation to the first refusal, and how many requests were served in between."""
    bearer = await token(admin, user)
    for _ in range(5):  # seen, read once more, known
        await expect(pages[0], bearer, 200)
        await asyncio.sleep(0.002)
    asking = [asyncio.ensure_future(until_refused(page, bearer)) for page in pages]
    await asyncio.sleep(0.005)
    _, head = await admin.ask("POST", f"/revoke/{user}")
    began = stamp(head)
    found = await asyncio.gather(*asking)
    served, refused = [at for times, _ in found for at in times], min(at for _, at in found)
    if max(served) > refused:
        raise RuntimeError("a token was served after it was refused")
    return (refused - began) * 1000, sum(at > began for at in served)


async def until_refused(page: Connection, bearer: str) -> tuple[list[float], float]:
    """When the requests came that were served with *bearer*, and when the first that was not."""
    served = []
    while True:
        status, head = await page.ask("GET", "/me", bearer)
        if status != 200:
            return served, stamp(head)
        served.append(stamp(head))


def stamp(head: bytes) -> float:
    return float(header_of(head, b"x-came"))


async def token(connection: Connection, user: str) -> str:
    _, head = await connection.ask("POST", f"/login/{user}")
    return f"authorization: Bearer {header_of(head, b'x-new-access-token')}"


async def expect(connection: Connection, bearer: str, status: int) -> None:
    found, _ = await connection.ask("GET", "/me", bearer)
    if found != status:
        raise RuntimeError(f"answered {found} where {status} was to come")


if __name__ == "__main__":
    asyncio.run(main())
