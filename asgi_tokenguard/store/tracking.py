"""
The channels on which Redis tells of changes (`CLIENT TRACKING`, broadcast mode), and the leases that bound trust in them.

Rule: a verdict may be served for *staleness* seconds after the last lease that **every** primary has answered was **sent**.
Answers and pushes of one primary share one connection and keep their order, so that an answered lease proves every push
before it to be read.  A partition, a loop that stalls and a server that dies stop the answers alike; nobody has to notice
which it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from random import random
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError, NoPermissionError, ResponseError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.core.backoff import Backoff
from asgi_tokenguard.store.answers import Tracking
from asgi_tokenguard.store.cache import VerdictCache
from asgi_tokenguard.store.embedded import EmbeddedServerError
from asgi_tokenguard.store.primaries import Primary, primaries
from asgi_tokenguard.store.redis_py import FAILURES, hear_pushes

if TYPE_CHECKING:
    from asgi_tokenguard.store.clock import RedisClock
    from asgi_tokenguard.store.redis_py import Client

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


class RefusedError(Exception):
    """The server would not track, or not write a lease, however often it is asked."""


class Channel:
    """One connection to one primary that tells *cache* of every change there."""

    def __init__(self, primary: Primary, cache: VerdictCache[Any], clock: RedisClock, *, prefix: str, staleness: float) -> None:
        self.until = -inf  # monotonic seconds; the past while no lease is answered
        self._primary = primary
        self._connection = primary.connection
        self._cache = cache
        self._clock = clock
        self._prefix = prefix
        self._staleness = staleness
        self._sent: deque[float] = deque()

    async def open(self) -> None:
        """Connect and listen; raises `RefusedError` where the server will have none of it."""
        try:
            await self._connection.connect()
            hear_pushes(self._connection, self._pushed)
            await self._ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
            # After it: what is learned now can change only with a push.
            self._primary.opened([await self._ask(*command) for command in self._primary.opening])
        except ResponseError as error:
            raise RefusedError(str(error)) from error

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def ask_for_leases(self, patience: float) -> None:
        while True:
            self._primary.compare()
            now = self._clock.monotonic()
            if self._sent and now - self._sent[0] > patience:
                raise ConnectionError("no lease was answered")
            self._sent.append(now)
            for command in self._primary.lease:
                await self._connection.send_command(*command)
            await asyncio.sleep(self._staleness / LEASES)

    async def read(self, answered: Callable[[], None]) -> None:
        """Read pushes and leases, and tell *answered* of each lease."""
        while True:
            try:
                answers = [await self._answer() for _ in self._primary.lease]
            except NoPermissionError as error:
                raise RefusedError(str(error)) from error
            if not self._sent:
                raise ConnectionError("an answer that nobody asked for")
            self._primary.proved(answers)
            self.until = self._sent.popleft() + self._staleness
            answered()

    async def _ask(self, *command: str | int) -> Any:
        await self._connection.send_command(*command)
        return await self._answer()

    async def _answer(self) -> Any:
        # None after a push, which the handler has had by then.
        while (answer := await self._connection.read_response(timeout=inf, push_request=True)) is None:
            pass
        return answer

    async def _pushed(self, message: list[Any]) -> None:
        # redis-py logs what is raised here and goes on, so it must not fail: whatever is not understood drops everything.
        keys = message[1] if len(message) > 1 else None
        if not isinstance(keys, list):
            self._cache.forget()
            return
        for key in keys:
            self._cache.changed(key if isinstance(key, bytes) else str(key).encode())


class Listener:
    """
    Keeps a channel to every primary, for as long as `run` runs; any that is lost makes all of them start again.

    *client* gives the client of this event loop, whose settings the connections take over.
    """

    def __init__(
        self,
        cache: VerdictCache[Any],
        client: Callable[[], Awaitable[Client]],
        clock: RedisClock,
        *,
        namespace: str,
        staleness: float,
    ) -> None:
        self.is_refused = False
        self._cache = cache
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._staleness = staleness
        self._patience = max(PATIENCE * staleness, LEAST_PATIENCE)
        self._channels: list[Channel] = []
        self._failures = 0
        self._told = False

    @property
    def state(self) -> Tracking:
        if self.is_refused:
            return Tracking.REFUSED
        is_trusted = self._cache.is_armed and self._clock.monotonic() < self._cache.trusted_until
        return Tracking.ON if is_trusted else Tracking.CONNECTING

    async def run(self) -> None:
        while True:
            wait = BACKOFF.first
            try:
                await self._listen()
            except RefusedError as error:
                wait, self.is_refused = NO_TRACKING, True
                self._tell_once("the server refuses CLIENT TRACKING, so every request asks Redis: %s", error)
            except (*FAILURES, EmbeddedServerError, TimeoutError) as error:
                self._failures += 1
                wait = BACKOFF.wait(self._failures, random())  # noqa: S311 (jitter)
                logger.info("the channel of changes is lost, requests ask Redis: %s", type(error).__name__)
            except Exception as error:  # noqa: BLE001 (what we did not think of must not end the channel in silence)
                wait = BACKOFF.most
                self._tell_once("the channel of changes fails, so every request asks Redis: %r", error)
            await asyncio.sleep(wait)

    async def _listen(self) -> None:
        self._channels = []
        try:
            async with asyncio.timeout(self._patience):
                found = await primaries(await self._client(), self._namespace, anew=self._failures > 0)
                self._channels = [self._channel(primary) for primary in found]
                await _together(*(channel.open() for channel in self._channels))
            self.is_refused = False
            self._cache.arm()
            leases = (channel.ask_for_leases(self._patience) for channel in self._channels)
            await _together(*leases, *(channel.read(self._answered) for channel in self._channels))
        finally:
            self._cache.distrust()
            await asyncio.gather(*(channel.close() for channel in self._channels), return_exceptions=True)

    def _channel(self, primary: Primary) -> Channel:
        prefix = f"{self._namespace}:s:"
        return Channel(primary, self._cache, self._clock, prefix=prefix, staleness=self._staleness)

    def _answered(self) -> None:
        self._cache.trusted_until = min(channel.until for channel in self._channels)
        if self._cache.trusted_until > -inf:
            self._failures, self._told = 0, False

    def _tell_once(self, text: str, *facts: object) -> None:
        if not self._told:
            self._told = True
            logger.warning(text, *facts)


async def _together(*works: Any) -> None:
    """Run *works* until all have ended or one of them raises; the others are cancelled then, and its error is raised bare."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
