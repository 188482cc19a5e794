"""The cache of one process."""

from __future__ import annotations

import pytest
from support.ticks import Ticks

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.geo.cache import ENTRIES, MISS, MemoryCache

BERLIN = Place(latitude=52.52, longitude=13.405, city="Berlin")


@pytest.fixture
def clock():
    return Ticks()


def test_a_place_nowhere_and_a_miss_are_three_things(clock):
    cache = MemoryCache(clock)
    cache.put("a", BERLIN, 10)
    cache.put("b", None, 10)
    assert [BERLIN, None, MISS] == [cache.get(name) for name in "abc"]


def test_entries_end_at_their_time(clock):
    cache = MemoryCache(clock)
    cache.put("a", BERLIN, 10)
    cache.put("b", None, 20)
    clock.advance(9.9)
    assert [BERLIN, None] == [cache.get("a"), cache.get("b")]
    clock.advance(0.1)
    assert [MISS, None] == [cache.get("a"), cache.get("b")]
    clock.advance(10)
    assert MISS is cache.get("b")


def test_a_new_entry_takes_the_old_one_s_place(clock):
    cache = MemoryCache(clock)
    cache.put("a", None, 10)
    cache.put("a", BERLIN, 20)
    clock.advance(15)
    assert BERLIN == cache.get("a")


def test_what_was_not_used_for_longest_makes_room(clock):
    cache = MemoryCache(clock, entries=3)
    for name in "abc":
        cache.put(name, BERLIN, 10)
    cache.get("a")
    cache.put("d", BERLIN, 10)
    assert [BERLIN, MISS, BERLIN, BERLIN] == [cache.get(name) for name in "abcd"]


def test_putting_is_using(clock):
    cache = MemoryCache(clock, entries=2)
    for name in "abac":
        cache.put(name, BERLIN, 10)
    assert [BERLIN, MISS, BERLIN] == [cache.get(name) for name in "abc"]


def test_it_is_bounded(clock):
    cache = MemoryCache(clock)
    for number in range(ENTRIES + 100):
        cache.put(str(number), None, 10)
    assert ENTRIES == len(cache._found)
    assert [MISS, None] == [cache.get("99"), cache.get("100")]
