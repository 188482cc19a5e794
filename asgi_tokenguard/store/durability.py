"""
Changes that count only once replicas, or disks, have them (core/durability.py).

Rule: the question who has acknowledged (`WAIT`, `WAITAOF`) travels right behind the script, over the same connection.  Servers
answer it for the last write *of the connection that asks*: over one that has written nothing, Valkey says at once that all
replicas have all of it, however far behind they are.

Whoever waits is bounded for each node by itself: a node whose replica is away makes no change wait or fail but its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError, ResponseError

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.durability import Durability, Level
from asgi_tokenguard.errors import ConfigurationError, NotConfirmed, StoreUnavailable
from asgi_tokenguard.loops import PerLoop
from asgi_tokenguard.store.connect import POOL
from asgi_tokenguard.store.disks import check_disk
from asgi_tokenguard.store.gate import Gate
from asgi_tokenguard.store.outages import UNCONFIRMED
from asgi_tokenguard.store.patience import OverloadedError
from asgi_tokenguard.store.redis_py import FAILURES, primaries_of

if TYPE_CHECKING:
    from asgi_tokenguard.store.link import Link
    from asgi_tokenguard.store.scripts import Script

logger = logging.getLogger("asgi_tokenguard")

# Whoever waits for a replica holds a connection.  When it is away, half of them stay free, so that requests with live tokens
# and all that only reads go on as ever.
WAITING: Final = POOL // 2


def _always(_: list[Any]) -> bool:
    return True


def _never(_: list[Any]) -> bool:
    return False


def _ends_for_reuse(reply: list[Any]) -> bool:
    return bool(reply[2] == b"reuse")


def _logs_in(reply: list[Any]) -> bool:
    """Whether a login is one: where it has to wait (core/limits.py) nothing has changed that could be lost."""
    return bool(reply[1])


def _hands_out_a_cookie(reply: list[Any]) -> bool:
    """
    Whether a presentation is one that a lost write would undo for its client.

    Of a repeat only an access token may be lost, which its cookie brings back; all else has changed nothing, and is not
    refused because somebody else's write is not acknowledged yet.
    """
    return reply[2] in {b"rotate", b"redeliver"}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Who has to have a change before it counts, and how long that is waited for."""

    level: Level
    replicas: int
    ms: int  # at least one: 0 would be "wait for ever"
    # Of the script's reply: whether it counts only with this, and whether the log tells where it came without.
    is_needed: Callable[[list[Any]], bool] = _always
    is_told: Callable[[list[Any]], bool] = _never

    @property
    def command(self) -> tuple[str | int, ...]:
        if self.level is Level.FSYNCED:
            return "WAITAOF", 1, self.replicas, self.ms
        return "WAIT", self.replicas, self.ms

    @property
    def word(self) -> str:
        return str(self.command[0])

    def is_given(self, answer: Any) -> bool:
        if isinstance(answer, Exception):
            return False
        if self.level is Level.FSYNCED:
            primaries, replicas = answer
            return bool(primaries >= 1 and replicas >= self.replicas)
        return bool(answer >= self.replicas)


class Confirmations:
    """What logins, rotations and revocations have to wait for; None where the primary's word is enough."""

    def __init__(self, durability: Durability, timeout: float) -> None:
        self._durability = durability
        # Half of what a request waits: a login that is not confirmed is ended again in the rest.
        self._ms = max(1, round(1000 * (timeout / 2 if durability.timeout is None else durability.timeout)))
        self.login = _for(self._of(durability.login), _logs_in)
        self.rotation = self._of(durability.rotation)
        self.revocation = self._of(durability.revocation)
        self._presentation = _for(self.rotation, _hands_out_a_cookie)
        if self._presentation is not None and not self.asks_again_for_reuse(self._presentation):
            # Who is refused was promised nothing, so that nothing waits for it twice.
            self._presentation = replace(self._presentation, is_told=_ends_for_reuse)
        # The sessions that a login takes the place of are ended by the same script.
        strongest = max(durability.login, durability.revocation, key=lambda level: level.strength)
        self.replacing_login = _for(self._of(strongest), _logs_in)

    def presentation(self, caller: Caller) -> Confirmation | None:
        """
        What showing a refresh token has to wait for.

        Nothing, where the caller can receive nothing: what `present.lua` writes for one is that a head was seen or a token was
        late, and of a repeat by others neither is waited for.
        """
        return None if caller is Caller.OTHER else self._presentation

    def asks_again_for_reuse(self, asked: Confirmation | None) -> bool:
        """Whether a presentation that *asked* for so much has to ask for more where its answer is that a session was ended."""
        if self.revocation is None:
            return False
        return asked is None or self.revocation.level.strength > asked.level.strength

    @property
    def all(self) -> list[Confirmation]:
        return [self._made(level) for level in sorted(self._durability.levels) if level is not Level.PRIMARY]

    def _of(self, level: Level) -> Confirmation | None:
        return None if level is Level.PRIMARY else self._made(level)

    def _made(self, level: Level) -> Confirmation:
        return Confirmation(level, self._durability.replicas, self._ms)


def _for(wanted: Confirmation | None, is_needed: Callable[[list[Any]], bool]) -> Confirmation | None:
    return None if wanted is None else replace(wanted, is_needed=is_needed)


class _Places:
    """
    Those who may wait for the replicas of one node at a time, in one event loop.

    They have a gate of their own: it knows how long a change with its acknowledgement takes, and that none comes, whether
    the replica is away or the node itself.  The node's would take a slow replica for a slow server.
    """

    def __init__(self, patience: float) -> None:
        self._free = asyncio.Semaphore(WAITING)
        clock = asyncio.get_running_loop().time
        self._gate = Gate(patience, clock, "Changes are acknowledged too slowly for all that are asked")

    @asynccontextmanager
    async def taking(self, *, in_vain: bool) -> AsyncIterator[None]:
        """Wait for a place; *in_vain*: nobody acknowledges, as is known."""
        # Each waits in full then, half of what a request waits: who comes third would be late.
        if in_vain and self._gate.waiting >= 2 * WAITING:
            raise StoreUnavailable from OverloadedError()
        self._gate.enter()
        try:
            async with self._free:
                yield
        except BaseException as error:
            self._gate.left(error)
            raise
        self._gate.left()


class Confirmer:
    """Runs scripts whose changes are to be confirmed."""

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        # By the name of the node, as the gates of the link.
        self._places: PerLoop[dict[str, _Places]] = PerLoop()

    async def run(
        self, wanted: Confirmation | None, script: Script, keys: tuple[str, ...], *args: str | bytes | int
    ) -> list[Any]:
        """Run *script*; raises `NotConfirmed` where its reply needs what is *wanted* and that did not come."""
        if wanted is None:
            return await self._link.run(script, keys, *args)
        node = self._link.connector.owner(keys[0])
        outages = self._link.outages
        async with self._places_at(node).taking(in_vain=outages.lasts(node, UNCONFIRMED)):
            reply, answer = await self._link.run_then(wanted.command, wanted.ms / 1000, script, keys, *args)
        is_needed, is_given = wanted.is_needed(reply), wanted.is_given(answer)
        if is_needed or wanted.is_told(reply):
            if is_given:
                outages.ended(node, UNCONFIRMED)
            else:
                outages.began(node, UNCONFIRMED, f"{wanted.word} was answered {answer!r}")
        if is_needed and not is_given:
            raise NotConfirmed
        return reply

    def _places_at(self, node: str) -> _Places:
        places = self._places.get(dict)
        if node not in places:
            places[node] = _Places(self._timeout)
        return places[node]

    async def check(self, confirmations: Confirmations) -> None:
        """Raise `ConfigurationError` where a server cannot confirm, and warn where too few would now."""
        client = await self._link.connector.client()
        nodes = primaries_of(client) if isinstance(client, RedisCluster) else [client]
        await asyncio.gather(*(_check(node, wanted) for node in nodes for wanted in confirmations.all))


async def _check(node: Any, wanted: Confirmation) -> None:
    try:
        answer = await node.execute_command(*wanted.command)
    except NoPermissionError as error:
        remedy = f"give it +{wanted.word.lower()}"
        raise ConfigurationError("durability", f"the server's user may not ask {wanted.word}", remedy) from error
    except ResponseError as error:
        raise _cannot(wanted, str(error)) from error
    except FAILURES as error:
        raise StoreUnavailable from error
    if wanted.level is Level.FSYNCED:
        await _check_disk(node)
    if not wanted.is_given(answer):
        logger.warning("%s: too few acknowledge now, %s is answered %r", wanted.level, wanted.word, answer)


async def _check_disk(node: Any) -> None:
    try:
        server, found = await node.execute_command("INFO", "server"), await node.execute_command("CONFIG GET", "appendfsync")
    except ResponseError:  # may not be asked, or is not there
        logger.warning("fsynced: the server does not tell its appendfsync; it has to be `always`, or WAITAOF may answer early")
        return
    except FAILURES as error:
        raise StoreUnavailable from error
    (policy,) = dict(found).values()
    check_disk(server, policy if isinstance(policy, str) else policy.decode())


def _cannot(wanted: Confirmation, said: str) -> ConfigurationError:
    if "unknown command" in said:
        remedy = "use 'replicated', or Redis 7.2, Valkey 8.0 or later"
        return ConfigurationError("durability", f"the server does not know {wanted.word}", remedy)
    if "appendonly" in said:
        return ConfigurationError("durability", "the server writes no append-only file", "set `appendonly yes` there")
    return ConfigurationError("durability", f"the server does not answer {wanted.word}: {said}", "use 'primary'")
