"""A time for tests of what sleeps: it stands still until it is moved."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Hand:
    """A clock that is called, and shows *now*, which a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class ManualTime:
    """`monotonic` and `sleep`, as an outbox takes them; *slept* is what was asked for."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass, and all that happens in them."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.now = due
                future.set_result(None)
                await settle()
        self.now = end
        await settle()


async def settle() -> None:
    """Let every task go as far as it can without time."""
    for _ in range(30):
        await asyncio.sleep(0)
