"""What scripts are told so that they count (core/limits.py): nothing, where nothing is limited."""

from __future__ import annotations

from typing import TypeAlias

from asgi_tokenguard.core.doubts import ANYONE, Visit
from asgi_tokenguard.core.limits import Count, Limits

# The last arguments of a script: how long its user's numbers live (ms), then field, period and interval (us) of each.
Counted: TypeAlias = tuple[bytes | int, ...]


class Counting:
    """Knows what a login and a presentation count against."""

    def __init__(self, limits: Limits | None) -> None:
        self._limits = limits

    def login(self, visit: Visit) -> Counted:
        return () if self._limits is None else _told(self._limits, self._limits.of_login(visit.network))

    def presentation(self, sid: str, visit: Visit) -> Counted:
        # What has passed a judgement was counted when it met it: it is the same request.
        if self._limits is None or (visit.passed and visit is not ANYONE):
            return ()
        return _told(self._limits, self._limits.of_presentation(sid, visit.network))


def _told(limits: Limits, counts: tuple[Count, ...]) -> Counted:
    triples = (word for field, rate in counts for word in (field, rate.period, rate.interval))
    return (limits.longest_ms, *triples) if counts else ()
