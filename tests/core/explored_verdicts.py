"""The verdicts of the library on the states that `explorer.py` searches."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from core.explored import (
    CURRENT,
    GRACE,
    LIFETIMES,
    NEVER,
    NOBODY_HOLDS,
    NONE,
    NOW,
    Answer,
    Rules,
    Session,
    Verdict,
    generation,
    jti,
    token,
)

from asgi_tokenguard.core import rotation
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.records import Head
from asgi_tokenguard.core.rotation import Handout, NewIds, Outcome, Shown, condition, look, present, see

LIVE_JTI, OLD_JTI, NEW_JTI = b"l" * 16, b"o" * 16, b"n" * 16


def concrete(session: Session) -> Head:
    """A head in that state at `NOW`, each time at its edge."""
    issued = NOW // 1000 - LIFETIMES.access + session.live
    return Head(
        gen=session.gen,
        access_jti=LIVE_JTI,
        refresh_jti=jti(session.head),
        access_issued=issued,
        refresh_issued=issued,
        seen=session.seen,
        mark=NOW - 1 if session.graces == 0 else NOW - session.graces * GRACE,
        absolute=NOW // 1000 + LIFETIMES.absolute,
        auth_time=0,
    )


def abstract(head: Head, before: Session) -> tuple[Session, bool, bool]:
    marked, minted = head.mark == NOW, head.access_jti != LIVE_JTI
    graces = 2 if head.gen == 0 else 0 if marked else before.graces
    resent = head.gen > 0 and not minted and (marked or before.resent)
    live = not condition(head, NOW, LIFETIMES).over
    return Session(head.gen, head.seen, graces, live, resent, head.refresh_jti[0] % 2, before.minting), marked, minted


@cache
def accept(session: Session, access: int, rules: Rules) -> Verdict | None:
    """What the engine does with an access token: it has to be live, and `see` has to know it."""
    head = concrete(session)
    if access == NONE or condition(head, NOW, LIFETIMES).over:
        return None
    known = access == CURRENT or not rules.access_belongs
    after = see(head, gen=head.gen, access_jti=LIVE_JTI if known else OLD_JTI, now_ms=NOW)
    return None if after is None else Verdict("accepted", *_with_handout(after, session, NOBODY_HOLDS))


@cache
def show(session: Session, refresh: int, caller: Caller, rules: Rules, lost: int = NEVER) -> Verdict:
    """What the rotation table does with a cookie."""
    head = concrete(session)
    if not rules.two_trips and not head.seen and session.graces > 0:
        head = replace(head, mark=head.mark - GRACE)
    step = present(
        head,
        Shown(gen=generation(refresh), jti=jti(refresh), issued=0),
        now_ms=NOW,
        lifetimes=LIFETIMES,
        caller=caller,
        new=NewIds(access=NEW_JTI, refresh=jti(token(session.gen + 1, session.minting))),
        table=rules.table,
        lost_ms=rotation.NEVER if lost == NEVER or not rules.lost_marks else NOW - lost * GRACE,
    )
    if step.head is None:
        return Verdict(step.outcome.value, None, step.handout)
    after = step.head
    if step.outcome is Outcome.REDELIVER and not rules.mark_at_sending:
        after = replace(after, mark=head.mark)
    return Verdict(step.outcome.value, *_with_handout(after, session, step.handout))


@cache
def leave(session: Session, answer: Answer, rules: Rules) -> tuple[Handout, Session, bool]:
    """The second look at an answer that leaves late."""
    leaving = Handout(cookie=answer.cookie, token=answer.access != NONE)
    if not rules.look_again:
        return leaving, session, False
    if rules.decided_since and answer.past:
        return NOBODY_HOLDS, session, False
    head = concrete(session)
    shown = generation(answer.refresh), jti(answer.refresh)
    after, leaving = look(head, leaving, gen=shown[0], refresh_jti=shown[1], now_ms=NOW)
    if not rules.mark_at_sending:
        after = head
    later, marked, _ = abstract(after, session)
    return leaving, later, marked


def _with_handout(head: Head, before: Session, handout: Handout) -> tuple[Session, Handout, bool, bool]:
    session, marked, minted = abstract(head, before)
    return session, handout, marked, minted
