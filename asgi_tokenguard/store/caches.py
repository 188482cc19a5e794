"""A cache of verdicts for each event loop, and the task that keeps its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any

from asgi_tokenguard.loops import PerLoop, running_loop
from asgi_tokenguard.store.answers import Tracking
from asgi_tokenguard.store.cache import VerdictCache
from asgi_tokenguard.store.tracking import Listener

if TYPE_CHECKING:
    from asyncio import Task

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
        self._caches: PerLoop[VerdictCache[Any]] = PerLoop()
        self._listeners: PerLoop[tuple[Listener, Task[None]]] = PerLoop()
        self._latest: tuple[int, VerdictCache[Any] | None] = 0, None  # thread, its cache

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
        cache = self._caches.get(VerdictCache)
        self._latest = get_ident(), cache
        return cache

    def forget(self) -> None:
        """Drop what is known in every loop; in those of other threads at their next turn."""
        for loop, cache in self._caches.items():
            if loop is running_loop():
                cache.forget()
            else:
                with suppress(RuntimeError):  # it has ended meanwhile, and serves nobody
                    loop.call_soon_threadsafe(cache.forget)

    def listen(self) -> None:
        """Open the channels of the running loop, where they are not open."""
        self._listeners.get(self._start)

    def _start(self) -> tuple[Listener, Task[None]]:
        listener = Listener(self.here(), self._client, self._clock, namespace=self._namespace, staleness=self._staleness)
        # In a context of its own: it outlives the request whose verdict opened it.
        task = asyncio.get_running_loop().create_task(listener.run(), name="asgi_tokenguard channel", context=Context())
        return listener, task

    @property
    def state(self) -> Tracking:
        """Whether the running loop hears of changes."""
        found = self._listeners.found()
        return Tracking.IDLE if found is None else found[0].state

    async def aclose(self) -> None:
        """Close the channels of the running loop; a later `listen` opens them again."""
        found = self._listeners.pop()
        if found is not None:
            _, task = found
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
