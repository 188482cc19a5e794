"""
What was asked and answered, and what that proves.

A world under faults records every request of its honest clients and every revocation, all on one clock.  `violations` reads
the record afterwards: nothing in it depends on how the package does what it does, only on what it promises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

# By these a client learns that its session is over; all other refusals are about the request.
ACCUSED = {"reuse_detected", "rolled_back_client", "cookie_not_stored"}
OVER = {"session_ended", "session_expired", "revoked", "replaced", "logged_out", *ACCUSED}

# Less than this shows nothing; usually some hundred requests a second are served.
SERVED, SERVED_AGAIN, ENDED, ROTATED = 300, 100, 5, 5
# How soon after a fault that everybody had time to notice the first is served again, and from when on nobody is refused (s).
AGAIN_WITHIN = 1.0


@dataclass(frozen=True, slots=True)
class Token:
    """A refresh token, as far as it can be told from others."""

    gen: int
    jti: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer; *status* 0 where none came.  Times are seconds of one clock."""

    client: str
    session: str
    started: float
    ended: float
    status: int
    code: str = ""
    shown: Token | None = None
    given: Token | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """A session was ended on purpose: asked for at *asked*, confirmed at *confirmed* (None: nobody knows)."""

    session: str
    asked: float
    confirmed: float | None


@dataclass(slots=True)
class History:
    exchanges: list[Exchange] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    # When the store was emptied by the fault itself: sessions from before may be gone, but nobody is accused.
    emptied: list[float] = field(default_factory=list)
    # When the fault was over and everybody had had time to notice.
    calm_since: float = inf

    def violations(self, *, staleness: float) -> list[str]:
        """Each broken promise in a line; *staleness* is the bound on what is served from memory (s)."""
        return [
            *self._accepted_after_a_revocation(staleness),
            *self._two_successors(),
            *self._lost_sessions(),
            *self._wrong_answers(),
            *self._refused_when_all_was_well(),
        ]

    def served(self) -> int:
        return sum(exchange.status == 200 for exchange in self.exchanges)

    def after_the_fault(self) -> list[float]:
        """When requests began that were served once it was over, from the first on."""
        return sorted(each.started for each in self.exchanges if each.status == 200 and each.started > self.calm_since)

    def shows_something(self) -> bool:
        """Whether enough was served and ended, some of it after the fault, to make no violation mean something."""
        served, again = self.served(), len(self.after_the_fault())
        rotated = sum(each.given is not None for each in self.exchanges)
        return served >= SERVED and again >= SERVED_AGAIN and len(self.endings) >= ENDED and rotated >= ROTATED

    def waited_after_the_fault(self) -> float:
        return min(self.after_the_fault(), default=inf) - self.calm_since

    def _accepted_after_a_revocation(self, staleness: float) -> Iterator[str]:
        confirmed: dict[str, float] = {}
        for ending in self.endings:
            if ending.confirmed is not None:
                confirmed[ending.session] = min(ending.confirmed, confirmed.get(ending.session, ending.confirmed))
        for each in self.exchanges:
            since = confirmed.get(each.session)
            if since is not None and each.status == 200 and each.started > since + staleness:
                yield f"{each.session}: served {each.started - since:.3f} s after its revocation was confirmed"

    def _two_successors(self) -> Iterator[str]:
        """Each refresh token has at most one successor, and each generation one token."""
        successors: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for each in self.exchanges:
            if each.given is not None:
                successors[each.session, f"generation {each.given.gen}"].add(each.given.jti)
                if each.shown is not None and each.shown != each.given:
                    successors[each.session, f"successor of {each.shown.jti}"].add(each.given.jti)
        for (session, of), jtis in successors.items():
            if len(jtis) > 1:
                yield f"{session}: {len(jtis)} refresh tokens are {of}"

    def _lost_sessions(self) -> Iterator[str]:
        asked: dict[str, float] = {}
        for ending in self.endings:
            asked.setdefault(ending.session, ending.asked)
        began: dict[str, float] = {}
        for each in self.exchanges:
            began[each.session] = min(each.started, began.get(each.session, inf))
        for each in self.exchanges:
            # Who is accused was not ended by the clerk: that has another name.
            if each.status == 401 and each.code in ACCUSED:
                yield f"{each.session}: {each.client} was told {each.code}, and nobody had stolen anything"
            elif each.status == 401 and each.code in OVER and not asked.get(each.session, each.ended) < each.ended:
                # A session that began later was not in what was lost.
                forgotten = any(began[each.session] < moment < each.ended for moment in self.emptied)
                if not forgotten:
                    yield f"{each.session}: {each.client} was told {each.code}, and nobody had ended it"

    def _wrong_answers(self) -> Iterator[str]:
        for each in self.exchanges:
            if each.status not in {0, 200, 401, 503}:
                took = each.ended - each.started
                yield f"{each.session}: {each.client} was answered {each.status} {each.code} after {took:.1f} s"
            if each.status == 401 and each.code not in OVER:
                yield f"{each.session}: {each.client} was refused: {each.code}"

    def _refused_when_all_was_well(self) -> Iterator[str]:
        """Once everybody has had time to notice that the fault is over, all are served, not only some."""
        for each in self.exchanges:
            late = each.started - self.calm_since
            if each.status == 503 and late > AGAIN_WITHIN:
                yield f"{each.session}: {each.client} was answered 503 {each.code} {late:.1f} s after all was well"
