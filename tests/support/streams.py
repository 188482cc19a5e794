"""An app that sends for ever, and somebody who reads it as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.sockets import PATIENCE, bearer
from support.wire import scope_of

EVENTS = "text/event-stream; charset=utf-8"
LAST = {"type": "http.response.body", "body": b"", "more_body": False}


class Ticker:
    """An app that sends a part every few milliseconds, and notes what stopped it."""

    def __init__(self, kind: str = EVENTS, name: bytes = b"content-type") -> None:
        self.head = {"type": "http.response.start", "status": 200, "headers": [(b"x-of", b"app"), (name, kind.encode())]}
        self.raised: list[BaseException] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(self.head)
        try:
            while True:
                await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
                await asyncio.sleep(0.005)
        except BaseException as error:
            self.raised.append(error)
            raise


class Reader:
    """Reads a response as it comes."""

    def __init__(self, app: Any, headers: Any, path: str) -> None:
        self.sent: list[dict[str, Any]] = []
        self.task = asyncio.ensure_future(app(scope_of("GET", path, headers), self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await asyncio.sleep(PATIENCE)
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def flows(self) -> None:
        """Wait until more parts have come."""
        before = len(self.sent)
        async with asyncio.timeout(PATIENCE):
            while len(self.sent) < before + 3:
                await asyncio.sleep(0.005)

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, PATIENCE)


@asynccontextmanager
async def reading(stage, tab, path="/events") -> AsyncIterator[Reader]:
    reader = Reader(stage.app, bearer(tab), path)
    try:
        await reader.flows()
        yield reader
    finally:
        reader.task.cancel()
        await asyncio.gather(reader.task, return_exceptions=True)
