"""What was found before: in this process, and in a store that several processes share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final, Literal, Protocol

from asgi_tokenguard.core.places import Place

# Precedent for both: ipinfo's own client keeps 4096 answers for 24 hours.  An entry takes some 500 bytes.
ENTRIES: Final = 4096
PLACE_SECONDS: Final = 86_400.0
# What the data do not know today they may know tomorrow, but no user waits for that.
UNKNOWN_SECONDS: Final = 600.0
# A failure says nothing about the address.  Long enough that the parallel requests of one page ask once, short enough that
# a user who is asked for a password because of it, and reloads, is not asked again for long.
FAILURE_SECONDS: Final = 5.0


class Miss(Enum):
    """That a cache does not know, which is not that an address has no place."""

    MISS = "miss"


MISS: Final = Miss.MISS
Known = Place | Literal[Miss.MISS] | None


class PlaceCache(Protocol):
    """
    A cache that several processes share.

    *get* answers with what was put under the address, None included, or with `MISS`; *put* keeps it for *ttl_seconds* at most.
    Addresses come in one form, so that they are keys as they are.  A cache that raises, or that takes longer than a tenth of a
    second, is a miss.  What it answers is believed: whoever can write to it can put a thief where the owner is.
    """

    async def get(self, address: str) -> Known: ...

    async def put(self, address: str, place_or_none: Place | None, ttl_seconds: float) -> None: ...


class MemoryCache:
    """The cache of this process: at most *entries*, of which the one that was not used for longest makes room."""

    __slots__ = ("_clock", "_entries", "_found")

    def __init__(self, clock: Callable[[], float], *, entries: int = ENTRIES) -> None:
        self._clock = clock
        self._entries = entries
        self._found: OrderedDict[str, tuple[Place | None, float]] = OrderedDict()

    def get(self, address: str) -> Known:
        # Taken out and put back at the end, each at one stroke: loops in other threads may use the same locator.
        entry = self._found.pop(address, None)
        if entry is None or self._clock() >= entry[1]:
            return MISS
        self._found[address] = entry
        return entry[0]

    def put(self, address: str, place: Place | None, ttl_seconds: float) -> None:
        self._found.pop(address, None)
        self._found[address] = place, self._clock() + ttl_seconds
        if len(self._found) > self._entries:
            self._found.popitem(last=False)
