"""Real HTTP: an app behind uvicorn in a thread, and a client that sends the bytes it is given."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from support.wire import Answer


@contextmanager
def serving(app: Any, *, listener: socket.socket | None = None, **config: Any) -> Iterator[str]:
    """Serve *app* until the block ends, on *listener* or a port of its own; *config* goes to uvicorn.  Yields the base URL."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    # Named, since uvicorn takes others where they are installed, and each parser has answers of its own to bad bytes.
    settings = {"http": "h11", "loop": "asyncio", "ws": "none", "log_level": "critical", "access_log": False}
    settings |= {"timeout_graceful_shutdown": 5} | config
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("uvicorn did not start")
            time.sleep(0.005)
        yield base
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()


def send_raw(base_url: str, raw: bytes, *, method: str = "GET", peer: str = "127.0.0.1") -> Answer:
    """
    Send *raw* over a connection of its own and read one answer.

    *method* tells whether a body is to be expected; *peer* is the loopback address that the server sees.
    """
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), timeout=10, source_address=(peer, 0)) as connection:
        connection.sendall(raw)
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            body = response.read()
        finally:
            response.close()
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.getheaders()]
    head = {"type": "http.response.start", "status": response.status, "headers": headers}
    return Answer([head, {"type": "http.response.body", "body": body}])


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]] = (), *, host: str = "app.example") -> bytes:
    """The bytes of a request, written as they are given; text stands for its Latin-1 bytes."""
    lines = [f"{method} {target} HTTP/1.1"]
    if host:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def send(
    base_url: str,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    *,
    peer: str = "127.0.0.1",
    **options: Any,
) -> Answer:
    return send_raw(base_url, request_bytes(method, target, headers, **options), method=method, peer=peer)
