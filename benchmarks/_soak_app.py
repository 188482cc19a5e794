"""The app of `soak.py`: what a user's page asks of the guard, and how the process that serves it is doing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from _common import CLAIMS, SECRET, resident
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_tokenguard import Lifetimes, TokenGuardMiddleware, get_auth


async def login(request: Request) -> JSONResponse:
    await get_auth(request).login(request.path_params["user"], CLAIMS)
    return JSONResponse({})


async def me(request: Request) -> JSONResponse:
    return JSONResponse({"user": request.user.identity})


async def sessions(request: Request) -> JSONResponse:
    return JSONResponse({"sessions": len(await get_auth(request).sessions())})


async def logout(request: Request) -> JSONResponse:
    await get_auth(request).logout()
    return JSONResponse({})


async def state(_: Request) -> JSONResponse:
    """Tasks, open files and bytes of memory of this process."""
    return JSONResponse({"tasks": len(asyncio.all_tasks()), "files": files(), "resident": resident()})


def files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


app: Any = TokenGuardMiddleware(
    Starlette(
        routes=[
            Route("/login/{user}", login, methods=["POST"]),
            Route("/me", me),
            Route("/sessions", sessions),
            Route("/logout", logout, methods=["POST"]),
            Route("/state", state),
        ]
    ),
    secret=SECRET,
    redis=os.environ["SOAK_REDIS"],
    lifetimes=Lifetimes(access=float(os.environ["SOAK_ACCESS"])),
    timeout=float(os.environ["SOAK_TIMEOUT"]),
    public=["/login/*", "/state"],
)
