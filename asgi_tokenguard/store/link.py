"""How Redis is asked: bounded, retried where reading twice changes nothing, and never without a look at its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from redis.exceptions import ConnectionError, NoScriptError, RedisError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.batch import Batch, Question
from asgi_tokenguard.store.clock import RedisClock
from asgi_tokenguard.store.connect import Connector
from asgi_tokenguard.store.embedded import EmbeddedServerError
from asgi_tokenguard.store.patience import Outage, Patience
from asgi_tokenguard.store.scripts import Script

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from redis.asyncio import Redis


class Link:
    """The way to one Redis; every method raises `StoreUnavailable` where it answers with an error or not at all."""

    def __init__(self, source: str | Redis, timeout: float, monotonic: Callable[[], float]) -> None:
        self.clock = RedisClock(monotonic)
        self.connector = Connector(source, timeout)
        self._outage = Outage()
        self._timeout = timeout
        self._batches: WeakKeyDictionary[AbstractEventLoop, Batch] = WeakKeyDictionary()

    def patience(self) -> Patience:
        return Patience(self._timeout, self._outage)

    async def open(self) -> None:
        """Connect and learn the time."""
        await self.read(self._ask_time)

    async def aclose(self) -> None:
        batch = self._batches.pop(asyncio.get_running_loop(), None)
        if batch is not None:
            await batch.aclose()
        await self.connector.aclose()

    async def field(self, key: str, name: str) -> bytes | None:
        """One field of a hash, read with all others that are asked for in this tick."""
        loop = asyncio.get_running_loop()
        batch = self._batches.get(loop)
        if batch is None:
            batch = self._batches[loop] = Batch(self._fields)
        return await batch.read(key, name)

    async def run(self, script: Script, keys: tuple[str, ...], *args: str | bytes | int) -> list[Any]:
        """Run *script*, whose reply begins with the time; its text is sent where the server does not know it."""

        async def evaluate(client: Any) -> Any:
            try:
                return await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
            except NoScriptError:  # a new server, or its scripts were flushed; EVAL keeps the script as well
                return await client.execute_command("EVAL", script.text, len(keys), *keys, *args)

        asked = self.clock.monotonic()
        reply: list[Any] = await self.ask(evaluate)
        self.clock.sync(reply[0], asked)
        return reply

    async def read(self, ask: Callable[[Any], Any]) -> Any:
        """Ask once more where the connection was broken: reading twice changes nothing."""
        try:
            return await self.ask(ask)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, ConnectionError):
                raise
        return await self.ask(ask)

    async def ask(self, ask: Callable[[Any], Any]) -> Any:
        try:
            answer = await ask(await self.connector.client())
        except (RedisError, OSError, EmbeddedServerError) as error:
            if isinstance(error, ConnectionError | OSError):
                self.connector.doubt()
            # Whatever Redis says but an answer is an outage: fail closed (I5).  `Patience` logs it, unless a retry heals it.
            raise StoreUnavailable from error
        self._outage.ended()
        return answer

    async def _fields(self, questions: list[Question]) -> list[bytes | None]:
        async def read(client: Any) -> Any:
            is_stale, asked = self.clock.is_stale, self.clock.monotonic()
            if len(questions) == 1 and not is_stale:
                return [await client.execute_command("HGET", *questions[0])]  # half the cost of a pipeline of one
            pipeline = client.pipeline(transaction=False)
            for question in questions:
                pipeline.execute_command("HGET", *question)
            if is_stale:
                pipeline.execute_command("TIME")
            found = await pipeline.execute()
            if is_stale:
                self.clock.sync_time(found.pop(), asked)
            return found

        # Bounded like a request, which waits for it no longer than that.
        try:
            async with asyncio.timeout(self._timeout):
                found: list[bytes | None] = await self.read(read)
        except TimeoutError as error:
            raise StoreUnavailable from error
        return found

    async def _ask_time(self, client: Any) -> None:
        asked = self.clock.monotonic()
        self.clock.sync_time(await client.execute_command("TIME"), asked)
