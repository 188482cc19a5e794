"""A WebSocket within HTTP/2 (RFC 8441), as browsers open one beside their other requests."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, Self
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import h2.settings
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, TextMessage


class Http2Socket:
    """What the stories use of `websockets.sync.client`, with the same errors."""

    def __init__(self, base: str, path: str, headers: list[tuple[str, str]], pair: list[str] | None, patience: float) -> None:
        address = urlsplit(base)
        self._wire = socket.create_connection((address.hostname, address.port), timeout=patience)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._frames = Connection(ConnectionType.CLIENT)
        self._events: deque[Any] = deque()
        self._arrived: deque[str] = deque()
        self._http.initiate_connection()
        self._next(h2.events.RemoteSettingsChanged)
        if not self._http.remote_settings.enable_connect_protocol:
            raise RuntimeError("the server has no WebSockets within HTTP/2")
        offered = [] if pair is None else [("sec-websocket-protocol", ", ".join(pair))]
        self._stream = self._http.get_next_available_stream_id()
        opening = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path)]
        opening += [(":authority", address.netloc), ("sec-websocket-version", "13"), *offered, *headers]
        self._http.send_headers(self._stream, opening)
        answer = dict(self._next(h2.events.ResponseReceived).headers)
        if answer[":status"] != "200":
            self._refused(answer)
        self.subprotocol = answer.get("sec-websocket-protocol")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def send(self, text: str) -> None:
        self._http.send_data(self._stream, self._frames.send(TextMessage(data=text)))
        self._flush()

    def recv(self, _timeout: float) -> str:
        while not self._arrived:
            self._frames.receive_data(self._next(h2.events.DataReceived).data)
            for event in self._frames.events():
                if isinstance(event, CloseConnection):
                    raise ConnectionClosed(Close(event.code, event.reason or ""), None)
                self._arrived.append(event.data)
        return self._arrived.popleft()

    def _refused(self, answer: dict[str, str]) -> None:
        body = b""
        while isinstance(event := self._next(h2.events.DataReceived, h2.events.StreamEnded), h2.events.DataReceived):
            body += event.data
        self._wire.close()
        raise InvalidStatus(Response(int(answer[":status"]), "", Headers(answer), body))

    def _flush(self) -> None:
        self._wire.sendall(self._http.data_to_send())

    def _next(self, *kinds: type) -> Any:
        """The next event that is one of *kinds*; raises `ConnectionClosed` where the server has hung up."""
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, kinds):
                    return event
            self._flush()
            data = self._wire.recv(65_536)
            if not data:
                raise ConnectionClosed(None, None)
            self._events.extend(self._http.receive_data(data))
