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


class Messages:
    """Counts what Redis sends: one message holds the keys of all that changed in one turn of the server's loop."""

    def __init__(self) -> None:
        self.count = 0
        self._pushed = Channel._pushed

    async def pushed(self, channel: Channel, message: list[Any]) -> None:
        self.count += 1
        await self._pushed(channel, message)


async def main(url: str) -> None:
    town = await found(url, 1)
    messages = Messages()
    Channel._pushed = lambda channel, message: messages.pushed(channel, message)  # type: ignore[method-assign]
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
            print(json.dumps({"used": used, "heard": heard.count, "messages": messages.count}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
