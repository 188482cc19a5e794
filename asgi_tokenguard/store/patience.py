"""How long a request waits for Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from asgi_tokenguard.errors import StoreUnavailable


class OverloadedError(Exception):
    """More is asked of Redis than it answers in time.  Here, since redis, which the gate needs, costs 300 ms to import."""


class Patience:
    """Bounds a block that asks Redis: `StoreUnavailable` after *timeout* seconds, which *late* is told of."""

    __slots__ = ("_late", "_timeout")

    def __init__(self, timeout: float, late: Callable[[], None]) -> None:
        self._timeout = asyncio.timeout(timeout)
        self._late = late

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError as timeout:
            self._late()
            raise StoreUnavailable from timeout
