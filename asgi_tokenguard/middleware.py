"""The one-line door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from asgi_tokenguard.asgi.exchange import Exchange
from asgi_tokenguard.asgi.lifespan import lifespan
from asgi_tokenguard.asgi.websocket import websocket
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.guard import TokenGuard
from asgi_tokenguard.options import GuardOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class TokenGuardMiddleware:
    """
    Wrap an ASGI app so that its requests carry sessions.

    Takes the options of `GuardOptions`, or one *guard* and then no other option.  Raises `ConfigurationError` when an option
    is wrong, here and not at the first request.
    """

    def __init__(self, app: ASGIApp, guard: TokenGuard | None = None, **options: Unpack[GuardOptions]) -> None:
        if guard is not None and options:
            raise ConfigurationError("guard", "other options stand beside it", "give the options to TokenGuard")
        if not isinstance(guard, TokenGuard | None):
            raise ConfigurationError("guard", f"a {type(guard).__name__} was given", "pass guard=TokenGuard(...)")
        if not callable(app):
            raise ConfigurationError("app", f"a {type(app).__name__} was given", "pass the ASGI app to wrap")
        self.app = app
        self.guard = TokenGuard(**options) if guard is None else guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Exchange(self.guard.engine, scope, send).run(self.app, receive)
        elif scope["type"] == "websocket":
            await websocket(self.app, self.guard.engine, scope, receive, send)
        elif scope["type"] == "lifespan":
            await lifespan(self.app, self.guard, scope, receive, send)
        else:
            # An unknown protocol cannot be judged, so it is not let through.
            raise RuntimeError(f"asgi_tokenguard does not know the ASGI scope type {scope['type']!r}")
