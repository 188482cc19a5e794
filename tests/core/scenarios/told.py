"""
The scenarios: each takes some actors, checks promises, and needs rules.

What they cover is in the table of `core/explorer.py`, which runs them; `LONG` holds larger ones.
"""

from __future__ import annotations

from typing import NamedTuple

from core.scenarios import actors
from core.scenarios.search import breadth_first
from core.scenarios.values import LIVE, NO_ACCESS, Access, Left, Refresh, Rule, Scenario, Session, State, Steps

from asgi_tokenguard.core.callers import Caller


class Found(NamedTuple):
    """How many states there are; the shortest way to one in which the promise *broken* is, where there is one."""

    states: int
    way: list[str] | None
    broken: str


def search(scenario: Scenario) -> Found:
    tabs = (Access(0, LIVE),) + (NO_ACCESS,) * (scenario.tabs - 1)
    start = State(Session(), Refresh(0, 0), tabs, (), scenario.left)
    everybody = (*actors.ALWAYS, *scenario.actors)

    def steps(state: State) -> Steps:
        for actor in everybody:
            yield from actor(state, scenario)

    states, way, last = breadth_first(start, steps, lambda state: bool(state.broken))
    return Found(states, way, last.broken if last else "")


ALL = (Caller.SCRIPT, Caller.DOCUMENT, Caller.OTHER)
THEFT = (actors.pickpocket, actors.thief)

JAR = Scenario("one jar", "I7, I8, I15", needs=(Rule.ONLY_WHEN_OVER, Rule.ONE_SCRIPT, Rule.LOOKS_AGAIN))
# No answer is lost on the wire, so that what is lost, the crash has taken.
CRASH = Scenario(
    "a process crashes", "I7, I8, I15", (actors.crash,), Left(crashes=1), answers_are_lost=False, needs=(Rule.HEALS,)
)
CALLERS = Scenario("pages and images", "I7, I8, I12", callers=ALL, last_generation=1, needs=(Rule.CALLERS,))
PROOF = Scenario(
    "a proof",
    "I7, I8, I15, I16",
    (actors.prover,),
    Left(proofs=1),
    answers_are_lost=False,
    needs=(Rule.RENEWS_WHAT_IS_SAFE, Rule.TOKEN_WITH_COOKIE),
)
CLAIMS = Scenario(
    "claims change",
    "I7, I8, claims",
    (actors.app,),
    Left(changes=1),
    last_generation=1,
    answers_are_lost=False,
    needs=(Rule.CLAIMS_KILL, Rule.CLAIMS_KEEP),
)
JOURNEY = Scenario(
    "a journey",
    "I7, I8, section 6",
    (actors.traveller,),
    Left(moves=1),
    last_generation=1,
    networks=("home", "near"),
    answers_are_lost=False,
    needs=(Rule.READS_AGAIN, Rule.LEAVES_NO_TRACE),
)
END = Scenario(
    "the session is ended",
    "I10, I15",
    (actors.administrator,),
    Left(ends=1),
    last_generation=1,
    needs=(Rule.ONE_SCRIPT, Rule.LOOKS_AGAIN),
)
LOGIN = Scenario(
    "a new login", "I10, I13, I15", (actors.newcomer,), Left(logins=1), last_generation=1, needs=(Rule.LOOKS_AGAIN,)
)
JUDGED_END = Scenario(
    "ended while it is judged",
    "I10",
    (actors.traveller, actors.administrator),
    Left(moves=1, ends=1),
    in_flight=1,
    last_generation=1,
    networks=("home", "near"),
    needs=(Rule.READS_AGAIN,),
)
BESIDE = Scenario(
    "a thief beside the owner",
    "I9",
    THEFT,
    Left(thefts=1, thief=3),
    in_flight=1,
    answers_are_lost=False,
    needs=(Rule.ACCUSES, Rule.STRAGGLERS_GET_NOTHING, Rule.BELONGS),
)
FAR = Scenario(
    "a thief far away",
    "section 6",
    THEFT,
    Left(thefts=1, thief=2),
    in_flight=1,
    last_generation=1,
    thief_network="far",
    needs=(Rule.JUDGES,),
)
EDGE = FAR._replace(name="a thief in the next town", thief_network="edge")
COPY = Scenario(
    "a copied cookie and a proof",
    "I16",
    (*THEFT, actors.prover),
    Left(thefts=1, thief=2, proofs=1),
    in_flight=1,
    last_generation=1,
    answers_are_lost=False,
    needs=(Rule.FRESHNESS_IS_A_TOKEN,),
)
QUICK = (JAR, CRASH, CALLERS, PROOF, CLAIMS, JOURNEY, END, LOGIN, JUDGED_END, BESIDE, FAR, EDGE, COPY)

# The protocol has a loss too, in a time without numbers.
LOSS = Scenario("the store loses writes", "I8", (actors.loss,), Left(losses=1), needs=(Rule.LOST_MARKS, Rule.DECIDED_SINCE))
# Until `freshness.renew` sends a rotation's cookie on only while its head is unseen, this one ends in a logout.
TWO_PROOFS = PROOF._replace(name="two proofs", left=Left(proofs=2))
LONG = (
    JAR._replace(name="two tabs", tabs=2),
    JAR._replace(name="three messages", in_flight=3),
    CRASH._replace(left=Left(crashes=2), answers_are_lost=True),
    CALLERS._replace(last_generation=2),
    PROOF._replace(tabs=2, answers_are_lost=True),
    CLAIMS._replace(left=Left(changes=2), last_generation=2, answers_are_lost=True),
    PROOF._replace(name="a proof, claims change", actors=(actors.prover, actors.app), left=Left(proofs=1, changes=1)),
    JOURNEY._replace(left=Left(moves=2), last_generation=2),
    END._replace(last_generation=2, tabs=2),
    LOGIN._replace(last_generation=2),
    BESIDE._replace(left=Left(thefts=2, thief=4), answers_are_lost=True),
    FAR._replace(last_generation=2, in_flight=2),
    EDGE._replace(last_generation=2, in_flight=2),
    COPY._replace(last_generation=2, answers_are_lost=True, left=Left(thefts=2, thief=3, proofs=1)),
    LOSS,
    LOSS._replace(
        name="the store loses writes, a process crashes",
        actors=(actors.loss, actors.crash),
        left=Left(losses=1, crashes=1),
        last_generation=1,
        needs=(),
    ),
)
