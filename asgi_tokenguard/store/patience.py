"""How long a request waits for Redis, and what the log says of an outage."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.gate import OverloadedError

logger = logging.getLogger("asgi_tokenguard")


class Outage:
    """Logs an outage once at its beginning and once at its end, however many requests it fails."""

    __slots__ = ("_lasts",)

    def __init__(self) -> None:
        self._lasts = False

    def began(self, reason: str) -> None:
        if not self._lasts:
            self._lasts = True
            logger.error("Redis does not answer, requests with credentials get 503: %s", reason)

    def ended(self) -> None:
        if self._lasts:
            self._lasts = False
            logger.warning("Redis answers again")


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
        if isinstance(error, StoreUnavailable) and not isinstance(error.__cause__, OverloadedError):  # that is logged there
            # The cause may name hosts, so it goes to the log and not to the caller.
            self._outage.began(f"{type(error.__cause__).__name__}: {error.__cause__}")
