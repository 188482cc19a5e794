"""Places of addresses in Redis: shared by processes, bounded by the number of slots."""

from __future__ import annotations

import pytest

from asgi_tokenguard import HttpLocator, Place, TokenGuard
from asgi_tokenguard.geo import MISS
from asgi_tokenguard.store import place_cache
from asgi_tokenguard.store.place_cache import RedisPlaceCache

PARIS = Place(latitude=48.857, longitude=2.352, city="Paris", country="FR", accuracy_km=5.0)


@pytest.fixture
def cache(guard):
    return RedisPlaceCache(guard.engine.store)


async def test_what_one_process_was_told_another_one_knows(cache, guard, options, clock):
    await cache.put("192.0.2.7", PARIS, 60)
    await cache.put("2001:db8::7", None, 60)
    found = await cache.get("192.0.2.7")
    assert ("Paris", "FR", 5.0) == (found.city, found.country, found.accuracy_km)
    assert abs(48.857 - found.latitude) < 0.001
    assert await cache.get("2001:db8::7") is None
    assert MISS is await cache.get("192.0.2.8")
    clock.advance(61)
    assert MISS is await cache.get("192.0.2.7")


async def test_p39_new_addresses_take_the_slots_of_old_ones(cache, monkeypatch):
    """Whoever comes from ever new addresses fills nothing."""
    monkeypatch.setattr(place_cache, "_slot", lambda packed: 7)
    await cache.put("192.0.2.7", PARIS, 60)
    await cache.put("192.0.2.8", None, 60)
    assert (MISS, None) == (await cache.get("192.0.2.7"), await cache.get("192.0.2.8"))


async def test_an_ipv4_address_is_not_taken_for_the_start_of_an_ipv6_one(cache, monkeypatch):
    monkeypatch.setattr(place_cache, "_slot", lambda packed: 7)
    await cache.put("1.2.3.4", PARIS, 60)
    assert MISS is await cache.get("102:304::")


def test_slots_are_65536_and_spread():
    slots = {place_cache._slot(number.to_bytes(4, "big")) for number in range(20_000)}
    assert max(slots) < 2**16
    assert len(slots) > 16_000


async def test_a_guard_offers_its_redis_to_its_http_locator(options):
    """What was passed goes first."""
    own = HttpLocator("https://geo.example/{address}")
    async with TokenGuard(**options, locator=own):
        assert isinstance(own._shared, RedisPlaceCache)
    passed = HttpLocator("https://geo.example/{address}", cache=own._shared)
    async with TokenGuard(**options, locator=passed):
        assert passed._shared is own._shared
