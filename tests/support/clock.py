"""A clock that a test can move: the server's by libfaketime, a process's by the same file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


class TravelClock:
    """
    Moves time forward for a Redis server and for every guard that reads `monotonic` from it.

    The offset lives in a file, so that several processes travel together.
    """

    def __init__(self, file: Path, nudge: Callable[[], object] = lambda: None) -> None:
        self.file = file
        self._nudge = nudge

    @property
    def offset(self) -> float:
        # Read each time: a file's times move in ticks of 4 ms, and two leaps within one would look like one.
        return float(self.file.read_text())

    def monotonic(self) -> float:
        return time.monotonic() + self.offset

    def time(self) -> float:
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        self.set(float(self.file.read_text()) + seconds)

    def set(self, offset: float) -> None:
        # In place: libfaketime and our readers may look at any moment, and a rename would leave them with the old file.
        with self.file.open("r+") as file:
            file.write(f"{offset:+020.3f}\n")
            file.truncate()
        # The server keeps the time of its last round of events, so that its first command would still live in the past.
        self._nudge()
