"""
Exhaustive search of the rotation protocol, over the library's own `core.rotation`.

One session, one browser (one cookie jar, some tabs), requests and answers that are lost, late or reordered, handlers that
are slow, callers that receive only the cookie or nothing.  Question: can the session die although nobody stole anything?
Breadth first, so a trace found is a shortest one.

    python tests/core/explorer.py           what the tests search: the protocol, then each rule taken away; 10 s
    python tests/core/explorer.py --long    three tabs, four messages, all callers: 4.3 million states; 3 minutes

Every verdict is the library's: a state is turned into a `Head` at a moment, `present`, `see` or `look` is called, and the
head that it returns is turned back.  A rule is taken away by another table, by not calling `look`, or by undoing what the
library has written.

Time has no numbers here, only what follows from two promises: a message is on the wire for less than the grace, and an
access token lives for at least two graces (`Lifetimes` sees to it).  A handler may take for ever.  So the time since `mark`
is counted in whole graces, and one more passes only once the messages that were sent before it began have arrived.

Not searched: a thief (he is in `tests/stories`), re-authentication, a store that lost a write.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from asgi_tokenguard.core import rotation
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.records import Head
from asgi_tokenguard.core.rotation import (
    ROWS,
    TABLE,
    Handout,
    NewIds,
    Outcome,
    Presented,
    Row,
    Shown,
    Table,
    condition,
    expand,
    look,
    present,
    see,
)

# The tightest that are allowed: the grace is half the access lifetime.
LIFETIMES = Lifetimes(access=60, grace=30)
GRACE = LIFETIMES.grace_ms
NOW = 1_800_000_000_000
SERVED = {Outcome.ROTATE, Outcome.REPEAT, Outcome.REDELIVER, Outcome.STRAGGLER}

# What a tab or a message holds of access tokens, and messages of cookies.  An access token that was the head's and is not
# any more is as good as none to the library; taking `access_belongs` away makes a difference.
NONE, OLD, CURRENT = -1, 0, 1

# How many graces have passed since the store lost writes; two are long ago.
NEVER, JUST, LONG_AGO = -1, 0, 2


class Rules(NamedTuple):
    """What the protocol rests on."""

    only_when_over: bool = True  # rotate only a settled head whose access token is over
    heal: bool = True  # an unseen head is redelivered without a time limit
    look_again: bool = True  # a cookie leaves late only while its generation is the head and unseen
    mark_at_sending: bool = True  # grace of an unseen head counts from the last sending, not from the rotation
    access_belongs: bool = True  # only the access token minted with the head makes it seen
    two_trips: bool = True  # an unseen head settles after two graces: its answer's trip, and that of a request which crosses it
    decided_since: bool = True  # what was decided before the store lost writes does not leave late
    lost_marks: bool = True  # a store that has lost writes has lost marks: none counts as older than that

    @property
    def table(self) -> Table:
        rows = list(ROWS)
        if not self.only_when_over:
            rows = [row for row in rows if row.presented is not Presented.HEAD] + [Row(Presented.HEAD, Outcome.ROTATE)]
        if not self.heal:
            rows = [row for row in rows if row.outcome is not Outcome.REDELIVER or row.presented is not Presented.PREVIOUS]
            rows += [
                Row(Presented.PREVIOUS, Outcome.REDELIVER, seen=False, settled=False),
                Row(Presented.PREVIOUS, Outcome.REUSE, seen=False, settled=True),
            ]
        return TABLE if rows == list(ROWS) else expand(rows)


class World(NamedTuple):
    """How much happens at once."""

    tabs: int = 2
    in_flight: int = 3
    last_generation: int = 2
    callers: tuple[Caller, ...] = (Caller.SCRIPT,)
    loses: bool = False  # once, the store goes back to what a replica had heard of


class Session(NamedTuple):
    """The record; *graces* have passed since `mark` (2 stands for more)."""

    gen: int
    seen: bool
    graces: int
    live: bool  # its access token has not ended
    resent: bool  # `mark` has moved since the access token's issue
    branch: int = 0  # of the head's refresh token: 1 where it was minted after the store had lost writes
    minting: int = 0  # the branch of the next one

    @property
    def head(self) -> int:
        """The head's refresh token."""
        return token(self.gen, self.branch)


class Request(NamedTuple):
    tab: int
    refresh: int  # the token in the cookie
    access: int
    caller: str
    sent: int  # graces since `mark` when it was sent, -1: before; 0 where it carries no superseded cookie
    sent_there: int = 0  # as *sent*, since the replica's `mark`
    past: bool = False  # sent before the store lost writes


class Answer(NamedTuple):
    """Decided while *refresh* was the head's token; with or without it in a cookie."""

    tab: int
    refresh: int
    cookie: bool
    access: int
    past: bool = False  # sent, or decided, before the store lost writes


class State(NamedTuple):
    session: Session | None  # None: over
    jar: int
    tabs: tuple[int, ...]
    requests: tuple[Request, ...]
    handlers: tuple[Answer, ...]  # decided, the slow handler has not answered yet
    answers: tuple[Answer, ...]
    backup: Session | None = None  # what the replica has heard of
    same_access: bool = True  # whether the replica's access token is still the head's,
    same_mark: bool = True  # and its `mark`
    lost: int = NEVER


class Verdict(NamedTuple):
    """What the library says: *marked* and *minted* tell whether it has set `mark` and replaced the access token."""

    outcome: str
    session: Session | None
    handout: Handout
    marked: bool = False
    minted: bool = False


Steps = Iterator[tuple[str, State]]
NOBODY_HOLDS = Handout(cookie=False, token=False)


def token(gen: int, branch: int = 0) -> int:
    """A refresh token as a number; what was minted again for a lost generation is of branch 1."""
    return 2 * gen + branch


def generation(refresh: int) -> int:
    return refresh // 2


def jti(refresh: int) -> bytes:
    return bytes([refresh]) * 16


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


def put(messages: tuple, message: NamedTuple) -> tuple:
    return tuple(sorted((*messages, message)))


def take(messages: tuple, message: NamedTuple) -> tuple:
    at = messages.index(message)
    return messages[:at] + messages[at + 1 :]


def settle(state: State, session: Session, rules: Rules, *, marked: bool, minted: bool) -> State:
    """The state after the library's step: what was sent before the new mark, and which access tokens are old now."""
    requests, tabs, handlers, answers = state.requests, state.tabs, state.handlers, state.answers
    if minted:
        # Whoever holds an old one asks as if he held none, unless that rule is gone; but an answer that brings one still
        # takes the place of a newer one.
        held = NONE if is_dead(OLD, state, rules) else OLD
        tabs = tuple(min(access, held) for access in tabs)
        requests = tuple(sorted(request._replace(access=min(request.access, held)) for request in requests))
        handlers = tuple(sorted(answer._replace(access=min(answer.access, OLD)) for answer in handlers))
        answers = tuple(sorted(answer._replace(access=min(answer.access, OLD)) for answer in answers))
    if marked:
        requests = tuple(sorted(r._replace(sent=-1 if generation(r.refresh) < session.gen else 0) for r in requests))
    same = state.same_access and not minted, state.same_mark and not marked
    return State(session, state.jar, tabs, requests, handlers, answers, state.backup, *same, state.lost)


def is_dead(access: int, state: State, rules: Rules) -> bool:
    """Whether an access token will never be live again."""
    return access == OLD and rules.access_belongs and (state.backup is None or state.lost != NEVER)


def serve(state: State, request: Request, rules: Rules, last_generation: int) -> Steps:
    caller, session = Caller(request.caller), state.session
    who = f"tab {request.tab}" if caller is Caller.SCRIPT else caller.value
    verdict = accept(session, request.access, rules)
    carried = "access token" if verdict else name(request.refresh)
    verdict = verdict or show(session, request.refresh, caller, rules, state.lost)
    label = f"{who}: {carried} at head {name(session.head)}: {verdict.outcome}"
    if verdict.session is None:
        yield label, state._replace(session=None)
        return
    if verdict.session.gen > last_generation:
        return
    after = settle(state, verdict.session, rules, marked=verdict.marked, minted=verdict.minted)
    if verdict.handout == NOBODY_HOLDS:
        yield label, after
        return
    access = CURRENT if verdict.handout.token else NONE
    answer = Answer(request.tab, verdict.session.head, verdict.handout.cookie, access)
    yield f"{label}, leaves at once", after._replace(answers=put(after.answers, answer))
    yield f"{label}, slow handler", after._replace(handlers=put(after.handlers, answer))


def steps(state: State, rules: Rules, world: World) -> Steps:
    session = state.session
    if len(state.requests) + len(state.handlers) + len(state.answers) < world.in_flight:
        yield from sendings(state, world)
    for tab, access in enumerate(state.tabs):
        if access != NONE:
            yield f"tab {tab}: reloads", state._replace(tabs=state.tabs[:tab] + (NONE,) + state.tabs[tab + 1 :])
    for request in set(state.requests):
        yield from serve(state._replace(requests=take(state.requests, request)), request, rules, world.last_generation)
    for answer in set(state.handlers):
        rest = state._replace(handlers=take(state.handlers, answer))
        leaving, after, marked = leave(session, answer, rules)
        rest = settle(rest, after, rules, marked=marked, minted=False)
        if leaving != NOBODY_HOLDS:
            left = answer._replace(cookie=leaving.cookie, access=answer.access if leaving.token else NONE, past=False)
            rest = rest._replace(answers=put(rest.answers, left))
        yield f"tab {answer.tab}: late answer leaves with {leaving_text(answer, leaving)}", rest
    for answer in set(state.answers):
        rest = state._replace(answers=take(state.answers, answer))
        yield f"tab {answer.tab}: {text(answer)} lost", rest
        yield f"tab {answer.tab}: {text(answer)} arrives", arrive(rest, answer, rules)
    if may_pass(state):
        yield "a grace passes", a_grace_passes(state)
    # An access token lives for two graces, and `mark` is its issue unless a cookie was sent again.
    if session.live and (session.resent or session.graces == 2):
        yield "the access token ends", the_access_token_ends(state)
    if world.loses:
        yield from losses(state)


def arrive(state: State, answer: Answer, rules: Rules) -> State:
    tabs, access = state.tabs, answer.access
    if access != NONE:
        held = NONE if is_dead(access, state, rules) else access
        tabs = tabs[: answer.tab] + (held,) + tabs[answer.tab + 1 :]
    return state._replace(tabs=tabs, jar=answer.refresh if answer.cookie else state.jar)


def sendings(state: State, world: World) -> Steps:
    jar, session = state.jar, state.session
    sent, there = sent_at(jar, session), 0 if state.backup is None else sent_at(jar, state.backup)
    for caller in world.callers:
        # Only a script shows an access token; for whom an answer brings none, it does not matter which tab asks.
        senders = enumerate(state.tabs) if caller is Caller.SCRIPT else ((0, NONE),)
        for tab, access in senders:
            request = Request(tab, jar, access, caller.value, sent, there)
            who = f"tab {tab}" if caller is Caller.SCRIPT else caller.value
            shows = {NONE: "", OLD: " and an old access token", CURRENT: " and the head's access token"}[access]
            yield f"{who}: sends {name(jar)}{shows}", state._replace(requests=put(state.requests, request))


def sent_at(refresh: int, session: Session) -> int:
    return min(session.graces, 1) if generation(refresh) < session.gen else 0


def may_pass(state: State) -> bool:
    """Whether one more grace may pass: everything that was sent before this one began has arrived."""
    gen, graces = state.session.gen, state.session.graces
    if graces == 2:
        return False
    late = any(generation(request.refresh) < gen and request.sent < graces for request in state.requests)
    return not late and not any(answer.cookie and generation(answer.refresh) <= gen for answer in state.answers)


def may_pass_there(state: State, backup: Session) -> bool:
    """The same since the replica's `mark`, where that is an older one."""
    sent = [request.sent_there for request in state.requests if generation(request.refresh) < backup.gen]
    return not state.same_mark and backup.graces < 2 and min(sent, default=2) >= backup.graces


def a_grace_passes(state: State) -> State:
    session = state.session._replace(graces=state.session.graces + 1)
    backup = state.backup and state.backup._replace(graces=session.graces if state.same_mark else state.backup.graces)
    return state._replace(session=session, backup=backup)


def the_access_token_ends(state: State) -> State:
    """The replica's as well, which is the same or an older one."""
    return state._replace(session=state.session._replace(live=False), backup=state.backup and state.backup._replace(live=False))


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


def name(refresh: int) -> str:
    return f"R{generation(refresh)}" + "'" * (refresh % 2)


def text(answer: Answer) -> str:
    return leaving_text(answer, Handout(cookie=answer.cookie, token=answer.access != NONE))


def leaving_text(answer: Answer, leaving: Handout) -> str:
    parts = [name(answer.refresh)] * leaving.cookie + ["an access token"] * leaving.token
    return " and ".join(parts) or "nothing"


def without(rule: str) -> Rules:
    return Rules()._replace(**{rule: False})


def search(rules: Rules = Rules(), world: World = World()) -> tuple[int, list[str] | None]:  # noqa: B008 (both are frozen)
    """The number of states, and the shortest way to a false logout if there is one."""
    login = Session(gen=0, seen=False, graces=2, live=True, resent=False)
    start = State(login, 0, (CURRENT,) + (NONE,) * (world.tabs - 1), (), (), ())
    came: dict[State, tuple[State, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if state.session is None:
            return len(came), way_to(state, came)
        for label, after in steps(state, rules, world):
            if after not in came:
                came[after] = (state, label)
                queue.append(after)
    return len(came), None


def way_to(state: State, came: dict[State, tuple[State, str] | None]) -> list[str]:
    way = []
    while (back := came[state]) is not None:
        state, label = back
        way.append(label)
    return way[::-1]


ALL = (Caller.SCRIPT, Caller.DOCUMENT, Caller.OTHER)
# Two tabs with three messages, and one tab beside pages and images; 160,000 and 55,000 states.
SHORT = (World(), World(tabs=1, callers=ALL))
LONG = (
    World(last_generation=3),
    World(callers=ALL),
    World(tabs=3),
    World(in_flight=4),
    World(tabs=3, callers=ALL),
)


def main(arguments: list[str]) -> int:
    worlds = LONG if "--long" in arguments else SHORT
    runs = [(Rules(), world) for world in worlds] + [(without(rule), World()) for rule in Rules._fields]
    wrong = 0
    for rules, world in runs:
        began = time.perf_counter()
        count, way = search(rules, world)
        wrong += (way is None) != (rules == Rules())
        gone = [rule for rule in Rules._fields if not getattr(rules, rule)]
        name = f"without {gone[0]}" if gone else f"the protocol, {world}"
        verdict = "no false logout" if way is None else f"false logout in {len(way)} steps"
        print(f"{name}: {count:,} states, {verdict} ({time.perf_counter() - began:.0f} s)", flush=True)  # noqa: T201
        for label in way or ():
            print("    ", label)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
