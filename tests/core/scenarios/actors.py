"""
Who takes part in a scenario, each a small function from a state to what may happen next.

The browser and time are in all of them; the rest are guests: a user who proves who they are, an app that changes claims,
somebody who ends the session, a new login, a process that crashes, a journey, a thief, a store that loses its last writes.
"""

from __future__ import annotations

from core.scenarios import library, server
from core.scenarios.promises import broken
from core.scenarios.values import (
    ACCESS,
    DEAD,
    ELSEWHERE,
    GRACE,
    LIVE,
    LONG_AGO,
    NEVER,
    NO_ACCESS,
    Access,
    Message,
    Refresh,
    Rule,
    Scenario,
    Session,
    Stage,
    State,
    Steps,
    Witness,
    named,
    put,
    spend,
    take,
)

from asgi_tokenguard.core.callers import Caller

# What one trip takes its time for; a judgement is part of it.
ON_THE_WIRE = {Stage.SENT, Stage.DOUBTED, Stage.ANSWERED}


def browser(state: State, scenario: Scenario) -> Steps:
    """One cookie jar, and whatever sends it."""
    if len(state.wire) < scenario.in_flight:
        for request in requests(state, scenario):
            yield f"{server.who(request)}: sends {named(request.refresh)}", put(state, request)
    if not state.wire and not server.heals(state, scenario):
        yield "nothing is under way", broken(state, "I8: the next answer does not bring the head to its browser")
    for tab, access in enumerate(state.tabs):
        if access != NO_ACCESS:
            yield f"tab {tab}: reloads", state._replace(tabs=state.tabs[:tab] + (NO_ACCESS,) + state.tabs[tab + 1 :])


def requests(state: State, scenario: Scenario) -> list[Message]:
    found = []
    for caller in scenario.callers:
        # Only a script shows an access token; for whom an answer brings none, it does not matter which tab asks.
        senders = enumerate(state.tabs) if caller is Caller.SCRIPT else ((0, NO_ACCESS),)
        found += [Message(Stage.SENT, tab, caller.value, state.jar, access, state.here) for tab, access in senders]
    return found


def traffic(state: State, scenario: Scenario) -> Steps:
    """Requests come in and answers leave, arrive or are lost, in any order."""
    for message in set(state.wire):
        match message.stage:
            case Stage.SENT:
                yield from server.serve(state, message, scenario)
            case Stage.READ:
                yield from server.write(state, message, scenario)
            case Stage.DOUBTED:
                yield from server.weigh(state, message, scenario)
            case Stage.PROVING:
                yield from server.prove(state, message, scenario)
            case Stage.HANDLED:
                yield from server.leave(state, message, scenario)
            case Stage.ANSWERED:
                yield from arrivals(state, message, scenario)


def arrivals(state: State, answer: Message, scenario: Scenario) -> Steps:
    rest = take(state, answer)
    if scenario.answers_are_lost:
        yield f"tab {answer.tab}: its answer is lost", rest
    tabs = rest.tabs
    if answer.token != NO_ACCESS:
        tabs = tabs[: answer.tab] + (answer.token,) + tabs[answer.tab + 1 :]
    text = " and ".join([named(answer.decided)] * answer.cookie + ["an access token"] * (answer.token != NO_ACCESS))
    yield (
        f"tab {answer.tab}: {text} arrives",
        server.forgotten(rest._replace(tabs=tabs, jar=answer.decided if answer.cookie else rest.jar), scenario),
    )


def time(state: State, _: Scenario) -> Steps:
    """Half a grace passes, for all but messages that were on the wire for as long already; handlers may take for ever."""
    if not any(message.stage in ON_THE_WIRE and message.age for message in state.wire):
        yield "half a grace passes", later(state)


def later(state: State) -> State:
    wire = tuple(sorted(m._replace(age=int(m.stage in ON_THE_WIRE), read=aged(m.read)) for m in state.wire))
    witness = state.witness
    return state._replace(
        session=state.session and aged(state.session),
        replica=state.replica and aged(state.replica),
        wire=wire,
        witness=witness._replace(sighted=min(GRACE, older(witness.sighted)), rotated=min(ACCESS, older(witness.rotated))),
        lost=older(state.lost),
    )


def older(ticks: int) -> int:
    return ticks if ticks == NEVER else min(LONG_AGO, ticks + 1)


def aged(session: Session) -> Session:
    if session.sid == NEVER:
        return session
    marked, issued, proved = older(session.marked), min(ACCESS, session.issued + 1), min(1, session.proved + 1)
    return session._replace(marked=marked, issued=issued, proved=proved)


# The guests.


def prover(state: State, scenario: Scenario) -> Steps:
    """The user gives the password once more (I16)."""
    if state.left.proofs and len(state.wire) < scenario.in_flight:
        for request in requests(state, scenario):
            if request.caller != Caller.OTHER.value:
                proves = put(spend(state, "proofs"), request._replace(confirms=True))
                yield f"{server.who(request)}: sends {named(request.refresh)} and the password", proves


def app(state: State, scenario: Scenario) -> Steps:
    """The app changes the claims of the session: `update_claims`."""
    session = state.session
    if not state.left.changes or session is None:
        return
    changed, minted = library.change_claims(session)
    if not scenario.has(Rule.CLAIMS_KEEP):
        changed = changed._replace(branch=1)
    state = spend(state, "changes")
    yield (
        "the app changes the claims",
        server.written(state, changed, scenario, minted=minted and scenario.has(Rule.CLAIMS_KILL)),
    )


def administrator(state: State, _: Scenario) -> Steps:
    """Ends the session: `revoke`, `DEL`, expiry, eviction."""
    if state.left.ends and state.session is not None:
        yield "the session is ended", spend(state, "ends")._replace(session=None)


def newcomer(state: State, _: Scenario) -> Steps:
    """Somebody logs in, in the same browser: the old session ends, the new one is another."""
    if state.left.logins:
        sid = state.jar.sid + 1
        dead = server.with_tokens(
            spend(state, "logins"), lambda token: token if token == NO_ACCESS else token._replace(serial=DEAD)
        )
        tabs = (Access(0, LIVE), *dead.tabs[1:])
        yield "a new login", dead._replace(session=Session(sid=sid), jar=Refresh(sid, 0), tabs=tabs, witness=Witness())


def crash(state: State, _: Scenario) -> Steps:
    """A process dies between its decisions and their answers."""
    inside = {Stage.READ, Stage.DOUBTED, Stage.HANDLED, Stage.PROVING}
    rest = tuple(message for message in state.wire if message.stage not in inside)
    if state.left.crashes and rest != state.wire:
        yield "the process crashes", spend(state, "crashes")._replace(wire=rest)


def traveller(state: State, scenario: Scenario) -> Steps:
    """The owner's device changes its network."""
    if state.left.moves:
        for network in scenario.networks:
            if network != state.here:
                yield f"the owner is {network} now", spend(state, "moves")._replace(here=network)


def pickpocket(state: State, _: Scenario) -> Steps:
    """Copies the jar."""
    if state.left.thefts and state.jar not in state.thief.cookies:
        cookies = tuple(sorted((*state.thief.cookies, state.jar)))
        yield f"a thief copies {named(state.jar)}", spend(state, "thefts")._replace(thief=state.thief._replace(cookies=cookies))


def thief(state: State, scenario: Scenario) -> Steps:
    """Presents what he has, as a script; he is near enough to have his answers at once."""
    if not state.left.thief:
        return
    for cookie in state.thief.cookies:
        for access in {state.thief.access, NO_ACCESS}:
            request = Message(Stage.SENT, server.THIEVES_TAB, Caller.SCRIPT.value, cookie, access, scenario.thief_network)
            yield from server.serve(put(spend(state, "thief"), request), request, scenario)


def loss(state: State, _: Scenario) -> Steps:
    """A replica hears of the session at any moment; once, the store goes back to what it had heard of last."""
    if not state.left.losses or state.session is None:
        return
    if state.replica != state.session:
        heard = server.with_tokens(state, lambda token: token._replace(serial=DEAD) if token.serial == ELSEWHERE else token)
        yield "the replica hears", heard._replace(replica=state.session)
    if state.replica is not None and state.replica != state.session:
        same = state.replica.serial == LIVE
        become = {LIVE: LIVE if same else DEAD, ELSEWHERE: LIVE, DEAD: DEAD}
        back = server.with_tokens(spend(state, "losses"), lambda token: token._replace(serial=become[token.serial]))
        wire = tuple(sorted(message._replace(past=message.stage == Stage.HANDLED) for message in back.wire))
        session = state.replica._replace(serial=LIVE, minting=1)
        yield f"the store goes back to {named(session.head)}", back._replace(session=session, replica=None, lost=0, wire=wire)


ALWAYS = (browser, traffic, time)
