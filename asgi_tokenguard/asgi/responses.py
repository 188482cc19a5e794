"""The guard's own answers, never stored; refusals are JSON `{"detail", "code"}`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.errors import Code, CrossSiteRequest, NotAuthenticated, Refusal

if TYPE_CHECKING:
    from starlette.types import Send

Headers = list[tuple[bytes, bytes]]

_JSON: Final = b"application/json"


def refusal_for(code: Code) -> Refusal:
    """The refusal that a rejected decision becomes."""
    return CrossSiteRequest() if code is Code.CROSS_SITE_REQUEST else NotAuthenticated(code)


def body_of(refusal: Refusal) -> bytes:
    """The JSON that *refusal* is answered with, by us and by the modules for frameworks alike."""
    return _dump({"detail": refusal.detail, "code": refusal.code.value})


def headers_of(refusal: Refusal) -> dict[str, str]:
    """What stands beside that body in a framework's own response; the type is the framework's to say."""
    return {"cache-control": "no-store", **{name.lower(): value for name, value in (refusal.headers or {}).items()}}


async def answer(refusal: Refusal, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in (refusal.headers or {}).items()]
    await _send(send, refusal.status_code, _JSON, body_of(refusal), headers)


async def document(value: Any, send: Send, *, head_only: bool) -> None:
    """A 200 with *value* as JSON; to HEAD without it, as not every server takes the body away."""
    await _send(send, 200, _JSON, _dump(value), [], head_only=head_only)


async def empty(send: Send, headers: Headers) -> None:
    """A 204, which has neither a type nor a length (RFC 9110 section 8.6)."""
    await send({"type": "http.response.start", "status": 204, "headers": [(b"cache-control", b"no-store"), *headers]})
    await send({"type": "http.response.body", "body": b""})


async def server_error(send: Send) -> None:
    """A plain 500, as servers write it where an app has raised."""
    await _send(send, 500, b"text/plain; charset=utf-8", b"Internal Server Error", [])


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"  # for people with curl


async def _send(send: Send, status: int, kind: bytes, body: bytes, headers: Headers, *, head_only: bool = False) -> None:
    head = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*head, *headers]})
    await send({"type": "http.response.body", "body": b"" if head_only else body})
