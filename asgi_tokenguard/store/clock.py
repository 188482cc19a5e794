"""One clock: Redis's, as this process knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

# Two quartz clocks part by at most 0.1 ms a second; after a minute that is 6 ms, far below the whole seconds of tokens.
RESYNC: Final = 60.0


class RedisClock:
    """
    Redis's time through an offset to a monotonic clock.

    Every script tells the time; plain reads ask for it once a minute.  A process whose own wall clock is wrong thus judges
    tokens as all others do.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._offset_ms = 0.0
        self._synced: float | None = None

    @property
    def is_synced(self) -> bool:
        return self._synced is not None

    @property
    def is_stale(self) -> bool:
        return self._synced is None or self.monotonic() - self._synced > RESYNC

    def sync(self, redis_ms: int, asked: float) -> None:
        """Take the time that Redis told in reply to a question of *asked* (monotonic)."""
        heard = self.monotonic()
        # Redis read its clock somewhere between question and answer, and a slow answer says no more than that: an offset
        # that fits between both stays as it is, one that does not moves to the nearer of them.  Taken from the answer alone
        # a reply that is a second late would set the clock back by a second, and what has expired would live again.
        least, most = redis_ms - heard * 1000, redis_ms - asked * 1000
        self._offset_ms = min(max(self._offset_ms, least), most) if self.is_synced else (least + most) / 2
        self._synced = heard

    def sync_time(self, reply: Sequence[bytes | int], asked: float) -> None:
        """Take the reply of TIME: seconds and microseconds."""
        self.sync(int(reply[0]) * 1000 + int(reply[1]) // 1000, asked)

    def monotonic_at(self, redis_ms: int) -> float:
        """When our monotonic clock will show what Redis's shows at *redis_ms*."""
        return (redis_ms - self._offset_ms) / 1000

    def now_ms(self) -> int:
        return int(self.monotonic() * 1000 + self._offset_ms)
