"""The guard's own answers, never stored; refusals are JSON `{"detail", "code"}`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asgi_tokenguard.codes import Code
from asgi_tokenguard.errors import CrossSiteRequest, NotAuthenticated, Refusal

if TYPE_CHECKING:
    from starlette.types import Send

Headers = list[tuple[bytes, bytes]]

NO_STORE: Final = (b"cache-control", b"no-store")
# RFC 9213 section 2.1: a targeted field counts more than Cache-Control for the caches that know it.
TARGETED_CACHE_CONTROL: Final = frozenset({b"cdn-cache-control", b"surrogate-control"})
_JSON: Final = b"application/json"


class Answered(NamedTuple):
    """A whole answer, for us and for the modules for frameworks alike."""

    status: int
    headers: Headers  # names in lower case
    body: bytes

    @property
    def media_type(self) -> str | None:
        return next((value.decode("latin-1") for name, value in self.headers if name == b"content-type"), None)

    @property
    def other_headers(self) -> list[tuple[str, str]]:
        """Those that a framework does not write itself, as text."""
        written = {b"content-type", b"content-length"}
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers if name not in written]


def refusal_for(code: Code) -> Refusal:
    """The refusal that a rejected decision becomes."""
    return CrossSiteRequest() if code is Code.CROSS_SITE_REQUEST else NotAuthenticated(code)


def challenge(refusal: Refusal) -> Headers:
    """How to go on after *refusal*: its `WWW-Authenticate`, `Retry-After` or `Allow`."""
    return [(name.lower().encode(), value.encode()) for name, value in (refusal.headers or {}).items()]


def plain(refusal: Refusal) -> Answered:
    """*refusal* as JSON."""
    body = _dump({"detail": refusal.detail, "code": refusal.code.value})
    return Answered(refusal.status_code, [*_head(_JSON, body), *challenge(refusal)], body)


async def send_whole(answered: Answered, send: Send) -> None:
    await send({"type": "http.response.start", "status": answered.status, "headers": answered.headers})
    await send({"type": "http.response.body", "body": answered.body})


async def document(value: Any, send: Send, *, head_only: bool) -> None:
    """A 200 with *value* as JSON; to HEAD without it, as not every server takes the body away."""
    body = _dump(value)
    await send_whole(Answered(200, _head(_JSON, body), b"" if head_only else body), send)


def published(value: Any, media_type: str, seconds: int) -> Answered:
    """A 200 with *value* as JSON of that type, which anybody may keep for so many *seconds*."""
    body = _dump(value)
    described = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    return Answered(200, [*described, (b"cache-control", b"public, max-age=%d" % seconds)], body)


async def empty(send: Send, headers: Headers) -> None:
    """A 204, which has neither a type nor a length (RFC 9110 section 8.6)."""
    await send({"type": "http.response.start", "status": 204, "headers": [NO_STORE, *headers]})
    await send({"type": "http.response.body", "body": b""})


async def server_error(send: Send) -> None:
    """A plain 500, as servers write it where an app has raised."""
    body = b"Internal Server Error"
    await send_whole(Answered(500, _head(b"text/plain; charset=utf-8", body), body), send)


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"  # for people with curl


def _head(kind: bytes, body: bytes) -> Headers:
    return [(b"content-type", kind), (b"content-length", str(len(body)).encode()), NO_STORE]
