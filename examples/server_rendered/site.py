"""
A site of pages and forms, without a line of JavaScript: sign in and back, change the email behind a fresh password, sign out.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.server_rendered.site:app

Then open http://127.0.0.1:8000/email (ada, lovelace).  Browsers take its `Secure` cookies on localhost as well.
"""

import os
import sys
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from asgi_tokenguard import Refusal, get_auth, next_path
from asgi_tokenguard.starlette import install

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")

# Without `action` a form is sent to the page's own address, `?next=` included.
PASSWORD = """<form method="post">
<input name="user" placeholder="ada"> <input name="password" type="password" placeholder="lovelace"> <button>Go on</button>
</form>"""

# What a user reads whose last session has ended by itself or by somebody else.  Only `reuse_detected` is an alarm.
WHY = {
    "session_expired": "You have been away for a long time.",
    "revoked": "This session was ended from another device, or by us.",
    "rolled_back_client": "Your browser has lost its latest cookie, as happens in a crash.",
    "cookie_not_stored": "Your browser, or something on the way to it, does not keep our cookies.",
    "reuse_detected": "Your session was used from two places. If one was not yours, change your password.",
}


def page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(f"<!doctype html><title>{title}</title><h1>{title}</h1>{body}", status)


async def fields(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode(errors="replace")))


def is_right(given: dict[str, str]) -> bool:
    """Whether the password is the user's.  Yours asks a database for a hash by argon2 or scrypt."""
    return {"ada": "lovelace", "alan": "turing"}.get(given.get("user", "")) == given.get("password")


async def sign_in(request: Request) -> Response:
    auth = get_auth(request)
    if request.method == "GET":
        ended = await auth.ended()  # why the last session is over, where the browser still has its cookie
        return page("Sign in", f"<p>{WHY.get(ended or '', '')}</p>{PASSWORD}")
    given = await fields(request)
    if not is_right(given):
        return page("Sign in", f"<p>Unknown user or wrong password.</p>{PASSWORD}", 403)
    await auth.login(given["user"])
    return RedirectResponse(next_path(request), 303)


async def home(request: Request) -> Response:
    name = escape(request.user.identity)
    return page(
        f"Hello {name}", '<a href="/email">Email</a> <form method="post" action="/sign-out"><button>Sign out</button></form>'
    )


async def email(request: Request) -> Response:
    await get_auth(request).require_fresh()  # a document that is not fresh is sent to /confirm and back
    if request.method == "GET":
        return page("Change your email", '<form method="post"><input name="email"> <button>Change</button></form>')
    return RedirectResponse("/", 303)


async def confirm(request: Request) -> Response:
    if request.method == "GET":
        return page("Who are you?", f"<p>Please give your password once more.</p>{PASSWORD}")
    given = await fields(request)
    if not is_right(given):
        return page("Who are you?", f"<p>That is not your password.</p>{PASSWORD}", 403)
    await get_auth(request).reauthenticated(given["user"])  # SubjectMismatch for another user than the session's
    return RedirectResponse(next_path(request), 303)


async def sign_out(request: Request) -> Response:
    await get_auth(request).logout()
    return RedirectResponse("/sign-in", 303)


def words(scope: Any, refusal: Refusal) -> Response | None:
    """What is refused and is no document to be sent anywhere: a form that was sent too late, say."""
    headers = dict(scope["headers"])
    if b"text/html" not in headers.get(b"accept", b""):
        return None  # JSON
    return page("Sorry", f'<p>{escape(refusal.detail)}</p><a href="/">Start again</a>')


app = Starlette(
    routes=[
        Route("/", home),
        Route("/sign-in", sign_in, methods=["GET", "POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/email", email, methods=["GET", "POST"]),
        Route("/confirm", confirm, methods=["GET", "POST"]),
    ]
)
install(
    app,
    secret=SECRET,
    redis=REDIS,
    public=["/sign-in", "/sign-out"],
    sign_in="/sign-in",
    reauthentication=["/confirm"],
    step_up="/confirm",
    on_refusal=words,
)
