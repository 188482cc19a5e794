"""The apps of `throughput.py`: guarded where the environment names a Redis, else as they are."""

from __future__ import annotations

import os
from typing import Any

from _common import CLAIMS, SECRET
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_tokenguard import Lifetimes, TokenGuardMiddleware, get_auth

# As long as the names that `throughput.py` logs in, so that all answers have one size.
STRANGER = "nobody-0000"


def name(scope: Any) -> str:
    user = scope.get("user")
    return STRANGER if user is None else user.identity


async def me(request: Request) -> JSONResponse:
    return JSONResponse({"user": name(request.scope)})


async def login(request: Request) -> JSONResponse:
    await get_auth(request).login(request.path_params["user"], CLAIMS)
    return JSONResponse({"ok": True})


class Me(BaseModel):
    user: str


async def me_by_model(request: Request) -> Me:
    """As a FastAPI app is written: the answer goes through its model."""
    return Me(user=name(request.scope))


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """The least that answers the same."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"].startswith("/login/"):
        await get_auth(scope).login(scope["path"].removeprefix("/login/"), CLAIMS)
    body = b'{"user":"%b"}' % name(scope).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def guarded(app: Any) -> Any:
    url = os.environ.get("THROUGHPUT_REDIS")
    if not url:
        return app
    # Nothing expires within a run: what is measured is the way of nearly every request.
    lifetimes = Lifetimes(access=6 * 3600)
    return TokenGuardMiddleware(app, secret=SECRET, redis=url, public=["/login/*"], timeout=30, lifetimes=lifetimes)


fast = FastAPI(openapi_url=None)
fast.add_api_route("/me", me_by_model)
fast.add_route("/login/{user}", login, methods=["POST"])

fastapi = guarded(fast)
starlette = guarded(Starlette(routes=[Route("/me", me), Route("/login/{user}", login, methods=["POST"])]))
bare = guarded(plain)
