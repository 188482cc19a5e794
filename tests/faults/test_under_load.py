"""
Harm to the store under load, and a record of everything that was asked and answered (I5, I7, I8, I10).

No revoked token is accepted after the bound, each refresh token has at most one successor, no session is lost that was
confirmed, and every request is answered with 200, 401 or 503.  `pytest -s` shows what happened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from support.cables import wire_to
from support.cluster import Cluster, command
from support.history import AGAIN_WITHIN, History
from support.server import RedisServer
from support.world import STALENESS, World, report, world

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(120)]
# What a server keeps through a kill; each write is on the disk before it is answered.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def clean(name: str, history: History) -> None:
    wrong = history.violations(staleness=STALENESS)
    report(name, history, wrong)
    assert [] == wrong[:5]
    assert history.shows_something(), "too little was served to show anything"
    assert history.waited_after_the_fault() < AGAIN_WITHIN


async def nothing(world: World) -> None:
    pass


async def test_without_harm_everything_is_served(own):
    async with world({"redis": own.url}) as made:
        history = await made.play(10, nothing)
    clean("no harm", history)
    assert set() == {each.status for each in history.exchanges} - {200, 401}


async def test_i10_the_checker_finds_a_cache_without_a_lease(own):
    """The rule is taken away in the app's processes; the same record, and what it proves."""
    async with world({"redis": own.url, "broken": "lease"}) as made:
        history = await made.play(8, nothing)
    wrong = history.violations(staleness=STALENESS)
    report("a cache without lease and pushes", history, wrong)
    assert any("after its revocation was confirmed" in line for line in wrong)


async def test_i7_the_checker_finds_a_script_that_skips_the_compare(own):
    async with world({"redis": own.url, "broken": "compare"}) as made:
        history = await made.play(8, nothing)
    wrong = history.violations(staleness=STALENESS)
    report("a script without the compare", history, wrong)
    assert any("are successor of" in line for line in wrong)


@pytest.mark.parametrize("own", [DURABLE], indirect=True, ids=["appendfsync always"])
async def test_i5_i8_killed_and_started_again_from_its_disk(own):
    async def kill(world: World) -> None:
        for _ in range(2):
            await asyncio.sleep(2.5)
            own.kill()
            await asyncio.sleep(0.4)
            await asyncio.to_thread(own.start)

    async with world({"redis": own.url}) as made:
        history = await made.play(11, kill)
    clean("killed", history)


async def test_i5_i8_frozen_and_resumed(own):
    """For less than the grace: a request that waited in the server's socket is answered to nobody, and harms nobody."""

    async def freeze(world: World) -> None:
        for _ in range(2):
            await asyncio.sleep(2.5)
            own.freeze()
            await asyncio.sleep(1.2)
            own.thaw()

    async with world({"redis": own.url}) as made:
        history = await made.play(11, freeze)
    clean("frozen", history)
    assert 503 in {each.status for each in history.exchanges}


async def test_i5_started_again_empty_everybody_logs_in_anew_and_nobody_is_accused(own):
    async def empty(world: World) -> None:
        await asyncio.sleep(3)
        own.kill()
        world.history.emptied.append(time.monotonic())
        await asyncio.to_thread(own.start)

    async with world({"redis": own.url}) as made:
        history = await made.play(9, empty)
    clean("restarted empty", history)


async def test_i5_a_slow_way_and_one_that_is_cut_without_a_word(own):
    async def harm(world: World) -> None:
        await asyncio.sleep(2)
        wire.slowness = 0.03
        await asyncio.sleep(2)
        wire.slowness = 0.0
        for _ in range(2):
            wire.cut()  # half open: nothing arrives, nothing is closed
            await asyncio.sleep(1.2)
            wire.mend()
            await asyncio.sleep(1.5)

    async with wire_to(own) as wire, world({"redis": f"redis://127.0.0.1:{wire.port}"}) as made:
        history = await made.play(11, harm)
    clean("a bad way", history)


async def test_i5_i8_answers_that_are_lost(own):
    """The script ran, and its answer is the end of its connection."""

    async def harm(world: World) -> None:
        for _ in range(6):
            await asyncio.sleep(1)
            wire.lose_answers_to(b"EVALSHA")
            await asyncio.sleep(0.3)
            wire.mend()

    async with wire_to(own) as wire, world({"redis": f"redis://127.0.0.1:{wire.port}"}) as made:
        history = await made.play(10, harm)
    clean("lost answers", history)


async def test_i5_full_memory_refuses_writes_and_loses_nothing(own):
    """`noeviction`: who needs a write gets 503, who is known is served, and nothing is dropped."""
    full = []

    async def fill(world: World) -> None:
        await asyncio.sleep(3)
        command(own, "CONFIG", "SET", "maxmemory", 1_000_000)
        full.append(time.monotonic())
        await asyncio.sleep(2)
        command(own, "CONFIG", "SET", "maxmemory", 0)
        full.append(time.monotonic())

    async with world({"redis": own.url}) as made:
        history = await made.play(10, fill)
    clean("full", history)
    during = {each.status for each in history.exchanges if full[0] < each.started < each.ended < full[1]}
    assert {200, 503} <= during


@asynccontextmanager
async def one_server() -> AsyncIterator[tuple[dict[str, Any], list[RedisServer]]]:
    with closing(RedisServer(port=True, travel=False).start()) as server:
        yield {"redis": server.url}, [server]


@asynccontextmanager
async def a_cluster() -> AsyncIterator[tuple[dict[str, Any], list[RedisServer]]]:
    with Cluster(3) as cluster:
        yield {"cluster": cluster.primaries[0].port}, cluster.primaries


def total(servers: list[RedisServer], of: str) -> int:
    """How often *servers* were asked a command."""
    return sum(command(each, "INFO", "commandstats").get(f"cmdstat_{of}", {"calls": 0})["calls"] for each in servers)


@pytest.mark.parametrize("where", [one_server, a_cluster])
async def test_clients_that_hang_up_leave_nothing_behind(where):
    """
    A third of the requests is given up within 50 ms; afterwards tasks, files and connections are as many as before.

    Nor does a cluster's client ask again who owns what, which would close all of its connections.
    """

    async def counted(world: World) -> list[tuple[int, int]]:
        for process in world.processes:
            process.hang_up()
        states = [await process.state() for process in world.processes]
        return [(state["tasks"], state["files"]) for state in states]

    async with where() as (settings, servers), world(settings, impatient=0.33, pause=0.01) as made:
        await made.play(4, nothing)
        await asyncio.sleep(2)
        before, connections = await counted(made), [len(command(each, "CLIENT LIST")) for each in servers]
        topology = total(servers, "cluster|slots")
        made.is_open = True
        history = await made.play(8, nothing)
        async with asyncio.timeout(30):
            while any(now > was + 2 for (now, _), (was, _) in zip(await counted(made), before, strict=True)):
                await asyncio.sleep(0.2)
        after = await counted(made)
        for server, were in zip(servers, connections, strict=True):
            assert len(command(server, "CLIENT LIST")) <= were + 16
        # Who waits for half a timeout on a busy machine doubts, too; each hang-up that did would make one of each second.
        assert total(servers, "cluster|slots") <= topology + 4
    clean("hung up", history)
    assert 0 in {each.status for each in history.exchanges}
    for (_, files), (_, were) in zip(after, before, strict=True):
        assert files <= were + 10 * len(servers)  # the pool's eight connections to each may be open or not
