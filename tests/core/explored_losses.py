"""
A store that loses its last writes, as `explorer.py` searches it.

A replica hears of the session at any moment; once, the store goes back to what it had heard of last.
"""

from __future__ import annotations

from core.explored import CURRENT, JUST, LONG_AGO, NEVER, NONE, OLD, Session, State, Steps, generation, name


def may_pass_there(state: State, backup: Session) -> bool:
    """The same since the replica's `mark`, where that is an older one."""
    sent = [request.sent_there for request in state.requests if generation(request.refresh) < backup.gen]
    return not state.same_mark and backup.graces < 2 and min(sent, default=2) >= backup.graces


def losses(state: State) -> Steps:
    """Once, the store goes back to what a replica had heard of last; the replica may hear at any moment."""
    backup = state.backup
    if state.lost == NEVER:
        if (backup, state.same_access, state.same_mark) != (state.session, True, True):
            requests = tuple(sorted(request._replace(sent_there=request.sent) for request in state.requests))
            yield "the replica hears", state._replace(backup=state.session, same_access=True, same_mark=True, requests=requests)
        if backup is not None and backup != state.session:
            yield from losing(state, backup)
        if backup is not None and may_pass_there(state, backup):
            yield "a grace passes for the replica", state._replace(backup=backup._replace(graces=backup.graces + 1))
        if backup is not None and backup.live and not state.same_access and (backup.resent or backup.graces == 2):
            yield "the replica's access token ends", state._replace(backup=backup._replace(live=False))
    elif state.lost < LONG_AGO and not any(message.past for message in (*state.requests, *state.answers)):
        requests = tuple(sorted(request._replace(past=True) for request in state.requests))
        answers = tuple(sorted(answer._replace(past=True) for answer in state.answers))
        yield "a grace has passed since the loss", state._replace(lost=state.lost + 1, requests=requests, answers=answers)


def losing(state: State, backup: Session) -> Steps:
    requests = tuple(sorted(request._replace(past=True, sent=request.sent_there, sent_there=0) for request in state.requests))
    answers = tuple(sorted(answer._replace(past=True) for answer in state.answers))
    handlers = tuple(sorted(answer._replace(past=True) for answer in state.handlers))
    session = backup._replace(minting=1)
    after = state._replace(session=session, backup=None, lost=JUST, requests=requests, handlers=handlers, answers=answers)
    # Of the old access tokens one may be the replica's; what was minted since is nobody's.
    for revived in {False, not state.same_access}:
        yield f"the store goes back to {name(session.head)}", with_access(after, same=state.same_access, revived=revived)


def with_access(state: State, *, same: bool, revived: bool) -> State:
    become = {NONE: NONE, OLD: CURRENT if revived else NONE, CURRENT: CURRENT if same else NONE}
    return state._replace(
        tabs=tuple(become[access] for access in state.tabs),
        requests=tuple(sorted(request._replace(access=become[request.access]) for request in state.requests)),
        handlers=tuple(sorted(answer._replace(access=become[answer.access]) for answer in state.handlers)),
        answers=tuple(sorted(answer._replace(access=become[answer.access]) for answer in state.answers)),
    )
