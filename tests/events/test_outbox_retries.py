"""Jobs that raise run again until they succeed."""

from __future__ import annotations

import asyncio

import pytest
from support.jobs import Desk
from support.time import settle

from asgi_tokenguard.core.backoff import Backoff


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_job_that_raises_is_tried_again_after_growing_waits(outbox, desk, time):
    outbox.put("a", desk.failing("a", times=3))
    await settle()
    for wait, tries in ((0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3), (3.9, 3), (0.1, 4)):
        await time.advance(wait)
        assert tries == len(desk.tried)
    assert (["a"], 0, 3, 0) == (desk.done, outbox.pending, outbox.failed, outbox.dropped)


async def test_it_is_tried_for_as_long_as_it_takes(outbox, desk, time):
    outbox.put("a", desk.failing("a", times=2_000))
    await time.advance(2_010 * 30)
    assert (["a"], 2_000, 0) == (desk.done, outbox.failed, outbox.dropped)


async def test_while_one_key_waits_others_run(make, desk, time):
    outbox = make(concurrency=1)
    outbox.put("a", desk.failing("a"))
    outbox.put("b", desk.job("b"))
    await settle()
    outbox.put("c", desk.job("c"))
    await settle()
    assert ["b", "c"] == desk.done


async def test_a_later_failure_may_be_due_earlier(outbox, desk, time):
    outbox.put("a", desk.failing("a", times=3))
    await time.advance(1)
    await time.advance(2)
    assert 3 == desk.tried.count("a")  # the next is due in four seconds
    outbox.put("b", desk.failing("b", times=1))
    await time.advance(1)
    assert ["b"] == desk.done
    await time.advance(3)
    assert ["b", "a"] == desk.done


async def test_a_put_under_a_key_that_waits_for_its_retry_replaces_the_job_and_keeps_the_wait(outbox, desk, time):
    outbox.put("a", desk.failing("old"))
    await time.advance(0.5)
    assert outbox.put("a", desk.job("new"))
    await settle()
    assert ([], 1) == (desk.done, outbox.pending)
    await time.advance(0.5)
    assert (["old", "new"], ["new"]) == (desk.tried, desk.done)


async def test_a_newer_job_follows_a_run_that_failed(outbox, desk, time):
    outbox.put("a", desk.held_failing("old"))
    await settle()
    outbox.put("a", desk.job("new"))
    desk.let("old")
    await settle()
    assert (["old"], 1, 1) == (desk.tried, outbox.pending, outbox.failed)
    await time.advance(1)
    assert (["old", "new"], 0) == (desk.tried, outbox.pending)


async def test_with_attempts_a_job_is_given_up_and_counted(make, desk, time, caplog):
    outbox = make(backoff=Backoff(attempts=3))
    outbox.put("a", desk.failing("a"))
    await time.advance(100)
    assert (3, 3, 1, 0) == (len(desk.tried), outbox.failed, outbox.dropped, outbox.pending)
    assert "dropped after 3 failures" in caplog.text


async def test_a_newer_job_has_all_its_attempts(make, desk, time):
    outbox = make(backoff=Backoff(attempts=3))
    outbox.put("a", desk.failing("old"))
    await time.advance(1)
    outbox.put("a", desk.failing("new", times=2))
    await time.advance(100)
    assert (["old"] * 2 + ["new"] * 3, ["new"]) == (desk.tried, desk.done)


async def test_a_job_that_came_during_the_last_attempt_of_another_is_not_given_up_with_it(make, desk, time):
    outbox = make(backoff=Backoff(attempts=1))
    outbox.put("a", desk.held_failing("old"))
    await settle()
    outbox.put("a", desk.job("new"))
    desk.let("old")
    await time.advance(1)
    assert (["new"], 1, 0) == (desk.done, outbox.failed, outbox.dropped)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ExceptionGroup("two", [OSError(), ValueError()]), TimeoutError()])
async def test_whatever_a_job_raises_is_tried_again(outbox, desk, time, error):
    outbox.put("a", desk.failing("a", times=1, error=error))
    await time.advance(1)
    assert ["a"] == desk.done


async def test_what_is_no_job_at_all_harms_no_other(outbox, desk):
    outbox.put("a", lambda: None)
    outbox.put("b", desk.job("b"))
    await settle()
    assert (["b"], 1) == (desk.done, outbox.failed)


async def test_an_outage_is_logged_once_a_minute_without_what_the_error_says(outbox, desk, time, caplog):
    for number in range(200):
        outbox.put(number, desk.failing("a"))
    await time.advance(59)
    assert 1 == len(caplog.records)
    await time.advance(10)
    assert 2 == len(caplog.records)
    assert "OSError in support.jobs:" in caplog.text
    assert "user-secret" not in caplog.text
