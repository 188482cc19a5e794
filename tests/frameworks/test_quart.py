"""`asgi_tokenguard.quart`: one line, decorators that demand, answers with their codes."""

from __future__ import annotations

import threading

import pytest
from quart import Blueprint, Quart, request
from support.actors import Browser
from support.stage import carried, travelling

from asgi_tokenguard import ConfigurationError, CrossSiteRequest, TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.quart import install, requires_fresh, requires_scopes, requires_session

PUBLIC = ["/login", "/open"]


def app_of_someone() -> Quart:
    app = Quart(__name__)

    @app.post("/login")
    async def login():
        await get_auth(request).login("user-1", {"scope": request.args.get("scope", "read")})
        return {"user": get_auth(request).subject}

    @app.get("/me")
    async def me():
        return {"user": get_auth(request).subject}

    @app.get("/open")
    @requires_session
    async def opened():
        raise AssertionError("nobody got in")

    @app.get("/write/<what>")
    @requires_scopes("read", "write")
    @requires_fresh(60)
    async def write(what):
        return what

    @app.get("/fresh")
    @requires_fresh()
    def fresh():
        return {"thread": threading.current_thread() is threading.main_thread()}

    admin = Blueprint("admin", __name__)

    @admin.get("/admin")
    async def inside():
        raise CrossSiteRequest

    @app.get("/broken")
    async def broken():
        raise RuntimeError("a bug of the app")

    app.register_blueprint(admin)
    return app


@pytest.fixture
def app() -> Quart:
    return app_of_someone()


@pytest.fixture
async def tab(app, options, clock):
    guard = travelling(TokenGuard(**options, public=PUBLIC), clock)
    install(app, guard)
    async with guard:
        yield Browser(app).tab()


async def test_quarts_request_is_one_that_get_auth_takes(tab):
    assert (401, "token_required") == ((answer := await tab.get("/me")).status, answer.code)
    assert {"user": "user-1"} == (await tab.post("/login")).json()
    assert {"user": "user-1"} == (await tab.get("/me")).json()


async def test_a_pattern_that_opens_too_much_does_not_open_the_view(tab):
    await tab.post("/login")
    answer = await tab.get("/open")
    assert (401, "token_required", "Bearer") == (answer.status, answer.code, answer.get("www-authenticate"))


async def test_scopes_are_demanded(tab):
    await tab.post("/login")
    answer = await tab.get("/write/that")
    assert (403, "insufficient_scope") == (answer.status, answer.code)
    assert 'Bearer error="insufficient_scope", scope="read write"' == answer.get("www-authenticate")
    await tab.post("/login?scope=read+write")
    assert b"that" == (await tab.get("/write/that")).body


async def test_a_login_is_fresh_for_as_long_as_the_decorator_says(tab, clock):
    await tab.post("/login?scope=read+write")
    clock.advance(61)
    assert {"thread": False} == (await tab.get("/fresh")).json()  # a sync view
    answer = await tab.get("/write/that")
    assert (401, "step_up_required") == (answer.status, answer.code)
    assert 'max_age="60"' in answer.get("www-authenticate")
    clock.advance(840)
    answer = await tab.get("/fresh")
    assert (401, "step_up_required", "both") == (answer.status, answer.code, carried(answer))
    assert 'error="insufficient_user_authentication"' in answer.get("www-authenticate")
    assert ["application/json"] == answer.all("content-type")
    assert ["no-store"] == answer.all("cache-control")


async def test_so_are_refusals_of_a_blueprint(tab):
    await tab.post("/login")
    assert (403, "cross_site_request") == ((answer := await tab.get("/admin")).status, answer.code)


async def test_an_apps_own_handler_counts_more(app, tab):
    @app.errorhandler(CrossSiteRequest)
    async def own(error):
        return {"own": error.code}, 418

    await tab.post("/login")
    assert {"own": "cross_site_request"} == (await tab.get("/admin")).json()


async def test_other_errors_are_quarts(app, tab):
    await tab.post("/login")
    assert (500, None) == ((answer := await tab.get("/broken")).status, answer.code)


def test_a_wrong_option_is_told_at_once(app, options):
    with pytest.raises(ConfigurationError, match="did you mean 'public'"):
        install(app, **options, publik=PUBLIC)
    assert isinstance(app, Quart)


def test_an_app_that_is_wrapped_already_is_told_apart_from_the_app(app, options):
    with pytest.raises(ConfigurationError, match="^app: a TokenGuardMiddleware was given; call install.* the Quart app itself"):
        install(TokenGuardMiddleware(app, **options), **options)


@pytest.mark.parametrize("max_age", [float("nan"), -1, "60", app_of_someone], ids=["nan", "-1", "text", "a view"])
def test_a_limit_of_freshness_that_is_none_is_refused_when_the_view_is_made(max_age):
    """The last of them is `@requires_fresh` without its parentheses."""
    with pytest.raises(ConfigurationError, match="^max_age: "):
        requires_fresh(max_age)


async def test_the_guard_opens_and_closes_with_the_app(app, options):
    """Quart's lifespan comes through the guard."""
    install(app, **options, public=PUBLIC)
    async with app.test_app():
        tab = Browser(app).tab()
        assert 200 == (await tab.post("/login")).status
        assert 200 == (await tab.get("/me")).status
