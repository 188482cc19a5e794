"""What the scenarios are about: the record, two browsers and the messages between, as values that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, IntEnum
from typing import NamedTuple

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.places import Place

# The tightest that are allowed, and time in halves of a grace: a message that takes none or one of them is on the wire for
# less than the grace.
LIFETIMES = Lifetimes(access=60, grace=30)
TICK = 15
GRACE, ACCESS = LIFETIMES.grace_ms // 1000 // TICK, LIFETIMES.access // TICK
# From here on, nothing changes by waiting: an unseen head settles after two graces, an access token is over.
LONG_AGO = max(2 * GRACE, ACCESS)
NEVER = -1

# Access tokens by what they are to the record: its live one, the one that is live at the replica, and all others.
LIVE, ELSEWHERE, DEAD = 0, 1, 2

HOME = "home"
PLACES = {
    HOME: Place(latitude=52.52, longitude=13.40, city="Berlin"),
    "near": Place(latitude=52.40, longitude=13.06, city="Potsdam"),  # 27 km
    "edge": Place(latitude=51.98, longitude=12.60, city="Zahna"),  # 81 km
    "far": Place(latitude=40.71, longitude=-74.01, city="New York"),
}


class Rule(Enum):
    """What the protocol rests on; a scenario without it has to break a promise."""

    ONLY_WHEN_OVER = "a head rotates only when it is settled and its access token over"
    HEALS = "an unseen head is redelivered without a time limit"
    ACCUSES = "a superseded token after a seen successor has settled ends the session"
    STRAGGLERS_GET_NOTHING = "a straggler is served and handed nothing"
    BELONGS = "an access token belongs to one generation"
    LOOKS_AGAIN = "an answer that leaves late looks at the record once more"
    ONE_SCRIPT = "the record is read and written in one step"
    READS_AGAIN = "the step after a judgement reads the record again"
    JUDGES = "a cookie from an unknown network is judged"
    LEAVES_NO_TRACE = "a demand for a proof changes nothing in the record"
    FRESHNESS_IS_A_TOKEN = "freshness travels in a token of its own"
    RENEWS_WHAT_IS_SAFE = "a proof rotates only a head that is settled and seen"
    TOKEN_WITH_COOKIE = "an access token of an unseen head leaves with its cookie"
    CLAIMS_KILL = "a change of claims kills the access token"
    CLAIMS_KEEP = "a change of claims touches no refresh token"
    CALLERS = "who can receive nothing rotates nothing and is handed nothing"
    LOST_MARKS = "a store that has lost writes has lost marks"
    DECIDED_SINCE = "what was decided before the store lost writes does not leave late"


class Refresh(NamedTuple):
    """A refresh token; *branch* is 1 where it was minted after the store had lost writes."""

    sid: int
    gen: int
    branch: int = 0


class Access(NamedTuple):
    """An access token: *serial* is one of `LIVE`, `ELSEWHERE` and `DEAD`, *claims* the version that it carries."""

    gen: int
    serial: int
    claims: int = 0


class Session(NamedTuple):
    """The record; times in ticks before now."""

    sid: int = 0
    gen: int = 0
    branch: int = 0
    seen: bool = False
    marked: int = LONG_AGO
    issued: int = 0  # its access token
    serial: int = LIVE  # of its access token: at a replica, it may be another one than the store's
    proved: int = 1  # when its user has proved who they are, 1: too long ago
    claims: int = 0
    networks: tuple[str, ...] = (HOME,)
    minting: int = 0  # the branch of the next refresh token

    @property
    def head(self) -> Refresh:
        return Refresh(self.sid, self.gen, self.branch)


NO_REFRESH, NO_ACCESS = Refresh(NEVER, NEVER), Access(NEVER, DEAD)
NO_SESSION = Session(sid=NEVER)


class Stage(IntEnum):
    """Where a request is."""

    SENT = 0
    READ = 1  # what is to be done was decided and is not written yet: the bug that `ONE_SCRIPT` is against
    DOUBTED = 2  # odd, and being judged
    HANDLED = 3  # let in; the app has not answered yet
    PROVING = 4  # let in, or pending: the app has checked the password and is about to say so
    ANSWERED = 5


class Message(NamedTuple):
    """A request and what becomes of it."""

    stage: int
    tab: int
    caller: str
    refresh: Refresh
    access: Access
    network: str = HOME
    confirms: bool = False  # brings the password
    age: int = 0  # on the wire
    decided: Refresh = NO_REFRESH  # the head when it was decided,
    cookie: bool = False  # and whether that leaves,
    token: Access = NO_ACCESS  # and this
    read: Session = NO_SESSION
    pending: bool = False
    past: bool = False  # decided before the store lost writes


class Thief(NamedTuple):
    """All refresh tokens that he has had, his access token, and whether he holds a proof of freshness."""

    cookies: tuple[Refresh, ...] = ()
    access: Access = NO_ACCESS
    fresh: bool = False


class Witness(NamedTuple):
    """What has happened, as nobody but the search knows; in ticks before now."""

    sighted: int = NEVER  # the head has come back first
    rotated: int = ACCESS  # the last rotation for an access token that was over
    newest: int = 0  # generation


class Left(NamedTuple):
    """How often each may still happen."""

    proofs: int = 0
    changes: int = 0  # of claims
    ends: int = 0
    logins: int = 0
    crashes: int = 0
    moves: int = 0
    thefts: int = 0
    thief: int = 0  # his requests
    losses: int = 0


class State(NamedTuple):
    session: Session | None  # None: over
    jar: Refresh
    tabs: tuple[Access, ...]
    wire: tuple[Message, ...]
    left: Left
    here: str = HOME  # the owner's network
    thief: Thief = Thief()
    witness: Witness = Witness()
    replica: Session | None = None
    lost: int = NEVER
    broken: str = ""  # the promise that was broken


Steps = Iterator[tuple[str, State]]


class Scenario(NamedTuple):
    """Who takes part, and how much happens at once; *promises* are what it checks, *needs* the rules that it needs."""

    name: str
    promises: str
    actors: tuple[Callable[[State, Scenario], Steps], ...] = ()
    left: Left = Left()
    tabs: int = 1
    in_flight: int = 2
    last_generation: int = 2
    callers: tuple[Caller, ...] = (Caller.SCRIPT,)
    networks: tuple[str, ...] = (HOME,)
    thief_network: str = HOME
    answers_are_lost: bool = True
    needs: tuple[Rule, ...] = ()
    without: Rule | None = None

    def has(self, rule: Rule) -> bool:
        return self.without is not rule

    @property
    def judges(self) -> bool:
        """Whether there is anything to judge; who only stays at home is not."""
        return self.has(Rule.JUDGES) and (len(self.networks) > 1 or self.thief_network != HOME)


def spend(state: State, what: str) -> State:
    """The state in which *what* may happen once less often."""
    return state._replace(left=state.left._replace(**{what: getattr(state.left, what) - 1}))


def put(state: State, message: Message) -> State:
    return state._replace(wire=tuple(sorted((*state.wire, message))))


def take(state: State, message: Message) -> State:
    at = state.wire.index(message)
    return state._replace(wire=state.wire[:at] + state.wire[at + 1 :])


def named(refresh: Refresh) -> str:
    return f"R{refresh.gen}" + "'" * refresh.branch + (f" of login {refresh.sid}" if refresh.sid else "")
