"""The app of `propagation.py`; its Redis is named by the environment."""

from __future__ import annotations

import os
import time
from typing import Any

from _common import SECRET

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware, get_auth

guard = TokenGuard(secret=SECRET, redis=os.environ["PROPAGATION_REDIS"], public=["/login/*", "/revoke/*"], timeout=30)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    _, action, *user = scope["path"].split("/")
    if action == "login":
        await get_auth(scope).login(user[0])
    elif action == "revoke":
        await guard.revoke_all(user[0])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


guarded = TokenGuardMiddleware(bare, guard=guard)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Stamp each answer with when its request came."""
    came = (b"x-came", b"%.6f" % time.monotonic())

    async def stamped(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], came]
        await send(message)

    await guarded(scope, receive, stamped)
