"""How long a failed job waits before it runs again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

# 2 ** 32 first waits are longer than any cap; without this bound, years of failures would overflow a float.
MAX_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """
    Waits that double from *first* to *most* seconds, each shortened by chance to between a half and the whole of it.

    *attempts* is after how many failed runs a job is given up; None, the default, never gives up, so that nothing is lost
    while a sink is away.  Raises ValueError for waits that are no growing row of seconds.
    """

    # gRPC's connection backoff starts at 1 s as well.
    first: float = 1.0
    # A sink that is back is level again within half a minute; 10,000 keys that wait for it are 450 tries a second at most.
    most: float = 30.0
    attempts: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.most < math.inf:
            raise ValueError("waits are seconds: 0 < first <= most")
        if self.attempts is not None and self.attempts < 1:
            raise ValueError("attempts is a positive number, or None for no end")

    def wait(self, failures: int, chance: float) -> float:
        """
        Seconds to wait after *failures* failed runs; *chance* is uniform in [0, 1).

        Never less than half: what failed together must part, but a wait near zero would not be one.
        """
        whole = min(self.most, self.first * 2.0 ** min(max(failures, 1) - 1, MAX_DOUBLINGS))
        return whole * (0.5 + chance / 2)
