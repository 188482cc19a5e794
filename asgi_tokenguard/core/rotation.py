"""
What presenting a refresh token does.  Rule: the outcome is what `TABLE` says.

This file is the specification, and what the search runs on: `tests/core/explorer.py` finds a false logout when any one rule
is taken away.  What serves requests is `store/lua/present.lua`; a test compares the two row by row.  Change both.

Words: the *head* is the record's generation.  It is *seen* once its refresh token, or the access token minted with it, has
come back; it is *settled* once the grace has passed since its `mark`, twice the grace while it is unseen (a login's
generation has no predecessor, so it is always settled); it is *over* when its access token has expired.

Why twice: the grace bounds one trip over the wire.  A seen head has arrived, so that only requests which left before may
still carry its predecessor: one trip.  An unseen one may still be on its way, and a request with the predecessor may leave
just before it arrives: two trips.

A store that has *lost* its last writes (a lagging replica was promoted, an old snapshot restored) has lost marks as well: no
head counts as marked before the loss.  For two graces nobody is accused, and what was decided before does not leave late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import product
from typing import Final, NamedTuple, assert_never

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.doubts import (
    ANYONE,
    UNWATCHED,
    Doubt,
    Visit,
    Watch,
    doubts,
    leaving_now,
    note_late,
    remember,
    run_after,
)
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.records import Head


class Presented(Enum):
    """The presented generation, seen from the head."""

    HEAD = "head"
    TWIN = "twin"  # the head's generation under another jti: the store lost a write
    PREVIOUS = "previous"
    OLDER = "older"
    AHEAD = "ahead"  # newer than the head: the store lost a write


class Condition(NamedTuple):
    """The state of the head."""

    seen: bool
    settled: bool
    over: bool


class Outcome(Enum):
    """What follows."""

    ROTATE = "rotate"
    REPEAT = "repeat"  # the head's access token once more
    REDELIVER = "redeliver"  # the successor once more: the answer was lost, or tabs run in parallel
    STRAGGLER = "straggler"  # this request is served, nothing is handed out
    ADOPT = "adopt"  # the token is newer than the store: the store is mended
    REUSE = "reuse"  # owner or thief, we cannot tell: the session ends
    REFUSE = "refuse"  # this token does not count, the session lives on
    JUDGE = "judge"  # it would be served, but something is odd: nothing changes until that is judged


class Row(NamedTuple):
    """A row of the table; None stands for either."""

    presented: Presented
    outcome: Outcome
    seen: bool | None = None
    settled: bool | None = None
    over: bool | None = None

    def covers(self, presented: Presented, condition: Condition) -> bool:
        wanted = (self.seen, self.settled, self.over)
        return presented is self.presented and all(
            want is None or want is have for want, have in zip(wanted, condition, strict=True)
        )


ROWS: Final = (
    # Only once the access token is over, else parallel calls and idle tabs would rotate against each other (P1, P52).  Only
    # once settled: by then nobody honest still holds the predecessor.
    Row(Presented.HEAD, Outcome.ROTATE, settled=True, over=True),
    Row(Presented.HEAD, Outcome.REPEAT, settled=True, over=False),
    Row(Presented.HEAD, Outcome.REPEAT, settled=False),
    # Without a time limit: an answer may be lost in a tunnel and the tab asleep until tomorrow (I8).
    Row(Presented.PREVIOUS, Outcome.REDELIVER, seen=False),
    # Nothing is handed out, since a thief who polls with the superseded token would otherwise ride along for ever.
    Row(Presented.PREVIOUS, Outcome.STRAGGLER, seen=True, settled=False),
    Row(Presented.PREVIOUS, Outcome.REUSE, seen=True, settled=True),  # I9
    Row(Presented.OLDER, Outcome.REUSE),
    Row(Presented.TWIN, Outcome.REDELIVER, seen=False),
    Row(Presented.TWIN, Outcome.REFUSE, seen=True),
    Row(Presented.AHEAD, Outcome.ADOPT),
)

# When the store lost writes that has lost none, in milliseconds.
NEVER: Final = -(2**62)

Table = Mapping[tuple[Presented, Condition], Outcome]


def expand(rows: Iterable[Row]) -> Table:
    """The full product of *rows*; raises ValueError where two rows meet or none holds."""
    table = {}
    rows = tuple(rows)
    for presented, *flags in product(Presented, (False, True), (False, True), (False, True)):
        condition = Condition(*flags)
        outcomes = [row.outcome for row in rows if row.covers(presented, condition)]
        if len(outcomes) != 1:
            raise ValueError(f"{presented} under {condition} has {len(outcomes)} rows")
        table[presented, condition] = outcomes[0]
    return table


TABLE: Final = expand(ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A genuine refresh token's place in its family; *issued* in seconds."""

    gen: int
    jti: bytes = field(repr=False)
    issued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIds:
    """The jtis of the tokens that a step may mint, 16 bytes each."""

    access: bytes = field(repr=False)
    refresh: bytes = field(repr=False)


class Handout(NamedTuple):
    """What an answer carries: the refresh cookie, the access token, a freshness token."""

    cookie: bool
    token: bool
    fresh: bool = False


NOTHING: Final = Handout(cookie=False, token=False)


class Step(NamedTuple):
    """The outcome, the head after it (None: the session has ended) and what is handed out."""

    presented: Presented
    outcome: Outcome
    head: Head | None
    handout: Handout
    doubts: frozenset[Doubt] = frozenset()


def locate(head: Head, shown: Shown) -> Presented:
    # A counter, so no set of spent ids has to be kept.
    if shown.gen > head.gen:
        return Presented.AHEAD
    if shown.gen == head.gen:
        return Presented.HEAD if shown.jti == head.refresh_jti else Presented.TWIN
    return Presented.PREVIOUS if shown.gen == head.gen - 1 else Presented.OLDER


def condition(head: Head, now_ms: int, lifetimes: Lifetimes, lost_ms: int = NEVER) -> Condition:
    mark = max(NEVER if head.gen == 0 else head.mark, lost_ms)
    return Condition(
        seen=head.seen,
        settled=now_ms >= mark + lifetimes.grace_ms * (1 if head.seen else 2),
        over=now_ms // 1000 >= head.access_issued + lifetimes.access,
    )


def handout(outcome: Outcome, caller: Caller) -> Handout:
    """What *caller* is handed; who cannot receive is handed nothing, whatever the outcome (I12)."""
    if outcome in {Outcome.ROTATE, Outcome.REDELIVER}:
        return Handout(cookie=caller.takes_cookie, token=caller.takes_token)
    if outcome in {Outcome.REPEAT, Outcome.ADOPT}:
        return Handout(cookie=False, token=caller.takes_token)
    return NOTHING


def present(
    head: Head,
    shown: Shown,
    *,
    now_ms: int,
    lifetimes: Lifetimes,
    caller: Caller,
    new: NewIds,
    visit: Visit = ANYONE,
    watch: Watch = UNWATCHED,
    table: Table = TABLE,
    lost_ms: int = NEVER,
) -> Step:
    """
    Present *shown* to the session of *head* at *now_ms*; *visit* says from where, *watch* what about that is doubted.

    *lost_ms* is when the store may last have lost writes.
    """
    presented, state = locate(head, shown), condition(head, now_ms, lifetimes, lost_ms)
    outcome = table[presented, state]
    if outcome is Outcome.REUSE and now_ms < lost_ms + 2 * lifetimes.grace_ms:
        outcome = Outcome.REFUSE
    if outcome in {Outcome.REUSE, Outcome.REFUSE}:
        return Step(presented, outcome, None if outcome is Outcome.REUSE else head, NOTHING)
    superseded = presented is Presented.PREVIOUS
    head = note_late(head, now_ms, watch) if superseded else head
    found = doubts(
        head, visit, watch, superseded=superseded, redelivery=handout(outcome, caller).cookie and outcome is Outcome.REDELIVER
    )
    if found and not visit.passed:
        return Step(presented, Outcome.JUDGE, head, NOTHING, found)
    after = _after(outcome, head, shown, now_ms=now_ms, over=state.over, caller=caller, new=new)
    if visit.passed or (outcome is Outcome.ROTATE and caller.takes_cookie):
        after = remember(after, visit, found, receives=caller.takes_cookie)
    return Step(presented, outcome, after, handout(outcome, caller), found)


def _after(outcome: Outcome, head: Head, shown: Shown, *, now_ms: int, over: bool, caller: Caller, new: NewIds) -> Head:
    match outcome:
        case Outcome.REPEAT:
            return _fresh_access(_seen(head, now_ms), now_ms, over=over, caller=caller, new=new)
        case Outcome.STRAGGLER | Outcome.REFUSE | Outcome.REUSE | Outcome.JUDGE:
            return head
        case _ if caller is Caller.OTHER:
            return head  # who can receive nothing changes nothing
        case Outcome.ROTATE:
            return _successor(head, now_ms, new)
        case Outcome.REDELIVER:
            return _fresh_access(replace(head, mark=now_ms), now_ms, over=over, caller=caller, new=new)
        case Outcome.ADOPT:
            adopted = replace(head, gen=shown.gen, refresh_jti=shown.jti, refresh_issued=shown.issued, seen=True, mark=now_ms)
            adopted = replace(leaving_now(adopted, now_ms), late=False)
            return _with_access(adopted, now_ms, new)  # an access token belongs to one generation
        case _:
            assert_never(outcome)


def see(head: Head, *, gen: int, access_jti: bytes, now_ms: int) -> Head | None:
    """The head after its access token was accepted; None where that token is not the live one any more."""
    return _seen(head, now_ms) if (head.gen, head.access_jti) == (gen, access_jti) else None


def look(
    head: Head | None,
    leaving: Handout,
    *,
    gen: int,
    refresh_jti: bytes,
    now_ms: int,
    age_ms: int = 0,
    lost_ms: int = NEVER,
) -> tuple[Head | None, Handout]:
    """
    What of *leaving*, decided *age_ms* ago for generation *gen*, may still leave (I15).

    A cookie leaves only while its generation is the head and unseen: later ones would put an old cookie over a newer one.
    What was decided before the store lost writes does not leave: it may have been superseded, and nobody know it any more.
    """
    if head is None or (head.gen, head.refresh_jti) != (gen, refresh_jti) or now_ms - age_ms < lost_ms:
        return head, NOTHING
    if head.seen:
        return head, leaving._replace(cookie=False)
    if not leaving.cookie:
        return head, leaving
    if head.mark // 1000 == head.refresh_issued:  # not sent again since: it leaves for the first time
        head = leaving_now(head, now_ms)
    return replace(head, mark=now_ms), leaving


def replace_access(head: Head, *, now_ms: int, access_jti: bytes) -> Head:
    """The head with another live access token: the old one is dead, the next presentation repeats the new one."""
    return replace(head, access_jti=access_jti, access_issued=now_ms // 1000)


def renew(head: Head, *, now_ms: int, lifetimes: Lifetimes, new: NewIds, lost_ms: int = NEVER) -> tuple[Head, Handout]:
    """
    The head after a re-authentication (I16), and what may leave with it.

    It rotates only where nobody can still hold the predecessor: rotating an unseen head loses sessions within 7 steps.
    """
    state = condition(head, now_ms, lifetimes, lost_ms)
    auth_time = now_ms // 1000
    head = replace(head, late=False, late_run=0)  # whoever lingered has proved who they are
    if state.settled and (state.seen or head.gen == 0):
        return replace(_successor(head, now_ms, new), auth_time=auth_time), Handout(cookie=True, token=True)
    return replace(_with_access(head, now_ms, new), auth_time=auth_time), Handout(cookie=False, token=True)


def _seen(head: Head, now_ms: int) -> Head:
    return head if head.seen else replace(head, seen=True, mark=now_ms)


def _successor(head: Head, now_ms: int, new: NewIds) -> Head:
    rotated = replace(head, gen=head.gen + 1, refresh_jti=new.refresh, refresh_issued=now_ms // 1000, seen=False, mark=now_ms)
    rotated = replace(leaving_now(rotated, now_ms), late=False, late_run=run_after(head))
    return _with_access(rotated, now_ms, new)


def _with_access(head: Head, now_ms: int, new: NewIds) -> Head:
    return replace_access(head, now_ms=now_ms, access_jti=new.access)


def _fresh_access(head: Head, now_ms: int, *, over: bool, caller: Caller, new: NewIds) -> Head:
    return _with_access(head, now_ms, new) if over and caller.takes_token else head
