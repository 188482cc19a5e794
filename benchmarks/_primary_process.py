"""
A process that listens for changes, for `primary.py`; it reads commands and answers each with a line of JSON.

    listen URL    as any app process does: `on` answers once the channel is trusted, `busy` has it serve requests half of the
                  time, `off` ends both, `look` tells what this process has used and heard so far
    drain URL     a number: so many connections that track, and throw away what they read
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from _capacity_process import QUIET, Heard, cache_of, headers_of, served, until_heard
from _capacity_town import found, packed
from _common import bare_app, scope_of

from asgi_tokenguard import TokenGuardMiddleware
from asgi_tokenguard.store.tracking import Channel


def counted() -> list[int]:
    """How many messages Redis has sent, in its only entry: one holds all keys that changed in one turn of the server's loop."""
    count, hear = [0], Channel._pushed

    async def pushed(channel: Channel, message: list[Any]) -> None:
        count[0] += 1
        await hear(channel, message)

    Channel._pushed = pushed  # type: ignore[method-assign]
    return count


# Known tokens take some 10 µs each: so many take half of every two milliseconds.
AT_WORK, TICK = 100, 0.002


async def requests(app: TokenGuardMiddleware, scope: dict[str, Any]) -> None:
    """As much work in every tick, however much is heard meanwhile."""
    due = time.perf_counter()
    while True:
        for _ in range(AT_WORK):
            await served(app, scope)
        due += TICK
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def listen(url: str) -> None:
    town = await found(url, 1)
    messages = counted()
    lines = await standard_input()
    app = TokenGuardMiddleware(bare_app, guard=town.guard())
    async with app.guard:
        heard = Heard(cache_of(app))
        working: asyncio.Task[None] | None = None
        while line := await lines.readline():
            if line.strip() == b"on":
                await until_heard(town, app)
            elif line.strip() == b"busy":
                working = asyncio.create_task(requests(app, scope_of(headers_of(town, app, QUIET))))
            elif line.strip() == b"off":
                if working is not None:
                    working.cancel()
                    await asyncio.wait([working])
                    working = None
                await app.guard.engine.liveness._caches.aclose()
            used = time.process_time()
            print(json.dumps({"used": used, "heard": heard.count, "messages": messages[0]}), flush=True)


async def drain(url: str) -> None:
    path = url.removeprefix("unix://")
    lines = await standard_input()
    open_ones: list[asyncio.Transport] = []
    while line := await lines.readline():
        for transport in open_ones:
            transport.close()
        open_ones = [await tracking(path) for _ in range(int(line))]
        await asyncio.sleep(0.1)  # what they are told first is not a push
        print("{}", flush=True)


async def tracking(path: str) -> asyncio.Transport:
    transport, _ = await asyncio.get_running_loop().create_unix_connection(asyncio.Protocol, path)
    transport.write(packed(b"HELLO", b"3") + packed(b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", b"tg:s:"))
    return transport


async def standard_input() -> asyncio.StreamReader:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    return lines


if __name__ == "__main__":
    _, work, url = sys.argv
    asyncio.run({"listen": listen, "drain": drain}[work](url))
