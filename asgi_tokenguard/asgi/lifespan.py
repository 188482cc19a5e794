"""The engine opens and closes with the app."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asgi_tokenguard.asgi import order
from asgi_tokenguard.errors import StoreUnavailable, TokenGuardError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from asgi_tokenguard.guard import TokenGuard

logger = logging.getLogger("asgi_tokenguard")


async def lifespan(app: ASGIApp, guard: TokenGuard, scope: Scope, receive: Receive, send: Send) -> None:
    """
    Open before the app starts, close after it has shut down.

    An app that knows no lifespan raises before it has read a message (ASGI specification, lifespan); the guard then answers
    for it, so that its connections are closed with the server.
    """
    try:
        order.look(app, guard.engine.settings, scope)
        await guard.open()
    except StoreUnavailable:
        # Redis may come later than the app; until then requests get 503.
        logger.warning("Redis is away at start-up; the guard opens with the first request that it answers")
    except TokenGuardError as error:
        # An embedded server that cannot be started will not be there later either, nor will a second guard be gone.  Raising
        # alone would look like an app that knows no lifespan, and the server would go on without the app's own start-up; and
        # Starlette's TestClient goes on unless the app raises as well, as Starlette itself does.
        await receive()
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise
    closed = reads = False

    async def close_first(message: Message) -> None:
        # Before the server hears that the shutdown is complete: it may end the loop at once then.
        nonlocal closed
        if message["type"].startswith("lifespan.shutdown."):
            await guard.aclose()
            closed = True
        await send(message)

    async def noted() -> Message:
        nonlocal reads
        reads = True
        return await receive()

    try:
        await app(scope, noted, close_first)
    except Exception:
        if reads:  # else it knows no lifespan and says so as the ASGI specification has it: by raising, whatever it is
            raise
        await _answer_for_the_app(receive, close_first)
    finally:
        if not closed:
            await guard.aclose()


async def _answer_for_the_app(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
