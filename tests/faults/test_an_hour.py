"""
An hour, compressed: nothing that a request, a rotation, a session or a fault brought is kept.

The measure is what Python's collector knows: memory of the process says little in half a minute.  `benchmarks/soak.py` looks
at that for as long as you like.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.cables import wire_to
from support.world import LIFETIMES, World, report, world

from asgi_tokenguard.core.lifetimes import ACCESS

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(180)]
# An hour has so many lives of an access token, and so many seconds last those of this world.
HOUR = 3600 / ACCESS * LIFETIMES["access"]
# A request that is kept is seven objects to the collector or more, and some thousands are served in the hour.
MOST = 2_000


async def settled(world: World) -> int:
    """The objects of all processes, once nobody asks and what hung up is gone."""
    for process in world.processes:
        process.hang_up()
    await asyncio.sleep(LIFETIMES["access"] + 1)  # what is known of tokens ends with them
    return sum([(await process.state())["objects"] for process in world.processes])


async def an_hour(url: str, fault: Any, **settings: Any) -> int:
    """How many objects more there are after an hour than after the minutes before it."""
    async with world({"redis": url} | settings, impatient=0.1) as made:
        await made.play(6, fault)
        before = await settled(made)
        made.is_open = True
        history = await made.play(HOUR, fault)
        grown = await settled(made) - before
    report(f"an hour, {grown:+,} objects", history, [])
    assert history.served() >= 200, "too little was served to show anything"
    return grown


async def test_i10_an_hour_with_a_way_that_is_cut_now_and_then_leaves_nothing(own):
    async def cut(world: World) -> None:
        for _ in range(2):
            await asyncio.sleep(1)
            wire.cut()
            await asyncio.sleep(0.6)
            wire.mend()

    async with wire_to(own) as wire:
        assert await an_hour(f"redis://127.0.0.1:{wire.port}", cut) < MOST


async def test_a_middleware_that_keeps_what_it_saw_is_found(own):
    async def nothing(world: World) -> None:
        pass

    assert await an_hour(own.url, nothing, broken="memory") > 5 * MOST
