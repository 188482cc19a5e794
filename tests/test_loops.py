"""What belongs to one event loop."""

from __future__ import annotations

import asyncio
import gc

import pytest

from asgi_tokenguard.loops import Flights, PerLoop


class Thing:
    alive = 0

    def __init__(self) -> None:
        # Connections hold their loop, as this does.
        self.loop = asyncio.get_running_loop()
        Thing.alive += 1

    def __del__(self) -> None:
        Thing.alive -= 1


async def hold(things: PerLoop[Thing]) -> Thing:
    assert things.found() is None
    thing = things.get(Thing)
    assert thing is things.get(Thing) is things.found()
    return thing


def test_each_loop_has_its_own_and_ended_loops_are_forgotten():
    things = PerLoop()
    seen = {id(asyncio.run(hold(things)).loop) for _ in range(5)}
    gc.collect()
    assert seen
    assert 1 == Thing.alive
    assert [] == things.everywhere()
    gc.collect()
    assert 0 == Thing.alive


def test_what_an_ended_loop_has_left_is_handed_on_once():
    left = []
    things = PerLoop(left.append)
    first, second = asyncio.run(hold(things)), asyncio.run(hold(things))
    assert [first] == left
    assert [] == things.everywhere()
    assert [first, second] == left


async def test_what_was_taken_away_is_made_anew_and_no_ended_loops_affair():
    left = []
    things = PerLoop(left.append)
    assert things.pop() is None
    first = things.get(Thing)
    assert first is things.pop()
    assert first is not things.get(Thing)
    other = things.put(Thing())
    assert [other] == things.everywhere()
    things.pop()
    assert [] == left


class Work:
    """Counts how often it was started, and ends when it is let go."""

    def __init__(self) -> None:
        self.started = 0
        self.go = asyncio.Event()

    async def __call__(self) -> str:
        self.started += 1
        await self.go.wait()
        return "done"


async def joined(flights: Flights[str], work: Work, number: int) -> list[asyncio.Task[str | None]]:
    tasks = [asyncio.ensure_future(flights.join("key", work)) for _ in range(number)]
    await asyncio.sleep(0.01)
    return tasks


async def test_who_comes_while_it_is_under_way_waits_for_the_same():
    flights, work = Flights(), Work()
    tasks = await joined(flights, work, 20)
    work.go.set()
    assert ["done"] * 20 == await asyncio.gather(*tasks)
    assert 1 == work.started
    assert {} == flights._tasks
    assert "done" == await flights.join("key", work)
    assert 2 == work.started


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_waiter_that_is_cancelled_harms_no_other_be_it_the_first(victim):
    flights, work = Flights(), Work()
    tasks = await joined(flights, work, 3)
    tasks[victim].cancel()
    await asyncio.sleep(0.01)
    assert tasks[victim].cancelled()
    work.go.set()
    del tasks[victim]
    assert ["done", "done"] == await asyncio.gather(*tasks)
    assert 1 == work.started


async def test_it_goes_on_when_nobody_waits_any_more():
    flights, work = Flights(), Work()
    (task,) = await joined(flights, work, 1)
    task.cancel()
    await asyncio.sleep(0.01)
    (again,) = await joined(flights, work, 1)
    work.go.set()
    assert "done" == await again
    assert 1 == work.started


async def test_at_the_end_waiters_get_none_and_are_not_cancelled():
    flights, work = Flights(), Work()
    tasks = await joined(flights, work, 3)
    await flights.aclose()
    assert [None] * 3 == await asyncio.gather(*tasks)
    assert {} == flights._tasks
    await flights.aclose()
