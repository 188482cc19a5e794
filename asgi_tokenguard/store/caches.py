"""A cache of verdicts for each event loop, and the task that keeps its channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgi_tokenguard.store.cache import VerdictCache
from asgi_tokenguard.store.tracking import Channel

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

    from redis.asyncio import Redis

    from asgi_tokenguard.store.clock import RedisClock


class Caches:
    """
    Connections belong to the loop that opened them, and so does what they vouch for.

    A loop's channel opens with the first verdict that could be kept, not before: a test client that makes a loop for each
    request never pays for one.
    """

    def __init__(self, client: Callable[[], Awaitable[Redis]], clock: RedisClock, *, namespace: str, staleness: float) -> None:
        self._client = client
        self._namespace = namespace
        self._staleness = staleness
        self._clock = clock
        self._caches: dict[AbstractEventLoop, VerdictCache[Any]] = {}
        self._channels: dict[AbstractEventLoop, Task[None]] = {}

    def here(self) -> VerdictCache[Any]:
        """The cache of the running loop."""
        loop = asyncio.get_running_loop()
        cache = self._caches.get(loop)
        if cache is None:
            self._forget_ended_loops()
            cache = self._caches[loop] = VerdictCache()
        return cache

    def listen(self) -> None:
        """Open the channel of the running loop, where it is not open."""
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            channel = Channel(
                self.here(),
                self._client,
                self._clock,
                namespace=self._namespace,
                staleness=self._staleness,
            )
            self._channels[loop] = loop.create_task(channel.run(), name="asgi_tokenguard channel")

    async def aclose(self) -> None:
        """Close the channel of the running loop; a later `listen` opens it again."""
        channel = self._channels.pop(asyncio.get_running_loop(), None)
        if channel is not None:
            channel.cancel()
            await asyncio.gather(channel, return_exceptions=True)

    def _forget_ended_loops(self) -> None:
        for loop in [loop for loop in list(self._caches) if loop.is_closed()]:
            self._caches.pop(loop, None)
            self._channels.pop(loop, None)
