"""The one-line door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from asgi_tokenguard.asgi.exchange import Exchange
from asgi_tokenguard.asgi.lifespan import lifespan
from asgi_tokenguard.asgi.websocket import websocket
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.guard import TokenGuard
from asgi_tokenguard.options import MiddlewareOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class TokenGuardMiddleware:
    """
    Wrap an ASGI app so that its requests carry sessions.

    Takes the options of `MiddlewareOptions`, or one *guard* and then no other option.  Raises `ConfigurationError` when an
    option is wrong, here and not at the first request.
    """

    def __init__(self, app: ASGIApp, guard: TokenGuard | None = None, **options: Unpack[MiddlewareOptions]) -> None:
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
            # Here and not in a coroutine of the exchange's: each one that every request is awaited through is paid by all.
            exchange = Exchange(self.guard.engine, scope, send)
            app = self.app if exchange.knows() else await exchange.admit(self.app)
            if app is None:
                return
            try:
                await app(scope, receive, exchange.send)
            except Exception as error:
                if not await exchange.answers(error):
                    raise
            finally:
                stream = exchange.let_go()
                if stream is not None:
                    await stream.close()
        elif scope["type"] == "websocket":
            await websocket(self.app, self.guard.engine, scope, receive, send)
        elif scope["type"] == "lifespan":
            await lifespan(self.app, self.guard, scope, receive, send)
        else:
            # An unknown protocol cannot be judged, so it is not let through.
            raise RuntimeError(f"asgi_tokenguard does not know the ASGI scope type {scope['type']!r}")
