"""
A renderer: makes pages for browsers out of what an API says, and carries each visitor's session to it.

The API is the one of `examples/fastapi`, on a port of its own; the renderer knows no secret and asks no Redis.  In two shells:

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.fastapi.app:app --port 8001
    API_URL=http://127.0.0.1:8001 uvicorn examples.server_rendered.renderer:app

Then open http://127.0.0.1:8000 (ada, lovelace).
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

# One client for all visitors, so it must keep no cookies: the first visitor's session would be everybody's.
api = httpx.AsyncClient(
    base_url=os.environ.get("API_URL", "http://127.0.0.1:8001"),
    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
)

# What the API has to see of the browser: its cookies, which device it is, and where the request was made.  `Host` belongs to
# that, as `Origin` is compared with it.
FORWARDED = {"cookie", "host", "origin", "sec-purpose", "user-agent", "sec-ch-ua-platform"}
FORM = """<form method="post" action="/sign-in">
<input name="user" placeholder="ada"> <input name="password" type="password" placeholder="lovelace"> <button>Go on</button>
</form>"""


async def ask(request: Request, method: str, path: str, *, rotation: bool = True, **body: Any) -> httpx.Response:
    """Ask the API in the name of the visitor whose *request* this is; without *rotation* its answer carries no cookies."""
    headers = [(name, value) for name, value in request.headers.items() if name in FORWARDED or name.startswith("sec-fetch-")]
    if request.client is not None:
        headers.append(("x-forwarded-for", request.client.host))  # name this machine in the API's `trusted_proxies`
    if not rotation:
        headers.append(("x-token-rotation", "off"))
    return await api.request(method, path, headers=headers, **body)


def handing_on(response: Response, *answers: httpx.Response) -> Response:
    """*response* with the cookies of the API's *answers*: without them the browser would be left with a superseded one."""
    cookies = {line: None for answer in answers for line in answer.headers.get_list("set-cookie")}  # each once, in order
    for line in cookies:
        response.headers.append("set-cookie", line)
    response.headers["cache-control"] = "no-store"
    return response


async def home(request: Request) -> Response:
    """Two calls at once rotate once: both answers carry the same cookie."""
    me, sessions = await asyncio.gather(ask(request, "GET", "/me"), ask(request, "GET", "/sessions"))
    if me.status_code == httpx.codes.UNAUTHORIZED:
        return handing_on(HTMLResponse(f"<h1>Sign in</h1>{FORM}", 401), me, sessions)
    me.raise_for_status()
    user, places = escape(me.json()["user"]), len(sessions.raise_for_status().json())
    return handing_on(HTMLResponse(f"<h1>Hello {user}</h1><p>Signed in at {places} places.</p>"), me, sessions)


async def sign_in(request: Request) -> Response:
    given = dict(parse_qsl((await request.body()).decode(errors="replace")))
    answer = await ask(request, "POST", "/login", json={"user": given.get("user", ""), "password": given.get("password", "")})
    if answer.is_error:
        return handing_on(HTMLResponse(f"<h1>Unknown user or wrong password</h1>{FORM}", answer.status_code), answer)
    return handing_on(RedirectResponse("/", 303), answer)


async def streamed(request: Request) -> Response:
    """A page whose head leaves before the API is asked: what cannot be handed on must not be rotated."""

    async def parts() -> AsyncIterator[str]:
        yield "<h1>News</h1>"
        me = await ask(request, "GET", "/me", rotation=False)
        yield f"<p>For {escape(me.json()['user'])}.</p>" if me.is_success else "<p>For everybody.</p>"

    return StreamingResponse(parts(), media_type="text/html")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with api:
        yield


app = Starlette(
    routes=[Route("/", home), Route("/sign-in", sign_in, methods=["POST"]), Route("/news", streamed)],
    lifespan=lifespan,
)
