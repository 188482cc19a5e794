"""How Redis is asked: bounded, retried where reading twice changes nothing, and never without a look at its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError, MaxConnectionsError, NoScriptError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.batch import Batch, Question
from asgi_tokenguard.store.clock import RedisClock
from asgi_tokenguard.store.connect import Connector
from asgi_tokenguard.store.embedded import EmbeddedServerError
from asgi_tokenguard.store.patience import Outage, Patience
from asgi_tokenguard.store.redis_py import CLUSTER_FAILURES, FAILURES, at_owner
from asgi_tokenguard.store.scripts import Script

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from asgi_tokenguard.store.redis_py import Client


class Link:
    """
    The way to Redis, one server or a cluster.

    Every method raises `StoreUnavailable` where it answers with an error or not at all.
    """

    def __init__(self, source: str | Client, timeout: float, monotonic: Callable[[], float]) -> None:
        self.clock = RedisClock(monotonic)
        self.connector = Connector(source, timeout)
        self._outage = Outage()
        self._timeout = timeout
        self._failures = CLUSTER_FAILURES if isinstance(source, RedisCluster) else FAILURES
        # By the name of the node that is asked: one that is away makes no question wait or fail but its own.
        self._batches: WeakKeyDictionary[AbstractEventLoop, dict[str, Batch]] = WeakKeyDictionary()

    def patience(self) -> Patience:
        return Patience(self._timeout, self._outage)

    async def open(self) -> None:
        """Connect and learn the time."""
        await self.read(self._ask_time)

    async def aclose(self) -> None:
        for batch in self._batches.pop(asyncio.get_running_loop(), {}).values():
            await batch.aclose()
        await self.connector.aclose()

    async def field(self, key: str, name: str) -> bytes | None:
        """One field of a hash, read with all others that are asked of the same node in this tick."""
        batches = self._batches.setdefault(asyncio.get_running_loop(), {})
        node = self.connector.owner(key)
        batch = batches.get(node)
        if batch is None:
            batch = batches[node] = Batch(self._fields)
        return await batch.read(key, name)

    async def run(self, script: Script, keys: tuple[str, ...], *args: str | bytes | int) -> list[Any]:
        """Run *script*, whose reply begins with the time; its text is sent where the server does not know it."""

        async def evaluate(client: Any) -> Any:
            where = await at_owner(client, keys[0])
            try:
                return await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args, **where)
            except NoScriptError:  # a new server, or its scripts were flushed; EVAL keeps the script as well
                return await client.execute_command("EVAL", script.text, len(keys), *keys, *args, **where)

        asked = self.clock.monotonic()
        reply: list[Any] = await self.ask(evaluate, keys[0])
        self.clock.sync(reply[0], asked)
        return reply

    async def read(self, ask: Callable[[Any], Any], key: str = "") -> Any:
        """Ask once more where the connection was broken: reading twice changes nothing."""
        try:
            return await self.ask(ask, key)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, ConnectionError):
                raise
        return await self.ask(ask, key)

    async def ask(self, ask: Callable[[Any], Any], key: str = "") -> Any:
        try:
            answer = await ask(await self.connector.client())
        except (*self._failures, EmbeddedServerError) as error:
            # Too many at once say nothing of the server, and looking around would be one more.
            if isinstance(error, ConnectionError | OSError) and not isinstance(error, MaxConnectionsError):
                self.connector.doubt(key)
            # Whatever Redis says but an answer is an outage: fail closed (I5).  `Patience` logs it, unless a retry heals it.
            raise StoreUnavailable from error
        except asyncio.CancelledError:  # most likely our own deadline: a node that is frozen breaks no connection
            self.connector.doubt(key)
            raise
        self._outage.ended()
        return answer

    async def _fields(self, questions: list[Question]) -> list[bytes | None]:
        async def read(client: Any) -> Any:
            if len(questions) == 1 and not self.clock.is_stale:
                return [await client.execute_command("HGET", *questions[0])]  # half the cost of a pipeline of one
            pipeline = client.pipeline(transaction=False)
            for question in questions:
                pipeline.execute_command("HGET", *question)
            return await (self._with_time(client, pipeline, key) if self.clock.is_stale else pipeline.execute())

        # Bounded like a request, which waits for it no longer than that.
        key = questions[0][0]
        try:
            async with asyncio.timeout(self._timeout):
                found: list[bytes | None] = await self.read(read, key)
        except TimeoutError as error:
            raise StoreUnavailable from error
        return found

    async def _with_time(self, client: Any, pipeline: Any, key: str) -> list[bytes | None]:
        """Execute *pipeline* and learn the time, in one go where there is one server."""
        if isinstance(client, RedisCluster):  # its pipelines lose where to send what has no key
            await self._ask_time(client, key)
            found: list[bytes | None] = await pipeline.execute()
            return found
        pipeline.execute_command("TIME")
        asked = self.clock.monotonic()
        *found, time = await pipeline.execute()
        self.clock.sync_time(time, asked)
        return found

    async def _ask_time(self, client: Any, key: str = "") -> None:
        # Of a cluster, the clock that stamps the tokens of *key*, or any.
        asked = self.clock.monotonic()
        self.clock.sync_time(await client.execute_command("TIME", **await at_owner(client, key)), asked)
