"""The demo's app.  What the package does for it stands in `build` and in the lines with `get_auth`."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.middleware import TokenGuardMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request

# For the demo only, and known to everybody.  An app of yours keeps hashes, made by argon2 or scrypt.
USERS: Final = {"ada": "lovelace", "alan": "turing"}
# Keys of a demo on a Redis that others use as well stay apart from theirs.
NAMESPACE: Final = "tokenguard-demo"

PAGE: Final = Template((files(__package__) / "start.html").read_text(encoding="utf-8"))
STYLE: Final = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}input{width:8rem}"
# All that the page may do is to show itself, to send its forms here, and, from its console, to fetch from here.
PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; connect-src 'self'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # `no-referrer` would make the forms say `Origin: null`
    "Cache-Control": "no-store",
}


class Json(JSONResponse):
    """JSON that ends its line, for people with curl."""

    def render(self, content: object) -> bytes:
        return super().render(content) + b"\n"


def build(*, redis: str, lifetimes: Lifetimes, namespace: str = NAMESPACE) -> TokenGuardMiddleware:
    app = Starlette(routes=ROUTES)
    app.state.access = lifetimes.access
    # The secret is made here, so the demo is one process, and its sessions end with it.  An app of yours reads it from where
    # it keeps its secrets, the same in every worker.
    secret = secrets.token_urlsafe(64)
    return TokenGuardMiddleware(
        app, secret=secret, redis=redis, namespace=namespace, lifetimes=lifetimes, public=["/login", "/logout"], optional=["/"]
    )


async def start(request: Request) -> Response:
    user = get_auth(request).subject
    greeting = f"You are signed in as <b>{escape(user)}</b>." if user else "You are not signed in."
    page = PAGE.substitute(style=STYLE, greeting=greeting, access=request.app.state.access)
    return HTMLResponse(page, headers=PAGE_HEADERS)


async def login(request: Request) -> Response:
    user, password = await _credentials(request)
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
    Route("/api/me", me),
    Route("/api/transfer", transfer, methods=["POST"]),
    Route("/api/sessions", sessions),
)


async def _credentials(request: Request) -> tuple[str, str]:
    """User and password from JSON or a form; empty where there are none."""
    body = (await request.body()).decode(errors="replace")
    fields: object
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            fields = None
    else:
        fields = dict(parse_qsl(body))
    if not isinstance(fields, dict):
        return "", ""
    return str(fields.get("user", "")), str(fields.get("password", ""))


def _is_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
