"""A cache of verdicts for each event loop, and the task that keeps its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from asgi_tokenguard.store.answers import Tracking
from asgi_tokenguard.store.cache import VerdictCache
from asgi_tokenguard.store.tracking import Listener

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

    from asgi_tokenguard.store.clock import RedisClock
    from asgi_tokenguard.store.redis_py import Client


class Caches:
    """
    Connections belong to the loop that opened them, and so does what they vouch for.

    A loop's channels open with the first verdict that could be kept, not before: a test client that makes a loop for each
    request never pays for one.
    """

    def __init__(self, client: Callable[[], Awaitable[Client]], clock: RedisClock, *, namespace: str, staleness: float) -> None:
        self._client = client
        self._namespace = namespace
        self._staleness = staleness
        self._clock = clock
        self._caches: dict[AbstractEventLoop, VerdictCache[Any]] = {}
        self._latest: tuple[int, VerdictCache[Any] | None] = 0, None  # thread, its cache
        self._listeners: dict[AbstractEventLoop, tuple[Listener, Task[None]]] = {}

    def latest(self) -> VerdictCache[Any] | None:
        """
        The cache that this thread has used last, for looking up only; None where that was another thread.

        To ask for the running loop costs a system call before Python 3.12.  Where a loop has ended and another one runs in its
        place, the cache is still right: what it is trusted for ends with the lease, whoever reads it.
        """
        thread, cache = self._latest
        return cache if thread == get_ident() else None

    def here(self) -> VerdictCache[Any]:
        """The cache of the running loop."""
        cache = self._of_running_loop()
        self._latest = get_ident(), cache
        return cache

    def _of_running_loop(self) -> VerdictCache[Any]:
        loop = asyncio.get_running_loop()
        cache = self._caches.get(loop)
        if cache is None:
            self._forget_ended_loops()
            cache = self._caches[loop] = VerdictCache()
        return cache

    def listen(self) -> None:
        """Open the channels of the running loop, where they are not open."""
        loop = asyncio.get_running_loop()
        if loop not in self._listeners:
            listener = Listener(
                self.here(),
                self._client,
                self._clock,
                namespace=self._namespace,
                staleness=self._staleness,
            )
            self._listeners[loop] = listener, loop.create_task(listener.run(), name="asgi_tokenguard channel")

    @property
    def state(self) -> Tracking:
        """Whether the running loop hears of changes."""
        found = self._listeners.get(asyncio.get_running_loop())
        return Tracking.IDLE if found is None else found[0].state

    async def aclose(self) -> None:
        """Close the channels of the running loop; a later `listen` opens them again."""
        found = self._listeners.pop(asyncio.get_running_loop(), None)
        if found is not None:
            _, task = found
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _forget_ended_loops(self) -> None:
        for loop in [loop for loop in list(self._caches) if loop.is_closed()]:
            self._caches.pop(loop, None)
            self._listeners.pop(loop, None)
