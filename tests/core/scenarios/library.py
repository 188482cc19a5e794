"""
What the library says, on the values of the scenarios.

Rule: every verdict is asked of `asgi_tokenguard`; here values become heads and heads values, and a rule is taken away by
another table, another argument, or by undoing what the library has done.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from core.scenarios.values import LIFETIMES, LIVE, LONG_AGO, NEVER, PLACES, TICK, Access, Refresh, Rule, Session

from asgi_tokenguard import RiskPolicy, freshness
from asgi_tokenguard.core import rotation
from asgi_tokenguard.core.callers import Caller, Provenance
from asgi_tokenguard.core.claims import FreshClaims
from asgi_tokenguard.core.decisions import Access as Shows
from asgi_tokenguard.core.decisions import Cookie, Facts, StepUp, judged
from asgi_tokenguard.core.doubts import Doubt, Visit, Watch, remember
from asgi_tokenguard.core.records import NAME, NETWORKS, Head, Record, known_networks
from asgi_tokenguard.core.rotation import TABLE, Condition, Handout, NewIds, Outcome, Presented, Shown, condition, look, present
from asgi_tokenguard.core.signals import Signals
from asgi_tokenguard.parcels import Delivery, Identity

NOW = 1_800_000_000_000
LIVE_JTI, OLD_JTI, NEW_JTI = b"l" * 16, b"o" * 16, b"n" * 16
FRESH = 1  # second: a proof counts until half a grace has passed
NAMES = {place: place.encode().ljust(NAME, b"-") for place in PLACES}
DEVICE = b"same"


class Showed(NamedTuple):
    """What the table said: *session* is None where it has ended; *minted* says that the access token is another one now."""

    presented: Presented
    outcome: Outcome
    session: Session | None
    handout: Handout
    doubts: frozenset[Doubt]
    minted: bool


def jti(refresh: Refresh) -> bytes:
    return bytes([refresh.sid, refresh.gen, refresh.branch]).ljust(16, b".")


@cache
def concrete(session: Session) -> Head:
    issued = NOW // 1000 - session.issued * TICK
    return Head(
        gen=session.gen,
        access_jti=LIVE_JTI,
        refresh_jti=jti(session.head),
        access_issued=issued,
        refresh_issued=issued,
        seen=session.seen,
        mark=NOW - session.marked * TICK * 1000,
        absolute=NOW // 1000 + LIFETIMES.absolute,
        auth_time=NOW // 1000 - session.proved * TICK,
        networks=b"".join(NAMES[network] for network in session.networks).ljust(NAME * NETWORKS, b"\0"),
        device=DEVICE,
    )


def abstract(head: Head, before: Session) -> tuple[Session, bool]:
    """The session of *head*, which was *before*; and whether its access token is another one."""
    known = known_networks(head.networks)
    session = before._replace(
        gen=head.gen,
        branch=head.refresh_jti[2],
        seen=head.seen,
        # A login's generation has no predecessor: its mark makes no difference.
        marked=min(LONG_AGO, (NOW - head.mark) // 1000 // TICK) if head.gen else LONG_AGO,
        issued=min(LONG_AGO, (NOW // 1000 - head.access_issued) // TICK),
        proved=min(1, (NOW // 1000 - head.auth_time) // TICK),
        networks=tuple(next(place for place in NAMES if NAMES[place] == name) for name in known if name != bytes(NAME)),
    )
    return session, head.access_jti != LIVE_JTI


def new_ids(session: Session) -> NewIds:
    return NewIds(access=NEW_JTI, refresh=jti(Refresh(session.sid, session.gen + 1, session.minting)))


def is_over(session: Session) -> bool:
    return condition(concrete(session), NOW, LIFETIMES).over


@cache
def accept(session: Session, access: Access, without: Rule | None) -> Session | None:
    """What the engine does with an access token: it has not expired, and `see` has to know it."""
    if access.gen == NEVER or is_over(session):
        return None
    head = concrete(session)
    known = access.serial == LIVE or without is Rule.BELONGS
    gen = head.gen if without is Rule.BELONGS else access.gen
    after = rotation.see(head, gen=gen, access_jti=LIVE_JTI if known else OLD_JTI, now_ms=NOW)
    return None if after is None else abstract(after, session)[0]


@cache
def show(
    session: Session,
    refresh: Refresh,
    caller: Caller,
    network: str,
    *,
    judges: bool,
    passed: bool = False,
    lost: int = NEVER,
    without: Rule | None = None,
) -> Showed:
    """What the rotation table does with a cookie that comes from *network*."""
    head = concrete(session)
    if without is Rule.CALLERS:
        caller = Caller.SCRIPT
    step = present(
        head,
        Shown(gen=refresh.gen, jti=jti(refresh), issued=NOW // 1000),
        now_ms=NOW,
        lifetimes=LIFETIMES,
        caller=caller,
        new=new_ids(session),
        visit=Visit(network=NAMES[network], device=DEVICE, passed=passed),
        watch=Watch(network=judges),
        table=table(without),
        lost_ms=rotation.NEVER if lost == NEVER or without is Rule.LOST_MARKS else NOW - lost * TICK * 1000,
    )
    handout, after = step.handout, step.head
    if step.outcome is Outcome.STRAGGLER and without is Rule.STRAGGLERS_GET_NOTHING:
        handout = Handout(cookie=False, token=caller.takes_token)
    if step.outcome is Outcome.JUDGE and without is Rule.LEAVES_NO_TRACE:
        after = remember(head, Visit(network=NAMES[network], device=DEVICE, passed=True), step.doubts)
    later, minted = (None, False) if after is None else abstract(after, session)
    return Showed(step.presented, step.outcome, later, handout, step.doubts, minted)


@cache
def table(without: Rule | None) -> rotation.Table:
    """The library's, or one that lacks a rule."""
    flags = [condition for presented, condition in TABLE if presented is Presented.HEAD]
    match without:
        case Rule.ONLY_WHEN_OVER:
            other = {(Presented.HEAD, each): Outcome.ROTATE for each in flags}
        case Rule.HEALS:
            settled = [Condition(seen=False, settled=True, over=over) for over in (False, True)]
            other = {(Presented.PREVIOUS, each): Outcome.REUSE for each in settled}
        case Rule.ACCUSES:
            settled = [Condition(seen=True, settled=True, over=over) for over in (False, True)]
            other = {(Presented.PREVIOUS, each): Outcome.STRAGGLER for each in settled}
        case _:
            return TABLE
    return {**TABLE, **other}


def judge(session: Session, showed: Showed, network: str) -> Any:
    """The decision after the risk policy: `Rotate`, `StepUp` or `Reject`."""
    signals = Signals(
        new_network=Doubt.NETWORK in showed.doubts,
        new_device=Doubt.DEVICE in showed.doubts,
        redelivery=showed.presented is Presented.PREVIOUS and not session.seen,
        lingering=Doubt.LINGERING in showed.doubts,
        rotation_off=False,
        located=True,
        place_before=PLACES[session.networks[0]],
        place_now=PLACES[network],
        ip_address_before=None,
        ip_address=None,
    )
    return judged(facts(Caller.SCRIPT, None), RiskPolicy().judge(signals))


def demands_proof(decision: Any) -> bool:
    return isinstance(decision, StepUp)


def facts(caller: Caller, shows: Shows | None) -> Facts:
    return Facts(
        access=shows or Shows.ABSENT,
        cookie=Cookie.GENUINE,
        required=True,
        method="GET",
        provenance=Provenance.SAME_ORIGIN,
        caller=caller,
        same_session=shows is not None,
    )


@cache
def look_at(
    session: Session | None,
    wanted: Handout,
    decided: Refresh,
    *,
    past: bool,
    lost: int,
    without: Rule | None,
) -> tuple[Session | None, Handout]:
    """The second look at an answer that leaves late; *past*: decided before the store lost writes."""
    if without is Rule.LOOKS_AGAIN:
        return session, wanted
    head = concrete(session) if session is not None and session.sid == decided.sid else None
    lost_ms = rotation.NEVER if lost == NEVER or without is Rule.DECIDED_SINCE else NOW - lost * TICK * 1000
    age_ms = (lost * TICK + 1) * 1000 if past else 0
    after, leaving = look(head, wanted, gen=decided.gen, refresh_jti=jti(decided), now_ms=NOW, age_ms=age_ms, lost_ms=lost_ms)
    return session if after is None else abstract(after, session)[0], leaving


class Store:
    """What `freshness` asks of the store, of one *session*."""

    def __init__(self, session: Session | None, without: Rule | None, lost: int = NEVER) -> None:
        self._session, self._without, self._lost = session, without, lost
        self.after: tuple[Session | None, bool] = session, False
        self.clock = SimpleNamespace(now_ms=lambda: NOW)

    async def check(self, _subject: str, _sid: str) -> Record | None:
        return None if self._session is None else Record(head=concrete(self._session))

    async def reauthenticated(self, _subject: str, _sid: str, new: NewIds) -> tuple[Record, Handout]:
        head = concrete(self._session)
        if self._without is Rule.RENEWS_WHAT_IS_SAFE:
            head = replace(head, seen=True, mark=NOW - 2 * LIFETIMES.grace_ms)
        lost_ms = rotation.NEVER if self._lost == NEVER else NOW - self._lost * TICK * 1000
        after, safe = rotation.renew(head, now_ms=NOW, lifetimes=LIFETIMES, new=new, lost_ms=lost_ms)
        self.after = abstract(after, self._session)
        return Record(head=after), safe


def engine_over(store: Store, session: Session) -> Any:
    async def ids() -> NewIds:
        return new_ids(session)

    return SimpleNamespace(
        store=store,
        new_ids=ids,
        background=SimpleNamespace(changed=lambda _subject: None),
        deliver=delivery,
        codec=SimpleNamespace(read_fresh=lambda token: token),
        settings=SimpleNamespace(lifetimes=LIFETIMES),
    )


def delivery(of: Identity, record: Record, handout: Handout) -> Delivery:
    return Delivery(subject=of.subject, sid=of.session_id, record=record, handout=handout, decided_at=0, endings=0)


@cache
def renew(
    session: Session, caller: Caller, earlier: tuple[Refresh, bool], *, lost: int, without: Rule | None
) -> tuple[Session, bool, Handout]:
    """After a proof, by `freshness.renew`: *earlier* is which head's cookie the answer was to carry before, and whether."""
    store = Store(session, without, lost)
    was = Record(head=replace(concrete(session), refresh_jti=jti(earlier[0])))
    before = delivery(WHO, was, Handout(cookie=earlier[1], token=True))
    _, after = at_once(freshness.renew(engine_over(store, session), WHO, caller, before))
    later, minted = store.after
    leaves = after.handout
    if without is Rule.TOKEN_WITH_COOKIE:
        leaves = leaves._replace(token=caller.takes_token)
    return later, minted, leaves


@cache
def change_claims(session: Session) -> tuple[Session, bool]:
    """After `update_claims`."""
    after, minted = abstract(rotation.replace_access(concrete(session), now_ms=NOW, access_jti=NEW_JTI), session)
    return after._replace(claims=session.claims + 1), minted


@cache
def is_fresh(session: Session, *, holds: bool, without: Rule | None) -> bool:
    """Whether `freshness.is_fresh` lets someone do what needs a proof; *holds*: with a token of the last proof."""
    at = concrete(session).auth_time
    token = FreshClaims(sid="sid", iat=at, exp=at + FRESH) if holds or without is Rule.FRESHNESS_IS_A_TOKEN else None
    return at_once(freshness.is_fresh(engine_over(Store(session, without), session), WHO, token, FRESH))


WHO = Identity(subject="user", session_id="sid", claims={}, auth_time=0, granted=())


def at_once(asked: Any) -> Any:
    """What a coroutine returns that waits for nothing."""
    try:
        asked.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")
