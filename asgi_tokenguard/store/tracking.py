"""
The channel on which Redis tells of changes (`CLIENT TRACKING`, broadcast mode), and the lease that bounds trust in it.

Rule: a verdict may be served for *staleness* seconds after the last PING that was answered was **sent**.  Answers and pushes
share one connection and keep their order, so that an answered PING proves every push before it to be read.  A partition, a
loop that stalls and a server that dies stop the answers alike; nobody has to notice which it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from random import random
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.core.backoff import Backoff
from asgi_tokenguard.store.cache import VerdictCache
from asgi_tokenguard.store.embedded import EmbeddedServerError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from asgi_tokenguard.store.clock import RedisClock

logger = logging.getLogger("asgi_tokenguard")

# A lease is asked for four times within the bound: one answer may be late by three quarters of it before trust lapses.
LEASES: Final = 4
# Where leases are not answered for so many bounds, and so many seconds, the connection counts as lost and another one is tried.
PATIENCE: Final = 4
LEAST_PATIENCE: Final = 1.0
# A restarted server is back within a second; a thousand workers that lost it come back over some five.
BACKOFF: Final = Backoff(first=0.1, most=5.0)
# A server without tracking gets it by an upgrade, not by being asked again; a minute is soon enough to notice.
NO_TRACKING: Final = 60.0


class Channel:
    """
    Keeps one connection to the primary that tells *cache* of every change, for as long as `run` runs.

    *client* gives the client of this event loop, whose settings the connection takes over.
    """

    def __init__(
        self,
        cache: VerdictCache[Any],
        client: Callable[[], Awaitable[Redis]],
        clock: RedisClock,
        *,
        namespace: str,
        staleness: float,
    ) -> None:
        self._cache = cache
        self._client = client
        self._prefix = f"{namespace}:s:"
        self._lease_key = f"{namespace}:lease"
        self._staleness = staleness
        self._clock = clock
        self._patience = max(PATIENCE * staleness, LEAST_PATIENCE)
        self._sent: deque[float] = deque()
        self._failures = 0
        self._told = False

    async def run(self) -> None:
        while True:
            wait = BACKOFF.first
            try:
                await self._listen()
            except ResponseError as error:
                wait = NO_TRACKING
                self._tell_once("the server refuses CLIENT TRACKING, so every request asks Redis: %s", error)
            except (RedisError, OSError, EmbeddedServerError, TimeoutError) as error:
                self._failures += 1
                wait = BACKOFF.wait(self._failures, random())  # noqa: S311 (jitter)
                logger.info("the channel of changes is lost, requests ask Redis: %s", type(error).__name__)
            except Exception as error:  # noqa: BLE001 (what we did not think of must not end the channel in silence)
                wait = BACKOFF.most
                self._tell_once("the channel of changes fails, so every request asks Redis: %r", error)
            await asyncio.sleep(wait)

    async def _listen(self) -> None:
        client = await self._client()
        pool = client.connection_pool
        # A connection of its own, set up as the pool's are; RESP3 is what pushes come in.
        connection = pool.connection_class(**{**pool.connection_kwargs, "protocol": 3})
        # A deposed primary goes on to answer PING; a write needs replicas where the operator has asked for them.
        writes = isinstance(pool, SentinelConnectionPool)
        lease = ("SET", self._lease_key, "", "PX", 1000) if writes else ("PING",)
        self._sent.clear()
        try:
            async with asyncio.timeout(self._patience):
                await connection.connect()  # type: ignore[no-untyped-call]
                # redis-py has no public way to hear pushes of a connection; pinned by tests/store/test_tracking.py.
                connection._parser.set_invalidation_push_handler(self._pushed)  # type: ignore[attr-defined]  # noqa: SLF001
                await connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
                while await connection.read_response(push_request=True) is None:
                    pass
            self._cache.arm()
            await _first_to_end(self._lease(connection, lease), self._read(connection))
        finally:
            self._cache.distrust()
            await connection.disconnect(nowait=True)

    async def _lease(self, connection: Any, command: tuple[str | int, ...]) -> None:
        while True:
            if self._sent and self._clock.monotonic() - self._sent[0] > self._patience:
                raise ConnectionError("no lease was answered")
            self._sent.append(self._clock.monotonic())
            await connection.send_command(*command)
            await asyncio.sleep(self._staleness / LEASES)

    async def _read(self, connection: Any) -> None:
        while True:
            # None after a push, which the handler has had by then.
            answer = await connection.read_response(timeout=inf, push_request=True)
            if answer is None:
                continue
            if not self._sent:
                raise ConnectionError("an answer that nobody asked for")
            self._cache.trusted_until = self._sent.popleft() + self._staleness
            self._failures, self._told = 0, False

    async def _pushed(self, message: list[Any]) -> None:
        # redis-py logs what is raised here and goes on, so it must not fail: whatever is not understood drops everything.
        keys = message[1] if len(message) > 1 else None
        if not isinstance(keys, list):
            self._cache.forget()
            return
        for key in keys:
            self._cache.changed(key if isinstance(key, bytes) else str(key).encode())

    def _tell_once(self, text: str, *facts: object) -> None:
        if not self._told:
            self._told = True
            logger.warning(text, *facts)


async def _first_to_end(*works: Any) -> None:
    """Run *works* until one of them raises; the others are cancelled, and its error is raised bare."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
