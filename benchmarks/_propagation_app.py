"""The app of `propagation.py`; its Redis is named by the environment."""

from __future__ import annotations

import os
from typing import Any

from _common import SECRET

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware, get_auth

guard = TokenGuard(secret=SECRET, redis=os.environ["PROPAGATION_REDIS"], public=["/login/*", "/revoke/*"], timeout=5)


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


app = TokenGuardMiddleware(bare, guard=guard)
