"""How an outbox ends: flush, shutdown, cancellation, other event loops."""

from __future__ import annotations

import asyncio

import pytest
from support.jobs import Desk
from support.time import settle

from asgi_tokenguard.events import lane
from asgi_tokenguard.events.outbox import Outbox


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- Flush


async def test_a_flush_runs_all_that_waits(make, desk):
    outbox = make(concurrency=2)
    for number in range(50):
        outbox.put(number, desk.job(str(number)))
    assert 0 == await outbox.flush(5)
    assert 50 == len(desk.done)


async def test_a_flush_of_nothing_asks_for_no_time(make):
    assert 0 == await make().flush(0)


async def test_a_flush_does_not_wait_for_retries_and_runs_each_once(outbox, desk):
    outbox.put("mends", desk.failing("mends", times=1))
    outbox.put("fails", desk.failing("fails"))
    await settle()
    assert 1 == await outbox.flush(5)
    assert (["mends"], 2, 1) == (desk.done, desk.tried.count("fails"), outbox.pending)


async def test_after_a_flush_the_retries_go_on(outbox, desk, time):
    outbox.put("a", desk.failing("a", times=2))
    await settle()
    assert 1 == await outbox.flush(5)
    await time.advance(2)
    assert ["a"] == desk.done


async def test_a_flush_waits_for_what_comes_meanwhile(outbox, desk):
    outbox.put("a", desk.held("a"))
    flush = asyncio.create_task(outbox.flush(5))
    await settle()
    outbox.put("a", desk.job("a2"))
    outbox.put("b", desk.job("b"))
    desk.let("a")
    assert 0 == await flush
    assert {"a", "a2", "b"} == set(desk.done)


async def test_a_flush_ends_in_time_and_what_runs_goes_on(make, desk):
    outbox = make(concurrency=1)
    outbox.put("a", desk.held("a"))
    outbox.put("b", desk.job("b"))
    assert 2 == await outbox.flush(0.01)
    desk.let("a")
    await settle()
    assert ["a", "b"] == desk.done


async def test_a_cancelled_flush_cancels_no_job(outbox, desk):
    outbox.put("a", desk.held("a"))
    flush = asyncio.create_task(outbox.flush(5))
    await settle()
    flush.cancel()
    await settle()
    desk.let("a")
    await settle()
    assert (True, ["a"]) == (flush.cancelled(), desk.done)


# --- Shutdown


async def test_a_shutdown_flushes_then_cancels_and_counts_what_is_lost(outbox, desk, caplog):
    outbox.put("hangs", desk.held("hangs"))
    outbox.put("fails", desk.failing("fails"))
    outbox.put("runs", desk.job("runs"))
    await outbox.aclose(0.05)
    assert (["runs"], ["hangs"]) == (desk.done, desk.cancelled)
    assert (0, 2) == (outbox.pending, outbox.dropped)
    assert "2 background jobs were dropped" in caplog.text
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_a_shutdown_of_nothing_says_nothing(outbox, desk, caplog):
    outbox.put("a", desk.job("a"))
    await outbox.aclose()
    await outbox.aclose()
    assert (0, []) == (outbox.dropped, caplog.records)


async def test_a_put_after_the_shutdown_opens_it_again(outbox, desk):
    await outbox.aclose()
    outbox.put("a", desk.job("a"))
    await outbox.aclose()
    assert ["a"] == desk.done


async def test_a_put_while_jobs_are_being_cancelled_is_dropped_and_counted(outbox):
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            refused.append(outbox.put("b", stubborn))
            refused.append(outbox.put("a", stubborn))

    refused: list[bool] = []
    outbox.put("a", stubborn)
    await outbox.aclose(0.01)
    assert ([False, False], 3, 0) == (refused, outbox.dropped, outbox.pending)


async def test_a_job_that_is_done_while_it_is_cancelled_is_not_lost(outbox, desk):
    async def finishes() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            desk.done.append("a")

    outbox.put("a", finishes)
    outbox.put("b", desk.held("b"))
    await outbox.aclose(0.01)
    assert (["a"], 1) == (desk.done, outbox.dropped)


async def test_a_job_that_refuses_to_end_does_not_hold_the_shutdown_for_ever(outbox, monkeypatch):
    async def refuses() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    over = asyncio.Event()
    monkeypatch.setattr(lane, "CLEAN_UP", 0.05)
    outbox.put("a", refuses)
    async with asyncio.timeout(1):
        await outbox.aclose(0.01)
    assert 1 == outbox.dropped
    over.set()
    await settle()


async def test_a_cancelled_shutdown_leaves_no_task(outbox, desk):
    outbox.put("a", desk.held("a"))
    closing = asyncio.create_task(outbox.aclose(60))
    await settle()
    closing.cancel()
    await settle()
    assert (True, ["a"], 1, 0) == (closing.cancelled(), desk.cancelled, outbox.dropped, outbox.pending)
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_two_shutdowns_at_once_count_once(outbox, desk):
    outbox.put("a", desk.held("a"))
    await asyncio.gather(outbox.aclose(0.01), outbox.aclose(0.01))
    assert (1, 0) == (outbox.dropped, outbox.pending)


async def test_runners_that_someone_else_cancels_lose_nothing(outbox, desk):
    outbox.put("a", desk.held("a"))
    outbox.put("b", desk.failing("b", times=1))
    await settle()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await settle()
    assert (["a"], 2) == (desk.cancelled, outbox.pending)
    desk.let("a")
    outbox.put("c", desk.job("c"))
    assert 0 == await outbox.flush(5)
    assert {"a", "b", "c"} == set(desk.done)


# --- Event loops


def test_jobs_of_a_loop_that_ended_are_counted_and_the_next_loop_works(desk, caplog):
    outbox = Outbox()

    async def ends_at_once() -> None:
        outbox.put("never started", desk.job("never started"))

    async def ends_too_early() -> None:
        outbox.put("a", desk.held("a"))
        outbox.put("a2", desk.failing("a2"))
        await settle()

    async def next_loop() -> None:
        outbox.put("b", desk.job("b"))
        await settle()
        assert (["b"], 0) == (desk.done, outbox.pending)

    asyncio.run(ends_at_once())
    assert (0, 1) == (outbox.pending, outbox.dropped)
    asyncio.run(ends_too_early())
    assert 1 == outbox.dropped + outbox.pending - 2
    asyncio.run(next_loop())
    assert (3, ["b"], 0) == (outbox.dropped, desk.done, outbox.pending)
    assert "event loop has ended" in caplog.text


def test_two_loops_that_take_turns_keep_their_jobs(desk):
    outbox = Outbox()
    with asyncio.Runner() as one, asyncio.Runner() as two:

        async def put(name: str) -> None:
            outbox.put("a", desk.job(name))

        one.run(put("one"))
        two.run(put("two"))
        assert 2 == outbox.pending
        one.run(outbox.aclose())
        two.run(settle())
    assert (["one", "two"], 0, 0) == (desk.done, outbox.pending, outbox.dropped)


def test_a_job_that_ends_the_process_is_not_counted_as_done(desk):
    outbox = Outbox()

    async def main() -> None:
        outbox.put("a", desk.failing("a", error=SystemExit(3)))
        await asyncio.sleep(5)

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert (0, 1) == (outbox.failed, outbox.dropped)
