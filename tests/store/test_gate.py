"""Who is let wait for Redis, and who is told at once that it is in vain."""

from __future__ import annotations

import logging

import pytest
from support.time import Hand

from asgi_tokenguard import StoreUnavailable
from asgi_tokenguard.store.connect import POOL
from asgi_tokenguard.store.gate import COUNTED, REPEAT_SECONDS, Gate


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def gate(clock) -> Gate:
    return Gate(1.0, clock)


def admitted(gate: Gate, most: int) -> int:
    """How many are let in until one is not."""
    for number in range(most):
        try:
            gate.enter()
        except StoreUnavailable:
            return number
    return most


def serve(gate: Gate, clock: Hand, seconds: float, times: int = 1) -> None:
    """So many questions, one answer after the other, each so many seconds after the last."""
    for _ in range(times):
        gate.enter()
    for _ in range(times):
        clock.now += seconds
        gate.answered()


def test_a_crowd_before_a_quick_server_may_wait(gate):
    assert 1_000 == admitted(gate, 1_000)


def test_who_would_be_too_late_is_refused(gate, clock):
    """Ten milliseconds for each answer, a second's patience of which a half may be waited: fifty of them."""
    for _ in range(200):
        serve(gate, clock, 0.01)
    assert 40 <= admitted(gate, 1_000) <= 60


def test_as_many_as_there_are_connections_always_wait(gate, clock):
    """However slow it was: they are who finds out that it is no more."""
    for _ in range(200):
        serve(gate, clock, 30.0)
    assert POOL == admitted(gate, 1_000)


def test_when_no_answer_comes_the_rest_need_not_wait(gate):
    assert POOL == admitted(gate, POOL)
    for _ in range(POOL):
        gate.gave_up()
    assert POOL == admitted(gate, 1_000)


def test_one_answer_opens_it_again(gate):
    admitted(gate, POOL)
    for _ in range(POOL):
        gate.gave_up()
    gate.enter()
    gate.answered()
    assert 100 == admitted(gate, 100)


def test_it_is_as_quick_again_as_its_server(gate, clock):
    for _ in range(200):
        serve(gate, clock, 0.5)
    for _ in range(2 * COUNTED):
        serve(gate, clock, 0.0001)
    assert 500 == admitted(gate, 500)


def test_an_app_that_stood_still_for_a_second_has_seen_no_slow_server(gate, clock):
    serve(gate, clock, 0.0001, times=100)
    gate.enter()
    clock.now += 1.0  # the event loop did not run; then all is read at once
    gate.answered()
    assert 500 == admitted(gate, 500)


def test_answers_that_come_in_rounds_are_as_slow_as_the_rounds(gate, clock):
    """Eight connections, a round each 80 ms: one answer in 10 ms."""
    for _ in range(30):
        for _ in range(8):
            gate.enter()
        clock.now += 0.08
        for _ in range(8):
            gate.answered()
    assert 40 <= admitted(gate, 1_000) <= 60


def test_a_long_rest_is_no_slowness(gate, clock):
    serve(gate, clock, 0.0001, times=20)
    clock.now += 3_600
    serve(gate, clock, 0.0001, times=20)
    assert 1_000 == admitted(gate, 1_000)


def test_refusals_are_told_once_a_minute(gate, clock, caplog):
    with caplog.at_level(logging.ERROR, "asgi_tokenguard"):
        for _ in range(200):
            serve(gate, clock, 30.0)
        admitted(gate, POOL)
        for _ in range(100):
            admitted(gate, 1)
        assert 1 == len(caplog.records)
        clock.now += REPEAT_SECONDS
        admitted(gate, 1)
        assert "refused at once: 100, waiting: 8" in caplog.records[-1].getMessage()
