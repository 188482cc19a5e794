"""The other end of a WebSocket, as an ASGI server shows it to an app."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_tokenguard import get_auth
from support.actors import COOKIE, OWN, Tab
from support.apps import plain_app
from support.wire import Headers, scope_of

# A busy machine is no reason to fail; what is to come does come.
PATIENCE = 20
DENIAL = {"websocket.http.response": {}}


class Peer:
    """
    Opens a socket to *app* on entry; what the server would put on the wire is in `sent`.

    *denials* False is a server that knows no denial response (Daphne).
    """

    def __init__(
        self,
        app: Any,
        path: str = "/ws",
        headers: Headers = (),
        *,
        pair: list[str] | None = None,
        denials: bool = True,
        **more: Any,
    ) -> None:
        self.scope = scope_of("GET", path, headers) | {"type": "websocket", "scheme": "wss", "subprotocols": pair or []}
        if pair:
            self.scope["headers"].append((b"sec-websocket-protocol", ", ".join(pair).encode("latin-1")))
        self.scope |= {"extensions": DENIAL if denials else {}} | more
        del self.scope["method"]
        self.sent: list[dict[str, Any]] = []
        self._app = app
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self._app(self.scope, self._inbox.get, self._send))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
        if self.task is not None:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(self.task, return_exceptions=True)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self._outbox.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return await self._outbox.get()

    async def accepted(self) -> dict[str, Any]:
        message = await self.next()
        if message["type"] != "websocket.accept":
            raise RuntimeError(f"the socket was answered {message}")
        return message

    async def says(self, text: str = "who?") -> Any:
        """What the app answers to *text*."""
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})
        answer = await self.next()
        if "text" not in answer:
            raise RuntimeError(f"instead of an answer came {answer}")
        return json.loads(answer["text"])

    async def refusal(self) -> tuple[int, str | None]:
        """Status and code of the denial response, or of the close that servers answer with 403."""
        first = await self.next()
        if first["type"] == "websocket.close":
            return 403, first.get("reason")
        body = await self.next()
        return first["status"], json.loads(body["body"])["code"]

    async def closed(self) -> tuple[int, str]:
        message = await self.next()
        if message["type"] != "websocket.close":
            raise RuntimeError(f"instead of a close came {message}")
        return message["code"], message.get("reason", "")


def bearer(tab: Tab) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {tab.token}")]


def cookie_of(tab: Tab, origin: str | None = OWN) -> list[tuple[str, str]]:
    """The headers of a browser's handshake: a page can set none of them."""
    return [("cookie", f"{COOKIE}={tab.browser.jar}"), *([] if origin is None else [("origin", origin)])]


class Room:
    """An app of sockets: says who it talks to, and notes how each of them ended."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.ends: list[tuple[int, str]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await plain_app(scope, receive, send)
            return
        self.scopes.append(scope)
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        try:
            while True:
                await socket.receive_text()
                await socket.send_json({"subject": get_auth(socket).subject, "user": socket.user.display_name})
        except WebSocketDisconnect as end:
            self.ends.append((end.code, end.reason))
