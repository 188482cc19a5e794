"""How often Redis is asked: one step, one round trip, and what is more is listed here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from typing import Self

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Monitor
from support.stage import answer, staged, travelling
from support.topologies import Reached

from asgi_tokenguard import Limits, Rate, RateLimited, TokenGuard, get_auth
from asgi_tokenguard.store.keyspace import session_key
from asgi_tokenguard.store.scripts import DESCRIBE

# Servers ping each other, and those who watch them when their clock leaps; a connection that is opened says HELLO.
UPKEEP = {"PING", "PUBLISH", "INFO", "REPLCONF", "CLUSTER", "HELLO", "CLIENT"}


class Wire:
    """What clients send to the servers between `listen` and `heard`, as MONITOR tells it; calls inside scripts are not sent."""

    def __init__(self, reached: Reached, guard: TokenGuard) -> None:
        self._clients = [Redis(unix_socket_path=str(member.socket)) for member in reached.members]
        self._guard = guard

    async def __aenter__(self) -> Self:
        self._monitors = [client.monitor() for client in self._clients]
        for monitor in self._monitors:
            await monitor.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for monitor, client in zip(self._monitors, self._clients, strict=True):
            await monitor.__aexit__(*error)
            await client.aclose()

    async def heard(self) -> list[str]:
        """What came since the last call, but for what runs off the request path."""
        await self._guard.engine.background.outbox.flush(10)
        heard = []
        for client, monitor in zip(self._clients, self._monitors, strict=True):
            await client.echo("enough")
            heard += [command async for command in _until_enough(monitor)]
        return heard


async def _until_enough(monitor: Monitor) -> AsyncIterator[str]:
    while True:
        command = await monitor.next_command()
        words = command["command"].split()
        if command["client_type"] == "lua" or words[0] in UPKEEP:
            continue
        if words == ["ECHO", "enough"]:
            return
        if DESCRIBE.sha not in words and DESCRIBE.text[:20] not in command["command"]:
            yield words[0]


@pytest.fixture
async def wire(reached: Reached, guard: TokenGuard, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    if "app" in request.fixturenames:
        guard = request.getfixturevalue("app").guard
    async with Wire(reached, guard) as wire:
        yield wire


def neighbour_of(user: str, guard: TokenGuard) -> str:
    """Another user of the same node: at its first rotation there a process learns since when the node is what it is."""
    owner, namespace = guard.engine.store._link.connector.owner, guard.engine.settings.namespace
    node = owner(session_key(namespace, user))
    return next(name for name in map(str, count()) if owner(session_key(namespace, name)) == node)


async def test_a_rotation_is_one_round_trip_and_so_is_an_uncached_check(guard, clock, wire):
    """Two for the first use of a generation, which writes that it was seen; one command of the engine each."""
    tokens = await guard.login(neighbour_of("user-2", guard))
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


async def test_limits_are_counted_in_the_round_trip_of_what_they_limit(options, clock, reached):
    """And so is what has to wait: it is told so by the script that would have done it."""
    limits = Limits(logins_per_user=Rate(2, per=600), presentations_per_session=Rate(2, per=600))
    async with travelling(TokenGuard(**options, limits=limits), clock) as guard, Wire(reached, guard) as wire:
        other = await guard.login(neighbour_of("user-1", guard))
        clock.advance(901)
        await guard.rotate(other.refresh_token)  # this process's first: it learns since when the server is what it is
        for _ in range(2):
            tokens = await guard.login("user-1")
        await guard.rotate(tokens.refresh_token)
        clock.advance(901)
        await wire.heard()
        await guard.rotate(tokens.refresh_token)
        assert ["EVALSHA"] == await wire.heard()
        await guard.login("user-1")
        assert ["EVALSHA"] == await wire.heard()
        for step in (guard.rotate, lambda _: guard.login("user-1")):
            for _ in range(2):  # until there is none left
                with suppress(RateLimited):
                    await step(tokens.refresh_token)
            await wire.heard()
            with pytest.raises(RateLimited):
                await step(tokens.refresh_token)
            assert ["EVALSHA"] == await wire.heard()


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


async def test_a_thousand_sessions_of_a_user_are_listed_in_one_round_trip(guard, redis, reached):
    first = await guard.login("many")
    key = session_key(guard.engine.settings.namespace, "many")
    raw = await redis.hget(key, first.session_id)
    await redis.hset(key, mapping=dict.fromkeys([f"01ARZ3NDEKTSV4RRFFQ6{number:06d}" for number in range(999)], raw))
    await guard.sessions("many")  # now the server knows the script
    async with Wire(reached, guard) as wire:
        await wire.heard()
        assert 1_000 == len(await guard.sessions("many"))
        assert ["EVALSHA"] == await wire.heard()


async def test_a_confirmed_password_is_one_round_trip_and_a_login_over_another_users_session_two(options, clock, reached):
    """A login over the same user's session ends it in its own script; another user's lies in another slot."""
    async with staged(options, clock) as stage, Wire(reached, stage.guard) as wire:

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
