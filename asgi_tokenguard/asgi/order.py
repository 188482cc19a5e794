"""
Where the guard stands among other middleware, looked at when the app starts.

Rule: what cannot work is refused, what works badly is warned of with its fix, and nothing is asked while requests are served.
Only what Starlette and FastAPI show of themselves is seen (layers with `app`, `add_middleware`), by the names of classes, so
that none is imported for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.core.media_types import EVENT_STREAM
from asgi_tokenguard.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope

    from asgi_tokenguard.core.media_types import MediaTypes
    from asgi_tokenguard.options import Settings

logger = logging.getLogger("asgi_tokenguard")

GUARD: Final = "TokenGuardMiddleware"
CORS: Final = "CORSMiddleware"
BASE_HTTP: Final = "BaseHTTPMiddleware"
# A chain of apps that leads back to itself is somebody's mistake, and not one to hang at.
DEEPEST: Final = 100

CORS_INSIDE: Final = (
    "CORSMiddleware stands inside the guard: what the guard refuses carries no CORS headers, so that a page of another origin "
    "sees a failed request and no 401. Put it outside (`add_middleware` puts the last one outermost)"
)
CORS_HIDES: Final = (
    "CORSMiddleware outside the guard has expose_headers of its own, which replace the guard's, so that a page of another "
    "origin cannot read a new access token. Name %r there, or leave expose_headers out"
)
COMPLETES: Final = (
    "%s outside the guard is a BaseHTTPMiddleware, which completes what the guard cuts off: a download of a session that is "
    "over looks whole. Put it inside, or leave `streams` at event streams"
)
ONCE: Final = "wrap the app once: a request can have one `Auth`, and two guards would hand out two tokens for it"


def look(app: ASGIApp, settings: Settings, scope: Scope) -> None:
    """
    Warn of an order of middleware that works badly; *app* is what the guard wraps, *scope* that of its lifespan.

    Raises `ConfigurationError` where a second guard stands around the same app.
    """
    inside = list(_inside(app))
    if any(_is(kind, GUARD) for kind in inside):
        raise ConfigurationError("guard", "another one stands inside of it, around the same app", ONCE)
    if any(_is(kind, CORS) for kind in inside):
        logger.warning(CORS_INSIDE)
    for layer in _outside(app, scope):
        if _is(type(layer), CORS) and _hides(layer, settings.new_token_header.decode()):
            logger.warning(CORS_HIDES, settings.new_token_header.decode())
        if _is(type(layer), BASE_HTTP) and _cuts(settings.streams):
            logger.warning(COMPLETES, type(layer).__name__)


def _inside(app: Any) -> Iterator[type]:
    """The kinds of layers from *app* on; those that Starlette has been told of and has not built yet are among them."""
    for _ in range(DEEPEST):
        if app is None:
            return
        yield type(app)
        for told in getattr(app, "user_middleware", ()):
            if isinstance(told.cls, type):
                yield told.cls
        app = getattr(app, "app", None)


def _outside(app: ASGIApp, scope: Scope) -> Iterator[object]:
    """The layers around the guard that wraps *app*, where a Starlette app has built them."""
    above: list[object] = []
    layer = getattr(scope.get("app"), "middleware_stack", None)
    for _ in range(DEEPEST):
        inner = getattr(layer, "app", None)
        if inner is app:
            yield from above
            return
        above.append(layer)
        layer = inner


def _is(kind: type, name: str) -> bool:
    return any(base.__name__ == name for base in kind.__mro__)


def _hides(cors: Any, header: str) -> bool:
    exposed = getattr(cors, "simple_headers", {}).get("Access-Control-Expose-Headers")
    if exposed is None:
        return False
    names = {name.strip().lower() for name in exposed.split(",")}
    # Fetch standard, section 3.3.3: with credentials a `*` is the name of a header.
    return header.lower() not in names and ("*" not in names or cors.allow_credentials)


def _cuts(streams: MediaTypes) -> bool:
    return streams.every or not streams.types <= {EVENT_STREAM}
