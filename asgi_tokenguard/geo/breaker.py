"""A circuit breaker: who does not answer is not asked for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# Five failures in a row are no accident.  Precedents: the defaults of Envoy's outlier detection and of pybreaker.
FAILURES: Final = 5
# How long nobody waits for a dead provider; after that one look-up pays the timeout to see whether it lives.  Precedents:
# 30 s in Envoy, 60 s in pybreaker and resilience4j.
OPEN_SECONDS: Final = 30.0


class CircuitBreaker:
    """
    Lets calls pass, or not.

    Closed, it lets all pass.  After *failures* in a row it is open, and none passes for *seconds*; then it is half-open: one
    passes, and its outcome opens or closes it.

    A probe whose outcome is never told, since it was cancelled, counts as over after *seconds*: then the next may pass.
    """

    __slots__ = ("_clock", "_failed", "_failures", "_retry_at", "_seconds")

    def __init__(self, clock: Callable[[], float], *, failures: int = FAILURES, seconds: float = OPEN_SECONDS) -> None:
        self._clock = clock
        self._failures = failures
        self._seconds = seconds
        self._failed = 0
        self._retry_at = 0.0

    @property
    def _is_closed(self) -> bool:
        return self._failed < self._failures

    def permits(self) -> bool:
        """Whether a call may be made now.  Whoever is told so makes it: a half-open breaker says it once."""
        if self._is_closed:
            return True
        now = self._clock()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._seconds
        return True

    def failed(self) -> bool:
        """Count a failure; whether the breaker opened by it."""
        was_closed = self._is_closed
        self._failed += 1
        if self._is_closed:
            return False
        self._retry_at = self._clock() + self._seconds
        return was_closed

    def succeeded(self) -> bool:
        """Count a success, of a call made before it opened as well; whether the breaker closed by it."""
        was_closed, self._failed = self._is_closed, 0
        return not was_closed
