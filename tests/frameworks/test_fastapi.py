"""`asgi_tokenguard.fastapi`: dependencies that demand, answers with their codes, and what `/docs` is told."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.exceptions import FastAPIError, HTTPException
from fastapi.responses import JSONResponse
from openapi_spec_validator import validate
from starlette.middleware.cors import CORSMiddleware
from starlette.testclient import TestClient
from support.actors import Browser
from support.stage import carried, travelling

from asgi_tokenguard import Auth, ConfigurationError, TokenGuard, TokenGuardMiddleware
from asgi_tokenguard.fastapi import CurrentAuth, OptionalAuth, RequireFresh, answer_refusal, current_auth, install

PUBLIC = ["/login", "/open", "/docs", "/openapi.json", "/part/open"]


def app_of_someone() -> FastAPI:
    app = FastAPI()
    part = FastAPI()

    @app.post("/login")
    async def login(auth: OptionalAuth, scope: str = "read") -> None:
        await auth.login("user-1", {"scope": scope})

    @app.get("/me")
    async def me(auth: CurrentAuth) -> dict[str, str | None]:
        return {"user": auth.subject}

    @app.get("/who")
    async def who(auth: OptionalAuth) -> dict[str, str | None]:
        return {"user": auth.subject}

    @app.get("/read")
    def read(auth: Annotated[Auth, Security(current_auth, scopes=["read"])]) -> list[str]:
        return list(auth.scopes)

    @app.get("/write")
    async def write(auth: Annotated[Auth, Security(RequireFresh(60), scopes=["read", "write"])]) -> list[str]:
        return list(auth.scopes)

    @app.get("/fresh", dependencies=[Depends(RequireFresh())])
    async def fresh() -> None: ...

    @app.get("/open")
    @part.get("/open")
    async def opened(auth: CurrentAuth) -> None:
        raise AssertionError("nobody got in")

    admin = APIRouter(prefix="/admin", dependencies=[Security(current_auth, scopes=["admin"])])

    @admin.get("/users")
    async def users(auth: Annotated[Auth, Security(current_auth, scopes=["read"])]) -> None: ...

    app.include_router(admin)
    app.mount("/part", part)
    app.state.part = part
    return app


@pytest.fixture
def app() -> FastAPI:
    return app_of_someone()


@pytest.fixture
async def tab(app, options, clock):
    guard = travelling(TokenGuard(**options, public=PUBLIC, optional=["/who"]), clock)
    install(app, guard)
    async with guard:
        yield Browser(app).tab()


async def test_a_session_is_injected(tab):
    await tab.post("/login")
    assert {"user": "user-1"} == (await tab.get("/me")).json()
    assert {"user": "user-1"} == (await tab.get("/who")).json()
    tab.token = tab.browser.jar = None
    assert {"user": None} == (await tab.get("/who")).json()


async def test_a_pattern_that_opens_too_much_does_not_open_the_endpoint(tab):
    await tab.post("/login")
    answer = await tab.get("/open")
    assert (401, "token_required", "Bearer") == (answer.status, answer.code, answer.get("www-authenticate"))


class TestScopes:
    async def test_those_of_security_are_demanded(self, tab):
        await tab.post("/login")
        assert ["read"] == (await tab.get("/read")).json()
        answer = await tab.get("/write")
        assert (403, "insufficient_scope") == (answer.status, answer.code)
        assert 'Bearer error="insufficient_scope", scope="read write"' == answer.get("www-authenticate")
        await tab.post("/login?scope=read+write")
        assert ["read", "write"] == (await tab.get("/write")).json()

    async def test_those_of_a_router_are_demanded_beside_the_endpoints_own(self, tab):
        await tab.post("/login")
        assert (403, "insufficient_scope") == ((answer := await tab.get("/admin/users")).status, answer.code)
        await tab.post("/login?scope=admin")
        assert (403, "insufficient_scope") == ((answer := await tab.get("/admin/users")).status, answer.code)
        await tab.post("/login?scope=admin+read")
        assert 200 == (await tab.get("/admin/users")).status


async def test_a_login_is_fresh_for_as_long_as_the_endpoint_says(tab, clock):
    await tab.post("/login?scope=read+write")
    assert 200 == (await tab.get("/fresh")).status
    clock.advance(61)
    assert 200 == (await tab.get("/fresh")).status
    answer = await tab.get("/write")
    assert (401, "step_up_required") == (answer.status, answer.code)
    assert 'max_age="60"' in answer.get("www-authenticate")
    clock.advance(300)
    answer = await tab.get("/fresh")
    assert (401, "step_up_required") == (answer.status, answer.code)
    assert 'max_age="300"' in answer.get("www-authenticate")


async def test_a_refusal_in_the_app_carries_the_pair_of_its_request(tab, clock):
    await tab.post("/login")
    clock.advance(901)
    answer = await tab.get("/fresh")
    assert (401, "step_up_required", "both") == (answer.status, answer.code, carried(answer))
    assert ["no-store"] == answer.all("cache-control")


class TestHandlers:
    async def test_an_apps_own_one_for_a_status_counts_more(self, app, tab):
        @app.exception_handler(403)
        async def own(request, error):
            return JSONResponse({"own": error.code}, error.status_code)

        await tab.post("/login")
        assert {"own": "insufficient_scope"} == (await tab.get("/write")).json()

    async def test_one_for_its_own_errors_leaves_ours_alone(self, app, tab):
        @app.exception_handler(HTTPException)
        async def own(request, error):
            raise AssertionError

        assert "token_required" == (await tab.get("/open")).code

    async def test_a_mounted_app_needs_it_itself(self, app, tab):
        assert None is (await tab.get("/part/open")).code
        app.state.part.add_exception_handler(401, answer_refusal)
        app.state.part.middleware_stack = None
        assert (401, "token_required") == ((answer := await tab.get("/part/open")).status, answer.code)

    async def test_what_is_not_ours_goes_on(self):
        with pytest.raises(KeyError):
            await answer_refusal(None, KeyError())


class TestDocs:
    def test_the_authorize_button_has_a_scheme_and_the_endpoints_their_scopes(self, app, options):
        install(app, **options, public=PUBLIC)
        with TestClient(app, base_url="https://testserver") as client:
            assert 200 == client.get("/docs").status_code
            described = client.get("/openapi.json").json()
        validate(described)
        (scheme,) = described["components"]["securitySchemes"].items()
        assert "access" == scheme[0]
        assert {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}.items() <= scheme[1].items()
        assert {
            "/login": None,
            "/who": None,
            "/me": [{"access": []}],
            "/read": [{"access": ["read"]}],
            "/write": [{"access": ["read", "write"]}],
            "/fresh": [{"access": []}],
            "/open": [{"access": []}],
        }.items() <= {
            path: operation.get("security") for path, methods in described["paths"].items() for operation in methods.values()
        }.items()

    def test_what_the_button_sends_is_what_a_login_hands_out(self, app, options):
        install(app, **options, public=PUBLIC)
        with TestClient(app, base_url="https://testserver") as client:
            token = client.post("/login").headers["x-new-access-token"]
            client.cookies.clear()
            assert 200 == client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_wrong_option_is_told_at_once(app, options):
    with pytest.raises(ConfigurationError, match="did you mean 'public'"):
        install(app, **options, publik=PUBLIC)
    assert [] == app.user_middleware


@pytest.mark.parametrize("twice", [False, True])
def test_an_app_that_is_wrapped_already_is_told_apart_from_the_app(app, options, twice):
    wrapped = CORSMiddleware(app) if not twice else TokenGuardMiddleware(app, **options)
    with pytest.raises(ConfigurationError, match=f"^app: a {type(wrapped).__name__} was given; call install.* app itself"):
        install(wrapped, **options)
    assert [] == app.user_middleware


@pytest.mark.parametrize("max_age", [float("nan"), -1, "60", True])
def test_a_limit_of_freshness_that_is_none_is_refused_when_the_route_is_made(max_age):
    with pytest.raises(ConfigurationError, match="^max_age: "):
        RequireFresh(max_age)


def test_require_fresh_without_its_parentheses_is_refused_when_the_route_is_made():
    """`Depends(RequireFresh)` would check nothing: FastAPI would make one and hand it to the endpoint."""
    app = FastAPI()
    with pytest.raises(FastAPIError, match="RequireFreshIsToBeCalled"):

        @app.post("/transfer")
        async def transfer(auth: Annotated[Auth, Depends(RequireFresh)]) -> None: ...
