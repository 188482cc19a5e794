"""A locator that asks a provider over HTTP, as seldom as it can, and that a dead provider does not slow down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.geo.addresses import Address, located
from asgi_tokenguard.geo.breaker import CircuitBreaker
from asgi_tokenguard.geo.cache import FAILURE_SECONDS, MISS, PLACE_SECONDS, UNKNOWN_SECONDS, Known, MemoryCache, PlaceCache
from asgi_tokenguard.geo.endpoint import Endpoint
from asgi_tokenguard.geo.fields import Fields
from asgi_tokenguard.geo.provider import Provider, ProviderError
from asgi_tokenguard.loops import Flights, PerLoop

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("asgi_tokenguard")

# Redis on the same network answers in less than a millisecond: what takes a hundred is slower than the provider.
CACHE_PATIENCE: Final = 0.1


class HttpLocator:
    """
    Asks the provider at *url*, which has `{address}` in its path or query, and reads its JSON by *fields*.

        HttpLocator("https://ipinfo.io/{address}/json", fields=Fields.IPINFO, headers={"Authorization": "Bearer ..."})
        HttpLocator("https://geo.example.org/v1?ip={address}", fields=Fields(city="place.town", accuracy="radius_km"))

    *timeout* is in seconds, for a whole exchange from the connection to the last byte.  An answer is a JSON object with status
    200, of at most 64 KB; 404 is "unknown", all else a failure, which is forgotten after 5 s.  Places are kept for a day and
    "unknown" for ten minutes, in this process (4096 addresses) and in *cache*, where one is passed.  Five failures in a row,
    and the provider is not asked for 30 s.  A *client* (`httpx.AsyncClient`) that is passed stays the user's; otherwise one is
    opened for each event loop, and closed by `aclose`.

    Keys may stand in *url* and *headers*: they are shown in no error, log line or `repr`.

    Raises `ConfigurationError` for a URL that is not https (but for this machine), and for options that cannot work.
    """

    def __init__(
        self,
        url: str,
        *,
        fields: Fields = Fields(),  # noqa: B008 (frozen)
        timeout: float = 1.0,
        headers: Mapping[str, str] | None = None,
        cache: PlaceCache | None = None,
        client: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = Endpoint(url)
        self._provider = Provider(self._endpoint, fields, timeout=timeout, headers=headers, client=client)
        self._shared = _checked_cache(cache)
        self._memory = MemoryCache(clock)
        self._breaker = CircuitBreaker(clock)
        self._flights: PerLoop[Flights[Place | None]] = PerLoop()

    def share(self, cache: PlaceCache) -> None:
        """Use *cache* as well, unless one was passed; the guard offers its own Redis."""
        if self._shared is None:
            self._shared = cache

    async def locate(self, address: str) -> Place | None:
        found = located(address)
        if found is None:
            return None
        key = str(found)
        known = self._memory.get(key)
        if known is not MISS:
            return known
        return await self._flights.get(Flights).join(key, partial(self._look_up, found, key))

    async def _look_up(self, address: Address, key: str) -> Place | None:
        known = await self._get_shared(key)
        if known is not MISS:
            # How long it has been there is not known, so that it is kept here for the shorter of the two times.
            self._memory.put(key, known, UNKNOWN_SECONDS)
            return known
        if not self._breaker.permits():
            return None
        try:
            place = await self._provider.ask(address)
        except Exception as error:  # noqa: BLE001 (a client that was passed runs other people's code)
            self._failed(error)
            self._memory.put(key, None, FAILURE_SECONDS)
            return None
        if self._breaker.succeeded():
            logger.warning("the location provider %s answers again", self._endpoint.origin)
        seconds = UNKNOWN_SECONDS if place is None else PLACE_SECONDS
        self._memory.put(key, place, seconds)
        await self._put_shared(key, place, seconds)
        return place

    def _failed(self, error: Exception) -> None:
        # The texts of other errors hold the URL, which has the key and the address.
        reason = str(error) if isinstance(error, ProviderError) else type(error).__name__
        if self._breaker.failed():
            logger.error("the location provider %s fails, locations are unknown: %s", self._endpoint.origin, reason)

    async def _get_shared(self, key: str) -> Known:
        if self._shared is None:
            return MISS
        try:
            async with asyncio.timeout(CACHE_PATIENCE):
                known: object = await self._shared.get(key)
        except Exception:  # noqa: BLE001 (other people's code, like a hook; without a cache we ask)
            return MISS
        return known if known is None or isinstance(known, Place) else MISS

    async def _put_shared(self, key: str, place: Place | None, seconds: float) -> None:
        if self._shared is None:
            return
        try:
            async with asyncio.timeout(CACHE_PATIENCE):
                await self._shared.put(key, place, seconds)
        except Exception:  # noqa: BLE001 (other people's code: what is not kept is asked again)
            logger.debug("the cache of locations did not take one")

    async def aclose(self) -> None:
        """End the look-ups of the running loop, whose waiters get None, and close the client that was opened for it."""
        flights = self._flights.pop()
        if flights is not None:
            await flights.aclose()
        await self._provider.aclose()

    def __repr__(self) -> str:
        return f"HttpLocator({self._endpoint.origin!r})"


def _checked_cache(cache: PlaceCache | None) -> PlaceCache | None:
    if cache is not None and not (hasattr(cache, "get") and hasattr(cache, "put")):
        raise ConfigurationError("locator", f"cache={type(cache).__name__}", "pass an object with async methods get and put")
    return cache
