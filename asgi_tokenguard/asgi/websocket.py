"""
WebSockets.

Rule: nobody gets in whose handshake does not prove a session where one is required, and no socket outlives its session (I6).
A rotation closes nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.asgi import gate, handshake, responses
from asgi_tokenguard.asgi.exchange import Exchange
from asgi_tokenguard.asgi.streams import LAST_WORD, Disconnected
from asgi_tokenguard.core.paths import Openness
from asgi_tokenguard.errors import NotAuthenticated, Refusal, StepUpRequired, StoreUnavailable
from asgi_tokenguard.vigil import Farewell

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from asgi_tokenguard.codes import Code
    from asgi_tokenguard.engine import Engine
    from asgi_tokenguard.parcels import Identity

# RFC 6455 section 7.4.2 leaves 4000 to 4999 to applications; ours are the status codes of HTTP behind a 4.
ENDED: Final = 4401
TOO_OLD: Final = 4408
UNAVAILABLE: Final = 4503
# The denial response extension of ASGI, before the handshake is accepted; `start` and `body` follow.
DENIAL: Final = "websocket.http.response."
FAREWELLS: Final = {Farewell.ENDED: ENDED, Farewell.TOO_OLD: TOO_OLD, Farewell.UNKNOWN: UNAVAILABLE}


async def websocket(app: ASGIApp, engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
    """Judge the handshake, then serve the socket until it or its session ends."""
    since = engine.store.clock.monotonic()
    shown, inner = handshake.as_request(scope, engine.settings), handshake.without_pair(scope)
    if gate.is_mounted(scope, engine):  # none of our endpoints is a socket, and the app is never reached there
        await send({"type": "websocket.close"})
        return
    try:
        identity = await _identity(shown, engine)
    except Refusal as refusal:
        if (await receive())["type"] == "websocket.connect":
            await refuse(refusal, scope, send)
        return
    Exchange.enter_socket(engine, shown, inner, identity)
    socket = Socket(scope, receive, send)
    if identity is None:
        await socket.run(app, inner)
        return
    guest = engine.vigil.attend(identity, socket.leave, since=since)
    try:
        await socket.run(app, inner)
    finally:
        engine.vigil.dismiss(guest)


async def _identity(shown: Scope, engine: Engine) -> Identity | None:
    asks = gate.openness(shown, engine)
    if asks is Openness.PUBLIC:
        return None
    admission = await gate.admit(shown, engine, asks)
    if admission.pending is not None:  # a socket is no place to ask for a password
        raise StepUpRequired(engine.settings.fresh, admission.pending.reason)
    return admission.identity


async def refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Answer the handshake with *refusal* where the server can, else close it, which servers answer with a bare 403."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": ENDED, "reason": refusal.code.value})
        return

    async def deny(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await responses.send_whole(responses.plain(refusal), deny)


class Socket:
    """One WebSocket: what the app receives and sends goes through here."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._offers = handshake.offers_pair(scope)
        self._is_connected = False  # the app has been told of the handshake
        self._is_accepted = False
        self._is_over = False  # closed or refused, by whomever
        self._farewell: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._refusal: Refusal = StoreUnavailable()  # what is answered where the session ends before the app has accepted
        self._receiving: asyncio.Future[Message] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except Refusal as refusal:
            if not self._is_over:
                await self._refuse(refusal)
        except Disconnected:
            pass  # the app was told in the only way there is while it sends
        finally:
            if self._receiving is not None:
                self._receiving.cancel()
                await asyncio.gather(self._receiving, return_exceptions=True)
            if self._closing is not None:
                await asyncio.wait([self._closing], timeout=LAST_WORD)

    def leave(self, why: Farewell, code: Code | None) -> None:
        """End the socket, whatever the app is doing."""
        reason = why.value if code is None else code.value
        close = {"type": "websocket.close", "code": FAREWELLS[why], "reason": reason}
        self._refusal = StoreUnavailable() if code is None else NotAuthenticated(code)
        if not self._farewell.done():
            self._farewell.set_result(close)
        if self._is_accepted and not self._is_over:
            self._is_over = True
            self._closing = asyncio.ensure_future(self._close(close))

    async def _close(self, close: Message) -> None:
        with suppress(Exception):  # it is gone already; servers differ in what they raise
            await self._send(close)

    async def receive(self) -> Message:
        if not self._is_connected:
            self._is_connected = True
            return await self._receive()
        if not self._farewell.done():
            if self._receiving is None:
                # A task of our own: what Granian's `receive` returns passes for a future, but cannot be gathered once it is
                # cancelled, and the socket would hang in its end for ever.
                self._receiving = asyncio.ensure_future(self._next())
            await asyncio.wait((self._receiving, self._farewell), return_when=asyncio.FIRST_COMPLETED)
            if not self._farewell.done():
                received, self._receiving = self._receiving, None
                return received.result()
        return {**self._farewell.result(), "type": "websocket.disconnect"}

    async def _next(self) -> Message:
        return await self._receive()

    async def send(self, message: Message) -> None:
        if self._farewell.done():
            if not self._is_accepted and not self._is_over:
                await self._refuse(self._refusal)
            raise Disconnected("the session of this socket has ended")
        kind = message["type"]
        if self._is_accepted and kind.startswith(DENIAL):
            await self._close_instead(message)
            return
        if kind == "websocket.accept":
            self._is_accepted = True
            if self._offers and not message.get("subprotocol"):
                message = {**message, "subprotocol": handshake.SUBPROTOCOL}
        elif kind in {"websocket.close", f"{DENIAL}start"}:
            self._is_over = True
        await self._send(message)

    async def _close_instead(self, denial: Message) -> None:
        """
        Close an open socket that is denied.

        Starlette answers so whatever view raises a refusal, open or not; servers raise at it, and all that the page would hear
        is a connection that breaks.
        """
        if not self._is_over:
            self._is_over = True
            await self._send({"type": "websocket.close", "code": 4000 + denial["status"]})

    async def _refuse(self, refusal: Refusal) -> None:
        self._is_over = True
        if self._is_accepted:
            await self._send({"type": "websocket.close", "code": 4000 + refusal.status_code, "reason": refusal.code.value})
        else:
            await refuse(refusal, self._scope, self._send)
