"""`guarded` puts an app on a test's Redis as it is, and leaves no trace."""

from __future__ import annotations

import asyncio

import pytest
import redis
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from support.sockets import Peer, Room

from asgi_tokenguard import ConfigurationError, Key, KeySet, Lifetimes, TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.testing import AsyncAuthClient, AuthClient, Clock, guarded, redis_for_tests
from asgi_tokenguard.testing.guarding import SECRET, guards_in
from asgi_tokenguard.testing.server import Keyspace

OPTIONS = {"secret": "s" * 32, "redis": "redis://127.0.0.1:1"}  # where nobody listens


async def endpoint(request):
    auth = get_auth(request)
    if request.method == "POST":
        await auth.login("ada")
    return JSONResponse({"user": auth.subject})


def bare_app():
    return Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])])


def keys(server) -> list[bytes]:
    with redis.Redis.from_url(server.url) as client:
        return client.keys()


@pytest.fixture
def guard():
    return TokenGuard(**OPTIONS, required=False, lifetimes=Lifetimes(access=60, grace=5))


def test_an_app_with_a_guard_of_its_own_keeps_its_options(still, guard):
    app, own = TokenGuardMiddleware(bare_app(), guard=guard), guard.engine
    with guarded(app, redis=still.url) as behind:
        assert behind is app
        settings = guard.engine.settings
        assert (60, own.settings.keys) == (settings.lifetimes.access, settings.keys)
        assert (still.url, 10.0) == (settings.redis, settings.timeout)
        with AuthClient(behind) as client:
            client.post("/")
            assert {"user": "ada"} == client.get("/").json()
            assert keys(still)
    assert guard.engine is own


def test_nothing_is_left_in_redis_and_nothing_else_is_touched(still, guard):
    with redis.Redis.from_url(still.url) as client:
        client.set("test-of-somebody:s:x", "theirs", ex=100)
    clock = Clock()
    with guarded(TokenGuardMiddleware(bare_app(), guard=guard), redis=still.url, clock=clock) as app:
        with AuthClient(app) as browser:
            browser.post("/")
            clock.advance(50)
            browser.post("/")
            clock.advance(50)
        assert 3 <= len(keys(still))
    with redis.Redis.from_url(still.url) as client:
        assert [b"test-of-somebody:s:x"] == client.keys()
        assert 90 < client.ttl("test-of-somebody:s:x")
        client.flushdb()
    clock.advance(50)  # what is over does not move
    assert [] == keys(still)


def test_an_app_without_a_guard_gets_one(still):
    with guarded(bare_app(), redis=still.url, required=False) as app, AuthClient(app) as client:
        client.post("/")
        assert {"user": "ada"} == client.get("/").json()
        assert SECRET.encode() == next(iter(client.guard.engine.settings.keys)).signing


def test_it_may_be_given_keys(still):
    chosen = KeySet([Key("k" * 32)])
    with guarded(bare_app(), redis=still.url, keys=chosen) as app:
        assert chosen == app.guard.engine.settings.keys


def test_options_beside_a_guard_that_is_there_are_refused(still, guard):
    with (
        pytest.raises(ConfigurationError, match="required"),
        guarded(TokenGuardMiddleware(bare_app(), guard=guard), redis=still.url, required=True),
    ):
        pass


def test_two_tests_side_by_side_do_not_meet(still, guard):
    app = TokenGuardMiddleware(bare_app(), guard=guard)
    other = TokenGuardMiddleware(bare_app(), guard=TokenGuard(**OPTIONS, required=False))
    first, second = guarded(app, redis=still.url), guarded(other, redis=still.url)
    with first as one, second as another, AuthClient(one) as client, AuthClient(another) as stranger:
        client.post("/")
        assert 1 == len(client.call(client.guard.sessions, "ada"))
        assert 0 == len(stranger.call(stranger.guard.sessions, "ada"))


def test_every_guard_of_an_app_is_closed_with_it(still):
    """Also one that no lifespan reaches, whose connections would outlive their event loop."""
    inner = TokenGuard(**OPTIONS, required=False)
    app = Starlette(routes=[Mount("/admin", TokenGuardMiddleware(bare_app(), guard=inner))])
    with guarded(app, redis=still.url), AuthClient(app) as client:
        client.post("/admin/")
        assert inner.engine.store._link.connector._clients.everywhere()
        client.close()
        assert not inner.engine.store._link.connector._clients.everywhere()


def test_the_guards_of_one_app_share_what_they_know_of_users(still):
    inner = TokenGuard(**OPTIONS)
    outer = TokenGuard(**OPTIONS, required=False)
    app = Starlette(routes=[Mount("/admin", TokenGuardMiddleware(bare_app(), guard=inner)), *bare_app().routes])
    with guarded(TokenGuardMiddleware(app, guard=outer), redis=still.url) as behind, AuthClient(behind) as client:
        client.post("/")
        assert 1 == len(client.call(inner.sessions, "ada")) == len(client.call(outer.sessions, "ada"))


def test_without_a_redis_it_brings_one(guard, monkeypatch):
    monkeypatch.delenv("TOKENGUARD_TEST_REDIS", raising=False)
    with guarded(TokenGuardMiddleware(bare_app(), guard=guard)) as app, AuthClient(app) as client:
        client.post("/")
        url = guard.engine.settings.redis
        assert {"user": "ada"} == client.get("/").json()
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
        client.ping()


def test_an_embedded_one_is_not_named():
    with pytest.raises(ConfigurationError, match="leave it out"), guarded(bare_app(), redis="embedded://"):
        pass


def test_the_redis_of_tests_can_be_named(still, monkeypatch):
    monkeypatch.setenv("TOKENGUARD_TEST_REDIS", still.url)
    with redis_for_tests() as url:
        assert still.url == url


def test_without_a_clock_the_guard_and_its_redis_are_as_in_production(still, guard):
    own = type(guard.engine), type(guard.engine.store._link.connector)
    with guarded(TokenGuardMiddleware(bare_app(), guard=guard), redis=still.url):
        assert own == (type(guard.engine), type(guard.engine.store._link.connector))


def test_the_locator_gets_its_own_redis_back(still):
    class Lender:
        def share(self, cache):
            self.cache = cache

        async def locate(self, address):
            return None

        async def aclose(self):
            pass

    lender = Lender()
    guard = TokenGuard(**OPTIONS, locator=lender)
    with guarded(TokenGuardMiddleware(bare_app(), guard=guard), redis=still.url):
        assert lender.cache._store is guard.engine.store
    assert lender.cache._store is guard.engine.store


# --- Where a guard may stand


@get("/")
async def litestar_endpoint() -> None: ...


def starlette(guard):
    app = bare_app()
    app.add_middleware(TokenGuardMiddleware, guard=guard)
    return app


def quart(guard):
    app = Quart("a shop")
    app.asgi_app = TokenGuardMiddleware(app.asgi_app, guard=guard)
    return app


def behind_another(guard):
    class Other:
        def __init__(self, app):
            self.app = app

    return Other(Other(TokenGuardMiddleware(bare_app(), guard=guard)))


def mounted(guard):
    return Starlette(routes=[Mount("/shop", routes=[Mount("/inner", TokenGuardMiddleware(bare_app(), guard=guard))])])


@pytest.mark.parametrize("build", [starlette, quart, behind_another, mounted], ids=lambda build: build.__name__)
def test_a_guard_is_found_wherever_it_stands(guard, build):
    assert [guard] == guards_in(build(guard))


def test_in_an_app_without_one_none_is_found():
    assert [] == guards_in(bare_app())
    assert [] == guards_in(Litestar([litestar_endpoint]))


def test_an_app_that_wraps_itself_ends_the_search():
    class Snake:
        app = None

    snake = Snake()
    snake.app = snake
    assert [] == guards_in(snake)


# --- The clock


@pytest.mark.parametrize("less", [-1, -0.001])
def test_time_goes_forward_only(less):
    with pytest.raises(ValueError, match="forward"):
        Clock().advance(less)


def test_time_is_said_in_any_unit():
    from datetime import timedelta

    clock = Clock()
    clock.advance(1, minutes=1, hours=1, days=1)
    clock.advance(timedelta(milliseconds=5))
    assert 90_061_005 == clock.ahead_ms
    import time

    assert clock.time() - time.time() == pytest.approx(90_061, abs=60)


async def test_what_is_on_its_way_meets_the_time_of_its_arrival(still):
    """The server knows the time: a command that was written before a leap and runs after it brings no older one along."""
    from asgi_tokenguard.testing.travel import TravellingClient

    clock, keyspace = Clock(), Keyspace(still.url)
    clock.take(keyspace)
    async with redis.asyncio.Redis.from_url(still.url) as client:
        traveller = TravellingClient(client, clock, keyspace.clock_key)
        written = traveller.translated("TIME")
        clock.advance(days=1)
        later = await client.execute_command(*written)
        now = await client.execute_command("TIME")
        assert 86_400 <= int(later[0]) - int(now[0]) + 1 <= 86_402 + 60
        assert 6 >= len(later[1])
        await client.flushdb()  # an app's test may do that; time goes on
        kept = await traveller.execute_command("TIME")
        assert int(kept[0]) >= int(later[0])
    keyspace.wipe()


def test_a_clock_that_is_ahead_may_take_more_apps(still, guard):
    clock = Clock()
    clock.advance(days=400)
    app = TokenGuardMiddleware(bare_app(), guard=guard)
    with guarded(app, redis=still.url, clock=clock), AuthClient(app) as client:
        client.post("/")
        assert {"user": "ada"} == client.get("/").json()
        clock.advance(61)
        first = client.access_token
        assert {"user": "ada"} == client.get("/").json()
        assert first != client.access_token


async def test_the_cache_of_verdicts_is_on_and_forgets_with_time(still, guard):
    """Tokens are served from memory in these tests as in production, so that what depends on it is tested as well."""
    clock = Clock()
    with guarded(TokenGuardMiddleware(bare_app(), guard=guard), redis=still.url, clock=clock) as app:
        async with AsyncAuthClient(app) as client:
            await client.post("/")
            caches = guard.engine.liveness._caches
            async with asyncio.timeout(30):
                while not caches.here()._verdicts:
                    await client.get("/")
                    await asyncio.sleep(0.01)
            clock.advance(61)
            first = client.access_token
            assert {"user": "ada"} == (await client.get("/")).json()
            assert first != client.access_token


async def test_a_socket_ends_with_its_session_through_a_leap(still):
    clock, room = Clock(), Room()
    guard = TokenGuard(**OPTIONS, public=["/login"])
    with guarded(TokenGuardMiddleware(room, guard=guard), redis=still.url, clock=clock) as app:
        async with AsyncAuthClient(app) as client:
            await client.post("/login")
            async with Peer(app, headers=[("authorization", f"Bearer {client.access_token}")]) as socket:
                await socket.accepted()
                assert "user-1" == (await socket.says())["subject"]
                clock.advance(minutes=16)  # no rotation and no access token's end closes it
                assert "user-1" == (await socket.says())["subject"]
                clock.advance(days=15)
                assert (4401, "session_expired") == await socket.closed()
