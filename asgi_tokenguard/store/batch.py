"""Reads of one tick of the event loop, sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final

# One reply of a pipeline is read as a whole: a thousand records of 400 bytes are 400 KB, and take the server a millisecond.
MOST: Final = 1_000

Question = tuple[str, str]  # key and field


class Batch:
    """
    Collects the reads of one tick and asks them as one.

    The asking is a task of its own: whoever waits may be cancelled, which harms no other and costs no connection.  *ask*
    bounds itself; the same failure reaches all who asked with it.
    """

    def __init__(self, ask: Callable[[list[Question]], Awaitable[list[bytes | None]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[Question, asyncio.Future[bytes | None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, key: str, field: str) -> bytes | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send, context=Context())  # no request's: all who wait share it
        self._waiting.append(((key, field), answer))
        return await answer

    async def aclose(self) -> None:
        """Wait for what is under way; it is bounded."""
        await asyncio.gather(*self._tasks)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MOST):
            task = asyncio.ensure_future(self._answer(waiting[first : first + MOST]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, waiting: list[tuple[Question, asyncio.Future[bytes | None]]]) -> None:
        try:
            found = await self._ask([question for question, _ in waiting])
        except BaseException as error:  # whatever it was, nobody may wait for ever
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error) if isinstance(error, Exception) else answer.cancel()
            if not isinstance(error, Exception):
                raise
            return
        for (_, answer), raw in zip(waiting, found, strict=True):
            if not answer.done():
                answer.set_result(raw)
