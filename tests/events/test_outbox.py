"""Work off the request path: order, coalescing, bound."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextvars import ContextVar

import pytest
from support.jobs import Desk
from support.time import settle

from asgi_tokenguard.core.backoff import Backoff
from asgi_tokenguard.events.outbox import Outbox

VARIABLE = ContextVar("VARIABLE", default="none")


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- Running


async def test_a_job_runs_after_its_put_and_not_inside_it(outbox, desk):
    assert outbox.put("a", desk.job("one")) is True
    assert ([], 1) == (desk.done, outbox.pending)
    await settle()
    assert (["one"], 0) == (desk.done, outbox.pending)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 brought eager tasks")
async def test_not_even_where_tasks_are_eager(outbox, desk):
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    outbox.put("a", desk.job("one"))
    assert [] == desk.tried
    await settle()
    assert ["one"] == desk.done


def test_a_put_where_no_loop_runs_is_an_error(desk):
    with pytest.raises(RuntimeError):
        Outbox().put("a", desk.job("one"))


async def test_keys_run_in_the_order_of_their_first_put(make, desk):
    outbox = make(concurrency=1)
    for name in ("a", "b", "c"):
        outbox.put(name, desk.job(name))
    outbox.put("a", desk.job("a2"))
    await settle()
    assert ["a2", "b", "c"] == desk.done


async def test_so_many_run_at_once_and_no_more(make, desk):
    outbox = make(concurrency=3)
    for number in range(10):
        outbox.put(number, desk.held(str(number)))
    await settle()
    assert (3, 10) == (desk.most, outbox.pending)
    for number in range(10):
        desk.let(str(number))
    await settle()
    assert (3, 0) == (desk.most, outbox.pending)
    assert {str(number) for number in range(10)} == set(desk.done)


async def test_a_job_that_hangs_holds_up_no_other(outbox, desk):
    outbox.put("hangs", desk.held("hangs"))
    outbox.put("runs", desk.job("runs"))
    await settle()
    assert ["runs"] == desk.done


async def test_a_job_that_hangs_is_cut_off_and_tried_again(make, desk, time):
    outbox = make(timeout=0.01, concurrency=1)
    outbox.put("hangs", desk.held("hangs"))
    outbox.put("runs", desk.job("runs"))
    await asyncio.sleep(0.05)
    assert (["runs"], ["hangs"], 1) == (desk.done, desk.cancelled, outbox.failed)
    desk.let("hangs")
    await time.advance(1)
    assert ["runs", "hangs"] == desk.done


async def test_jobs_see_no_variables_of_the_request_that_put_them(outbox):
    seen = []

    async def look() -> None:
        seen.append(VARIABLE.get())

    VARIABLE.set("of a request")
    outbox.put("a", look)
    await settle()
    assert ["none"] == seen


async def test_a_put_in_the_moment_when_a_runner_ends_is_run(make, desk):
    outbox = make(concurrency=1)

    async def last() -> None:
        # Runs after the runner has looked for more and before the outbox hears of its end.
        asyncio.get_running_loop().call_soon(outbox.put, "b", desk.job("b"))

    outbox.put("a", last)
    await settle()
    assert ["b"] == desk.done


async def test_an_idle_outbox_has_no_task(outbox, desk):
    outbox.put("a", desk.job("one"))
    await settle()
    assert {asyncio.current_task()} == asyncio.all_tasks()


# --- Coalescing


async def test_of_several_puts_that_wait_only_the_last_runs(outbox, desk):
    for number in range(5):
        assert outbox.put("a", desk.job(str(number)))
    assert 1 == outbox.pending
    await settle()
    assert (["4"], 0) == (desk.done, outbox.dropped)


async def test_puts_under_a_running_key_run_once_more_after_it(outbox, desk):
    outbox.put("a", desk.held("first"))
    await settle()
    outbox.put("a", desk.job("second"))
    outbox.put("a", desk.job("third"))
    await settle()
    assert (["first"], 1) == (desk.tried, outbox.pending)
    desk.let("first")
    await settle()
    assert (["first", "third"], 0) == (desk.done, outbox.pending)


async def test_a_job_may_put_its_own_key_again(outbox, desk):
    async def run() -> None:
        desk.done.append("first")
        outbox.put("a", desk.job("again"))

    outbox.put("a", run)
    await settle()
    assert ["first", "again"] == desk.done


@pytest.mark.parametrize("seed", range(5))
async def test_the_last_job_of_each_key_is_done_and_no_two_of_a_key_run_at_once(seed):
    """A thousand puts under ten keys, a third of the runs fail."""
    chance = random.Random(seed)
    outbox = Outbox(backoff=Backoff(first=0.001, most=0.004), random=chance.random)
    running, newest, done = defaultdict(int), {}, {}

    def job(key: int, number: int):
        async def run() -> None:
            running[key] += 1
            assert 1 == running[key]
            try:
                await asyncio.sleep(chance.choice([0, 0, 0.001]))
                if chance.random() < 0.3:
                    raise OSError
            finally:
                running[key] -= 1
            done[key] = number

        return run

    for number in range(1_000):
        key = chance.randrange(10)
        newest[key] = number
        assert outbox.put(key, job(key, number))
        if number % 10 == 0:
            await asyncio.sleep(chance.choice([0, 0.001]))
    async with asyncio.timeout(20):
        while outbox.pending:
            await asyncio.sleep(0.001)
    assert newest == done
    assert (0, True) == (outbox.dropped, outbox.failed > 0)
    await outbox.aclose()


# --- The bound


async def test_a_full_box_refuses_and_counts_and_takes_what_it_has_a_place_for(make, desk):
    outbox = make(capacity=2, concurrency=1)
    assert outbox.put("a", desk.job("a"))
    assert outbox.put("b", desk.job("b"))
    assert not outbox.put("c", desk.job("c"))
    assert outbox.put("a", desk.job("a2"))
    assert (2, 1) == (outbox.pending, outbox.dropped)
    await settle()
    assert outbox.put("c", desk.job("c2"))
    await settle()
    assert (["a2", "b", "c2"], 1) == (desk.done, outbox.dropped)


async def test_what_runs_and_what_waits_for_its_retry_takes_a_place_too(make, desk, time):
    outbox = make(capacity=2)
    outbox.put("runs", desk.held("runs"))
    outbox.put("failed", desk.failing("failed", times=1))
    await settle()
    assert (["runs", "failed"], 2) == (desk.tried, outbox.pending)
    assert not outbox.put("c", desk.job("c"))
    assert outbox.put("runs", desk.job("runs again"))
    desk.let("runs")
    await time.advance(1)
    assert (0, 1) == (outbox.pending, outbox.dropped)


async def test_a_burst_of_drops_is_logged_once_at_its_start_and_its_end(make, desk, caplog):
    outbox = make(capacity=4)
    for burst in ("one", "two"):
        for number in range(50):
            outbox.put(number, desk.held(burst + str(number)))
        await settle()
        desk.let(f"{burst}0")
        await settle()
        # A place is free and taken at once: this is still the same burst.
        assert (True, False) == (outbox.put("more", desk.job("more")), outbox.put("x", desk.job("x")))
        for number in range(1, 4):
            desk.let(burst + str(number))
        await settle()
        assert 0 == outbox.pending
    assert ["ERROR", "WARNING"] * 2 == [record.levelname for record in caplog.records]
    assert "is full: 4 jobs" in caplog.records[0].message
    assert "takes jobs again, 47 were dropped" in caplog.records[1].message
    assert 2 * 47 == outbox.dropped


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"concurrency": 0}, {"timeout": 0}, {"timeout": float("nan")}])
def test_numbers_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValueError):
        Outbox(**wrong)
