"""
The verified-token cache: which access tokens were live a moment ago.

Rule: nothing gets in but what Redis has just called live, and nothing is served but while three things hold: its deadline is
ahead, no change of its user's key was heard of since it was read, and the channel that would tell of one is trusted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

V = TypeVar("V")

# 50,000 signed-in users of one process between two rotations; at some 1.8 KB each they stay below the bound in bytes.
MOST_ENTRIES: Final = 65_536
# Claims are up to 4 KB of JSON, which can be thirty times as much in memory: the entries alone are no bound.
MOST_BYTES: Final = 128 * 2**20
# One token has many headers (`bearer`, `BEARER`, blanks): who sends them all pushes out nobody but themselves.
MOST_OF_ONE_USER: Final = 256
# A verdict, the names in it, its keys in two tables, and the tables' share.  `benchmarks/capacity.py` prints what an entry
# takes beside what is counted: with claims of 120 bytes 1,821 are counted (header, claims and scopes, counted apart, are 951),
# between the 1,769 by which the resident memory of 50,000 grows for each and the 1,884 that tracemalloc sees.
FRAME: Final = 870


class Verdict(NamedTuple, Generic[V]):
    value: V
    deadline: float  # monotonic seconds
    key: bytes
    size: int


class Reading:
    """A question to Redis about the user of *key* that is under way; a change heard of meanwhile makes its answer stale."""

    __slots__ = ("is_stale", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.is_stale = False


class VerdictCache(Generic[V]):
    """
    Verdicts by the whole value of the access header, of one event loop; every step takes the same time, however many there are.

    The channel (`tracking.py`) arms it, says until when it is trusted, and drops what has changed.
    """

    def __init__(self, *, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        # Monotonic seconds; the past while no lease is answered.
        self.trusted_until = -inf
        self.is_armed = False
        # Told of each change: whose key (None: anybody's), and until when the channel was trusted that told of it.
        self.listener: Callable[[bytes | None, float], None] | None = None
        self.size = 0
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._verdicts: dict[bytes, Verdict[V]] = {}
        self._fields: dict[bytes, set[bytes]] = {}
        self._readings: dict[bytes, set[Reading]] = {}

    def __len__(self) -> int:
        return len(self._verdicts)

    def get(self, field: bytes, now: float) -> V | None:
        """What was found out about *field*; None where it has to be asked (again)."""
        verdict = self._verdicts.get(field)
        if verdict is None or now >= self.trusted_until:
            return None
        if now >= verdict.deadline:
            self._drop(field, verdict)
            return None
        return verdict.value

    def begin(self, key: bytes) -> Reading | None:
        """
        Note that the user's *key* is about to be read; None while nobody listens for changes.

        Every reading is given back by `end`, whatever came of it.
        """
        if not self.is_armed:
            return None
        reading = Reading(key)
        self._readings.setdefault(key, set()).add(reading)
        return reading

    def end(self, reading: Reading) -> None:
        others = self._readings.get(reading.key)
        if others is not None:
            others.discard(reading)
            if not others:
                del self._readings[reading.key]

    def put(self, reading: Reading, field: bytes, value: V, deadline: float, size: int) -> None:
        """Keep what *reading* found out until *deadline*, unless its key has changed since it began."""
        if reading.is_stale or not self.is_armed:
            return
        old = self._verdicts.get(field)
        if old is not None:
            self._drop(field, old)
        fields = self._fields.setdefault(reading.key, set())
        if len(fields) >= MOST_OF_ONE_USER:
            some = next(iter(fields))
            self._drop(some, self._verdicts[some])
            fields = self._fields.setdefault(reading.key, set())
        verdict = Verdict(value, deadline, reading.key, size + sys.getsizeof(field) + FRAME)
        self._verdicts[field] = verdict
        fields.add(field)
        self.size += verdict.size
        # The oldest goes first: it is the next to expire, and a list in order of use would cost the warm path a write.
        while len(self._verdicts) > self._most_entries or self.size > self._most_bytes:
            oldest = next(iter(self._verdicts))
            self._drop(oldest, self._verdicts[oldest])

    def changed(self, key: bytes) -> None:
        """Somebody has changed the sessions of this user: what is known and what is being read is of the past."""
        for field in self._fields.pop(key, ()):
            self.size -= self._verdicts.pop(field).size
        for reading in self._readings.get(key, ()):
            reading.is_stale = True
        if self.listener is not None:
            self.listener(key, self.trusted_until)

    def arm(self) -> None:
        """From now on every change is heard of."""
        self.is_armed = True

    def distrust(self) -> None:
        """The channel is lost, and with it whatever it would have told: drop everything."""
        self.is_armed = False
        self.forget()
        self.trusted_until = -inf

    def forget(self) -> None:
        """All may have changed (`FLUSHALL`)."""
        self._verdicts.clear()
        self._fields.clear()
        self.size = 0
        for readings in self._readings.values():
            for reading in readings:
                reading.is_stale = True
        if self.listener is not None:
            self.listener(None, self.trusted_until)

    def _drop(self, field: bytes, verdict: Verdict[V]) -> None:
        del self._verdicts[field]
        self.size -= verdict.size
        fields = self._fields[verdict.key]
        fields.discard(field)
        if not fields:
            del self._fields[verdict.key]


def size_of(value: object) -> int:
    """Bytes that JSON values and tuples of them take in memory, each counted as if it were nobody else's."""
    # `json` makes the first two containers and no others; to ask the abstract classes instead took three times as long.
    if type(value) is dict:
        return sys.getsizeof(value) + sum(map(sys.getsizeof, value)) + sum(map(size_of, value.values()))
    if type(value) is list or type(value) is tuple:
        return sys.getsizeof(value) + sum(map(size_of, value))
    return sys.getsizeof(value)
