"""The one-line door: what it is built with, and that it works in every loop, process and place that apps are run in."""

from __future__ import annotations

import asyncio
import gc

import pytest
import redis.asyncio
from support.actors import Browser
from support.apps import plain_app
from support.stage import Handlers, commands, connections, travelling
from support.wire import call

from asgi_tokenguard import ConfigurationError, TokenGuard, TokenGuardMiddleware


@pytest.fixture
def build(options, clock):
    def build(app=plain_app, **more):
        middleware = TokenGuardMiddleware(app, **options | {"public": ["/login", "/logout"]} | more)
        travelling(middleware.guard, clock)
        return middleware

    return build


async def works(app):
    """Log in, come back, log out."""
    tab = Browser(app).tab()
    assert "token_required" == (await tab.get()).code
    assert 200 == (await tab.post("/login")).status
    assert "user-1" == (await tab.get()).json()["subject"]
    assert 204 == (await tab.post("/logout")).status


async def test_options_or_one_guard(build, options):
    middleware = build()
    await works(middleware)
    await middleware.guard.aclose()
    async with TokenGuard(**options, public=["/login", "/logout"]) as guard:
        await works(TokenGuardMiddleware(plain_app, guard=guard))
        await works(TokenGuardMiddleware(plain_app, guard))


async def test_a_guard_may_stand_around_two_apps(build, options):
    """One login for both; a job beside them ends the session."""
    async with TokenGuard(**options, public=["/login"]) as guard:
        one, two = TokenGuardMiddleware(plain_app, guard), TokenGuardMiddleware(plain_app, guard)
        tab = Browser(one).tab()
        await tab.post("/login")
        tab.browser.app = two
        assert 200 == (await tab.get()).status
        assert 1 == await guard.revoke_all("user-1")
        assert "revoked" == (await tab.get()).code


@pytest.mark.parametrize("option", ["secret", "public", "namespace", "colour"])
def test_a_guard_stands_alone(options, option):
    guard = TokenGuard(**options)
    with pytest.raises(ConfigurationError, match="guard: other options stand beside it"):
        TokenGuardMiddleware(plain_app, guard, **{option: "x"})


@pytest.mark.parametrize("wrong", [{}, {"secret": "short"}, {"colour": "red"}, {"public": "/login"}, {"guard": object()}])
def test_what_is_wrong_is_refused_when_it_is_built_not_at_a_request(options, wrong):
    given = options if wrong else {}
    with pytest.raises(ConfigurationError):
        TokenGuardMiddleware(plain_app, **given | wrong)


def test_building_it_asks_nobody(options):
    """An app is imported where no Redis is."""
    TokenGuardMiddleware(plain_app, **options | {"redis": "redis://127.0.0.1:1/0"})


async def test_p37_a_client_that_the_user_passed_is_left_open(build, options):
    """It is used as it is, and it is the user's to close."""
    client = redis.asyncio.Redis.from_url(options["redis"])
    middleware = build(redis=client)
    await works(middleware)
    async with middleware.guard:
        pass
    await middleware.guard.aclose()
    assert await client.ping()
    assert client.connection_pool._available_connections
    await client.aclose()


async def test_p37_a_client_of_a_url_is_closed(build, options):
    """The other half."""
    before = connections(options["redis"])
    middleware = build()
    await works(middleware)
    assert before < connections(options["redis"])
    await middleware.guard.aclose()
    assert before == connections(options["redis"], before)


def test_two_event_loops_one_after_the_other(build):
    """A test suite, a reloader, a script: the engine binds anew to each loop."""
    middleware = build()

    async def once():
        await works(middleware)
        await middleware.guard.aclose()

    for _ in range(3):
        asyncio.run(once())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_loops_that_ended_without_closing_harm_nobody_and_pile_up_nothing(build, options):
    """A bare test client makes a loop for each request and never says goodbye."""
    before = connections(options["redis"])
    middleware = build()
    for _ in range(10):
        asyncio.run(works(middleware))
    gc.collect()
    assert connections(options["redis"], before + 1) <= before + 1
    asyncio.run(middleware.guard.aclose())
    gc.collect()
    assert before == connections(options["redis"], before)


def test_a_session_lives_through_loops(build):
    middleware = build()
    browsers = []

    async def first():
        tab = Browser(middleware).tab()
        await tab.post("/login")
        browsers.append(tab)
        await middleware.guard.aclose()

    async def second():
        assert 200 == (await browsers[0].get()).status
        await middleware.guard.aclose()

    asyncio.run(first())
    asyncio.run(second())


async def test_requests_share_connections(build, options):
    """A hundred requests at once open no more than the pool holds, and none is refused for want of one."""
    middleware = build()
    tab = Browser(middleware).tab()
    await tab.post("/login")
    before = commands(options["redis"])
    answers = await asyncio.gather(*(tab.ask() for _ in range(100)))
    assert {200} == {answer.status for answer in answers}
    assert 100 <= (commands(options["redis"]) - before)["hget"]
    assert connections(options["redis"]) <= 10
    await middleware.guard.aclose()


async def test_p43_each_scope_is_filled_and_no_other(build):
    """State lives in the scope: what one request learns, no other sees."""
    handlers = Handlers()
    seen, both_in = {}, asyncio.Event()

    @handlers.on("/me")
    async def handler(scope, receive, send):
        seen[scope["query_string"]] = scope
        if len(seen) == 2:
            both_in.set()
        await asyncio.wait_for(both_in.wait(), 5)
        await plain_app(scope, receive, send)

    middleware = build(handlers)
    one, two = Browser(middleware).tab(), Browser(middleware).tab()
    await one.post("/login?user=one")
    await two.post("/login?user=two")
    answers = await asyncio.gather(one.get("/me?1"), two.get("/me?2"))
    assert ["one", "two"] == [answer.json()["subject"] for answer in answers]
    assert ["one", "two"] == [seen[query]["user"].identity for query in (b"1", b"2")]
    await middleware.guard.aclose()


async def test_what_it_leaves_in_the_scope(build):
    """Three keys, of which two are Starlette's; nothing is taken out, and no header is changed."""
    handlers = Handlers()
    kept = []

    @handlers.on("/login")
    async def handler(scope, receive, send):
        kept.append(scope)
        await plain_app(scope, receive, send)

    middleware = build(handlers)
    await call(middleware, "POST", "/login", [("x-a", "b")], state={"app": "state"})
    ((scope,),) = [kept]
    assert {"asgi_tokenguard", "user", "auth"} == scope.keys() - {
        "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers",
        "client", "server", "state",
    }  # fmt: skip
    assert {"app": "state"} == scope["state"]
    await middleware.guard.aclose()


def test_what_cannot_be_called_is_no_app(options):
    with pytest.raises(ConfigurationError, match="pass the ASGI app"):
        TokenGuardMiddleware(None, **options)
