"""What the verified-token cache keeps, and what makes it forget."""

from __future__ import annotations

import json
from math import inf

import pytest

from asgi_tokenguard.store.cache import VerdictCache, size_of

ANN, BOB = b"tg:s:{ann}", b"tg:s:{bob}"


@pytest.fixture
def cache() -> VerdictCache[str]:
    cache: VerdictCache[str] = VerdictCache()
    cache.arm()
    cache.trusted_until = inf
    return cache


def keep(cache, field: bytes, key: bytes = ANN, *, value: str = "ann", deadline: float = 100.0, size: int = 0) -> None:
    reading = cache.begin(key)
    cache.put(reading, field, value, deadline, size)
    cache.end(reading)


def test_a_verdict_is_served_until_its_deadline_and_takes_no_room_after_it(cache):
    keep(cache, b"token")
    assert ("ann", "ann", None) == (cache.get(b"token", 0), cache.get(b"token", 99.9), cache.get(b"token", 100))
    assert (0, 0) == (len(cache), cache.size)


def test_nothing_is_served_once_trust_has_lapsed_and_is_served_again_with_it(cache):
    """A late lease loses nothing: whatever changed meanwhile is pushed before the lease is answered."""
    keep(cache, b"token")
    cache.trusted_until = 50
    assert ("ann", None) == (cache.get(b"token", 49.9), cache.get(b"token", 50))
    cache.trusted_until = 60
    assert "ann" == cache.get(b"token", 50)


def test_a_change_drops_all_of_its_user_and_nothing_of_others(cache):
    keep(cache, b"one")
    keep(cache, b"two")
    keep(cache, b"three", BOB, value="bob")
    cache.changed(ANN)
    assert [None, None, "bob"] == [cache.get(field, 0) for field in (b"one", b"two", b"three")]
    assert 1 == len(cache)


def test_a_change_makes_every_answer_that_was_under_way_stale(cache):
    """The record was read, then revoked, then the answer arrived: it must not be kept."""
    first, second, other = cache.begin(ANN), cache.begin(ANN), cache.begin(BOB)
    cache.changed(ANN)
    for reading, field in ((first, b"one"), (second, b"two"), (other, b"three")):
        cache.put(reading, field, "x", 100, 0)
        cache.end(reading)
    assert [None, None, "x"] == [cache.get(field, 0) for field in (b"one", b"two", b"three")]


def test_a_reading_that_begins_after_the_change_may_be_kept(cache):
    before = cache.begin(ANN)
    cache.changed(ANN)
    keep(cache, b"token")
    cache.end(before)
    assert "ann" == cache.get(b"token", 0)


@pytest.mark.parametrize("loss", ["forget", "distrust"])
def test_a_lost_channel_and_a_flush_drop_everything_also_what_is_under_way(cache, loss):
    keep(cache, b"token")
    reading = cache.begin(BOB)
    getattr(cache, loss)()
    cache.arm()
    cache.trusted_until = inf
    cache.put(reading, b"late", "bob", 100, 0)
    assert (None, None, 0, 0) == (cache.get(b"token", 0), cache.get(b"late", 0), len(cache), cache.size)


def test_what_is_read_while_nobody_listens_is_not_kept(cache):
    cache.distrust()
    assert cache.begin(ANN) is None
    cache.arm()
    reading = cache.begin(ANN)
    cache.distrust()
    cache.put(reading, b"token", "ann", 100, 0)
    assert 0 == len(cache)


def test_without_an_answered_lease_nothing_is_served(cache):
    cache.distrust()
    cache.arm()
    keep(cache, b"token")
    assert (1, None) == (len(cache), cache.get(b"token", 0))


def test_the_oldest_makes_room_by_number_and_by_bytes():
    for bounds, size in (({"most_entries": 10}, 0), ({"most_bytes": 50_000}, 4_000)):
        cache: VerdictCache[str] = VerdictCache(**bounds)
        cache.arm()
        cache.trusted_until = inf
        for number in range(100):
            keep(cache, b"%d" % number, b"user %d" % number, size=size)
        assert 10 == len(cache)
        assert (None, "ann") == (cache.get(b"89", 0), cache.get(b"90", 0))
        assert cache.size <= 50_000


def test_one_user_pushes_out_nobody_but_themselves(cache):
    """`bearer`, `BEARER`, one blank, two: one token has as many headers as somebody cares to write."""
    keep(cache, b"bob's", BOB, value="bob")
    for number in range(1_000):
        keep(cache, b"%d" % number)
    assert (257, "bob", "ann") == (len(cache), cache.get(b"bob's", 0), cache.get(b"999", 0))


def test_the_same_header_twice_is_one_entry(cache):
    keep(cache, b"token", deadline=10)
    size = cache.size
    keep(cache, b"token", deadline=20)
    assert (1, size, "ann") == (len(cache), cache.size, cache.get(b"token", 15))


def test_whatever_happens_the_count_of_bytes_comes_back_to_zero(cache):
    for number in range(50):
        keep(cache, b"%d" % number, [ANN, BOB][number % 2], size=number)
    cache.changed(ANN)
    for number in range(50):
        cache.get(b"%d" % number, 100)
    assert (0, 0) == (len(cache), cache.size)
    assert (0, 0) == (len(cache._fields), len(cache._readings))


def test_claims_are_counted_as_what_they_are_in_memory():
    dense = json.loads("[" + ",".join(["{}"] * 1_000) + "]")
    assert size_of({"a": "b"}) > 200
    assert size_of({"list": dense}) > 60_000 > 3 * len(json.dumps(dense))
