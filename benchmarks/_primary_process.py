"""
A process that listens for changes as any app process does, for `primary.py`; it reads commands and prints lines of JSON.

    on       listen, and answer once the channel is trusted
    off      close the channel
    look     what this process has used and heard so far
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from _capacity_process import Heard, cache_of, until_heard
from _capacity_town import found
from _common import bare_app

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


async def main(url: str) -> None:
    town = await found(url, 1)
    messages = counted()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    app = TokenGuardMiddleware(bare_app, guard=town.guard())
    async with app.guard:
        heard = Heard(cache_of(app))
        while line := await lines.readline():
            if line.strip() == b"on":
                await until_heard(town, app)
            elif line.strip() == b"off":
                await app.guard.engine.liveness._caches.aclose()
            used = time.process_time()
            print(json.dumps({"used": used, "heard": heard.count, "messages": messages[0]}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
