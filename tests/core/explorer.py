"""
Exhaustive search of the rotation protocol, over the library's own `core.rotation`.

One session, one browser (one cookie jar, some tabs), requests and answers that are lost, late or reordered, handlers that
are slow, callers that receive only the cookie or nothing.  Question: can the session die although nobody stole anything?
Breadth first, so a trace found is a shortest one.

In `tests/`:

    python -m core.explorer           what the tests search: the protocol, the scenarios, then each rule taken away; 1 minute
    python -m core.explorer --long    three tabs, four messages, all callers, more losses, larger scenarios; 12 minutes

Two searches, one question each:

- **The protocol** (this file): can the session die although nobody stole anything?  Time has no numbers here, only what follows
  from two promises: a message is on the wire for less than the grace, and an access token lives for at least two graces
  (`Lifetimes` sees to it).  A handler may take for ever.  So the time since `mark` is counted in whole graces, and one more
  passes only once the messages that were sent before it began have arrived.
- **The scenarios** (`scenarios/told.py`): is a promise broken?  Time goes in halves of a grace: each way that is found can
  happen, but not all that can happen are searched.  A witness of the search's own says what has happened.

| who takes part | protocol | scenario | promises | found when gone |
|---|---|---|---|---|
| tabs; lost, late, swapped answers | yes | one jar | I7 I8 I15 | one rotation a life, one script, a second look |
| pages, images: callers that receive less or nothing | yes | pages and images | I7 I8 I12 | callers |
| a store that loses writes, once | yes | the store loses writes (long) | I8 | lost marks, decided since |
| a process that crashes between decision and answer | as a lost answer | a process crashes | I7 I8 I15 | redelivery |
| step-up: a proof, `reauthenticated()` | - | a proof | I7 I8 I15 I16 | what is safe, token with cookie |
| claims that change | - | claims change | I7 I8, old claims | the old token dies, the refresh token stays |
| the judgement of an address, between two steps | - | a journey | I7 I8, section 6 | the record is read again, no trace |
| revocation | - | the session is ended, ended while it is judged | I10 I15 | one script, the second look, read again |
| a login in the same browser | - | a new login | I10 I13 I15 | the second look |
| a thief with a copy of the cookie | - | a thief beside the owner | I9 | reuse, stragglers, one generation |
| the same, elsewhere | - | a thief far away, in the next town | section 6 | judging |
| a copied cookie, and the owner's proof | - | a copied cookie and a proof | I16 | a token of its own |

Every verdict is the library's: a state is turned into a `Head` at a moment, `present`, `see`, `look`, `renew`, `decide`,
`judge`, `is_fresh` are called, and the head that comes back is turned back.  A rule is taken away by another table, by not
calling `look`, or by undoing what the library has written.

Losing worlds: once, the store goes back to what a replica had heard of (`explored_losses.py`).  Tokens that were minted
since are then ahead of the head or its twins.

Not searched: the verified-token cache (`tests/store`, `benchmarks/propagation.py`), the lingering rule
(`benchmarks/lingering.py`), a store that loses writes a second time within two graces.
"""

from __future__ import annotations

import sys
import time

from core.explored import (
    CURRENT,
    NEVER,
    NOBODY_HOLDS,
    NONE,
    OLD,
    Answer,
    Request,
    Rules,
    Session,
    State,
    Steps,
    World,
    generation,
    leaving_text,
    name,
    put,
    take,
    text,
)
from core.explored_losses import losses
from core.explored_verdicts import accept, leave, show
from core.scenarios import told
from core.scenarios.search import breadth_first

from asgi_tokenguard.core.callers import Caller


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


def a_grace_passes(state: State) -> State:
    session = state.session._replace(graces=state.session.graces + 1)
    backup = state.backup and state.backup._replace(graces=session.graces if state.same_mark else state.backup.graces)
    return state._replace(session=session, backup=backup)


def the_access_token_ends(state: State) -> State:
    """The replica's as well, which is the same or an older one."""
    return state._replace(session=state.session._replace(live=False), backup=state.backup and state.backup._replace(live=False))


def without(rule: str) -> Rules:
    return Rules()._replace(**{rule: False})


def search(rules: Rules = Rules(), world: World = World()) -> tuple[int, list[str] | None]:  # noqa: B008 (both are frozen)
    """The number of states, and the shortest way to a false logout if there is one."""
    login = Session(gen=0, seen=False, graces=2, live=True, resent=False)
    start = State(login, 0, (CURRENT,) + (NONE,) * (world.tabs - 1), (), (), ())
    count, way, _ = breadth_first(start, lambda state: steps(state, rules, world), lambda state: state.session is None)
    return count, way


ALL = (Caller.SCRIPT, Caller.DOCUMENT, Caller.OTHER)
LOSING = World(tabs=1, in_flight=2, loses=True)
# Two tabs with three messages; one tab beside pages and images; a loss: 160,000, 55,000 and 180,000 states.
SHORT = (World(), World(tabs=1, callers=ALL), LOSING)
LONG = (
    World(last_generation=3),
    World(callers=ALL),
    World(tabs=3),
    World(in_flight=4),
    World(tabs=3, callers=ALL),
    World(tabs=2, in_flight=2, loses=True),
    World(tabs=1, in_flight=3, loses=True),
    World(tabs=1, in_flight=2, last_generation=3, loses=True),
)
# Rules that only a loss needs.
OF_LOSSES = {"decided_since", "lost_marks"}


def world_without(rule: str) -> World:
    """The smallest world that needs *rule*."""
    return LOSING if rule in OF_LOSSES else World()


def main(arguments: list[str]) -> int:
    is_long = "--long" in arguments
    wrong = sum([search_protocol(LONG if is_long else SHORT), search_scenarios(told.LONG if is_long else told.QUICK)])
    return 1 if wrong else 0


def search_protocol(worlds: tuple[World, ...]) -> int:
    """How many searches end as they should not."""
    runs = [(Rules(), world) for world in worlds] + [(without(rule), world_without(rule)) for rule in Rules._fields]
    wrong = 0
    for rules, world in runs:
        began = time.perf_counter()
        count, way = search(rules, world)
        wrong += (way is None) != (rules == Rules())
        gone = [rule for rule in Rules._fields if not getattr(rules, rule)]
        searched = f"without {gone[0]}" if gone else f"the protocol, {world}"
        say(searched, count, way and "false logout", way, began)
    return wrong


def search_scenarios(scenarios: tuple[told.Scenario, ...]) -> int:
    wrong = 0
    for scenario in scenarios:
        for rule in (None, *scenario.needs):
            began = time.perf_counter()
            found = told.search(scenario._replace(without=rule))
            wrong += (found.way is None) != (rule is None)
            gone = "" if rule is None else f", without: {rule.value}"
            say(f"{scenario.name} ({scenario.promises}){gone}", found.states, found.broken, found.way, began)
    return wrong


def say(searched: str, count: int, broken: str | None, way: list[str] | None, began: float) -> None:
    verdict = f"{broken}, in {len(way)} steps" if way else "nothing is broken"
    print(f"{searched}: {count:,} states, {verdict} ({time.perf_counter() - began:.0f} s)", flush=True)  # noqa: T201
    for label in way or ():
        print("    ", label)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
