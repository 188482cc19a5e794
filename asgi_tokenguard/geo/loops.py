"""What belongs to one event loop: connections, and tasks under way."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One thing for each running event loop, made when it is first asked for."""

    __slots__ = ("_make", "_things")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._things: WeakKeyDictionary[AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        loop = asyncio.get_running_loop()
        thing = self._things.get(loop)
        if thing is None:
            self._forget_ended_loops()
            thing = self._things[loop] = self._make()
        return thing

    def pop(self) -> T | None:
        """Take it away from the running loop; the next `get` makes another."""
        self._forget_ended_loops()
        return self._things.pop(asyncio.get_running_loop(), None)

    def _forget_ended_loops(self) -> None:
        # Connections and tasks hold their loop, so that a weak key alone would keep all for ever.
        for reference in self._things.keyrefs():  # a list: other threads may add their loops meanwhile
            loop = reference()
            if loop is not None and loop.is_closed():
                self._things.pop(loop, None)


class Flights(Generic[T]):
    """
    Look-ups under way, one for each key: who asks for what is being looked up waits for that, and starts nothing.

    The parallel requests of one page thus ask once.  A look-up belongs to none of those who wait: it goes on when they are
    cancelled, the first of them included.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: dict[str, Task[T]] = {}

    async def join(self, key: str, start: Callable[[], Coroutine[object, object, T]]) -> T | None:
        """Wait for the look-up of *key*, started by *start* where there is none; None where it was cancelled by `aclose`."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(start())
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        # `wait` leaves the task alone when the waiter is cancelled, and does not hand its cancellation on to the waiter.
        await asyncio.wait((task,))
        return None if task.cancelled() else task.result()

    async def aclose(self) -> None:
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
