"""How long a request waits for Redis, and what the log says of an outage."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from asgi_tokenguard.errors import NotConfirmed, StoreUnavailable

logger = logging.getLogger("asgi_tokenguard")


class OverloadedError(Exception):
    """More is asked of Redis than it answers in time.  Here, since redis, which the gate needs, costs 300 ms to import."""


class Outage:
    """Logs an outage once at its beginning and once at its end, in the words given, however many requests it fails."""

    __slots__ = ("_began", "_ended", "_lasts")

    def __init__(
        self,
        began: str = "Redis does not answer, requests with credentials get 503: %s",
        ended: str = "Redis answers again",
    ) -> None:
        self._began, self._ended = began, ended
        self._lasts = False

    @property
    def lasts(self) -> bool:
        return self._lasts

    def began(self, reason: str) -> None:
        if not self._lasts:
            self._lasts = True
            logger.error(self._began, reason)

    def ended(self) -> None:
        if self._lasts:
            self._lasts = False
            logger.warning(self._ended)


class Patience:
    """Bounds a block that asks Redis: `StoreUnavailable` after *timeout* seconds."""

    __slots__ = ("_outage", "_timeout")

    def __init__(self, timeout: float, outage: Outage) -> None:
        self._timeout = asyncio.timeout(timeout)
        self._outage = outage

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError as timeout:
            self._outage.began("no answer in time")
            raise StoreUnavailable from timeout
        is_logged_elsewhere = isinstance(error, NotConfirmed) or (error and isinstance(error.__cause__, OverloadedError))
        if isinstance(error, StoreUnavailable) and not is_logged_elsewhere:
            # The cause may name hosts, so it goes to the log and not to the caller.
            self._outage.began(f"{type(error.__cause__).__name__}: {error.__cause__}")
