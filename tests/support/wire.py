"""One request to an ASGI app, message by message, with nothing between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Headers = Iterable[tuple[str | bytes, str | bytes]]


@dataclass
class Answer:
    """What the app sent."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def head(self) -> dict[str, Any]:
        (head,) = [message for message in self.messages if message["type"] == "http.response.start"]
        return head

    @property
    def status(self) -> int:
        return self.head["status"]

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode().lower(), value.decode("latin-1")) for name, value in self.head["headers"]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def cookie_lines(self) -> list[str]:
        """Every `Set-Cookie` but the freshness cookie's, which comes and goes with logins (tests/asgi/test_freshness.py)."""
        return [line for line in self.all("set-cookie") if not line.partition("=")[0].endswith(("__Host-fresh", "-fresh"))]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages if message["type"] == "http.response.body")

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The guard's code, or None where the answer is the app's."""
        try:
            return self.json().get("code")
        except (ValueError, AttributeError):
            return None

    @property
    def new_token(self) -> str | None:
        return self.get("x-new-access-token")

    def cookie(self, name: str = "__Host-refresh") -> str | None:
        """The refresh cookie that the answer sets ('' where it clears it), or None."""
        values = [line.split(";")[0].split("=", 1)[1] for line in self.all("set-cookie") if line.startswith(f"{name}=")]
        assert len(values) <= 1, f"{len(values)} refresh cookies in one answer"
        return values[0] if values else None


def scope_of(method: str, path: str, headers: Headers = (), **extra: Any) -> dict[str, Any]:
    def raw(text: str | bytes) -> bytes:
        return text if isinstance(text, bytes) else text.encode("latin-1")

    path, _, query = path.partition("?")
    pairs = [(raw(name).lower(), raw(value)) for name, value in headers]
    if not any(name == b"host" for name, _ in pairs):
        pairs.insert(0, (b"host", b"app.example"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": pairs,
        "client": ("192.0.2.7", 50000),
        "server": ("app.example", 443),
        "state": {},
    } | extra


async def call(
    app: Callable[..., Awaitable[None]],
    method: str,
    path: str,
    headers: Headers = (),
    *,
    answer: Answer | None = None,
    **extra: Any,
) -> Answer:
    """Send one request; *answer* may be passed in to keep what was sent before the app raised."""
    answer = Answer() if answer is None else answer
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    ended = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await ended.wait()  # a client stays for its answer; Django gives up when it goes
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        answer.messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            ended.set()

    await app(scope_of(method, path, headers, **extra), receive, send)
    return answer
