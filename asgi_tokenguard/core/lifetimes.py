"""How long things live, and the moments that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from asgi_tokenguard.errors import ConfigurationError

# Precedents: Auth0 and Okta hand out access tokens for 15 minutes to an hour in browsers; we take the short end, since a
# script gets a new one for nothing.
ACCESS: Final = 15 * 60
# Two weeks and a day: someone who comes every second week stays signed in.
IDLE: Final = 15 * 24 * 3600
# NIST SP 800-63B-4 section 2.1.3 asks for a definite end; 90 days is where "remember me" of large sites lies.
ABSOLUTE: Final = 90 * 24 * 3600
# A working day, and some: who opens the page in the morning is not cut off before going home.
SOCKET: Final = 12 * 3600
# Ory documents 60 s, Auth0 and Supabase 10 s or less.  Ours counts from the last sending or first sight, not from the
# rotation, so that it has to cover one trip over a slow network only.
GRACE: Final = 30.0
# A head that leaves later than this after its decision looks at the record again (I15).  One second is longer than nearly
# all handlers take, and far below the grace, which must cover it as well as the wire.
LOOK_AGAIN: Final = 1.0
# A session that outlives ten years is an oversight; and seconds since 1970 are kept in four bytes, which end in 2106.
LONGEST: Final = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True, init=False)
class Lifetimes:
    """
    How long tokens and sessions live, in seconds; each may be given as a `timedelta`.

    *access* is the life of an access token, *idle* how long a session lives after its last rotation, *absolute* how long
    after its login (it never moves), *grace* how long a superseded refresh token is still served after its successor was
    first seen; until then it is served as long as the session lives (default: 30 s, but at most half of *access*), *socket*
    after how long a WebSocket or a stream ends at the latest: it was opened with a token that may have been stolen since.

    Raises `ConfigurationError` where they contradict each other.
    """

    access: int
    idle: int
    absolute: int
    grace: float
    socket: int

    def __init__(
        self,
        *,
        access: float | timedelta = ACCESS,
        idle: float | timedelta = IDLE,
        absolute: float | timedelta = ABSOLUTE,
        grace: float | timedelta | None = None,
        socket: float | timedelta = SOCKET,
    ) -> None:
        whole = {"access": access, "idle": idle, "absolute": absolute, "socket": socket}
        for name, value in whole.items():
            object.__setattr__(self, name, _whole_seconds(name, value))
        object.__setattr__(self, "grace", min(GRACE, self.access / 2) if grace is None else _seconds("grace", grace))
        self._check()

    def _check(self) -> None:
        if not self.access < self.idle <= self.absolute:
            raise ConfigurationError(
                "lifetimes",
                f"access={self.access}, idle={self.idle} and absolute={self.absolute} are out of order",
                "choose access < idle <= absolute",
            )
        if self.absolute > LONGEST:
            raise ConfigurationError("lifetimes", "absolute is longer than ten years", "choose an end that comes")
        # `mark` counts milliseconds: a shorter grace would be none.
        if not 0.001 <= self.grace <= self.access / 2:  # noqa: PLR2004
            raise ConfigurationError(
                "lifetimes",
                f"grace={self.grace:g} s is not between 1 ms and half of the access lifetime ({self.access / 2:g} s)",
                "leave grace out for the default",
            )

    @property
    def grace_ms(self) -> int:
        return round(self.grace * 1000)

    @property
    def look_again(self) -> float:
        """Seconds after a decision from which its answer needs a second look (I15)."""
        return min(LOOK_AGAIN, self.grace / 3)


def _seconds(name: str, value: object) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError("lifetimes", f"{name} is {value!r}", "give seconds or a timedelta")
    return value


def _whole_seconds(name: str, value: object) -> int:
    seconds = _seconds(name, value)
    # NaN and infinity are neither whole nor comparable.
    if not 1 <= seconds < float("inf") or seconds != int(seconds):
        raise ConfigurationError("lifetimes", f"{name} is {value!r}", "give whole seconds, at least one")
    return int(seconds)
