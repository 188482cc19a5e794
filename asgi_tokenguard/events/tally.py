"""What an outbox counts and logs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Final

logger = logging.getLogger("asgi_tokenguard")

# As often as the log is told of one and the same cause; a sink that is down makes hundreds of failures a second.
AGAIN: Final = 60.0


class Tally:
    """
    Counts and logs for one outbox, over all its event loops.

    *dropped* counts jobs that are lost, *failed* counts runs that raised.  Neither keys nor messages of errors are logged:
    they hold subjects (SQLAlchemy's errors quote the parameters of the statement).
    """

    __slots__ = ("_is_full", "_monotonic", "_refused", "_said", "dropped", "failed")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.dropped = 0
        self.failed = 0
        self._monotonic = monotonic
        self._is_full = False
        self._refused = 0
        self._said: dict[Hashable, float] = {}

    def refused(self, capacity: int) -> None:
        """A job was dropped because the box is full; logged once, until `drained`."""
        self.dropped += 1
        self._refused += 1
        if not self._is_full:
            self._is_full = True
            logger.error("the outbox is full: %d jobs wait, new ones are dropped until some are done", capacity)

    def drained(self) -> None:
        """At most half of the box is in use.  Half, since a box that is full now and then would log each time."""
        if self._is_full:
            logger.warning("the outbox takes jobs again, %d were dropped", self._refused)
            self._is_full = False
            self._refused = 0

    def raised(self, error: BaseException) -> None:
        """A run failed and its job waits to run again."""
        self.failed += 1
        cause = cause_of(error)
        if self._is_news(cause):
            logger.warning("a background job failed and is tried again, %d failures so far: %s", self.failed, cause)

    def given_up(self, error: BaseException, attempts: int) -> None:
        """A run failed and its job was dropped after *attempts* failures."""
        self.failed += 1
        self.dropped += 1
        cause = cause_of(error)
        if self._is_news(("given up", cause)):
            logger.error("a background job was dropped after %d failures, %d dropped so far: %s", attempts, self.dropped, cause)

    def lost(self, jobs: int, reason: str) -> None:
        if jobs:
            self.dropped += jobs
            logger.error("%d background jobs were dropped: %s", jobs, reason)

    def _is_news(self, subject: Hashable) -> bool:
        now = self._monotonic()
        said = self._said.get(subject)
        if said is not None and now - said < AGAIN:
            return False
        self._said[subject] = now
        return True


def cause_of(error: BaseException) -> str:
    """The type of *error* and the line that raised it: enough to find it, and nothing of the data."""
    place = ""
    step = error.__traceback__
    while step is not None:
        place = f" in {step.tb_frame.f_globals.get('__name__', '?')}:{step.tb_lineno}"
        step = step.tb_next
    return type(error).__name__ + place
