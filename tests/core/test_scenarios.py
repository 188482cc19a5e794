"""
What the library promises beyond the table: proofs, claims, journeys, endings, crashes, and thieves with a copied cookie.

Each scenario is a search of its own; the table in `explorer.py` says which promises it checks.
"""

from __future__ import annotations

from itertools import product

import pytest
from core.scenarios.library import abstract, concrete
from core.scenarios.told import LONG, LOSS, QUICK, TWO_PROOFS, search
from core.scenarios.values import ACCESS, GRACE, LIFETIMES, LONG_AGO, TICK, Rule, Session


def name_of(scenario):
    return scenario.name


@pytest.mark.parametrize("scenario", QUICK, ids=name_of)
def test_no_order_of_events_breaks_a_promise(scenario):
    found = search(scenario)
    assert ("", None) == (found.broken, found.way)
    assert found.states > 3_000


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [pytest.param(scenario, rule, id=f"{scenario.name}-{rule.name}") for scenario in QUICK for rule in scenario.needs],
)
def test_without_a_rule_a_promise_of_its_scenario_is_broken(scenario, rule):
    """A rule that is not needed would be a burden, and a search that finds nothing without it would be blind."""
    found = search(scenario._replace(without=rule))
    promises = [promise.strip() for promise in scenario.promises.split(",")]
    assert any(promise in found.broken for promise in promises), found.broken


def test_every_rule_is_taken_away_somewhere():
    assert set(Rule) == {rule for scenario in (*QUICK, LOSS) for rule in scenario.needs}


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", [None, *LOSS.needs])
def test_p59_a_store_that_lost_writes_accuses_nobody(rule):
    found = search(LOSS._replace(without=rule))
    assert (rule is None) == (found.way is None), found.way


def test_the_long_run_is_of_the_same_rules():
    """It only takes more of each: no scenario is there alone but those of losses."""
    short = {actor for scenario in QUICK for actor in scenario.actors}
    assert short <= {actor for scenario in LONG for actor in scenario.actors}


def test_sessions_are_read_as_they_are_written():
    """A session that is turned into a head and back is the same: the search is about the library's heads and no others."""
    ticks = range(LONG_AGO + 1)
    for gen, seen, marked, issued, proved in product(range(3), (False, True), ticks, range(ACCESS + 1), (0, 1)):
        if gen > 0 or marked == LONG_AGO:
            for networks in (("home",), ("near", "home")):
                session = Session(gen=gen, seen=seen, marked=marked, issued=issued, proved=proved, networks=networks)
                assert (session, False) == abstract(concrete(session), session)


def test_the_lifetimes_are_the_tightest_that_are_allowed():
    assert LIFETIMES.access * 1000 == 2 * LIFETIMES.grace_ms
    assert (LIFETIMES.grace, LIFETIMES.access) == (GRACE * TICK, ACCESS * TICK)


@pytest.mark.thorough
def test_two_proofs_at_once_log_nobody_out():
    """
    The second proof rotates a head whose cookie the first has just sent once more; that one arrives last.

    Without `and not head.seen` where `freshness.renew` decides about an *earlier* cookie, the search finds it.
    """
    found = search(TWO_PROOFS)
    assert None is found.way, found.way
