"""What belongs to one event loop: connections and what they vouch for, and tasks under way."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

T = TypeVar("T")


def running_loop() -> AbstractEventLoop | None:
    """The loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class PerLoop(Generic[T]):
    """
    One thing for each event loop, until it is taken away or its loop is closed.

    What a closed loop has left goes when the next loop comes, and is handed to *ended*.
    """

    __slots__ = ("_ended", "_things")

    def __init__(self, ended: Callable[[T], object] | None = None) -> None:
        # No weak keys: connections and tasks hold their loop, which would keep both for ever.
        self._things: dict[AbstractEventLoop, T] = {}
        self._ended = ended

    def get(self, make: Callable[[], T]) -> T:
        """The running loop's; *make* makes it where there is none."""
        thing = self._things.get(asyncio.get_running_loop())
        return self.put(make()) if thing is None else thing

    def found(self) -> T | None:
        """The running loop's, or None where there is none."""
        return self._things.get(asyncio.get_running_loop())

    def put(self, thing: T) -> T:
        """Make *thing* the running loop's, in place of what it has."""
        self.forget_ended_loops()
        self._things[asyncio.get_running_loop()] = thing
        return thing

    def pop(self) -> T | None:
        """Take it away from the running loop."""
        self.forget_ended_loops()
        return self._things.pop(asyncio.get_running_loop(), None)

    def everywhere(self) -> list[T]:
        """Those of all loops that are not closed."""
        self.forget_ended_loops()
        return list(self._things.values())

    def items(self) -> list[tuple[AbstractEventLoop, T]]:
        """Those of all loops that are not closed, each with its loop."""
        self.forget_ended_loops()
        return list(self._things.items())

    def forget_ended_loops(self) -> None:
        for loop in [loop for loop in list(self._things) if loop.is_closed()]:  # other threads may add their loops meanwhile
            thing = self._things.pop(loop, None)
            if thing is not None and self._ended is not None:
                self._ended(thing)


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
