"""
Two hours of bad networks and three hundred thieves, within seconds, over real HTTP against two processes.

`PYTHONPATH=tests python tests/stories/simulation.py` runs more seeds of more networks; `pytest -s` shows what happened here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from stories.simulation import LIFETIMES, WORLDS, Site, hunt, say, say_caught, site, work


@pytest.fixture(scope="module")
def place(server) -> Iterator[Site]:
    with site(server, "simulation") as place:
        yield place


@pytest.mark.parametrize(
    ("world", "seed"),
    [
        ("everything", 1),
        pytest.param("everything", 2, marks=pytest.mark.thorough),
        ("late", 3),
        pytest.param("handlers slower than an access lifetime", 4, marks=pytest.mark.thorough),
        pytest.param("a train: 60 % lost", 5, marks=pytest.mark.thorough),
        ("one tab, seldom", 6),
        ("one tab, seldom", 7),
    ],
)
async def test_i7_i8_i15_three_tabs_on_a_bad_network_are_never_logged_out(place, world, seed):
    """Late, lost and swapped answers, reloads, slow handlers, bursts that are truly parallel; two hours."""
    began = time.perf_counter()
    outcome = await work(place, WORLDS[world], seed)
    say(world, [outcome], time.perf_counter() - began)
    assert None is outcome.refused
    assert 5 <= outcome.rotations <= 8  # each access lifetime one, and no more
    assert outcome.shortest >= LIFETIMES.access


@pytest.mark.thorough
async def test_i9_three_hundred_thieves_who_come_back_while_the_owner_works_are_all_caught(place):
    """Each has a copy of the cookie, comes back at random moments with the newest that he has, and uses what he gets."""
    began = time.perf_counter()
    thieves = await hunt(place, 300, seed=7)
    say_caught(thieves, time.perf_counter() - began)
    assert 300 == sum(thief.caught_after is not None for thief in thieves)
    assert all(thief.owner.outcome.requests > 1 for thief in thieves)
