"""
A server loses its last writes: a lagging replica is promoted, or an old snapshot restored (P59).

The stories are the shortest false logouts that the search finds where one of the two rules of losses is missing
(tests/core/test_explorer.py), played on real servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from redis.asyncio import Redis
from support.actors import Thief
from support.cables import Wire, wire_to
from support.clock import TravelClock
from support.server import RedisServer
from support.stage import Stage, answer, staged
from support.wire import Answer, call

from asgi_tokenguard import StoreUnavailable

pytestmark = pytest.mark.thorough
SECRET = "a secret of more than thirty-two bytes, for tests only"
# The clock travels further than a replica would wait for its primary.
PATIENT = ("--repl-timeout", "1000000", "--repl-diskless-sync-delay", "0")
GRACE = 30


class Store(Protocol):
    server: RedisServer

    async def hear(self) -> None:
        """From here on writes will be lost."""

    async def lose(self) -> None:
        """The store goes back to what it was when it `hear`d."""


class Snapshot:
    """A server that is killed, and starts again from an old snapshot."""

    def __init__(self, server: RedisServer, wire: Wire) -> None:
        self.server = server
        self._wire = wire

    async def hear(self) -> None:
        async with Redis(unix_socket_path=str(self.server.socket)) as redis:
            await redis.save()

    async def lose(self) -> None:
        self.server.kill()
        await asyncio.to_thread(self.server.start)
        self._wire.lead_to(self.server.port)


class Replica:
    """A primary whose replica stops hearing of it, and is promoted."""

    def __init__(self, server: RedisServer, wire: Wire, replica: RedisServer, cable: Wire) -> None:
        self.server = server
        self._wire, self._replica, self._cable = wire, replica, cable

    async def hear(self) -> None:
        async with Redis(unix_socket_path=str(self.server.socket)) as redis:
            await redis.set("last", "write")
            assert 1 == await redis.execute_command("WAIT", 1, 5000)
        self._cable.cut()

    async def lose(self) -> None:
        async with Redis(unix_socket_path=str(self._replica.socket)) as redis:
            await redis.replicaof("NO", "ONE")
        self.server.kill()
        self._wire.lead_to(self._replica.port)


@asynccontextmanager
async def with_snapshot() -> AsyncIterator[tuple[Store, Wire]]:
    server = RedisServer(port=True).start()
    try:
        async with wire_to(server) as wire:
            yield Snapshot(server, wire), wire
    finally:
        server.close()


@asynccontextmanager
async def with_replica() -> AsyncIterator[tuple[Store, Wire]]:
    server, replica = RedisServer(port=True, more=PATIENT), RedisServer(port=True, more=PATIENT)
    # Who is promoted has to have taken the new time as well, or a loss seems younger than it is.
    server.clock = replica.clock = TravelClock(server.clock.file, lambda: [each.nudge() for each in (server, replica)])
    try:
        server.start()
        replica.start()
        async with wire_to(server) as wire, wire_to(server) as cable:
            async with Redis(unix_socket_path=str(replica.socket)) as redis:
                await redis.replicaof("127.0.0.1", str(cable.port))
            yield Replica(server, wire, replica, cable), wire
    finally:
        server.close()
        replica.close()


@pytest.fixture(params=[with_snapshot, with_replica], ids=["an old snapshot", "a lagging replica"])
async def world(request: Any) -> AsyncIterator[tuple[Stage, Store]]:
    async with request.param() as (store, wire):
        options = {"secret": SECRET, "redis": f"redis://127.0.0.1:{wire.port}", "namespace": "t", "timeout": 10}
        async with staged(options, store.server.clock) as stage:
            yield stage, store


class Slow:
    """An endpoint that has decided nothing yet when its request was judged, and answers when it is let go."""

    def __init__(self, stage: Stage) -> None:
        self.came, self.go = asyncio.Event(), asyncio.Event()
        stage.handlers.by_path["/slow"] = self._handle

    async def _handle(self, scope: Any, receive: Any, send: Any) -> None:
        self.came.set()
        await self.go.wait()
        await answer(send, 200, b"{}")


async def lose(stage: Stage, store: Store) -> None:
    """Return once connections to the server that was before are gone."""
    await store.lose()
    for _ in range(100):
        try:
            await stage.guard.sessions("nobody")
            return
        except StoreUnavailable:
            await asyncio.sleep(0.01)
    pytest.fail("the store did not come back")


async def served(stage: Stage, cookie: str) -> Answer:
    """The answer to a request that left with *cookie*, whenever that was."""
    return await call(stage.app, "GET", "/me", [("cookie", f"__Host-refresh={cookie}")])


async def test_p59_i7_a_mark_that_is_lost_accuses_nobody(world):
    """
    The successor left late, and the store forgets when: its head seems settled.

    It must not rotate, or the next request with the cookie from before is called a thief's.
    """
    stage, store = world
    slow = Slow(stage)
    tab = await stage.expired()
    before = tab.browser.jar
    first = asyncio.create_task(tab.ask("/slow"))
    await slow.came.wait()
    stage.clock.advance(2 * GRACE + 900)
    await store.hear()
    slow.go.set()
    tab.take(await first)
    assert before != tab.browser.jar
    await lose(stage, store)
    assert 200 == (await tab.get()).status
    crossing = await served(stage, before)
    assert 200 == crossing.status
    await goes_on(stage, tab)


async def test_p59_i7_what_was_decided_before_the_loss_does_not_leave_late(world):
    """A slow answer holds a cookie that was superseded meanwhile, and the store does not know that any more."""
    stage, store = world
    slow = Slow(stage)
    tab = await stage.expired()
    login = tab.browser.jar
    assert 200 == (await tab.get()).status  # rotates
    tab.browser.jar, other = login, tab.browser.tab()  # that answer's cookie was lost: it is redelivered, by a slow endpoint
    late = asyncio.create_task(other.ask("/slow"))
    await slow.came.wait()
    tab.browser.jar = redelivered = (await served(stage, login)).cookie()
    assert redelivered is not None  # and nobody comes with it for a long while
    stage.clock.advance(2 * GRACE + 900)
    await store.hear()
    assert 200 == (await tab.get(token=False)).status  # rotates once more
    newest = tab.browser.jar
    assert redelivered != newest
    await lose(stage, store)
    slow.go.set()
    other.take(await late)
    assert newest == tab.browser.jar
    assert 200 == (await tab.get(token=False)).status
    await goes_on(stage, tab)


async def goes_on(stage: Stage, tab: Any) -> None:
    """The session rotates as ever, and two graces after the loss a spent token is a thief's again."""
    stage.clock.advance(2 * GRACE + 1)
    assert 200 == (await tab.get()).status
    thief = Thief(tab.browser)
    for _ in range(2):
        stage.clock.advance(901)
        assert 200 == (await tab.get()).status
        stage.clock.advance(GRACE + 1)
        assert 200 == (await tab.get()).status
    assert 401 == (await thief.get()).status
    assert 401 == (await tab.get()).status


async def test_p59_a_spent_token_is_refused_while_the_loss_is_recent(world):
    """And its session lives; who is older than the store's memory cannot be told from a thief."""
    stage, store = world
    tab = await stage.expired()
    thief = Thief(tab.browser)
    for _ in range(3):
        assert 200 == (await tab.get()).status
        stage.clock.advance(901)
    await store.hear()
    await lose(stage, store)
    assert 401 == (await thief.get()).status
    assert 200 == (await tab.get()).status
    stage.clock.advance(2 * GRACE + 1)
    assert 401 == (await thief.get()).status
    assert 401 == (await tab.get()).status


async def test_p59_a_process_that_starts_after_the_loss_spares_as_well(world):
    stage, store = world
    tab = await stage.expired()
    thief = Thief(tab.browser)
    for _ in range(3):
        assert 200 == (await tab.get()).status
        stage.clock.advance(901)
    await store.hear()
    await lose(stage, store)
    stage.clock.advance(1)
    async with staged(stage.options, stage.clock) as new:
        thief.own.app = tab.browser.app = new.app
        assert 401 == (await thief.get()).status
        assert 200 == (await tab.get()).status


async def test_i9_a_process_that_starts_long_after_the_loss_forgives_nobody(world):
    """A thief would only have to wait for the next deployment; what the first process found out, all others read."""
    stage, store = world
    tab = await stage.expired()
    assert 200 == (await tab.get()).status
    await store.hear()
    await lose(stage, store)
    for _ in range(3):
        stage.clock.advance(901)
        thief = Thief(tab.browser)
        assert 200 == (await tab.get()).status
        assert 200 == (await tab.get()).status
    stage.clock.advance(2 * GRACE + 1)
    async with staged(stage.options, stage.clock) as new:
        thief.own.app = new.app
        caught = await thief.get()
        assert (401, "reuse_detected") == (caught.status, caught.code)
    assert 401 == (await tab.get()).status


async def test_p59_a_loss_is_told_in_the_log(world, caplog):
    stage, store = world
    tab = await stage.expired()
    assert 200 == (await tab.get()).status
    await store.hear()
    await lose(stage, store)
    stage.clock.advance(901)
    assert 200 == (await tab.get()).status
    assert "may have lost its last writes" in caplog.text


async def test_a_user_who_may_not_ask_for_the_lineage_judges_as_ever():
    server = RedisServer(port=True).start()
    try:
        async with Redis(unix_socket_path=str(server.socket)) as redis:
            await redis.execute_command("ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-info")
        options = {"secret": SECRET, "redis": f"redis://app:pass@127.0.0.1:{server.port}", "timeout": 10}
        async with staged(options, server.clock) as stage:
            await goes_on(stage, await stage.expired())
    finally:
        server.close()
