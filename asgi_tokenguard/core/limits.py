"""
How often a user may log in, and refresh tokens be presented.

Rule: a limit withholds what a presentation is given, never what it proves.  A limited one is handed nothing and rotates
nothing; what it does to the record is what the same one does for a caller that can receive nothing (`core/rotation.py`), which
the search for false logouts has covered.  So a reuse is a reuse, a head that comes back is seen, a late token is late: a thief
who keeps a limit exhausted switches none of that off, and an honest browser is told to wait, never signed out.

What is refused anyway (a session that is over, a reuse) is neither limited nor counted: else a token that is long dead could
use up what its former owner needs.  Nor is the second step of a judgement: it is the same request.

The algorithm is the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): one number for each limit, exact, and no
window at whose edge twice as many pass.  `store/lua/limits.lua` says the same in Lua and is tested against this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final, NamedTuple

from asgi_tokenguard.errors import ConfigurationError

# Intervals are whole microseconds, rounded down; up to so many in a second not one more passes for that.
MOST: Final = 1000
# As long as a tombstone is kept: nothing that a user has done is remembered longer than a day.
LONGEST: Final = 86_400
# As many as tombstones of a user, and as many go at once where there is no room.
MOST_COUNTS, OLD_ONES = 128, 32
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, init=False)
class Rate:
    """
    So many in so many seconds: `Rate(10, per=60)` lets ten through at once, and one more every six seconds.

    *count* is a whole number up to 1,000, *per* whole seconds, or a `timedelta`, up to a day.
    """

    count: int
    per: int

    def __init__(self, count: int, *, per: float | timedelta) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
            raise ConfigurationError("limits", f"Rate({count!r}) is out of range", f"give a whole number from 1 to {MOST:,}")
        seconds = per.total_seconds() if isinstance(per, timedelta) else per
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= LONGEST or seconds % 1:
            remedy = "give whole seconds from 1 to 86,400, or a timedelta"
            raise ConfigurationError("limits", f"per={per!r} is out of range", remedy)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "per", int(seconds))

    @property
    def period(self) -> int:
        """Microseconds in which *count* pass."""
        return self.per * _MICROSECONDS

    @property
    def interval(self) -> int:
        """Microseconds after which one more passes."""
        return self.period // self.count


class Count(NamedTuple):
    """One thing that is counted: the field that holds its number, and how many may pass."""

    field: bytes
    rate: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    How often a user may log in, and refresh tokens be presented, each a `Rate` or None (no limit).

    A presentation is a genuine refresh token that is shown because no live access token was: one page view of a server-rendered
    app, one reload of a script's page.  An *address* is a user's network: the /24 or /64, or what `RiskPolicy` says.
    """

    logins_per_user: Rate | None = None
    logins_per_address: Rate | None = None
    presentations_per_session: Rate | None = None
    presentations_per_user: Rate | None = None
    presentations_per_address: Rate | None = None

    def __post_init__(self) -> None:
        for name, value in self._all():
            if value is not None and not isinstance(value, Rate):
                raise ConfigurationError("limits", f"{name} is a {type(value).__name__}", f"write {name}=Rate(10, per=60)")
        if not self._rates():
            raise ConfigurationError("limits", "Limits() of nothing would limit nothing", "give a rate, or leave limits out")

    def check(self, access: int) -> None:
        """Raise `ConfigurationError` where a session could not rotate once in *access* seconds, as it has to."""
        slow = [rate for rate in self.presentations if rate.per > rate.count * access]
        if slow:
            problem = f"{slow[0]} lets no token be presented once in an access lifetime ({access} s)"
            raise ConfigurationError("limits", problem, "let more through; each page or tab without a live token presents one")

    def of_login(self, network: bytes) -> tuple[Count, ...]:
        """What a login from *network* (its four-byte name) counts against."""
        return _counts((b"L", self.logins_per_user), (b"l" + network, self.logins_per_address))

    def of_presentation(self, sid: str, network: bytes) -> tuple[Count, ...]:
        """What a presentation of a token of session *sid* from *network* counts against."""
        return _counts(
            (sid.encode(), self.presentations_per_session),
            (b"P", self.presentations_per_user),
            (b"p" + network, self.presentations_per_address),
        )

    @property
    def presentations(self) -> tuple[Rate, ...]:
        """The rates of presentations."""
        return tuple(rate for name, rate in self._all() if rate is not None and name.startswith("presentations"))

    @property
    def longest_ms(self) -> int:
        """How long after its last change nothing of a count can matter any more."""
        return max(rate.per for rate in self._rates()) * 1000

    def _rates(self) -> list[Rate]:
        return [rate for _, rate in self._all() if rate is not None]

    def _all(self) -> list[tuple[str, Rate | None]]:
        return [(each.name, getattr(self, each.name)) for each in fields(self)]


def _counts(*found: tuple[bytes, Rate | None]) -> tuple[Count, ...]:
    return tuple(Count(field, rate) for field, rate in found if rate is not None)


class Weighed(NamedTuple):
    """The numbers after something was counted, or as they were where it has to wait for *wait_ms*."""

    numbers: Mapping[bytes, int]
    wait_ms: int


def weigh(numbers: Mapping[bytes, int], counts: Iterable[Count], *, now_ms: int) -> Weighed:
    """
    Count one more against all of *counts*, or, where any of them is full, against none.

    The *numbers* say when (µs) all that was counted will have been let through at its rate, one after another.
    """
    now = now_ms * 1000
    waits, after = [0], {}
    for field, rate in counts:
        full_at = now + rate.period
        before = numbers.get(field, 0)
        # No count reaches further ahead than its period: it was written under another rate, or by another clock before a
        # failover.  To believe it could refuse somebody for a day.
        before = before if now <= before <= full_at else now
        after[field] = before + rate.interval
        waits.append(after[field] - full_at)
    wait = max(waits)
    if wait > 0:
        return Weighed(numbers, -(-wait // 1000))
    return Weighed({**_with_room(numbers, len(after)), **after}, 0)


def _with_room(numbers: Mapping[bytes, int], more: int) -> Mapping[bytes, int]:
    """
    *numbers* without the oldest where there would be too many with *more*.

    Who comes from ever new networks fills them up.  What is let go is what would be idle soonest: it is worth least.
    """
    if len(numbers) + more <= MOST_COUNTS:
        return numbers
    return dict(sorted(numbers.items(), key=lambda item: item[1])[OLD_ONES:])


def seconds(wait_ms: int) -> int:
    """*wait_ms* as `Retry-After` has it: whole seconds, rounded up, since who comes a moment early is refused again."""
    return -(-wait_ms // 1000)
