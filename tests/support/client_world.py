"""
A guarded app on real HTTP for the tests that run in Node, which ask for what only the server's side can do by `/test/...`.

`/test/*` stands outside of the guard, as a test does: it moves the clock, holds answers back and tells what has arrived.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_tokenguard import get_auth
from asgi_tokenguard.starlette import install
from asgi_tokenguard.testing import Clock, guarded
from asgi_tokenguard.testing.guarding import guards_in
from support.http import serving


async def login(request: Request) -> Response:
    await get_auth(request).login(request.query_params.get("user", "ada"), {"role": "admin"})
    return JSONResponse({"ok": True})


async def me(request: Request) -> Response:
    return JSONResponse({"user": get_auth(request).subject, "sid": get_auth(request).session_id})


async def confirm(request: Request) -> Response:
    auth = get_auth(request)
    await auth.reauthenticated(auth.subject)
    return JSONResponse({"ok": True})


async def sensitive(request: Request) -> Response:
    body = (await request.body()).decode()
    await get_auth(request).require_fresh()
    return JSONResponse({"body": body})


async def own_refusal(request: Request) -> Response:
    """What an app may answer by itself; the query says what."""
    query = request.query_params
    headers = {"www-authenticate": query["challenge"]} if "challenge" in query else {}
    return Response(query["body"], int(query.get("status", 401)), headers, query.get("type", "application/json"))


async def redirect(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], 307)


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"user": get_auth(socket).subject, "offered": socket.scope["subprotocols"]})
    await socket.receive()


class World:
    """The app, what has arrived at it, and which paths are held back."""

    def __init__(self, app: Any, clock: Clock, guard: Any, pages: Mapping[str, Response]) -> None:
        self.app, self.clock, self.guard, self.pages = app, clock, guard, pages
        self.arrived: list[dict[str, Any]] = []
        self.gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.told: list[Any] = []
        self.controls = {"advance": self.advance, "release": self.release, "log": self.log, "end": self.end, "tell": self.tell}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path in self.pages:
            await self.pages[path](scope, receive, send)
        elif path.startswith("/test/"):
            request = Request(scope)
            answer = await self.controls[path.removeprefix("/test/")](request.query_params)
            await JSONResponse(answer)(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        else:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            query = scope["query_string"].decode()
            self.arrived.append({"method": scope.get("method"), "path": path, "query": query, "headers": headers})

            async def held(message: Any) -> None:
                if message["type"] == "http.response.start" and "hold=" in query:
                    await asyncio.wait_for(self.gates[query.partition("hold=")[2]].wait(), 600)
                await send(message)

            await self.app(scope, receive, held)

    async def advance(self, query: Any) -> Any:
        """Let time pass."""
        await asyncio.to_thread(self.clock.advance, float(query["seconds"]))

    async def release(self, query: Any) -> Any:
        """Let the answers go that wait for `?hold=NAME`."""
        self.gates[query["name"]].set()

    async def log(self, query: Any) -> Any:
        """What has arrived since the last time."""
        found = [each for each in self.arrived if query.get("of", "") in each["query"]]
        self.arrived = [each for each in self.arrived if each not in found]
        return found

    async def tell(self, query: Any) -> Any:
        """What a page has to say, for whoever asks."""
        if "story" in query:
            self.told.append(json.loads(query["story"]))
        return self.told

    async def end(self, query: Any) -> Any:
        """End all sessions of a user, as the app's owner may."""
        return await self.guard.revoke_all(query["user"])


@contextmanager
def world(pages: Mapping[str, Response] | None = None, **options: Any) -> Iterator[str]:
    """The base URL of a world of its own; access tokens live 15 minutes.  *pages* are there beside the app, by their path."""
    app = Starlette(
        routes=[
            Route("/login", login, methods=["POST"]),
            Route("/me", me, methods=["GET", "POST"]),
            Route("/public", me),
            Route("/confirm", confirm, methods=["POST"]),
            Route("/sensitive", sensitive, methods=["GET", "POST"]),
            Route("/own", own_refusal, methods=["GET", "POST"]),
            Route("/redirect", redirect, methods=["GET", "POST"]),
            WebSocketRoute("/chat", chat),
        ]
    )
    defaults = {"public": ["/login", "/public", "/own", "/redirect"], "endpoints": "/auth"}
    # A machine that is out of breath for a second closes no socket.
    defaults |= {"secret": "known to everybody who reads the tests", "redis": "embedded://", "staleness": 60}
    install(app, **defaults | options)
    clock = Clock()
    with guarded(app, clock=clock) as app:
        (guard,) = guards_in(app)
        with serving(World(app, clock, guard, pages or {}), ws="websockets-sansio") as url:
            yield url


class Elsewhere:
    """Another origin's server: it welcomes every page and tells what it was sent; `/log` tells all of it."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        found = {"path": scope["path"], "query": scope["query_string"].decode(), "headers": headers}
        self.seen.append(found)
        cors = {"access-control-allow-origin": "*", "access-control-allow-headers": "*, authorization"}
        answer = {"log": self.seen} if scope["path"] == "/log" else found
        await JSONResponse(answer, headers=cors)(scope, receive, send)
