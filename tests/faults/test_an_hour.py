"""
An hour, compressed: nothing that a request, a rotation, a session or a fault brought is kept.

An hour is four lives of an access token, as it is by default; here one lives four seconds, and the first play, after which
everything is counted for the first time, lasts six.  The measure of memory is what Python's collector knows: the memory of
the process says little in half a minute, and `benchmarks/soak.py` looks at that for as long as you like.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis
from support.cables import wire_to
from support.server import RedisServer
from support.world import LIFETIMES, World, report, world

from asgi_tokenguard.core.lifetimes import ACCESS
from asgi_tokenguard.store.connect import POOL

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(180)]
# An hour has so many lives of an access token, and so many seconds last those of this world.
HOUR = 3600 / ACCESS * LIFETIMES["access"]
# A request that is kept is seven objects to the collector or more, and some thousands are served in the hour.
MOST = 2_000
PROCESSES = 2  # of a world


class Held(NamedTuple):
    """What all processes hold together."""

    objects: int
    tasks: int
    files: int  # sockets are files
    connections: int  # as the server counts them


async def settled(world: World, server: RedisServer) -> Held:
    """What is held once nobody asks and what hung up is gone."""
    for process in world.processes:
        process.hang_up()
    await asyncio.sleep(LIFETIMES["access"] + 1)  # what is known of tokens ends with them
    states = [await process.state() for process in world.processes]
    async with Redis(unix_socket_path=str(server.socket)) as client:
        connections = len(await client.client_list()) - 1  # without this one
    return Held(*(sum(each[name] for each in states) for name in ("objects", "tasks", "files")), connections)


async def an_hour(server: RedisServer, url: str, fault: Any, **settings: Any) -> tuple[Held, Held]:
    """What is held before the hour and after it."""
    async with world({"redis": url} | settings, impatient=0.1) as made:
        await made.play(6, fault)
        before = await settled(made, server)
        made.is_open = True
        history = await made.play(HOUR, fault)
        after = await settled(made, server)
    grown = ", ".join(f"{now - was:+,} {name}" for name, was, now in zip(Held._fields, before, after, strict=True))
    report(f"an hour, {grown}", history, [])
    assert history.served() >= 200, "too little was served to show anything"
    return before, after


async def test_i10_an_hour_with_a_way_that_is_cut_now_and_then_leaves_nothing(own):
    async def cut(world: World) -> None:
        for _ in range(2):
            await asyncio.sleep(1)
            wire.cut()
            await asyncio.sleep(0.6)
            wire.mend()

    async with wire_to(own) as wire:
        before, after = await an_hour(own, f"redis://127.0.0.1:{wire.port}", cut)
    assert after.objects - before.objects < MOST
    assert after.tasks <= before.tasks
    # A process has its pool and its channel at most, and no other file that it had not before: a socket that was cut and
    # never closed is a file, and to the server no connection.
    assert after.connections <= PROCESSES * (POOL + 1)
    assert after.files - after.connections <= before.files - before.connections


async def test_a_middleware_that_keeps_what_it_saw_is_found(own):
    async def nothing(world: World) -> None:
        pass

    before, after = await an_hour(own, own.url, nothing, broken="memory")
    assert after.objects - before.objects > 5 * MOST
