"""How often Redis is asked: one step, one round trip, and what is more is listed here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

import pytest
from redis.asyncio import Redis
from support.stage import answer, staged

from asgi_tokenguard import TokenGuard, get_auth
from asgi_tokenguard.store.keyspace import session_key
from asgi_tokenguard.store.scripts import DESCRIBE


@pytest.fixture
async def redis(options) -> AsyncIterator[Redis]:
    async with Redis.from_url(options["redis"]) as client:
        yield client


class Wire:
    """What clients send to the server between `listen` and `heard`, as MONITOR tells it; calls inside scripts are not sent."""

    def __init__(self, redis: Redis, guard: TokenGuard) -> None:
        self._redis = redis
        self._guard = guard

    async def __aenter__(self) -> Self:
        self._monitor = self._redis.monitor()
        await self._monitor.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._monitor.__aexit__(*error)

    async def heard(self) -> list[str]:
        """What came since the last call, but for what runs off the request path."""
        await self._guard.engine.background.outbox.flush(10)
        await self._redis.echo("enough")
        commands = []
        while True:
            command = await self._monitor.next_command()
            words = command["command"].split()
            # The server pings those who watch it when its clock leaps.
            if command["client_type"] == "lua" or words == ["PING"]:
                continue
            if words == ["ECHO", "enough"]:
                return commands
            if DESCRIBE.sha not in words and DESCRIBE.text[:20] not in command["command"]:
                commands.append(words[0])


@pytest.fixture
async def wire(redis: Redis, guard: TokenGuard, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    await redis.ping()
    if "app" in request.fixturenames:
        guard = request.getfixturevalue("app").guard
    async with Wire(redis, guard) as wire:
        yield wire


async def test_a_rotation_is_one_round_trip_and_so_is_an_uncached_check(guard, clock, wire):
    """Two for the first use of a generation, which writes that it was seen; one command of the engine each."""
    tokens = await guard.login("user-1")
    clock.advance(901)
    await guard.rotate(tokens.refresh_token)  # now the server knows the scripts that are used below
    tokens = await guard.login("user-2")
    await guard.authenticate(tokens.access_token)
    clock.advance(901)
    await wire.heard()

    await guard.rotate(tokens.refresh_token)
    assert ["EVALSHA"] == await wire.heard()
    rotated = await guard.rotate(tokens.refresh_token)  # a redelivery
    assert ["EVALSHA"] == await wire.heard()
    await guard.authenticate(rotated.access_token)
    assert ["HGET", "EVALSHA"] == await wire.heard()
    await guard.authenticate(rotated.access_token)
    assert ["HGET"] == await wire.heard()
    await guard.rotate(rotated.refresh_token)  # a repeat
    assert ["EVALSHA"] == await wire.heard()
    for step in (
        guard.login("user-2"),
        guard.sessions("user-2"),
        guard.update_claims("user-2", {}),
        guard.revoke_others("user-2", rotated.session_id),
        guard.revoke("user-2", rotated.session_id),
        guard.revoke_all("user-2"),
    ):
        await step
        assert ["EVALSHA"] == [name for name in await wire.heard() if name != "EVAL"]


async def test_a_guarded_request_asks_redis_once(browser, clock, wire):
    """Also where it carries an access token that is over: its end is known without asking, however long nobody came."""
    tab = browser.tab()
    await tab.post("/login")
    await tab.get()
    clock.advance(901)
    await tab.get()  # a rotation
    await tab.get()  # its first sight

    clock.advance(901)
    await wire.heard()
    assert (await tab.get()).new_token
    assert ["EVALSHA"] == await wire.heard()
    await tab.get()
    assert ["HGET", "EVALSHA"] == await wire.heard()
    await tab.get()
    assert ["HGET"] == await wire.heard()


async def test_a_minute_later_a_check_learns_the_time_in_the_same_round_trip(guard, clock, wire):
    tokens = await guard.login("user-1")
    await guard.authenticate(tokens.access_token)
    await guard.engine.background.outbox.flush(10)
    clock.advance(61)
    await wire.heard()
    await guard.authenticate(tokens.access_token)
    assert ["HGET", "TIME"] == await wire.heard()


async def test_a_thousand_sessions_of_a_user_are_listed_in_one_round_trip(guard, redis):
    first = await guard.login("many")
    key = session_key(guard.engine.settings.namespace, "many")
    raw = await redis.hget(key, first.session_id)
    await redis.hset(key, mapping=dict.fromkeys([f"01ARZ3NDEKTSV4RRFFQ6{number:06d}" for number in range(999)], raw))
    await guard.sessions("many")  # now the server knows the script
    async with Wire(redis, guard) as wire:
        await wire.heard()
        assert 1_000 == len(await guard.sessions("many"))
        assert ["EVALSHA"] == await wire.heard()


async def test_a_confirmed_password_is_one_round_trip_and_a_login_over_another_users_session_two(options, clock, redis):
    """A login over the same user's session ends it in its own script; another user's lies in another slot."""
    async with staged(options, clock) as stage, Wire(redis, stage.guard) as wire:

        @stage.on("/confirm")
        async def confirm(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        async def asks(path):
            """What a tab of user-1 costs there, once its token is known and the scripts are."""
            tab = await stage.logged_in()
            while stage.guard.engine.liveness.known(f"Bearer {tab.token}".encode()) is None:
                await tab.get()
            await wire.heard()
            assert 200 == (await tab.post(path)).status
            return await wire.heard()

        for path, expected in (("/confirm", 1), ("/login?user=user-1", 1), ("/login?user=user-2", 2)):
            await asks(path)
            assert ["EVALSHA"] * expected == await asks(path), path
