"""
Places of addresses, shared by all processes through Redis.

Rule: its size is bounded by its names.  An address has one of 65,536 slots, and whoever comes later takes it: nobody who
comes from ever new addresses can fill Redis with them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.places import Place, pack_place, unpack_place
from asgi_tokenguard.core.sessions import pack_address
from asgi_tokenguard.geo.cache import MISS, Known

if TYPE_CHECKING:
    from asgi_tokenguard.store.redis import RedisStore

# About 10 MB in Redis where all are taken; a site of 65,536 networks a day asks a provider a few times more than it had to.
SLOT_BITS: Final = 16


class RedisPlaceCache:
    """A `PlaceCache` on the guard's own Redis; what it keeps is gone after *ttl_seconds*."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def get(self, address: str) -> Known:
        packed = pack_address(address)
        async with self._store.patience():
            raw = await self._store.get_place(_slot(packed))
        if raw is None or raw[:1] != bytes([len(packed)]) or raw[1 : 1 + len(packed)] != packed:
            return MISS
        place = raw[1 + len(packed) :]
        return unpack_place(place) if place else None

    async def put(self, address: str, place_or_none: Place | None, ttl_seconds: float) -> None:
        packed = pack_address(address)
        place = b"" if place_or_none is None else pack_place(place_or_none)
        async with self._store.patience():
            await self._store.put_place(_slot(packed), bytes([len(packed)]) + packed + place, max(1, round(ttl_seconds)))


def _slot(packed: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(packed, digest_size=SLOT_BITS // 8).digest(), "big")
