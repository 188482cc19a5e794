"""Somebody on the other end of a real wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import httpx
from servers.http2 import Http2Socket
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from servers.fleet import Served

# A busy machine is no reason to fail; what is to come does come.
PATIENCE = 60
COOKIE = "__Host-refresh"
PAGE = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}


class Visitor:
    """
    A page with one connection of its own.

    It keeps the cookie itself, which a client rightly sends over https alone.
    """

    def __init__(self, served: Served) -> None:
        self.token: str | None = None
        self.cookie: str | None = None
        self._served = served
        http2 = served.kind.http2
        self._client = httpx.Client(base_url=served.base, http1=not http2, http2=http2, timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def is_answered(self) -> bool:
        try:
            return self._client.get("/worker").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def bearer(self) -> list[tuple[str, str]]:
        return [] if self.token is None else [("authorization", f"Bearer {self.token}")]

    @property
    def credentials(self) -> list[tuple[str, str]]:
        return self.bearer + ([] if self.cookie is None else [("cookie", f"{COOKIE}={self.cookie}")])

    def ask(self, method: str, path: str, headers: list[tuple[str, str]]) -> httpx.Response:
        request = self._client.build_request(method, path, headers=[*PAGE.items(), *headers])
        # No body, no part of one: Hypercorn 0.18 drops an HTTP/2 connection where the part comes after the answer.
        request.headers.pop("content-length", None)
        answer = self._client.send(request)
        # The jar of httpx is not ours, and would be sent as well.
        self._client.cookies.clear()
        self.token = answer.headers.get("x-new-access-token", self.token)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if name == COOKIE:
                self.cookie = value or None
        return answer

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path, self.credentials)

    def post(self, path: str) -> httpx.Response:
        return self.ask("POST", path, self.credentials)

    def logged_in(self, user: str, at: str = "") -> Self:
        answer = self.post(f"{at}/login?user={user}")
        if answer.status_code != 200 or self.token is None or not self.cookie:
            raise RuntimeError(f"the login was answered {answer.status_code}")
        return self

    @contextmanager
    def reading(self, path: str, patience: float = PATIENCE) -> Iterator[tuple[httpx.Response, Iterator[bytes]]]:
        """A response that has begun to come."""
        headers = [*PAGE.items(), *self.bearer]
        with self._client.stream("GET", path, headers=headers, timeout=patience) as answer:
            parts = answer.iter_raw()
            next(parts)
            yield answer, parts

    def socket(
        self, headers: list[tuple[str, str]] | None = None, *, pair: list[str] | None = None
    ) -> ClientConnection | Http2Socket:
        """A WebSocket that is open; raises `InvalidStatus` where it is refused."""
        if self._served.kind.http2:
            return Http2Socket(self._served.base, "/ws", headers or [], pair, PATIENCE)
        url = self._served.base.replace("http", "ws")
        options: dict[str, Any] = {"additional_headers": headers or [], "subprotocols": pair}
        return connect(f"{url}/ws", proxy=None, open_timeout=PATIENCE, close_timeout=PATIENCE, **options)
