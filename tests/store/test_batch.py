"""Reads of one tick go out together, and none of them suffers for another."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from asgi_tokenguard.store.batch import MOST, Batch


class Sink:
    """Answers each field with itself, after *wait* seconds or never well."""

    def __init__(self, *, wait: float = 0.0, error: BaseException | None = None) -> None:
        self.asked: list[int] = []
        self.wait = wait
        self.error = error

    async def __call__(self, questions):
        self.asked.append(len(questions))
        await asyncio.sleep(self.wait)
        if self.error is not None:
            raise self.error
        return [field.encode() for _, field in questions]


async def test_all_of_one_tick_are_asked_as_one_and_each_gets_its_own():
    sink = Sink()
    batch = Batch(sink)
    answers = await asyncio.gather(*(batch.read("key", f"{number}") for number in range(64)))
    assert ([64], [b"%d" % number for number in range(64)]) == (sink.asked, answers)


async def test_the_question_of_all_runs_with_the_context_of_none():
    """Variables and spans of the first who asks are not those of the others, and would outlive the request."""
    variable: ContextVar[str] = ContextVar("variable", default="")
    seen = []

    async def ask(questions):
        seen.append(variable.get())
        return [b""] * len(questions)

    variable.set("of the first")
    await Batch(ask).read("key", "field")
    assert [""] == seen


async def test_a_later_tick_does_not_wait_for_an_earlier_one():
    sink = Sink(wait=0.2)
    batch = Batch(sink)
    first = asyncio.ensure_future(batch.read("key", "slow"))
    await asyncio.sleep(0.05)
    sink.wait = 0
    assert b"fast" == await asyncio.wait_for(batch.read("key", "fast"), 0.1)
    assert b"slow" == await first


async def test_one_who_leaves_harms_no_other():
    sink = Sink(wait=0.05)
    batch = Batch(sink)
    waiting = [asyncio.ensure_future(batch.read("key", f"{number}")) for number in range(10)]
    await asyncio.sleep(0.01)
    waiting[3].cancel()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers.pop(3), asyncio.CancelledError)
    assert ([10], 9) == (sink.asked, sum(isinstance(answer, bytes) for answer in answers))


async def test_who_leaves_before_the_tick_ends_harms_no_other_either():
    batch = Batch(Sink())
    leaves, stays = (asyncio.ensure_future(batch.read("key", name)) for name in ("leaves", "stays"))
    await asyncio.sleep(0)
    leaves.cancel()
    assert b"stays" == await asyncio.wait_for(stays, 5)


async def test_a_failure_reaches_all_who_asked_with_it_and_nobody_later():
    sink = Sink(error=OSError("away"))
    batch = Batch(sink)
    answers = await asyncio.gather(*(batch.read("key", "x") for _ in range(5)), return_exceptions=True)
    assert [OSError] * 5 == [type(answer) for answer in answers]
    sink.error = None
    assert b"x" == await batch.read("key", "x")


async def test_who_waits_is_let_go_when_the_asking_is_cancelled():
    batch = Batch(Sink(wait=60))
    waiting = asyncio.ensure_future(batch.read("key", "x"))
    await asyncio.sleep(0.01)
    for task in batch._tasks:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)


async def test_a_crowd_is_asked_in_parts():
    sink = Sink()
    batch = Batch(sink)
    await asyncio.gather(*(batch.read("key", "x") for _ in range(2 * MOST + 1)))
    assert [MOST, MOST, 1] == sink.asked
