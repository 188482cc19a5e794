"""Jobs that tell what happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Desk:
    """Makes jobs and remembers which were done, in which order, and how many ran at once."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tried: list[str] = []
        self.most = 0
        self.cancelled: list[str] = []
        self._running = 0
        self._gates: dict[str, asyncio.Event] = {}

    def job(self, name: str) -> Callable[[], Awaitable[None]]:
        """Done at once."""

        async def run() -> None:
            self.tried.append(name)
            self.done.append(name)

        return run

    def held(self, name: str) -> Callable[[], Awaitable[None]]:
        """Runs until `let` or its cancellation."""

        async def run() -> None:
            self.tried.append(name)
            self._running += 1
            self.most = max(self.most, self._running)
            try:
                await self._gate(name).wait()
                self.done.append(name)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            finally:
                self._running -= 1

        return run

    def failing(self, name: str, times: int = 10**9, error: BaseException | None = None) -> Callable[[], Awaitable[None]]:
        """Raises *times* times, then is done."""

        async def run() -> None:
            self.tried.append(name)
            if self.tried.count(name) <= times:
                raise error or OSError("the subject is user-secret")
            self.done.append(name)

        return run

    def held_failing(self, name: str) -> Callable[[], Awaitable[None]]:
        """Runs until `let`, and fails then."""

        async def run() -> None:
            self.tried.append(name)
            await self._gate(name).wait()
            raise OSError

        return run

    def let(self, name: str) -> None:
        self._gate(name).set()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())
