"""
The promises, as the search looks at them.

Rule: what has happened is taken from the `Witness`, which the search keeps itself, and not from the record that is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.scenarios.values import ACCESS, GRACE, NEVER, Message, Session, State

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.rotation import Handout, Outcome

if TYPE_CHECKING:
    from core.scenarios.library import Showed


def broken(state: State, promise: str) -> State:
    return state if state.broken else state._replace(broken=promise)


def sighted(state: State) -> State:
    """The head has come back."""
    if state.witness.sighted != NEVER:
        return state
    return state._replace(witness=state.witness._replace(sighted=0))


def accepted(state: State, before: Session, request: Message) -> State:
    """An access token was accepted."""
    if request.access.gen != before.gen:
        return broken(state, "I9: an access token of a superseded generation is accepted")
    if request.access.claims != before.claims:
        return broken(state, "claims: an access token with the old ones is accepted")
    return sighted(state)


def presented(state: State, before: Session, request: Message, showed: Showed) -> State:
    """A refresh token was shown, to the record as it was *before*."""
    if state.session is None:
        return broken(state, "I10: the session has ended, and one of its tokens is served")
    if request.refresh == before.head:
        # Who can receive nothing writes nothing where a rotation is due, so that the head stays unseen (DESIGN.md, section 4).
        is_noted = showed.outcome is not Outcome.ROTATE or Caller(request.caller) is not Caller.OTHER
        return sighted(state) if is_noted else state
    if state.lost == NEVER and request.refresh.gen < state.session.gen and state.witness.sighted != NEVER:
        if showed.outcome is not Outcome.REUSE and state.witness.sighted >= GRACE:
            return broken(state, "I9: a superseded token is served although its successor was seen and has settled")
        if showed.handout.cookie or showed.handout.token:
            return broken(state, "I9: a superseded token is handed something although its successor was seen")
    return state


def rotated(state: State, before: Session) -> State:
    """The head has rotated because its access token was over."""
    witness = state.witness
    if state.lost == NEVER and before.gen != witness.newest:
        state = broken(state, "I7: one refresh token has rotated twice")
    # `rotated` counts from a rotation; a fresh access token in between only makes it longer.
    if state.lost == NEVER and witness.rotated < ACCESS:
        state = broken(state, "I7: two rotations within the life of an access token")
    newest = max(witness.newest, before.gen + 1)
    return state._replace(witness=witness._replace(sighted=NEVER, rotated=0, newest=newest))


def handed(state: State, before: Session, request: Message, showed: Showed) -> State:
    """Something is handed out: to who can take it (I12)."""
    caller, handout = Caller(request.caller), showed.handout
    if (handout.cookie and not caller.takes_cookie) or (handout.token and not caller.takes_token):
        return broken(state, f"I12: {caller.value} is handed what it cannot receive")
    if showed.session.gen > before.gen and not caller.takes_cookie and showed.outcome is Outcome.ROTATE:
        return broken(state, f"I12: a rotation is spent on {caller.value}, which receives nothing")
    return state


def left_late(state: State, answer: Message, leaving: Handout) -> State:
    """A late answer leaves with something (I15)."""
    session = state.session
    if session is None or session.sid != answer.decided.sid:
        return broken(state, "I10, I15: tokens of a session that has ended leave")
    if state.lost != NEVER:
        return state
    if leaving.cookie and (answer.decided != session.head or state.witness.sighted != NEVER):
        return broken(state, "I15: a cookie leaves that is not the head's, or was seen")
    if (
        leaving.token
        and not leaving.cookie
        and state.witness.sighted == NEVER
        and answer.refresh != session.head
        and session.gen
    ):
        return broken(state, "I15: an access token of an unseen head leaves without its cookie")
    return state
