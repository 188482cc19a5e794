"""One clock: Redis's, as far as question and answer can tell it."""

from __future__ import annotations

import pytest

from asgi_tokenguard.store.clock import RESYNC, RedisClock

NOW = 1_700_000_000_000  # what Redis says when the process has been up for 0 s


class Wire:
    """A clock, and questions to a Redis whose time runs with it."""

    def __init__(self) -> None:
        self.up = 0.0
        self.clock = RedisClock(lambda: self.up)

    def ask(self, there: float = 0.0, back: float = 0.0, *, ahead: int = 0) -> None:
        """Ask for the time; the way *there* and the way *back* take seconds, and Redis is *ahead* by milliseconds."""
        asked = self.up
        self.up += there
        told = self.true_ms + ahead
        self.up += back
        self.clock.sync(told, asked)

    @property
    def true_ms(self) -> int:
        return NOW + round(self.up * 1000)

    @property
    def error_ms(self) -> int:
        return self.clock.now_ms() - self.true_ms


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.mark.parametrize(("there", "back"), [(0.0, 0.9), (0.9, 0.0), (0.45, 0.45)])
def test_a_slow_reply_moves_no_clock_that_is_right(wire, there, back):
    """Else an answer that was a second late would set it back by a second, and what has expired would live again."""
    wire.ask()
    for _ in range(5):
        wire.ask(there, back)
        assert 0 == wire.error_ms


@pytest.mark.parametrize(("there", "back", "error"), [(0.0, 0.9, -450), (0.9, 0.0, 450), (0.45, 0.45, 0)])
def test_a_slow_first_reply_is_off_by_half_of_its_way_at_most_and_the_next_one_mends_it(wire, there, back, error):
    wire.ask(there, back)
    assert error == wire.error_ms
    wire.ask()
    assert 0 == wire.error_ms


@pytest.mark.parametrize("ahead", [-7_200_000, -3, 3, 7_200_000])
def test_a_redis_whose_clock_was_set_is_followed_at_once(wire, ahead):
    wire.ask()
    wire.ask(ahead=ahead)
    assert ahead == wire.error_ms


def test_the_reply_of_time_is_read_with_its_microseconds(wire):
    wire.clock.sync_time([b"1700000000", b"123999"], wire.up)
    assert NOW + 123 == wire.clock.now_ms()


def test_a_clock_that_heard_nothing_for_a_minute_asks_again(wire):
    assert (False, True) == (wire.clock.is_synced, wire.clock.is_stale)
    wire.ask()
    assert (True, False) == (wire.clock.is_synced, wire.clock.is_stale)
    wire.up += RESYNC + 1
    assert (True, True) == (wire.clock.is_synced, wire.clock.is_stale)
    wire.ask()
    assert not wire.clock.is_stale
