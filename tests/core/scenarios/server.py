"""
What a request does, in the order of the engine: the access token, the cookie, a judgement, what the app does, the answer.

Rule: each step is one script of the store's, and others come in between; after each the promises are looked at.
"""

from __future__ import annotations

from core.scenarios import library
from core.scenarios.promises import accepted, broken, handed, left_late, presented, rotated
from core.scenarios.values import (
    DEAD,
    ELSEWHERE,
    LIVE,
    NEVER,
    NO_ACCESS,
    NO_REFRESH,
    NO_SESSION,
    Access,
    Message,
    Rule,
    Scenario,
    Session,
    Stage,
    State,
    Steps,
    Thief,
    named,
    put,
    take,
)

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.decisions import Accept, Reject, Rotate, conclude, decide
from asgi_tokenguard.core.decisions import Access as Shows
from asgi_tokenguard.core.rotation import NOTHING, Handout, Outcome

THIEVES_TAB = -1  # a browser of his own
NEAR = "near"


def serve(state: State, request: Message, scenario: Scenario) -> Steps:
    """A request comes in."""
    state = take(state, request)
    session, caller = state.session, Caller(request.caller)
    seen = None if session is None else library.accept(session, request.access, scenario.without)
    shows = (
        Shows.LIVE if seen else None if request.access.gen == NEVER else Shows.ENDED if session is None else Shows.SUPERSEDED
    )
    decision = decide(library.facts(caller, shows))
    if isinstance(decision, Accept):
        state = accepted(state._replace(session=seen), session, request)
        yield from handle(f"{who(request)}: its access token is accepted", state, request, NOTHING, scenario)
    elif session is None or session.sid != request.refresh.sid:
        yield refused(state, request, conclude(library.facts(caller, shows), Code.SESSION_ENDED), scenario)
    else:
        assert isinstance(decision, Rotate)
        showed = ask(state, request, scenario)
        if showed.outcome is Outcome.JUDGE:
            yield from doubted(state, request, showed, scenario)
        elif scenario.has(Rule.ONE_SCRIPT):
            yield from carry_out(state, session, request, showed, scenario)
        else:
            yield f"{who(request)}: the record is read", put(state, request._replace(stage=Stage.READ, read=session, age=0))


def ask(
    state: State, request: Message, scenario: Scenario, *, read: Session | None = None, passed: bool = False
) -> library.Showed:
    return library.show(
        read or state.session,
        request.refresh,
        Caller(request.caller),
        request.network,
        judges=scenario.judges,
        passed=passed,
        lost=state.lost,
        without=scenario.without,
    )


def write(state: State, request: Message, scenario: Scenario) -> Steps:
    """The second half of what should be one step: what was read before is the base of what is written now."""
    showed = ask(state, request, scenario, read=request.read)
    yield from carry_out(take(state, request), request.read, request, showed, scenario)


def doubted(state: State, request: Message, showed: library.Showed, scenario: Scenario) -> Steps:
    if showed.session != state.session:
        state = state._replace(broken="section 6: a demand for a proof has changed the record", session=showed.session)
    # Its age stays: places are looked up within `timeout`, so that a judgement is part of the trip.
    waits = request._replace(stage=Stage.DOUBTED, read=state.session)
    yield f"{who(request)}: {named(request.refresh)} from {request.network} is doubted", put(state, waits)


def weigh(state: State, request: Message, scenario: Scenario) -> Steps:
    """The judgement has come to its end; the places and the policy were asked about the record as it was."""
    found = ask(state, request, scenario, read=request.read)
    decision = library.judge(request.read, found, request.network)
    state = take(state, request)
    reads_again = scenario.has(Rule.READS_AGAIN)
    if isinstance(decision, Rotate):
        read = state.session if reads_again else request.read
        if read is None or read.sid != request.refresh.sid:
            yield refused(state, request, conclude(library.facts(decision.caller, None), Code.SESSION_ENDED), scenario)
            return
        passed = ask(state, request, scenario, read=read, passed=True)
        yield from carry_out(state, read, request, passed, scenario)
    elif library.demands_proof(decision):
        if request.confirms:
            waits = request._replace(stage=Stage.PROVING, pending=True, read=NO_SESSION, age=0)
            yield f"{who(request)}: step-up, and the password is checked", put(state, waits)
        else:
            yield f"{who(request)}: step-up", state
    else:
        assert isinstance(decision, Reject)
        yield f"{who(request)}: judged too far away, the session ends", state._replace(session=None)


def carry_out(state: State, before: Session, request: Message, showed: library.Showed, scenario: Scenario) -> Steps:
    """Write what the table said of the record as it was *before*."""
    label = f"{who(request)}: {named(request.refresh)} at head {named(before.head)}: {showed.outcome.value}"
    if showed.session is not None and showed.session.gen > scenario.last_generation:
        return
    state = presented(state, before, request, showed)
    conclusion = conclude(library.facts(Caller(request.caller), None), showed.outcome)
    after = written(state, showed.session, scenario, minted=showed.minted)
    if isinstance(conclusion, Reject):
        yield refused(after, request, conclusion, scenario, label)
        return
    if showed.session is not None and showed.session.gen > before.gen and showed.outcome is Outcome.ROTATE:
        after = rotated(after, before)
    yield from handle(label, handed(after, before, request, showed), request, showed.handout, scenario)


def written(state: State, session: Session | None, scenario: Scenario, *, minted: bool) -> State:
    """The state with another record; where an access token was *minted*, all others are old."""
    state = state._replace(session=session)
    if not minted:
        return state
    old = ELSEWHERE if state.replica is not None and state.replica.serial == LIVE else DEAD
    replica = state.replica and state.replica._replace(serial=old if state.replica.serial == LIVE else state.replica.serial)
    state = with_tokens(
        state._replace(replica=replica), lambda token: token._replace(serial=old) if token.serial == LIVE else token
    )
    return forgotten(state, scenario)


def forgotten(state: State, scenario: Scenario) -> State:
    """
    Without the access tokens that `see` will never know again, unless that rule is gone: who shows one shows none.

    An answer that brings one still takes the place of a newer one.
    """
    if not scenario.has(Rule.BELONGS):
        return state

    def kept(access: Access) -> Access:
        return NO_ACCESS if access.serial == DEAD else access

    return state._replace(
        tabs=tuple(kept(access) for access in state.tabs),
        wire=tuple(sorted(message._replace(access=kept(message.access)) for message in state.wire)),
        thief=state.thief._replace(access=kept(state.thief.access)),
    )


def with_tokens(state: State, become) -> State:
    """The state in which each access token that anybody holds or that is under way has *become* another."""

    def each(message: Message) -> Message:
        return message._replace(access=become(message.access), token=become(message.token))

    return state._replace(
        tabs=tuple(become(access) for access in state.tabs),
        wire=tuple(sorted(each(message) for message in state.wire)),
        thief=state.thief._replace(access=become(state.thief.access)),
    )


def handle(label: str, state: State, request: Message, leaves: Handout, scenario: Scenario) -> Steps:
    """Let in: the app answers at once, or takes its time; or it checks a password first."""
    if request.tab == THIEVES_TAB:
        yield f"a thief shows {named(request.refresh)}, {label.partition(': ')[2]}", robbed(state, request, leaves, scenario)
        return
    if state.session is None or state.broken:
        yield label, state
        return
    session = state.session
    token = Access(session.gen, LIVE, session.claims) if leaves.token else NO_ACCESS
    answer = request._replace(decided=session.head, cookie=leaves.cookie, token=token, read=NO_SESSION, age=0, pending=False)
    if request.confirms:
        yield f"{label}; the password is being checked", put(state, answer._replace(stage=Stage.PROVING))
    elif leaves == NOTHING:
        yield label, state  # what brings nothing changes nothing
    else:
        yield f"{label}, leaves at once", put(state, on_its_way(answer))
        yield f"{label}, slow handler", put(state, answer._replace(stage=Stage.HANDLED))


def robbed(state: State, request: Message, leaves: Handout, scenario: Scenario) -> State:
    """A thief is served: he takes what he is handed, and tries what needs a proof."""
    session, thief = state.session, state.thief
    if session is None:
        return state
    if request.network not in scenario.networks and request.network != NEAR:
        state = broken(state, f"section 6: a thief who is {request.network} is served")
    if library.is_fresh(session, holds=thief.fresh, without=scenario.without):
        state = broken(state, "I16: a copied cookie passes for a proof")
    cookies = {*thief.cookies, session.head} if leaves.cookie else thief.cookies
    access = Access(session.gen, LIVE, session.claims) if leaves.token else thief.access
    return state._replace(thief=Thief(tuple(sorted(cookies)), access, thief.fresh or leaves.fresh))


def on_its_way(answer: Message) -> Message:
    """An answer: what the request carried is of no interest any more."""
    return answer._replace(stage=Stage.ANSWERED, refresh=NO_REFRESH, access=NO_ACCESS, caller="", network="", age=0)


def prove(state: State, request: Message, scenario: Scenario) -> Steps:
    """The app has checked the password: `reauthenticated()`."""
    state, caller = take(state, request), Caller(request.caller)
    if state.session is None or state.session.sid != request.refresh.sid:
        yield f"{who(request)}: proves who it is, and the session is over", state
        return
    earlier = request.decided, request.cookie
    if request.pending:
        before = state.session
        showed = ask(state, request, scenario, passed=True)
        if showed.session is None or showed.session.gen > scenario.last_generation:
            yield from carry_out(state, before, request, showed, scenario)
            return
        state = written(presented(state, before, request, showed), showed.session, scenario, minted=showed.minted)
        if showed.outcome is Outcome.ROTATE and showed.session.gen > before.gen:
            state = rotated(state, before)
        earlier = state.session.head, showed.handout.cookie
    before = state.session
    later, minted, leaves = library.renew(before, caller, earlier, lost=state.lost, without=scenario.without)
    if later.gen > scenario.last_generation:
        return
    state = written(state, later, scenario, minted=minted)
    if later.gen > before.gen:  # a proof may rotate before the access token is over
        state = state._replace(witness=state.witness._replace(sighted=NEVER, newest=later.gen, rotated=0))
    yield from handle(f"{who(request)}: proves who it is", state, request._replace(confirms=False), leaves, scenario)


def leave(state: State, answer: Message, scenario: Scenario) -> Steps:
    """A slow handler answers (I15)."""
    wanted = Handout(cookie=answer.cookie, token=answer.token != NO_ACCESS)
    session, leaving = library.look_at(
        state.session, wanted, answer.decided, past=answer.past, lost=state.lost, without=scenario.without
    )
    state = take(state, answer)._replace(session=session)
    label = f"{who(answer)}: the late answer leaves with {carried(leaving, answer)}"
    if leaving == NOTHING:
        yield label, state
        return
    state = left_late(state, answer, leaving)
    left = answer._replace(cookie=leaving.cookie, token=answer.token if leaving.token else NO_ACCESS, past=False)
    yield label, put(state, on_its_way(left))


def carried(leaving: Handout, answer: Message) -> str:
    return " and ".join([named(answer.decided)] * leaving.cookie + ["an access token"] * leaving.token) or "nothing"


def refused(state: State, request: Message, conclusion: object, scenario: Scenario, label: str = "") -> tuple[str, State]:
    """No honest browser is refused, unless someone has ended its session or a thief has used it."""
    assert isinstance(conclusion, Reject)
    blameless = scenario.left.thief == scenario.left.ends == scenario.left.logins == 0
    # Where the store has lost writes, one of two twins is refused, and its session lives.
    if blameless and (state.session is None or state.lost == NEVER):
        state = broken(state, "I7, I8: an honest browser is logged out")
    return label or f"{who(request)}: {named(request.refresh)} is refused", state


def heals(state: State, scenario: Scenario) -> bool:
    """Whether the next answer brings the head to its browser, whatever was lost on the way (I8)."""
    session = state.session
    if session is None or session.sid != state.jar.sid or state.lost != NEVER or scenario.left.thief:
        return True
    showed = library.show(session, state.jar, Caller.SCRIPT, state.here, judges=False, without=scenario.without)
    return showed.handout.cookie or (showed.handout.token and state.jar == session.head)


def who(message: Message) -> str:
    if message.tab == THIEVES_TAB:
        return "the thief"
    return f"tab {message.tab}" if message.caller in {"", Caller.SCRIPT.value} else message.caller
