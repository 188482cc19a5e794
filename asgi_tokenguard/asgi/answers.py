"""
What a refusal is answered with: the way to a page, the app's own answer, or JSON.

Rule: an app may word and dress an answer, and no more.  Status and challenge are the refusal's, nothing of it is stored, and an
app that fails at it leaves the JSON, never a 500 or an answer without its challenge.
"""

from __future__ import annotations

import asyncio
import logging
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.asgi import responses, sign_in
from asgi_tokenguard.asgi.responses import NO_STORE, TARGETED_CACHE_CONTROL, Answered
from asgi_tokenguard.auth import carrier_behind, get_auth
from asgi_tokenguard.errors import NotGuarded, Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from asgi_tokenguard.options import Settings

logger = logging.getLogger("asgi_tokenguard")

# What an answer like this one depends on, for a cache that keeps what it should not.
_VARY: Final = b"cookie, sec-fetch-dest, sec-fetch-mode"
_NOT_THE_APPS: Final = TARGETED_CACHE_CONTROL | {b"cache-control", b"content-length", b"transfer-encoding"}


async def answered(refusal: Refusal, scope: Scope, settings: Settings) -> Answered:
    """The answer of *refusal* to the request of *scope*."""
    if scope["type"] != "http":
        return responses.plain(refusal)
    where = sign_in.location(refusal, scope, settings)
    if where is not None:
        headers = [(b"location", where.encode("ascii")), (b"content-length", b"0"), NO_STORE, (b"vary", _VARY)]
        # 303 and no other: whatever the method was, the page is asked for by GET (RFC 9110 section 15.4.4).
        return Answered(303, headers, b"")
    own = None if settings.on_refusal is None else await _own(settings.on_refusal, refusal, scope)
    return own or responses.plain(refusal)


async def in_app(request_or_scope: Any, refusal: Refusal) -> Answered:
    """The answer of a *refusal* that was raised in the app, for the framework that has caught it."""
    try:
        carrier = carrier_behind(get_auth(request_or_scope))
    except NotGuarded:  # a handler that is called outside of a request
        return responses.plain(refusal)
    found: Answered = await carrier.answered(refusal)
    return found


async def _own(on_refusal: Any, refusal: Refusal, scope: Scope) -> Answered | None:
    try:
        found = on_refusal(scope, refusal)
        if isawaitable(found):
            found = await found
        return None if found is None else _merged(refusal, *await _collected(found, scope))
    except Exception:  # whatever it is, the caller has to be refused, and told how to go on
        logger.exception("on_refusal failed, so %r is answered as JSON", refusal.code.value)
        return None


async def _collected(response: ASGIApp, scope: Scope) -> tuple[Message, bytes]:
    """Head and body of *response*, as a whole: one that fails halfway can still be replaced."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    # Without extensions, so that all of it comes as messages.
    await response({**scope, "extensions": {}}, _silence, send)
    (head,) = [message for message in messages if message["type"] == "http.response.start"]
    return head, b"".join(message.get("body", b"") for message in messages if message["type"] == "http.response.body")


async def _silence() -> Message:
    """The request's body is the app's; whoever words a refusal waits in vain for it."""
    return await asyncio.Future()


def _merged(refusal: Refusal, head: Message, body: bytes) -> Answered:
    challenge = responses.challenge(refusal)
    taken = _NOT_THE_APPS | {name for name, _ in challenge}
    kept = [(name.lower(), value) for name, value in head.get("headers", ()) if name.lower() not in taken]
    length = (b"content-length", str(len(body)).encode())
    return Answered(refusal.status_code, [*kept, length, NO_STORE, *challenge], body)
