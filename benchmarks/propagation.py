"""
How long a revoked token is served by another process.

    python benchmarks/propagation.py

Two uvicorn processes share a server.  A user logs in; the second process is asked with the token until it knows it; the
session is revoked through the first one, over HTTP, while the second is asked again and again on one connection.  What is
measured is the time from sending the revocation to the first refusal, so the revocation itself is in it; idle, and with eight
connections that keep the second process busy all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

from _common import add_common, facts, real_server, server_name, show, write
from _http import Connection, connect, process
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
        first, second = [await stack.enter_async_context(serving(url)) for _ in range(2)]
        client = await stack.enter_async_context(Redis.from_url(url))
        rows = [await row("idle", first, second, times, load=0), await row("under load", first, second, times, load=8)]
        setting = facts(await server_name(client))
    print(f"{setting['server']}, Python {setting['python']}, {times} revocations a row\n")
    show(rows, {"name": "", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "max_ms": "max ms", "requests": "requests meanwhile"})
    write({"benchmark": "propagation", **setting, "target_p99_ms": TARGET_P99_MS, "rows": rows}, asked.json)


@contextlib.asynccontextmanager
async def serving(url: str) -> AsyncIterator[int]:
    """A uvicorn with the app; its port."""

    def command(port: int) -> list[str]:
        options = ["--port", str(port), "--no-access-log", "--log-level", "error"]
        return [sys.executable, "-m", "uvicorn", "_propagation_app:app", *options]

    async with process(command, {"PROPAGATION_REDIS": url}) as (port, _):
        yield port


async def row(name: str, first: int, second: int, times: int, *, load: int) -> dict[str, Any]:
    admin, page = await connect(first), await connect(second)
    busy = [asyncio.ensure_future(keep_busy(second, f"busy-{number}")) for number in range(load)]
    took, asked = [], 0
    for number in range(times):
        milliseconds, requests = await revocation(admin, page, f"{name.replace(' ', '-')}-{number}")
        took.append(milliseconds)
        asked += requests
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    admin.close()
    page.close()
    took.sort()
    p99 = took[min(len(took) - 1, round(len(took) * 0.99))]
    return {"name": name, "p50_ms": median(took), "p99_ms": p99, "max_ms": took[-1], "requests": asked}


async def revocation(admin: Connection, page: Connection, user: str) -> tuple[float, int]:
    """Milliseconds from sending the revocation to the first refusal, and how many requests were served in between."""
    bearer = await token(admin, user)
    for _ in range(5):  # seen, read once more, known
        await expect(page, bearer, 200)
        await asyncio.sleep(0.002)
    served, began = 0, time.perf_counter()
    revoking = asyncio.ensure_future(admin.ask("POST", f"/revoke/{user}"))
    while (await page.ask("GET", "/me", bearer))[0] == 200:
        served += 1
    took = time.perf_counter() - began
    await revoking
    return took * 1000, served


async def token(connection: Connection, user: str) -> str:
    _, head = await connection.ask("POST", f"/login/{user}")
    value = next(line.partition(b": ")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"x-new-access-token"))
    return f"authorization: Bearer {value.decode()}"


async def expect(connection: Connection, bearer: str, status: int) -> None:
    found, _ = await connection.ask("GET", "/me", bearer)
    if found != status:
        raise RuntimeError(f"answered {found} where {status} was to come")


async def keep_busy(port: int, user: str) -> None:
    connection = await connect(port)
    bearer = await token(connection, user)
    try:
        while True:
            await expect(connection, bearer, 200)
    finally:
        connection.close()


if __name__ == "__main__":
    asyncio.run(main())
