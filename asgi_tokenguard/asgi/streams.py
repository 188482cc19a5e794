"""
Responses that go on and on, and end with their session (I6).

Rule: an event stream is ended as its server would end it, so that the page's `EventSource` comes back and is refused.  Any
other response is cut off: a download that stops half way must not look whole.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.media_types import EVENT_STREAM

if TYPE_CHECKING:
    from starlette.types import Message, Send

    from asgi_tokenguard.codes import Code
    from asgi_tokenguard.engine import Engine
    from asgi_tokenguard.parcels import Identity
    from asgi_tokenguard.vigil import Farewell

# A client that takes nothing more is cut off by the server; it needs not hold the app's task until then.
LAST_WORD: Final = 5.0


class Disconnected(OSError):
    """The client is gone, or has to be; ASGI servers raise an `OSError` as well (specification, version 2.4)."""


class Stream:
    """One response of a user that is being sent in parts."""

    def __init__(self, engine: Engine, identity: Identity, send: Send, kind: bytes) -> None:
        self.is_ended = False
        self._send = send
        self._kind = kind
        self._closing: asyncio.Task[None] | None = None
        self._vigil = engine.vigil
        # It is asked about at once: how long ago the request was judged is not known here.
        self._guest = engine.vigil.attend(
            identity, self._leave, since=engine.store.clock.monotonic() - engine.settings.staleness
        )

    async def send(self, message: Message) -> None:
        if self.is_ended:
            raise Disconnected("the session of this response has ended")
        await self._send(message)

    async def close(self) -> None:
        """The app has returned."""
        self._vigil.dismiss(self._guest)
        if self._closing is not None:
            await asyncio.wait([self._closing], timeout=LAST_WORD)

    def _leave(self, _why: Farewell, _code: Code | None) -> None:
        self.is_ended = True
        if self._kind == EVENT_STREAM:
            self._closing = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        with suppress(Exception):  # it is gone already; servers differ in what they raise
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
