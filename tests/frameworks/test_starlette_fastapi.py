"""Apps of someone else: Starlette and FastAPI, wrapped by one line, with their own handlers, tests and habits."""

from __future__ import annotations

import contextlib
import contextvars
from functools import partial
from typing import Annotated

import anyio.from_thread
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from support.actors import METADATA, OWN, Browser
from support.server import RedisServer
from support.stage import carried, travelling
from support.wire import Answer

from asgi_tokenguard import Auth, CannotReceive, NotAuthenticated, TokenGuard, TokenGuardMiddleware, get_auth


def current_auth(request: Request) -> Auth:
    return get_auth(request)


CurrentAuth = Annotated[Auth, Depends(current_auth)]


async def login(request: Request):
    await get_auth(request).login("user-1", {"role": "admin"})
    return JSONResponse({"ok": True})


def sync_login(request: Request):
    """A sync endpoint runs in a thread, and asks the loop to do it."""
    anyio.from_thread.run(partial(get_auth(request).login, "user-1", {"role": "admin"}))
    return JSONResponse({"ok": True})


def sync_logout(request: Request):
    anyio.from_thread.run(get_auth(request).logout)
    return JSONResponse({"ok": True})


async def me(request: Request):
    return JSONResponse({"user": request.user.identity, "role": get_auth(request).claims["role"]})


async def devices(request: Request):
    return JSONResponse([session.to_dict() for session in await get_auth(request).sessions()])


async def broken(request: Request):
    raise RuntimeError("a bug of the app")


async def stream(request: Request):
    async def chunks():
        for letter in "abc":
            yield letter

    return StreamingResponse(chunks())


def redirect(request: Request):
    return RedirectResponse("/me")


def file(request: Request):
    return FileResponse(__file__)


ENDPOINTS = {
    "/login": login,
    "/sync-login": sync_login,
    "/sync-logout": sync_logout,
    "/me": me,
    "/devices": devices,
    "/broken": broken,
    "/stream": stream,
    "/redirect": redirect,
    "/file": file,
}
PUBLIC = ["/login", "/sync-login", "/sync-logout", "/devices", "/static/*"]
ALL = ["GET", "HEAD", "POST"]


def starlette_app() -> Starlette:
    static = Mount("/static", StaticFiles(directory=__file__.rpartition("/")[0]))
    guarded_static = Mount("/own", StaticFiles(directory=__file__.rpartition("/")[0]))
    return Starlette(routes=[*(Route(path, call, methods=ALL) for path, call in ENDPOINTS.items()), static, guarded_static])


def fastapi_app() -> FastAPI:
    app = FastAPI()
    for path, call in ENDPOINTS.items():
        app.add_api_route(path, call, methods=ALL, response_model=None)
    app.mount("/static", StaticFiles(directory=__file__.rpartition("/")[0]))
    app.mount("/own", StaticFiles(directory=__file__.rpartition("/")[0]))

    @app.get("/injected")
    async def injected(auth: CurrentAuth) -> dict[str, str | None]:
        return {"user": auth.subject}

    return app


@pytest.fixture(params=[starlette_app, fastapi_app], ids=["Starlette", "FastAPI"])
def app(request):
    return request.param()


@pytest.fixture
async def tab(app, options, clock):
    """A tab whose app is guarded by the one line."""
    guard = travelling(TokenGuard(**options, public=PUBLIC), clock)
    app.add_middleware(TokenGuardMiddleware, guard=guard)
    async with guard:
        yield Browser(app).tab()


@pytest.mark.parametrize("path", ["/login", "/sync-login"])
async def test_one_line_and_no_change_of_the_routes(tab, clock, path):
    assert (401, "token_required") == ((answer := await tab.get("/me")).status, answer.code)
    assert 200 == (await tab.post(path)).status
    answer = await tab.get("/me")
    assert (200, {"user": "user-1", "role": "admin"}) == (answer.status, answer.json())
    clock.advance(901)
    assert "both" == carried(await tab.get("/me"))
    assert 200 == (await tab.get("/me")).status
    answer = await tab.post("/sync-logout")
    assert (200, "") == (answer.status, answer.cookie())
    assert 401 == (await tab.get("/me")).status


async def test_the_options_may_stand_in_that_line(app, options):
    app.add_middleware(TokenGuardMiddleware, **options, public=PUBLIC)
    tab = Browser(app).tab()
    assert 200 == (await tab.post("/login")).status
    assert 200 == (await tab.get("/me")).status
    layer = app.middleware_stack
    while not isinstance(layer, TokenGuardMiddleware):
        layer = layer.app
    await layer.guard.aclose()


async def test_get_auth_is_a_dependency_of_fastapi(options):
    app = fastapi_app()
    async with TokenGuard(**options, public=PUBLIC) as guard:
        app.add_middleware(TokenGuardMiddleware, guard=guard)
        tab = Browser(app).tab()
        await tab.post("/login")
        assert {"user": "user-1"} == (await tab.get("/injected")).json()


@pytest.mark.parametrize(
    ("path", "status"), [("/stream", 200), ("/redirect", 307), ("/file", 200), ("/nowhere", 404), ("/me", 200)]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_frameworks_responses_carry_the_pair(tab, clock, path, status, method):
    await tab.post("/login")
    clock.advance(901)
    answer = await tab.get(path, method=method)
    assert (status, "both") == (answer.status, carried(answer))
    assert 200 == (await tab.get("/me")).status


async def test_static_files_behind_the_guard_and_before_it(tab, clock):
    name = __file__.rpartition("/")[2]
    assert 200 == (await tab.get(f"/static/{name}")).status
    assert 401 == (await tab.get(f"/own/{name}")).status
    await tab.post("/login")
    clock.advance(901)
    assert (200, "nothing") == ((answer := await tab.get(f"/static/{name}")).status, carried(answer))
    answer = await tab.get(f"/own/{name}")
    assert (200, "both", b'"""Apps of someone else') == (answer.status, carried(answer), answer.body[:23])
    for dodge in ("/static/../me", "/static//me", "/static/%2e%2e/me"):
        assert 200 != (await tab.ask(dodge, token=False, kind="image")).status or "admin" not in answer.body.decode()


async def test_a_bug_of_the_app_is_its_500_with_the_pair(tab, clock):
    await tab.post("/login")
    clock.advance(901)
    answer = Answer()
    with pytest.raises(RuntimeError, match="a bug of the app"):
        await tab.ask("/broken", answer=answer)
    assert (500, "both") == (answer.status, carried(tab.take(answer)))


class TestRefusalsInTheApp:
    """They are HTTPExceptions, so that the frameworks' own handlers make that answer of them and not a 500."""

    @pytest.mark.parametrize(
        ("path", "kind", "expected"),
        [
            ("/devices", "bare", (401, "Bearer")),
            ("/login", "cross-form", (403, None)),
            ("/login", "image", (403, None)),
            ("/sync-login", "cross-form", (403, None)),
        ],
    )
    async def test_401_and_403(self, app, tab, path, kind, expected):
        answer = await tab.ask(path, method="POST", kind=kind)
        assert expected == (answer.status, answer.get("www-authenticate"))
        assert isinstance(app, FastAPI) == answer.body.startswith(b'{"detail":')

    async def test_503(self, app, options):
        server = RedisServer().start()
        with contextlib.closing(server):
            async with TokenGuard(**options | {"redis": server.url, "timeout": 0.3}, public=PUBLIC) as guard:
                app.add_middleware(TokenGuardMiddleware, guard=guard)
                tab = Browser(app).tab()
                server.kill()
                for path in ("/login", "/sync-login"):
                    answer = await tab.post(path)
                    assert (503, "1") == (answer.status, answer.get("retry-after"))

    async def test_an_apps_own_handler_is_told_the_code(self, app, tab):
        async def own(request, error):
            return JSONResponse({"own": getattr(error, "code", None)}, error.status_code, error.headers)

        app.add_exception_handler(HTTPException, own)

        assert {"own": "token_required"} == (await tab.get("/devices")).json()
        assert {"own": "cannot_receive"} == (await tab.ask("/login", kind="image")).json()

    async def test_one_kind_may_be_handled_alone(self, app, tab):
        async def own(request, error):
            return JSONResponse({"hint": "log in on the page"}, 418)

        app.add_exception_handler(CannotReceive, own)

        assert 418 == (await tab.ask("/login", kind="image")).status

    async def test_a_handler_for_all_errors_is_not_asked(self, app, tab):
        async def never(request, error):
            raise AssertionError

        app.add_exception_handler(Exception, never)
        assert 401 == (await tab.get("/devices")).status


LOGIN = [Route("/login", login, methods=ALL)]


class TestOtherMiddleware:
    @pytest.fixture
    async def guard(self, options, clock):
        async with travelling(TokenGuard(**options, public=PUBLIC), clock) as guard:
            yield guard

    async def test_inside_of_base_http_middleware_it_works_too(self, guard, clock):
        """The guard is pure ASGI (P45): context variables reach the endpoint, and a scope that was wrapped is the same."""
        color = contextvars.ContextVar("color", default="none")

        async def set_color(request, call_next):
            color.set("blue")
            return await call_next(request)

        async def who(request):
            return JSONResponse([request.user.identity, color.get()])

        routes = [Route("/login", login, methods=ALL), Route("/who", who)]
        for order in (1, -1):
            stack = [Middleware(BaseHTTPMiddleware, dispatch=set_color), Middleware(TokenGuardMiddleware, guard=guard)][::order]
            tab = Browser(Starlette(routes=routes, middleware=stack)).tab()
            await tab.post("/login")
            clock.advance(901)
            answer = await tab.get("/who")
            assert (["user-1", "blue"], "both") == (answer.json(), carried(answer))

    @pytest.mark.parametrize("expose", [[], ["X-Total"]])
    async def test_cors_inside_of_the_guard_keeps_the_exposed_header(self, guard, expose):
        cors = Middleware(CORSMiddleware, allow_origins=[OWN], allow_methods=["*"], expose_headers=expose)
        app = Starlette(routes=LOGIN, middleware=[Middleware(TokenGuardMiddleware, guard=guard), cors])
        answer = await Browser(app).tab().post("/login")
        assert [*expose, "X-New-Access-Token"] == answer.all("access-control-expose-headers")
        preflight = METADATA["cross-fetch"] | {"origin": OWN, "access-control-request-method": "POST"}
        answer = await Browser(app).tab().ask("/me", method="OPTIONS", headers=preflight)
        assert (200, OWN) == (answer.status, answer.get("access-control-allow-origin"))

    async def test_cors_around_the_guard_keeps_it_where_it_has_no_list_of_its_own(self, guard):
        cors = Middleware(CORSMiddleware, allow_origins=[OWN], allow_credentials=True)
        app = Starlette(routes=LOGIN, middleware=[cors, Middleware(TokenGuardMiddleware, guard=guard)])
        answer = await Browser(app).tab().post("/login")
        assert ["X-New-Access-Token"] == answer.all("access-control-expose-headers")
        refused = await Browser(app).tab().ask("/me", headers={"origin": OWN})
        assert (401, OWN) == (refused.status, refused.get("access-control-allow-origin"))

    async def test_a_mounted_app_is_guarded_by_itself(self, options, clock):
        """Its patterns are those of the mounted app, and no lifespan reaches it."""
        async with travelling(TokenGuard(**options, public=["/login"]), clock) as guard:
            inner = TokenGuardMiddleware(Starlette(routes=[Route("/login", login, methods=ALL), Route("/me", me)]), guard=guard)
            app = Starlette(routes=[Mount("/api", inner), Route("/me", lambda request: JSONResponse("open"))])
            tab = Browser(app).tab()
            assert "open" == (await tab.get("/me")).json()
            assert "token_required" == (await tab.get("/api/me")).code
            assert 200 == (await tab.post("/api/login")).status
            assert "user-1" == (await tab.get("/api/me")).json()["user"]


async def test_where_nobody_is_asked_for_starlette_alone_decides(options):
    """`sessions()` of nobody is an error of its own, raised before Redis is asked."""
    async with TokenGuard(**options, required=False) as guard:

        async def handler(request):
            with pytest.raises(NotAuthenticated):
                await get_auth(request).sessions()
            return JSONResponse(request.user.is_authenticated)

        app = Starlette(routes=[Route("/", handler)], middleware=[Middleware(TokenGuardMiddleware, guard=guard)])
        assert False is (await Browser(app).tab().get("/")).json()
