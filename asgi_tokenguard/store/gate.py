"""Who would wait for Redis in vain is told so at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from redis.exceptions import ResponseError

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.connect import POOL
from asgi_tokenguard.store.patience import OverloadedError

logger = logging.getLogger("asgi_tokenguard")

# A request asks twice where its token is first seen: who would use up half its time for one question would fail at the other.
SHARE: Final = 0.5
# Answers come in rounds, one of each connection: so many are counted as one.
COUNTED: Final = 2 * POOL
# How much slower it can seem from one count to the next: an app that stood still for a second has not seen Redis do so.
MOST_SLOWER: Final = 8
# What an answer takes before any has come; a round trip costs some 50 microseconds of processor time.
FIRST_PACE: Final = 0.0001
# How often the log says that requests are refused.
REPEAT_SECONDS: Final = 60


class Gate:
    """
    Bounds who waits for one node of the store, in one event loop; *patience* is how long a request waits at most (s).

    Refused is who comes while as many wait as there are connections, and either the answers come so slowly that this one would
    be late, or none has come to the last so many.  The few always wait: they find out when the node is back.  *words* are for
    the log: what is too slow.
    """

    __slots__ = (
        "_busy",
        "_counted",
        "_last",
        "_monotonic",
        "_pace",
        "_patience",
        "_refused",
        "_said",
        "_unanswered",
        "_words",
        "waiting",
    )

    def __init__(
        self, patience: float, monotonic: Callable[[], float], words: str = "Redis answers too slowly for all that is asked"
    ) -> None:
        self._patience = patience
        self._words = words
        self._monotonic = monotonic
        self.waiting = 0
        # Seconds between two answers while somebody waits.
        self._pace = FIRST_PACE
        # When the last answer came, or the first one began to wait.
        self._last = 0.0
        # Seconds in which somebody waited for the answers counted so far.
        self._busy, self._counted = 0.0, 0
        self._unanswered = 0
        self._refused = 0
        self._said = -float(REPEAT_SECONDS)

    def enter(self) -> None:
        """One more waits; raises `StoreUnavailable` where that is in vain."""
        if self.waiting >= POOL:
            is_silent = self._unanswered >= POOL
            if is_silent or self.waiting * self._pace > self._patience * SHARE:
                self._refuse()
        elif not self.waiting:
            self._last = self._monotonic()
        self.waiting += 1

    def answered(self) -> None:
        now = self._monotonic()
        self.waiting -= 1
        self._unanswered = 0
        self._busy += now - self._last
        self._last = now
        self._counted += 1
        if self._counted == COUNTED:
            self._pace = min(self._busy / COUNTED, MOST_SLOWER * self._pace)
            self._busy, self._counted = 0.0, 0

    def gave_up(self) -> None:
        """No answer came: the deadline passed, the connection broke, or the client went."""
        self.waiting -= 1
        self._unanswered += 1

    def left(self, error: BaseException | None = None) -> None:
        """Somebody waits no more; *error* is how that ended, if not well."""
        # An error that the server sent is an answer: it is there, and quick.
        if error is None or isinstance(error.__cause__, ResponseError):
            self.answered()
        else:
            self.gave_up()

    def _refuse(self) -> None:
        self._refused += 1
        now = self._monotonic()
        if now - self._said >= REPEAT_SECONDS:
            logger.error("%s; refused at once: %d, waiting: %d", self._words, self._refused, self.waiting)
            self._said, self._refused = now, 0
        raise StoreUnavailable from OverloadedError()
