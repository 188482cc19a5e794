"""The demo's app.  What the package does for it stands in `build` and in the lines with `get_auth`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.demo import attacks, files, travel
from asgi_tokenguard.demo.bystander import Bystander
from asgi_tokenguard.demo.doorman import Doorman
from asgi_tokenguard.demo.fields import fields
from asgi_tokenguard.middleware import TokenGuardMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

# For the demo only, and known to everybody.  An app of yours keeps hashes, made by argon2 or scrypt.
USERS: Final = {"ada": "lovelace", "alan": "turing", "grace": "hopper"}
# Keys of a demo on a Redis that others use as well stay apart from theirs.
NAMESPACE: Final = "tokenguard-demo"
# Seconds: a minute after the login a newcomer sees the password asked for again; apps leave it at five.
FRESH: Final = 60


class Json(JSONResponse):
    """JSON that ends its line, for people with curl."""

    def render(self, content: object) -> bytes:
        return super().render(content) + b"\n"


def build(*, redis: str, lifetimes: Lifetimes, namespace: str = NAMESPACE, loopback: bool = True) -> Bystander:
    """The guarded app; *loopback* is whether it is served to this computer only."""
    app = Starlette(routes=ROUTES, exception_handlers={HTTPException: refused})
    app.state.about = {
        "access": lifetimes.access,
        "grace": lifetimes.grace,
        "fresh": FRESH,
        "loopback": loopback,
        "towns": travel.described(),
    }
    guarded = TokenGuardMiddleware(
        app,
        # Made here, so the demo is one process, and its sessions end with it.  An app of yours reads its secret from where it
        # keeps such things, the same in every worker.
        secret=secrets.token_urlsafe(64),
        redis=redis,
        timeout=5,  # a laptop out of breath is no outage
        namespace=namespace,
        lifetimes=lifetimes,
        public=["/", "/static/*", "/demo/about", "/demo/foreign", "/login"],
        reauthentication=["/confirm"],
        fresh=FRESH,
        locator=travel.locator(),
        trusted_proxies=travel.PROXIES,
        endpoints="/auth",
    )
    travelling = travel.Traveller(guarded)
    bystander = app.state.bystander = Bystander(Doorman(travelling) if loopback else travelling, guarded.guard)
    return bystander


async def refused(_: Request, error: Exception) -> Response:
    """Answer what `get_auth(request)` raises as the guard answers by itself: with its code."""
    if not isinstance(error, HTTPException):
        raise error
    return Json({"detail": error.detail, "code": getattr(error, "code", None)}, error.status_code, error.headers)


async def page(request: Request) -> Response:
    return files.answer(request, "index.html", files.PAGE)


async def foreign(request: Request) -> Response:
    """A page that plays another site: the demo's page frames it under the other name of this computer."""
    return files.answer(request, "foreign.html", files.FOREIGN)


async def static(request: Request) -> Response:
    return files.answer(request, request.path_params["name"])


async def about(request: Request) -> Response:
    return Json(request.app.state.about)


async def login(request: Request) -> Response:
    said = await fields(request)
    user, password = said.get("user", ""), said.get("password", "")
    if USERS.get(user) != password:
        return Json({"detail": "Unknown user or wrong password."}, 401)
    await get_auth(request).login(user, {"name": user.title()})
    return Json({"ok": True})


async def confirm(request: Request) -> Response:
    """Ask for the password once more: for what needs a fresh login, and for a session that has moved."""
    auth = get_auth(request)
    user = auth.subject or ""
    if USERS.get(user) != (await fields(request)).get("password"):
        return Json({"detail": "Wrong password."}, 401)
    await auth.reauthenticated(user)
    return Json({"ok": True})


async def me(request: Request) -> Response:
    auth = get_auth(request)
    return Json({"user": auth.subject, "claims": dict(auth.claims), "session_id": auth.session_id})


async def transfer(request: Request) -> Response:
    """Stand for what a cross-site page would like to do in a user's name; no money moves."""
    return Json({"transferred": 100, "from": get_auth(request).subject})


async def live(websocket: WebSocket) -> None:
    """A socket that says nothing: the guard closes it when its session ends, and that is what a page waits for."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        pass


ROUTES: Final = (
    Route("/", page),
    Route("/static/{name}", static),
    Route("/login", login, methods=["POST"]),
    Route("/confirm", confirm, methods=["POST"]),
    Route("/api/me", me),
    Route("/api/transfer", transfer, methods=["POST"]),
    WebSocketRoute("/live", live),
    Route("/demo/about", about),
    Route("/demo/foreign", foreign),
    *attacks.ROUTES,
)
