"""What the store is asked and what it answers; apart from `redis.py`, since redis costs 300 ms to import."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.doubts import Doubt
from asgi_tokenguard.core.records import Record
from asgi_tokenguard.core.rotation import Outcome, Presented


class Late(Enum):
    """What the second look of I15 found."""

    GONE = "gone"
    MOVED = "moved"
    SEEN = "seen"
    UNSEEN = "unseen"


class Whose(Enum):
    """Which sessions of a user end."""

    ONE = "one"
    OTHERS = "others"
    ALL = "all"


class Tracking(StrEnum):
    """How the verified-token cache of an event loop hears of changes; the values are fit for the label of a gauge."""

    OFF = "off"
    """There is no cache (`cache=False`): every request asks Redis, as it was told to."""
    IDLE = "idle"
    """No token has been served in this loop yet that could be kept."""
    CONNECTING = "connecting"
    """A connection is lost or not open yet, or a lease is late: every request asks Redis until that is over."""
    ON = "on"
    """Tokens are served from memory."""
    REFUSED = "refused"
    """The server does not allow `CLIENT TRACKING` or the lease: every request asks Redis.  Tried again each minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """
    What the rotation table did; *record* is None where the session is over, and *reason* says what that is called.

    *doubts* are those of the visit, also where it has passed.
    """

    presented: Presented
    outcome: Outcome
    record: Record | None
    doubts: frozenset[Doubt] = frozenset()
    reason: Code | None = None
