"""The demo's app.  What the package does for it stands in `build` and in the lines with `get_auth`."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.demo import page, travel
from asgi_tokenguard.errors import StepUpRequired
from asgi_tokenguard.middleware import TokenGuardMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request

# For the demo only, and known to everybody.  An app of yours keeps hashes, made by argon2 or scrypt.
USERS: Final = {"ada": "lovelace", "alan": "turing", "grace": "hopper"}
# Keys of a demo on a Redis that others use as well stay apart from theirs.
NAMESPACE: Final = "tokenguard-demo"


class Json(JSONResponse):
    """JSON that ends its line, for people with curl."""

    def render(self, content: object) -> bytes:
        return super().render(content) + b"\n"


def build(*, redis: str, lifetimes: Lifetimes, namespace: str = NAMESPACE) -> travel.Traveller:
    app = Starlette(routes=ROUTES, exception_handlers={HTTPException: refused})
    app.state.access = lifetimes.access
    guarded = TokenGuardMiddleware(
        app,
        # Made here, so the demo is one process, and its sessions end with it.  An app of yours reads its secret from where it
        # keeps such things, the same in every worker.
        secret=secrets.token_urlsafe(64),
        redis=redis,
        timeout=5,  # a laptop out of breath is no outage
        namespace=namespace,
        lifetimes=lifetimes,
        public=["/login", "/logout", "/move"],
        optional=["/"],
        reauthentication=["/", "/confirm"],
        fresh=60,
        locator=travel.locator(),
        trusted_proxies=travel.PROXIES,
    )
    return travel.Traveller(guarded, guarded.guard)


async def refused(_: Request, error: Exception) -> Response:
    """Answer what `get_auth(request)` raises as the guard answers by itself: with its code."""
    if not isinstance(error, HTTPException):
        raise error
    return Json({"detail": error.detail, "code": getattr(error, "code", None)}, error.status_code, error.headers)


async def start(request: Request) -> Response:
    return HTMLResponse(await page.start(request), headers=page.HEADERS)


async def move(request: Request) -> Response:
    """Move this browser to another town: what follows comes from an address there."""
    town = (await _fields(request)).get("town", "")
    if town not in travel.TOWNS:
        return Json({"detail": f"Choose one of {', '.join(travel.TOWNS)}."}, 400)
    response: Response = RedirectResponse("/", 303) if _is_page(request) else Json({"town": town})
    response.set_cookie(travel.COOKIE, town)
    return response


async def confirm(request: Request) -> Response:
    """Ask for the password once more: for what needs a fresh login, and for a session that has moved."""
    auth = get_auth(request)
    user = auth.subject or ""
    if USERS.get(user) != (await _fields(request)).get("password"):
        return Json({"detail": "Wrong password."}, 401)
    await auth.reauthenticated(user)
    return RedirectResponse("/", 303) if _is_page(request) else Json({"ok": True})


async def end(request: Request) -> Response:
    """End one session of the user, or all others."""
    auth, which = get_auth(request), request.path_params["which"]
    try:
        await (auth.revoke_others() if which == "others" else auth.revoke(which))
    except StepUpRequired:
        if _is_page(request):
            return RedirectResponse("/?confirm", 303)
        raise
    return RedirectResponse("/", 303) if _is_page(request) else Response(status_code=204)


async def login(request: Request) -> Response:
    fields = await _fields(request)
    user, password = fields.get("user", ""), fields.get("password", "")
    if USERS.get(user) != password:
        return Json({"detail": "Unknown user or wrong password."}, 401)
    await get_auth(request).login(user, {"name": user.title()})
    return RedirectResponse("/", 303) if _is_page(request) else Json({"ok": True})


async def logout(request: Request) -> Response:
    await get_auth(request).logout()
    return RedirectResponse("/", 303) if _is_page(request) else Response(status_code=204)


async def me(request: Request) -> Response:
    auth = get_auth(request)
    return Json({"user": auth.subject, "claims": dict(auth.claims), "session_id": auth.session_id})


async def transfer(request: Request) -> Response:
    """Stand for what a cross-site page would like to do in a user's name; no money moves."""
    return Json({"transferred": 100, "from": get_auth(request).subject})


async def sessions(request: Request) -> Response:
    return Json([session.to_dict() for session in await get_auth(request).sessions()])


ROUTES: Final = (
    Route("/", start),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/confirm", confirm, methods=["POST"]),
    Route("/move", move, methods=["POST"]),
    Route("/api/me", me),
    Route("/api/transfer", transfer, methods=["POST"]),
    Route("/api/sessions", sessions),
    Route("/api/sessions/{which}/end", end, methods=["POST"]),
)


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a JSON object or a form; empty where there are none."""
    body = (await request.body()).decode(errors="replace")
    fields: object
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            fields = None
    else:
        fields = dict(parse_qsl(body))
    return {name: str(value) for name, value in fields.items()} if isinstance(fields, dict) else {}


def _is_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
