"""
The rotation table loses no session of an honest browser, and needs each of its rules.

`explorer.py` searches every order of events; in `tests/`, `python -m core.explorer --long` searches 7.5 million states.
"""

from __future__ import annotations

from itertools import product

import pytest
from core.explored import LIFETIMES, NOW, Rules, Session, World
from core.explored_verdicts import abstract, concrete
from core.explorer import OF_LOSSES, SHORT, search, without, world_without

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.rotation import NewIds, Outcome, Shown, present


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(World(in_flight=2), id="two tabs"),
        pytest.param(SHORT[0], id="two tabs, three messages", marks=pytest.mark.thorough),
        pytest.param(SHORT[1], id="a tab, pages and images"),
    ],
)
def test_i7_i8_no_order_of_events_logs_an_honest_browser_out(world):
    """Parallel tabs, lost, late and reordered answers, slow handlers, reloads: every reachable state."""
    states, way = search(Rules(), world)
    assert None is way
    assert states > 5_000


@pytest.mark.thorough
@pytest.mark.parametrize("world", SHORT[2:], ids=["one tab"])
def test_p59_a_store_that_lost_its_last_writes_accuses_nobody(world):
    """As above, and once the store goes back to what a replica had heard of."""
    states, way = search(Rules(), world)
    assert None is way
    assert states > 50_000


@pytest.mark.parametrize("rule", [rule for rule in Rules._fields if rule not in OF_LOSSES])
def test_each_rule_is_needed(rule):
    """A rule that is not needed would be a burden, and a search that finds nothing without it would be blind."""
    needed(rule)


@pytest.mark.thorough
@pytest.mark.parametrize("rule", sorted(OF_LOSSES))
def test_each_rule_of_losses_is_needed(rule):
    needed(rule)


def needed(rule: str) -> None:
    _, way = search(without(rule), world_without(rule))
    assert way is not None
    assert way[-1].endswith(": reuse")


def test_i7_a_request_that_crosses_a_late_answer_is_served():
    """
    The shortest of those traces with the default lifetimes: each message takes 28 s, less than the grace of 30 s.

    A tab gets the successor for the second time shortly before its access token ends.  Another tab's request left before
    the successor had arrived, and comes in when the first tab is already back with it.
    """
    from asgi_tokenguard.core.lifetimes import Lifetimes

    lifetimes = Lifetimes()
    head = concrete(Session(gen=0, seen=True, graces=2, live=False, resent=False))

    def shows(head, gen, at):
        shown = Shown(gen=gen, jti=bytes([gen]) * 16, issued=0)
        new = NewIds(access=b"a" * 16, refresh=bytes([head.gen + 1]) * 16)
        now_ms = NOW + at * 1000
        return present(head, shown, now_ms=now_ms, lifetimes=lifetimes, caller=Caller.SCRIPT, new=new)

    rotated = shows(head, 0, 900)  # the answer is lost
    again = shows(rotated.head, 0, 900 + 880)  # arrives at 908
    late = shows(again.head, 1, 900 + 911)  # the access token has ended at 900
    crossing = shows(late.head, 0, 900 + 935)  # sent at 907
    assert [Outcome.ROTATE, Outcome.REDELIVER] == [rotated.outcome, again.outcome]
    assert Outcome.REUSE is not crossing.outcome


def test_the_explorer_reads_heads_as_it_writes_them():
    """A state that is turned into a head and back is the same: the search is about the library's heads and no others."""
    for gen, seen, graces, live, resent in product(range(3), (False, True), range(3), (False, True), (False, True)):
        if gen > 0 or (graces == 2 and not resent):
            session = Session(gen, seen, graces, live, resent)
            assert (session, False, False) == abstract(concrete(session), session)


def test_the_explorer_takes_the_tightest_lifetimes():
    assert LIFETIMES.access * 1000 == 2 * LIFETIMES.grace_ms
