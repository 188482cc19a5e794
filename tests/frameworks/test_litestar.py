"""`asgi_tokenguard.litestar`: guards that demand, answers with their codes, and what the schema says."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import Litestar, Request, Response, Router, get, post
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from openapi_spec_validator import validate
from support.actors import Browser
from support.stage import carried, travelling

from asgi_tokenguard import ConfigurationError, CrossSiteRequest, TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.litestar import TokenGuardPlugin, requires_fresh, requires_scopes, requires_session

PUBLIC = ["/login", "/open", "/schema/*"]
AnyRequest = Request[Any, Any, Any]


@post("/login", security=[{}])
async def login(request: AnyRequest) -> dict[str, str]:
    await get_auth(request).login("user-1", {"scope": request.query_params.get("scope", "read")})
    return {"user": request.user.identity}


@get("/me")
async def me(request: AnyRequest) -> dict[str, Any]:
    return {"user": request.user.identity, "scopes": request.auth.scopes}


@get("/open", guards=[requires_session])
async def opened() -> None:
    raise AssertionError("nobody got in")


@get("/write", guards=[requires_scopes("read", "write"), requires_fresh(60)])
async def write() -> str:
    return "written"


@get("/fresh", guards=[requires_fresh()])
async def fresh() -> str:
    return "fresh"


@get("/devices", sync_to_thread=False)
def inside(request: AnyRequest) -> None:
    raise CrossSiteRequest


@get("/users")
async def users() -> None: ...


HANDLERS = [
    login,
    me,
    opened,
    write,
    fresh,
    inside,
    Router("/admin", guards=[requires_scopes("admin")], route_handlers=[users]),
]


@pytest.fixture
async def guard(options, clock):
    async with travelling(TokenGuard(**options, public=PUBLIC), clock) as guard:
        yield guard


@pytest.fixture
def tab(guard):
    app = Litestar(HANDLERS, plugins=[TokenGuardPlugin()])
    return Browser(TokenGuardMiddleware(app, guard=guard)).tab()


async def test_user_and_auth_of_the_request_are_the_sessions(tab):
    assert {"user": "user-1"} == (await tab.post("/login")).json()
    assert {"user": "user-1", "scopes": ["authenticated", "read"]} == (await tab.get("/me")).json()


async def test_a_pattern_that_opens_too_much_does_not_open_the_handler(tab):
    await tab.post("/login")
    answer = await tab.get("/open")
    assert (401, "token_required", "Bearer") == (answer.status, answer.code, answer.get("www-authenticate"))


async def test_scopes_are_demanded(tab):
    await tab.post("/login")
    answer = await tab.get("/write")
    assert (403, "insufficient_scope") == (answer.status, answer.code)
    assert 'Bearer error="insufficient_scope", scope="read write"' == answer.get("www-authenticate")
    assert (403, "insufficient_scope") == ((answer := await tab.get("/admin/users")).status, answer.code)
    await tab.post("/login?scope=read+write+admin")
    assert b"written" == (await tab.get("/write")).body
    assert 200 == (await tab.get("/admin/users")).status


async def test_a_login_is_fresh_for_as_long_as_the_guard_says(tab, clock):
    await tab.post("/login?scope=read+write")
    clock.advance(61)
    assert b"fresh" == (await tab.get("/fresh")).body
    answer = await tab.get("/write")
    assert (401, "step_up_required") == (answer.status, answer.code)
    assert 'max_age="60"' in answer.get("www-authenticate")
    clock.advance(840)
    answer = await tab.get("/fresh")
    assert (401, "step_up_required", "both") == (answer.status, answer.code, carried(answer))
    assert 'error="insufficient_user_authentication"' in answer.get("www-authenticate")
    assert "application/json" == answer.get("content-type")
    assert ["no-store"] == answer.all("cache-control")


async def test_so_are_refusals_of_handlers(tab):
    await tab.post("/login")
    assert (403, "cross_site_request") == ((answer := await tab.get("/devices")).status, answer.code)


async def test_an_apps_own_handler_counts_more(guard):
    def own(request: AnyRequest, error: Exception) -> Response[dict[str, str]]:
        return Response({"own": error.code}, status_code=error.status_code)

    app = Litestar(HANDLERS, plugins=[TokenGuardPlugin()], exception_handlers={CrossSiteRequest: own})
    tab = Browser(TokenGuardMiddleware(app, guard=guard)).tab()
    await tab.post("/login")
    assert {"own": "cross_site_request"} == (await tab.get("/devices")).json()


@pytest.mark.parametrize("max_age", [float("nan"), -1, "60"])
def test_a_limit_of_freshness_that_is_none_is_refused_when_the_handler_is_made(max_age):
    with pytest.raises(ConfigurationError, match="^max_age: "):
        requires_fresh(max_age)


class TestSchema:
    @pytest.mark.parametrize("several", [False, True])
    async def test_it_has_the_access_token_beside_the_apps_own_schemes(self, guard, several):
        own = Components(security_schemes={"own": SecurityScheme(type="http", scheme="basic")})
        config = OpenAPIConfig("An app", "1", components=[own] if several else own, security=[{"own": []}])
        for _ in range(2):  # two apps that share a config
            app = Litestar(HANDLERS, plugins=[TokenGuardPlugin()], openapi_config=config)
            described = (await Browser(TokenGuardMiddleware(app, guard=guard)).tab().get("/schema/openapi.json")).json()
            validate(described)
            schemes = described["components"]["securitySchemes"]
            assert {"own", "access"} == set(schemes)
            assert {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}.items() <= schemes["access"].items()
            assert [{"own": []}, {"access": []}] == described["security"]
            assert [{}] == described["paths"]["/login"]["post"]["security"]

    async def test_an_app_may_have_none(self, guard):
        app = Litestar(HANDLERS, plugins=[TokenGuardPlugin()], openapi_config=None)
        tab = Browser(TokenGuardMiddleware(app, guard=guard)).tab()
        assert 404 == (await tab.get("/schema/openapi.json")).status
