"""
Primaries that die, slots that move, clocks that leap and packets that are lost, under load and with a record of everything.

With `durability="replicated"` a failover loses nothing that was confirmed: the same strict promises as without harm.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from faults.test_under_load import clean
from redis.crc import key_slot
from support.clock import TravelClock
from support.cluster import Cluster, command, move_at_once, move_by_keys, until
from support.lossy import lossy
from support.sentinel import Watched
from support.server import RedisServer, faketime_library
from support.world import World, world

from asgi_tokenguard.store.keyspace import session_key

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(180)]
REPLICATED = {"durability": "replicated"}


def role(server: RedisServer) -> str:
    return str(command(server, "INFO", "replication")["role"])


async def test_i5_i8_i10_a_primary_dies_and_sentinel_names_another():
    async def kill(world: World) -> None:
        await asyncio.sleep(3)
        watched.primary.kill()
        await asyncio.to_thread(until, lambda: role(watched.replica) == "master", "another primary")
        await asyncio.to_thread(until, lambda: watched.named == watched.replica.port, "Sentinel names it")
        watched.primary.more += ["--replicaof", f"127.0.0.1 {watched.replica.port}"]  # it has its settings from Sentinel
        await asyncio.to_thread(watched.primary.start)
        await asyncio.to_thread(
            until, lambda: command(watched.replica, "INFO", "replication")["connected_slaves"] == 1, "it is a replica"
        )

    with Watched() as watched:
        async with world({"sentinel": watched.sentinel.port, "options": REPLICATED}) as made:
            history = await made.play(16, kill)
    clean("sentinel", history)


async def test_i5_i8_i10_a_primary_of_a_cluster_dies():
    async def kill(world: World) -> None:
        await asyncio.sleep(3)
        victim = cluster.primaries[0]
        heir = cluster.replica_of(victim)
        victim.kill()
        await asyncio.to_thread(until, lambda: role(heir) == "master", "the replica takes over")
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(until, lambda: role(victim) == "slave", "it comes back as a replica")

    with Cluster(3, replicas=True) as cluster:
        async with world({"cluster": cluster.primaries[1].port, "options": REPLICATED}) as made:
            history = await made.play(16, kill)
    clean("cluster", history)


async def test_i5_i8_a_replica_of_a_cluster_dies_and_the_other_shards_do_not_notice():
    """What needs its acknowledgement is 503 meanwhile, live tokens are served; of other owners everything is confirmed."""
    users: dict[str, str] = {}
    away: list[float] = []

    async def kill(world: World) -> None:
        await asyncio.sleep(3)
        replica = cluster.replica_of(sick)
        replica.kill()
        away.append(time.monotonic())
        while time.monotonic() < away[0] + 5:
            users.update({browser.session: browser.user for browser in world.browsers})
            await asyncio.sleep(0.02)
        away.append(time.monotonic())
        await asyncio.to_thread(replica.start)
        await asyncio.to_thread(
            until, lambda: command(replica, "INFO", "replication")["master_link_status"] == "up", "the replica follows again"
        )

    with Cluster(2, replicas=True) as cluster:
        sick, well = cluster.primaries
        async with world({"cluster": well.port, "options": REPLICATED}) as made:
            history = await made.play(14, kill)
        owners = {session: cluster.owner(session_key("tg", user)) for session, user in users.items()}
    clean("a replica", history)
    during = [each for each in history.exchanges if away[0] < each.started < each.ended < away[1]]
    of_sick = [each for each in during if owners.get(each.session) is sick]
    of_well = [each for each in during if owners.get(each.session) is well]
    assert "not_confirmed" in {each.code for each in of_sick}
    assert 200 in {each.status for each in of_sick}
    assert len([each for each in of_well if each.status == 200]) >= 50
    assert [] == [each for each in of_well if each.status == 503]


@pytest.mark.parametrize("move", [move_by_keys, move_at_once], ids=["key by key", "at once"])
async def test_i8_i10_slots_move_while_their_sessions_are_used(move):
    moved = []

    async def harm(world: World) -> None:
        for _ in range(12):
            await asyncio.sleep(0.6)
            slot = key_slot(session_key("tg", world.dice.choice(world.browsers).user).encode())
            source = await asyncio.to_thread(cluster.owner_of, slot)
            target = next(member for member in cluster.primaries if member is not source)
            await asyncio.to_thread(move, source, target, slot)
            moved.append(slot)

    with Cluster(2) as cluster:
        async with world({"cluster": cluster.primaries[0].port}) as made:
            history = await made.play(12, harm)
    clean("slots", history)
    assert len(moved) >= 8


async def test_i5_i7_a_tenth_of_all_packets_is_lost_between_two_network_namespaces():
    async def lose(world: World) -> None:
        await asyncio.sleep(2)
        way.loss = 0.1
        await asyncio.sleep(6)
        way.loss = 0.0

    with lossy() as (server, way):
        async with world({"redis": server.url}) as made:
            history = await made.play(11, lose)
        assert way.lost > 50
    clean("packets", history)


@pytest.mark.skipif(faketime_library() is None, reason="moving a clock needs libfaketime: Linux on x86_64")
async def test_i7_the_servers_clock_is_set_by_a_second_now_and_then():
    """As by somebody who has no NTP; less than the grace, in both directions."""

    async def leap(world: World) -> None:
        for seconds in (1.2, -1.2, 1.2, -1.2, 1.2):
            await asyncio.sleep(1.6)
            await asyncio.to_thread(server.clock.advance, seconds)

    server = RedisServer(port=True).start()
    try:
        async with world({"redis": server.url}) as made:
            history = await made.play(11, leap)
    finally:
        server.close()
    clean("the server's clock", history)


async def test_i7_the_apps_wall_clock_leaps_by_hours(tmp_path):
    """Time comes from Redis and from a clock that only goes forward."""
    file = tmp_path / "clock"
    file.write_text("0\n")
    clock = TravelClock(file)

    async def leap(world: World) -> None:
        for hours in (3, -5, 0, 24):
            await asyncio.sleep(2)
            clock.set(hours * 3600)

    server = RedisServer(port=True, travel=False).start()
    try:
        async with world({"redis": server.url, "wall_clock": str(file)}) as made:
            history = await made.play(11, leap)
            clocks = [(await process.state())["clock"] for process in made.processes]
    finally:
        server.close()
    clean("the app's clock", history)
    assert [time.time() + 24 * 3600] * 2 == pytest.approx(clocks, abs=30)
