"""Apps in apps: mounted, under a root path, of routers; and what runs after the answer."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from support.actors import Browser
from support.stage import carried, travelling
from support.wire import Answer

from asgi_tokenguard import RefreshCookie, TokenGuard, TokenGuardMiddleware, get_auth


async def login(request: Request):
    await get_auth(request).login("user-1")
    return JSONResponse({"ok": True})


async def me(request: Request):
    return JSONResponse({"subject": get_auth(request).subject, "root": request.scope["root_path"]})


ROUTES = [Route("/login", login, methods=["POST"]), Route("/me", me)]


def fastapi_app():
    router = APIRouter(prefix="/v1")
    router.add_api_route("/login", login, methods=["POST"], response_model=None)
    router.add_api_route("/me", me, response_model=None)
    app = FastAPI()
    app.include_router(router, prefix="/api")
    return app


@pytest.fixture
async def guarded(options, clock):
    """What wraps an app in a guard with these options."""
    guards = []

    async def wrap(app, **more):
        guards.append(travelling(TokenGuard(**options | more), clock))
        await guards[-1].open()
        return TokenGuardMiddleware(app, guard=guards[-1])

    yield wrap
    for guard in guards:
        await guard.aclose()


@pytest.mark.parametrize(
    ("build", "prefix"),
    [
        (lambda: Starlette(routes=[Mount("/api/v1", routes=ROUTES)]), "/api/v1"),
        (lambda: Starlette(routes=[Mount("/api", Starlette(routes=[Mount("/v1", Starlette(routes=ROUTES))]))]), "/api/v1"),
        (fastapi_app, "/api/v1"),
        (lambda: Starlette(routes=[Mount("/sub", fastapi_app())]), "/sub/api/v1"),
    ],
    ids=["routes", "apps in apps", "routers", "FastAPI in Starlette"],
)
async def test_a_guard_around_names_whole_paths_and_counts_in_all_that_is_mounted(guarded, clock, build, prefix):
    tab = Browser(await guarded(build(), public=[f"{prefix}/login"])).tab()
    assert "token_required" == (await tab.get(f"{prefix}/me")).code
    assert "both" == carried(await tab.post(f"{prefix}/login"))
    clock.advance(901)
    answer = await tab.get(f"{prefix}/me")
    assert ("user-1", "both") == (answer.json()["subject"], carried(answer))


async def test_under_a_root_path_patterns_are_about_what_is_left(guarded):
    """As of `uvicorn --root-path /proxy`."""
    tab = Browser(await guarded(fastapi_app(), public=["/api/v1/login"])).tab()
    told = {"root_path": "/proxy"}
    assert 401 == (await tab.get("/proxy/api/v1/me", **told)).status
    assert 200 == (await tab.post("/proxy/api/v1/login", **told)).status
    assert {"subject": "user-1", "root": "/proxy"} == (await tab.get("/proxy/api/v1/me", **told)).json()


async def test_a_guard_in_a_mount_has_paths_of_its_own_below_a_public_one(guarded, clock):
    inner = await guarded(Starlette(routes=ROUTES), public=["/login"])
    outer = await guarded(Starlette(routes=[Mount("/api", inner), Route("/me", me)]), public=["/api/*"])
    tab = Browser(outer).tab()
    assert "token_required" == (await tab.get("/api/me")).code
    assert 200 == (await tab.post("/api/login")).status
    clock.advance(901)
    assert "both" == carried(await tab.get("/api/me"))
    assert "user-1" == (await tab.get("/me")).json()["subject"]


async def test_two_guards_with_cookies_and_headers_of_their_own_judge_one_request_each(guarded):
    """An area for staff in an app for all: who is let in by the outer one is nobody yet to the inner one."""
    of_staff = {"namespace": "staff", "cookie": RefreshCookie("__Host-staff"), "access_header": "X-Staff"}
    inner = await guarded(Starlette(routes=ROUTES), public=["/login"], **of_staff)
    app = await guarded(Starlette(routes=[Mount("/staff", inner), *ROUTES]), public=["/login"])
    tab = Browser(app).tab()
    await tab.post("/login")
    assert "token_required" == (await tab.get("/staff/me")).code
    answer = await tab.ask("/staff/login", method="POST")
    assert (200, True) == (answer.status, bool(answer.cookie("__Host-staff")))
    staff = {"x-staff": answer.new_token}
    assert {"subject": "user-1", "root": "/staff"} == (await tab.get("/staff/me", headers=staff)).json()


async def test_two_guards_with_the_same_cookie_on_one_path_are_an_error_that_names_the_fix(guarded, clock):
    inner = await guarded(Starlette(routes=ROUTES), public=["/login"])
    tab = Browser(await guarded(Starlette(routes=[Mount("/api", inner), *ROUTES]), public=["/login"])).tab()
    await tab.post("/login")
    clock.advance(901)
    answer = Answer()
    with pytest.raises(ValueError, match="wrap the app once"):
        await tab.ask("/api/me", answer=answer)
    assert (500, "both") == (answer.status, carried(answer))


async def test_what_runs_after_the_answer_sees_what_the_answer_has_left(guarded):
    """Tasks in the background run when the head has left: they are of the session that the request ended with."""
    seen = []

    def noted(auth):
        return BackgroundTask(lambda: seen.append(auth.subject))

    async def enter(request):
        await get_auth(request).login("user-1")
        return JSONResponse({"ok": True}, background=noted(get_auth(request)))

    async def leave(request):
        await get_auth(request).logout()
        return JSONResponse({"ok": True}, background=noted(get_auth(request)))

    routes = [Route("/login", enter, methods=["POST"]), Route("/logout", leave, methods=["POST"])]
    tab = Browser(await guarded(Starlette(routes=routes), public=["/login", "/logout"])).tab()
    assert "both" == carried(await tab.post("/login"))
    assert "" == (await tab.post("/logout")).cookie()
    assert ["user-1", None] == seen
