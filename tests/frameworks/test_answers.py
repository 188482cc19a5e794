"""What an app's framework has caught is answered as what the guard itself refuses: the page, the app's own words, or JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import Depends, FastAPI
from litestar import Litestar, Request, get, post
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from support.actors import METADATA, Browser
from support.sockets import Peer
from support.stage import carried, travelling
from support.wire import call

import asgi_tokenguard.quart
import asgi_tokenguard.starlette
from asgi_tokenguard import CrossSiteRequest, TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.fastapi import OptionalAuth, RequireFresh
from asgi_tokenguard.litestar import TokenGuardPlugin, requires_fresh


def starlette_app(guard: TokenGuard) -> Any:
    async def login(request):
        await get_auth(request).login("user-1")
        return PlainTextResponse("")

    async def email(request):
        await get_auth(request).require_fresh()

    app = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/email", email)])
    asgi_tokenguard.starlette.install(app, guard)
    return app


def fastapi_app(guard: TokenGuard) -> Any:
    app = FastAPI()
    asgi_tokenguard.starlette.install(app, guard)

    @app.post("/login")
    async def login(auth: OptionalAuth) -> None:
        await auth.login("user-1")

    app.add_api_route("/email", lambda: None, dependencies=[Depends(RequireFresh())])
    return app


def litestar_app(guard: TokenGuard) -> Any:
    @post("/login")
    async def login(request: Request[Any, Any, Any]) -> None:
        await get_auth(request).login("user-1")

    @get("/email", guards=[requires_fresh()])
    async def email() -> None: ...

    return TokenGuardMiddleware(Litestar([login, email], plugins=[TokenGuardPlugin()]), guard)


def quart_app(guard: TokenGuard) -> Any:
    app = Quart(__name__)

    @app.post("/login")
    async def login() -> str:
        await get_auth(asgi_tokenguard.quart.request).login("user-1")
        return ""

    @app.get("/email")
    @asgi_tokenguard.quart.requires_fresh()
    async def email() -> str:
        return ""

    asgi_tokenguard.quart.install(app, guard)
    return app


async def django_login(request):
    await get_auth(request).login("user-1")
    return HttpResponse()


async def django_email(request):
    await get_auth(request).require_fresh()


urlpatterns = [path("login", django_login), path("email", django_email)]


def django_app(guard: TokenGuard) -> Any:
    return TokenGuardMiddleware(get_asgi_application(), guard)


async def words(scope, refusal):
    await asyncio.sleep(0)
    response = HTMLResponse(f"<h1>{refusal.code.value}</h1>", 200, {"x-of-the-app": "yes"})
    response.set_cookie("last", "1")
    return response


APPS = [starlette_app, fastapi_app, litestar_app, quart_app, django_app]
PAGES = {"public": ["/login"], "sign_in": "/login", "step_up": "/confirm", "reauthentication": ["/confirm"]}


@pytest.fixture(params=APPS, ids=[app.__name__ for app in APPS])
async def make(request, options, clock):
    """`make(**options)` gives an app and its clock; all are closed in the end."""
    guards = []

    def make(**more):
        guards.append(travelling(TokenGuard(**options, **more), clock))
        return request.param(guards[-1])

    with override_settings(ROOT_URLCONF=__name__):
        yield make
    for guard in guards:
        await guard.aclose()


async def stale(app, clock):
    """A tab whose session is no longer fresh, and which rotates with its next request."""
    tab = Browser(app).tab()
    login = await tab.post("/login", kind="form")
    assert "cookie" == carried(login)
    clock.advance(901)
    return tab


async def test_a_document_is_sent_to_the_page_and_its_cookie_with_it(make, clock):
    tab = await stale(make(**PAGES), clock)
    result = await tab.get("/email?to=x", kind="page")
    assert (303, "/confirm?next=/email%3Fto%3Dx", b"") == (result.status, result.get("location"), result.body)
    assert ("cookie", ["no-store"]) == (carried(result), result.all("cache-control"))


async def test_an_apps_own_words_keep_status_and_challenge(make, clock):
    app = make(**PAGES, on_refusal=words)
    tab = await stale(app, clock)
    inside, outside = await tab.get("/email"), await call(app, "GET", "/email", METADATA["fetch"].items())
    for result, code in ((inside, b"step_up_required"), (outside, b"token_required")):
        assert (401, b"<h1>" + code + b"</h1>", ["yes"]) == (result.status, result.body, result.all("x-of-the-app"))
        assert ["text/html; charset=utf-8"] == result.all("content-type")
        assert [str(len(result.body))] == result.all("content-length")
        assert ["no-store"] == result.all("cache-control")
        assert 1 == len([line for line in result.all("set-cookie") if line.startswith("last=1")])
    assert 'max_age="300"' in inside.get("www-authenticate")
    assert "both" == carried(inside)


async def test_a_websocket_is_refused_in_json_as_ever(options, clock):
    """Starlette asks the same handler about both; a handshake can be sent nowhere."""

    async def room(socket):
        await get_auth(socket).require_fresh()

    asked = []
    app = Starlette(routes=[WebSocketRoute("/room", room)])
    guard = travelling(TokenGuard(**options, **PAGES, on_refusal=lambda *_: asked.append(1)), clock)
    async with guard:
        asgi_tokenguard.starlette.install(app, guard)
        login = await guard.login("user-1", {})
        headers = [("authorization", f"Bearer {login.access_token}"), *METADATA["page"].items()]
        async with Peer(app, "/room", headers) as peer:
            assert (401, "step_up_required") == await peer.refusal()
    assert [] == asked


async def test_without_options_it_is_json(make, clock):
    tab = await stale(make(public=["/login"]), clock)
    for kind in ("page", "fetch"):
        result = await tab.get("/email", kind=kind)
        assert (401, "step_up_required", ["application/json"]) == (result.status, result.code, result.all("content-type"))


async def test_outside_of_a_guard_it_is_json_too():
    """A mounted app's handler may meet a refusal of another guard's."""
    answer = await asgi_tokenguard.starlette.answer_refusal(StarletteRequest({"type": "http"}), CrossSiteRequest())
    assert (403, "application/json") == (answer.status_code, answer.headers["content-type"])
