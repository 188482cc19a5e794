"""How Redis is asked: bounded, retried where reading twice changes nothing, and never without a look at its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError, MaxConnectionsError, NoScriptError, ResponseError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.loops import PerLoop
from asgi_tokenguard.store import cluster
from asgi_tokenguard.store.batch import Batch, Question
from asgi_tokenguard.store.clock import RedisClock
from asgi_tokenguard.store.connect import Connector
from asgi_tokenguard.store.embedded import EmbeddedServerError
from asgi_tokenguard.store.gate import SHARE, Gate
from asgi_tokenguard.store.outages import Outages
from asgi_tokenguard.store.patience import OverloadedError, Patience
from asgi_tokenguard.store.redis_py import FAILURES, LOSSES
from asgi_tokenguard.store.scripts import Script

if TYPE_CHECKING:
    from asgi_tokenguard.store.redis_py import Client


# redis-py has 100 connections to a server, unless told otherwise; each is free again after a round trip, a millisecond or less.
BUSY_SECONDS: Final = 0.002

Ask: TypeAlias = Callable[["Client"], Awaitable[Any]]


class Link:
    """
    The way to Redis, one server or a cluster.

    Every method raises `StoreUnavailable` where it answers with an error or not at all.
    """

    def __init__(self, source: str | Client, timeout: float, monotonic: Callable[[], float]) -> None:
        self.clock = RedisClock(monotonic)
        self.connector = Connector(source, timeout)
        self.outages = Outages(self.connector, monotonic)
        self._timeout = timeout
        # By the name of the node that is asked: one that is away makes no question wait or fail but its own.
        self._batches: PerLoop[dict[str, Batch]] = PerLoop()
        self._gates: PerLoop[dict[str, Gate]] = PerLoop()
        # Nodes, and the scripts that they have run for us.
        self._run_by: set[tuple[str, str]] = set()

    def patience(self) -> Patience:
        return Patience(self._timeout, self.outages.late)

    async def open(self) -> None:
        """Connect and learn the time."""
        await self._ask_again(self._ask_time, "", "TIME")

    async def server_info(self) -> Mapping[str, Any]:
        """What `INFO server` says, of a cluster one node's; nothing where our user may not ask, or it was renamed."""
        try:
            found = await self._ask_again(lambda client: execute(client, "", "INFO", "server"), "", "INFO", is_told=False)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, ResponseError):  # no right to it, or it was renamed
                return {}
            raise
        return found if isinstance(found, Mapping) else {}

    async def aclose(self) -> None:
        for batch in (self._batches.pop() or {}).values():
            await batch.aclose()
        self._gates.pop()
        await self.connector.aclose()

    async def field(self, key: str, name: str) -> bytes | None:
        """One field of a hash, read with all others that are asked of the same node in this tick."""
        batches = self._batches.get(dict)
        node = self.connector.owner(key)
        batch = batches.get(node)
        if batch is None:
            batch = batches[node] = Batch(self._fields)
        return await batch.read(key, name)

    async def run(self, script: Script, keys: tuple[str, ...], *args: str | bytes | int) -> list[Any]:
        """Run *script*, whose reply begins with the time; its text is sent where the server does not know it."""
        asked = self.clock.monotonic()
        reply: list[Any] = await self._ask(
            lambda client: _evaluate(partial(execute, client, keys[0]), script, keys, args), keys[0], script.name
        )
        self.clock.sync(reply[0], asked)
        if not self.outages.is_quiet:
            self._answered(keys[0], script.name, has_written=script.wrote(args, reply))
        return reply

    async def run_then(
        self, then: tuple[str | int, ...], most: float, script: Script, keys: tuple[str, ...], *args: str | bytes | int
    ) -> tuple[list[Any], Any]:
        """
        Run *script* and, right behind it over the same connection, *then*, which is answered within *most* seconds.

        Both answers, the second perhaps an error.
        """
        asked = self.clock.monotonic()
        run = (self.connector.owner(keys[0]), script.sha)

        async def evaluate(client: Any) -> Any:
            send = partial(execute_then, client, keys[0], then)
            # Where the script is not known *then* is answered all the same, perhaps late: so the first one sends its text.
            return await _evaluate(send, script, keys, args, is_known=run in self._run_by)

        # Past the gate: it would take the time that a replica needs for the server's, and refuse what needs no replica.  Who
        # asks this has come through another one (`Confirmer`).
        both: tuple[list[Any], Any] = await self._ask_ungated(evaluate, keys[0], script.name, most=most)
        self._run_by.add(run)
        # The script is answered at once, and both are read when the second is: the time is that of a slow reply.
        self.clock.sync(both[0][0], asked)
        if not self.outages.is_quiet:
            self._answered(keys[0], script.name, has_written=script.wrote(args, both[0]))
        return both

    async def read(self, key: str, *command: str | int) -> Any:
        """The answer to a command that reads *key*."""
        return await self._ask_again(lambda client: execute(client, key, *command), key, str(command[0]))

    async def write(self, key: str, *command: str | bytes | int) -> Any:
        """The answer to a command that writes *key*; it is sent once."""
        answer = await self._ask(lambda client: execute(client, key, *command), key, str(command[0]))
        if not self.outages.is_quiet:
            self._answered(key, str(command[0]), has_written=answer is not None)
        return answer

    async def _ask_again(self, ask: Ask, key: str, what: str, *, is_told: bool = True) -> Any:
        """Ask once more where the connection was broken: reading twice changes nothing, and what that heals is no outage."""
        try:
            answer = await self._ask(ask, key, what, is_told=False)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, ConnectionError):
                if is_told and error.__cause__ is not None and not isinstance(error.__cause__, OverloadedError):
                    self.outages.failed(self._node(key), what, error.__cause__)
                raise
            answer = await self._ask(ask, key, what, is_told=is_told)
        if not self.outages.is_quiet:
            self._answered(key, what)
        return answer

    async def _ask(self, ask: Ask, key: str, what: str, *, is_told: bool = True) -> Any:
        gate = self._gate(key)
        gate.enter()
        try:
            answer = await self._ask_ungated(ask, key, what, is_told=is_told)
        except BaseException as error:
            gate.left(error)
            raise
        gate.left()
        return answer

    async def _ask_ungated(self, ask: Ask, key: str, what: str, *, is_told: bool = True, most: float = 0.0) -> Any:
        """*most* is how many seconds the answer may properly take beside a round trip."""
        asked = asyncio.get_running_loop().time()
        try:
            return await _once_connected(ask, await self.connector.client())
        except (*FAILURES, EmbeddedServerError) as error:
            if isinstance(error, LOSSES):
                self.connector.doubt(key)
            if is_told:
                self.outages.failed(self._node(key), what, error)
            # Whatever Redis says but an answer is an outage: fail closed (I5).
            raise StoreUnavailable from error
        except asyncio.CancelledError:
            self._given_up(key, asyncio.get_running_loop().time() - asked, most)
            raise

    def _given_up(self, key: str, waited: float, most: float) -> None:
        """Our own deadline has passed, or a client has hung up: a frozen node breaks no connection."""
        if waited >= most:
            self.outages.gave_up(self._node(key))
        # Who hung up at once tells nothing of the node, and to ask a cluster who owns what costs it all of its connections.
        if waited >= max(self._timeout * SHARE, most):
            self.connector.doubt_owner(key)

    def _answered(self, key: str, what: str, *, has_written: bool = False) -> None:
        self.outages.answered(self._node(key), what, has_written=has_written)

    def _node(self, key: str) -> str:
        return self.connector.owner(key) if key else ""

    def _gate(self, key: str) -> Gate:
        gates, node = self._gates.get(dict), self._node(key)
        gate = gates.get(node)
        if gate is None:
            gate = gates[node] = Gate(self._timeout, asyncio.get_running_loop().time)
        return gate

    async def _fields(self, questions: list[Question]) -> list[bytes | None]:
        key = questions[0][0]
        # Bounded like a request, which waits for it no longer than that.
        try:
            async with asyncio.timeout(self._timeout):
                found: list[bytes | None] = await self._ask_again(
                    lambda client: self._read_fields(client, questions), key, "HGET"
                )
        except TimeoutError as error:
            self.outages.late()
            raise StoreUnavailable from error
        return found

    async def _read_fields(self, client: Any, questions: list[Question]) -> list[Any]:
        is_stale, asked = self.clock.is_stale, self.clock.monotonic()
        commands: list[tuple[str, ...]] = [("HGET", *question) for question in questions]
        if is_stale:
            commands.append(("TIME",))
        found = await execute_all(client, commands)
        if is_stale:
            self.clock.sync_time(found.pop(), asked)
        return found

    async def _ask_time(self, client: Client, key: str = "") -> None:
        # Of a cluster, the clock that stamps the tokens of *key*; any, where it is empty.
        asked = self.clock.monotonic()
        self.clock.sync_time(await execute(client, key, "TIME"), asked)


async def execute(client: Any, key: str, *command: str | bytes | int) -> Any:
    """The answer to *command*, which is about *key*."""
    if isinstance(client, RedisCluster):
        return await cluster.execute(client, key, *command)
    return await client.execute_command(*command)


async def execute_then(client: Any, key: str, then: tuple[str | int, ...], *command: str | bytes | int) -> tuple[Any, Any]:
    """The answers to *command*, which is about *key*, and to *then*; sent together, and the second may be an error."""
    if isinstance(client, RedisCluster):
        return await cluster.execute_then(client, key, then, *command)
    pipeline = client.pipeline(transaction=False)
    pipeline.execute_command(*command)
    pipeline.execute_command(*then)
    reply, answer = await pipeline.execute(raise_on_error=False)
    if isinstance(reply, Exception):
        raise reply
    return reply, answer


async def _evaluate(
    send: Callable[..., Awaitable[Any]],
    script: Script,
    keys: tuple[str, ...],
    args: tuple[str | bytes | int, ...],
    *,
    is_known: bool = True,
) -> Any:
    if is_known:
        with suppress(NoScriptError):  # a new server, or its scripts were flushed; EVAL keeps the script as well
            return await send("EVALSHA", script.sha, len(keys), *keys, *args)
    return await send("EVAL", script.text, len(keys), *keys, *args)


async def execute_all(client: Any, commands: list[tuple[str, ...]]) -> list[Any]:
    """The answers to *commands*, sent together to the node of the first one's key."""
    if isinstance(client, RedisCluster):
        return await cluster.execute_all(client, commands)
    if len(commands) == 1:
        return [await client.execute_command(*commands[0])]  # half the cost of a pipeline of one
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    found: list[Any] = await pipeline.execute()
    return found


async def _once_connected(ask: Ask, client: Client) -> Any:
    """Wait where all connections are taken, also with a client whose pool raises then, as redis-py's do by default."""
    while True:
        try:
            return await ask(client)
        except MaxConnectionsError:  # nothing was sent; the request's deadline bounds this
            await asyncio.sleep(BUSY_SECONDS)
