"""The circuit breaker, step by step."""

from __future__ import annotations

import pytest
from support.ticks import Ticks

from asgi_tokenguard.geo.breaker import FAILURES, OPEN_SECONDS, CircuitBreaker


@pytest.fixture
def clock():
    return Ticks()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(clock)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    assert [False] * (FAILURES - 1) + [True] == [breaker.failed() for _ in range(FAILURES)]
    return breaker


def test_it_opens_after_five_failures_in_a_row(breaker):
    for _ in range(FAILURES - 1):
        assert not breaker.failed()
        assert breaker.permits()
    assert breaker.failed()
    assert not breaker.permits()


def test_a_success_starts_the_count_again(breaker):
    for _ in range(3):
        for _ in range(FAILURES - 1):
            assert not breaker.failed()
        assert not breaker.succeeded()
    assert breaker.permits()


def test_open_it_lets_nothing_pass_for_30_seconds_then_one_call(breaker, clock):
    opened(breaker)
    clock.advance(OPEN_SECONDS - 0.1)
    assert not breaker.permits()
    clock.advance(0.1)
    assert [True, False, False] == [breaker.permits() for _ in range(3)]


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    opened(breaker)
    clock.advance(OPEN_SECONDS)
    assert breaker.permits()
    assert breaker.succeeded()
    assert [True, True] == [breaker.permits(), breaker.permits()]
    assert not breaker.failed()


def test_a_probe_that_fails_opens_it_again(breaker, clock):
    opened(breaker)
    clock.advance(OPEN_SECONDS)
    assert breaker.permits()
    clock.advance(1)
    assert not breaker.failed()  # it was open
    clock.advance(OPEN_SECONDS - 0.1)
    assert not breaker.permits()
    clock.advance(0.1)
    assert [True, False] == [breaker.permits(), breaker.permits()]


def test_a_probe_that_nobody_hears_of_again_does_not_keep_it_open_for_ever(breaker, clock):
    opened(breaker)
    clock.advance(OPEN_SECONDS)
    assert breaker.permits()
    clock.advance(OPEN_SECONDS)
    assert [True, False] == [breaker.permits(), breaker.permits()]


def test_a_late_success_closes_it_too(breaker):
    opened(breaker)
    assert breaker.succeeded()
    assert breaker.permits()
