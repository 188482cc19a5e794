"""Orders of middleware that people write: which work, and which are warned of with the fix."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from contextlib import asynccontextmanager, suppress

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from support.actors import METADATA, Browser
from support.sockets import bearer
from support.stage import carried, travelling
from support.streams import Reader
from support.wire import Answer, call

from asgi_tokenguard import ConfigurationError, TokenGuard, TokenGuardMiddleware, get_auth

SPA = "https://spa.example"
PAGE = {"origin": SPA, "accept-encoding": "gzip"}


async def login(request):
    request.session["seen"] = True
    await get_auth(request).login("user-1")
    return JSONResponse({"ok": True})


async def me(request):
    return JSONResponse({"subject": get_auth(request).subject, "much": "x" * 2000})


async def forever(kind):
    while True:
        yield "data: x\n\n"
        await asyncio.sleep(0.005)


def events(request):
    return StreamingResponse(forever(request), media_type="text/event-stream")


def download(request):
    return StreamingResponse(forever(request), media_type="application/x-tar")


def broken(request):
    raise RuntimeError("a bug of the app")


ENDPOINTS = {"/login": login, "/me": me, "/events": events, "/download": download, "/broken": broken}
ROUTES = [Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in ENDPOINTS.items()]


async def as_it_comes(request, call_next):
    return await call_next(request)


CORS = Middleware(CORSMiddleware, allow_origins=[SPA], allow_credentials=True, allow_methods=["*"], allow_headers=["*"])
USUAL = {
    "hosts": Middleware(TrustedHostMiddleware, allowed_hosts=["app.example"]),
    "cors": CORS,
    "gzip": Middleware(GZipMiddleware, minimum_size=500),
    "session": Middleware(SessionMiddleware, secret_key="of the app", https_only=True),
    "base": Middleware(BaseHTTPMiddleware, dispatch=as_it_comes),
}


def build(kind, middleware, **more):
    """An app as people write it: `add_middleware`, the last one outermost."""
    app = kind(routes=ROUTES, **more)
    for one in reversed(middleware):
        app.add_middleware(one.cls, *one.args, **one.kwargs)
    return app


def script_reads(answer):
    """Status and new token as a page of `SPA` reads them, with credentials; None where its browser hides the answer."""
    if answer.all("access-control-allow-origin") != [SPA] or answer.get("access-control-allow-credentials") != "true":
        return None
    exposed = {name.strip().lower() for line in answer.all("access-control-expose-headers") for name in line.split(",")}
    return answer.status, answer.new_token if "x-new-access-token" in exposed else None


def text_of(answer):
    return json.loads(gzip.decompress(answer.body) if answer.get("content-encoding") == "gzip" else answer.body)


@pytest.fixture
async def guard(options, clock):
    guard = TokenGuard(**options, public=["/login"], trusted_origins=[SPA], streams=["*/*"])
    async with travelling(guard, clock):
        yield guard


@asynccontextmanager
async def started(app):
    """*app* through its start-up, and down again."""
    inbox, outbox = asyncio.Queue(), asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, inbox.get, outbox.put))
    try:
        await inbox.put({"type": "lifespan.startup"})
        yield await asyncio.wait_for(outbox.get(), 20)
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        with suppress(ConfigurationError):  # raised after the failure was told
            await asyncio.wait_for(task, 20)


@pytest.fixture(params=[Starlette, FastAPI])
def kind(request):
    return request.param


@pytest.mark.parametrize("place", range(len(USUAL) + 1))
class TestWhereverTheGuardStands:
    """Among the five that apps usually have; *place* is how many of them stand outside."""

    @pytest.fixture
    def outside(self, place):
        return list(USUAL)[:place]

    @pytest.fixture
    def app(self, kind, guard, place):
        usual = list(USUAL.values())
        return build(kind, [*usual[:place], Middleware(TokenGuardMiddleware, guard=guard), *usual[place:]])

    async def test_a_script_of_another_origin_logs_in_reads_its_tokens_and_rotates(self, app, clock, outside):
        tab = Browser(app).tab()
        answer = await tab.post("/login", kind="cross-fetch", headers=PAGE)
        assert (200, tab.token) == script_reads(answer)
        assert 1 == sum(line.startswith("session=") for line in answer.all("set-cookie"))
        assert 1 == len([line for line in answer.cookie_lines if line.startswith("__Host-refresh=")])
        clock.advance(901)
        answer = await tab.get("/me", kind="cross-fetch", headers=PAGE)
        assert "both" == carried(answer)
        assert (200, tab.token) == script_reads(answer)
        assert "user-1" == text_of(answer)["subject"]
        assert "gzip" == answer.get("content-encoding")

    async def test_a_refusal_is_readable_where_cors_stands_outside(self, app, outside):
        answer = await Browser(app).tab().get("/me", kind="cross-fetch", headers=PAGE)
        assert (401, "token_required") == (answer.status, text_of(answer)["code"])
        assert ((401, None) if "cors" in outside else None) == script_reads(answer)

    async def test_a_preflight_passes(self, app):
        asks = PAGE | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = await call(app, "OPTIONS", "/me", (METADATA["cross-fetch"] | asks).items())
        assert (200, SPA) == (answer.status, answer.get("access-control-allow-origin"))
        assert "authorization" in answer.get("access-control-allow-headers")

    async def test_a_foreign_host_is_told_so_unless_the_guard_stands_first(self, app, outside):
        answer = await call(app, "GET", "/me", [("host", "evil.example")])
        assert (400 if outside else 401) == answer.status

    async def test_i6_event_streams_are_completed(self, app, guard):
        tab = Browser(app).tab()
        await tab.post("/login", kind="cross-fetch", headers=PAGE)
        reader = Reader(app, bearer(tab), "/events")
        await reader.flows()
        await guard.revoke_all("user-1")
        await reader.ended()
        assert [1] == [sum(not part.get("more_body", False) for part in reader.sent[1:])]

    async def test_i6_downloads_are_cut_off_unless_base_http_middleware_completes_them(self, app, guard, outside, caplog):
        tab = Browser(app).tab()
        await tab.post("/login", kind="cross-fetch", headers=PAGE)
        reader = Reader(app, bearer(tab), "/download")
        await reader.flows()
        await guard.revoke_all("user-1")
        await reader.ended()
        looks_whole = not reader.sent[-1].get("more_body", False)
        assert ("base" in outside) == looks_whole
        async with started(app):
            assert looks_whole == any("completes what the guard cuts off" in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("expose", "credentials", "hidden"),
    [
        (None, True, False),
        (["X-Total"], True, True),
        (["X-Total", "x-new-access-token"], True, False),
        (["*"], True, True),
        (["*"], False, False),
    ],
)
async def test_p27_cors_outside_that_hides_the_token_is_warned_of(guard, caplog, expose, credentials, hidden):
    options = {"allow_origins": [SPA], "allow_credentials": credentials} | (
        {} if expose is None else {"expose_headers": expose}
    )
    app = build(
        Starlette, [Middleware(CORSMiddleware, **options), Middleware(TokenGuardMiddleware, guard=guard), USUAL["session"]]
    )
    async with started(app):
        assert hidden == any("Name 'X-New-Access-Token' there" in line for line in caplog.messages)
    if credentials:
        answer = await Browser(app).tab().post("/login", kind="cross-fetch", headers=PAGE)
        assert hidden == (script_reads(answer) == (200, None))


@pytest.mark.parametrize("around", [False, True])
async def test_cors_inside_is_warned_of_once_at_the_start(guard, caplog, kind, around):
    """However the guard came to stand outside: by the order of `add_middleware`, or around the finished app."""
    if around:
        app = TokenGuardMiddleware(build(kind, [USUAL["gzip"], CORS]), guard=guard)
    else:
        app = build(kind, [Middleware(TokenGuardMiddleware, guard=guard), USUAL["gzip"], CORS])
    async with started(app) as message:
        assert "lifespan.startup.complete" == message["type"]
    (warning,) = [record for record in caplog.records if record.name == "asgi_tokenguard"]
    assert logging.WARNING == warning.levelno
    assert "CORSMiddleware stands inside the guard" in warning.message
    assert "Put it outside" in warning.message


async def test_the_order_that_is_recommended_is_warned_of_by_nobody(options, clock, caplog, kind):
    async with travelling(TokenGuard(**options, public=["/login"]), clock) as guard:
        app = build(kind, [*USUAL.values(), Middleware(TokenGuardMiddleware, guard=guard)])
        async with started(app):
            assert [] == caplog.messages


class TestTwice:
    """One request, one guard: two would each hand out a token, and a header that is there twice is read as neither."""

    @pytest.fixture(params=["the same", "another"])
    async def second(self, request, guard, options, clock):
        if request.param == "the same":
            yield guard
        else:
            async with travelling(TokenGuard(**options), clock) as another:
                yield another

    @pytest.mark.parametrize("around", [False, True])
    async def test_a_second_one_around_the_same_app_fails_the_start_up(self, guard, second, around):
        app = build(Starlette, [USUAL["session"], Middleware(TokenGuardMiddleware, guard=guard), USUAL["gzip"]])
        if around:
            app = TokenGuardMiddleware(app, guard=second)
        else:
            app.add_middleware(TokenGuardMiddleware, guard=second)
        async with started(app) as message:
            assert "lifespan.startup.failed" == message["type"]
            assert "wrap the app once" in message["message"]

    def test_a_test_client_sees_it_too(self, guard, second):
        app = TokenGuardMiddleware(TokenGuardMiddleware(Starlette(), guard=second), guard=guard)
        with pytest.raises(ConfigurationError, match="wrap the app once"), TestClient(app):
            pass

    async def test_where_no_start_up_is_seen_the_request_fails_and_loses_no_token(self, guard, second, clock):
        app = TokenGuardMiddleware(TokenGuardMiddleware(build(Starlette, [USUAL["session"]]), guard=second), guard=guard)
        tab = Browser(TokenGuardMiddleware(build(Starlette, [USUAL["session"]]), guard=guard)).tab()
        await tab.post("/login")
        clock.advance(901)
        tab.browser.app, answer = app, Answer()
        with pytest.raises(ValueError, match="wrap the app once"):
            await tab.ask("/me", answer=answer)
        assert (500, "both") == (answer.status, carried(tab.take(answer)))
        assert tab.token == answer.new_token


class TestErrorPages:
    """Starlette's page for errors stands outside of all middleware that was added, and inside of a guard around the app."""

    @pytest.mark.parametrize("around", [False, True])
    async def test_it_is_shown_unless_a_token_would_be_lost_by_it(self, guard, clock, around):
        async def page(request, error):
            return HTMLResponse("sorry", 500)

        stack = [CORS, USUAL["session"]] + ([] if around else [Middleware(TokenGuardMiddleware, guard=guard)])
        app = build(Starlette, stack, exception_handlers={Exception: page})
        if around:
            app = TokenGuardMiddleware(app, guard=guard)
        tab = Browser(app).tab()
        await tab.post("/login")
        for expected in ("nothing", "both"):
            answer = Answer()
            with pytest.raises(RuntimeError, match="a bug of the app"):
                await tab.ask("/broken", kind="cross-fetch", headers=PAGE, answer=answer)
            assert (500, expected) == (answer.status, carried(tab.take(answer)))
            assert (b"sorry" == answer.body) == (around or expected == "nothing")
            clock.advance(901)
        if not around:  # what the guard answers itself has passed the CORS that stands outside
            assert (500, answer.new_token) == script_reads(answer)


async def test_who_stands_outside_sees_the_user_in_the_scope_afterwards(guard):
    """As a log of requests does, and as with Starlette's own middleware for authentication."""
    scopes = []

    class Keeps:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            await self.app(scope, receive, send)
            scopes.append(scope)

    app = build(Starlette, [Middleware(Keeps), USUAL["session"], Middleware(TokenGuardMiddleware, guard=guard)])
    tab = Browser(app).tab()
    await tab.post("/login")
    await tab.get("/me")
    assert "user-1" == scopes[-1]["user"].identity
