"""What servers say of themselves; whether that is safe, `asgi_tokenguard.doctor` knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from redis.exceptions import AuthenticationError, ConnectionError, NoPermissionError, ResponseError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.connect import Connector
from asgi_tokenguard.store.redis_py import FAILURES

# A person waits: longer than a request, shorter than their patience.
PATIENCE: Final = 5.0
# Of three answers the quickest tells the time best; the first one also opens the connection.
LOOKS_AT_THE_CLOCK: Final = 3

SETTINGS: Final = (
    "maxmemory",
    "maxmemory-policy",
    "appendonly",
    "appendfsync",
    "save",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "cluster-allow-reads-when-down",
)
# What scripts and reads are made of, as Redis 6.2 has it; and what is used where it is there.
NEEDED: Final = ("evalsha", "eval", "time", "hget", "hset", "hdel", "hgetall", "hlen", "expireat", "pexpire", "ttl")
OPTIONAL: Final = ("client", "info", "wait", "waitaof")


# What an examination may fail with, for whoever explains it.
LOGIN_REFUSED: Final = AuthenticationError
LOST: Final = (ConnectionError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A question that a server does not answer."""

    words: str
    is_denied: bool  # its user may not ask; else the server has not got the command

    @classmethod
    def because_of(cls, error: ResponseError) -> Refused:
        return cls(words=str(error), is_denied=isinstance(error, NoPermissionError))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unasked:
    """A replica of which nothing is known."""

    node: str
    why: str
    is_stranger: bool = False  # it does not take the user and password that its primary takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One server; what it does not answer is None, and *refused* says why."""

    node: str  # host and port; empty for the one that the URL names
    stands_by: bool = False  # it was named by a primary, as its replica
    info: Mapping[str, Any] | None
    settings: Mapping[str, str] | None
    missing: frozenset[str] | None  # commands
    skew: float | None  # seconds that its clock is ahead of ours
    refused: Mapping[str, Refused] = field(default_factory=dict)  # by the first word of the question
    primaries: tuple[tuple[str, int], ...] = ()  # host and port of all of its cluster
    unasked: tuple[Unasked, ...] = ()

    @property
    def product(self) -> str:
        return "Valkey" if "valkey_version" in (self.info or {}) else "Redis"

    @property
    def version(self) -> str:
        info = self.info or {}
        return str(info.get("valkey_version", info.get("redis_version", "")))

    @property
    def is_clustered(self) -> bool:
        return bool(self.said.get("cluster_enabled"))

    @property
    def is_sentinel(self) -> bool:
        return "sentinel" in {self.said.get("redis_mode"), self.said.get("server_mode")}  # Redis, Valkey

    @property
    def said(self) -> Mapping[str, Any]:
        return self.info or {}

    def setting(self, name: str) -> str | None:
        return None if self.settings is None else self.settings.get(name)


async def ask(source: str) -> list[Facts]:
    """
    The facts of the server at the URL *source*, of every primary of its cluster, and of the replicas that they name.

    Raises `StoreUnavailable` where a primary does not answer.
    """
    first = await _asked(source)
    if first.is_sentinel:
        return [first]
    primaries = [first]
    if first.primaries and not source.startswith("unix:"):
        primaries = list(await asyncio.gather(*(_asked(at(source, *each), _name(*each)) for each in first.primaries)))
    return [facts for primary in primaries for facts in await _with_replicas(source, primary)]


def at(source: str, host: str, port: int) -> str:
    """
    *source* with another server's address: its user, password, database and TLS stay.

    The addresses are those that the examined primary names, which knows that password already.
    """
    parts = urlsplit(source)
    user = parts.netloc.rpartition("@")[0]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    scheme, path = ("redis", "") if parts.scheme == "unix" else (parts.scheme, parts.path)
    return urlunsplit((scheme, f"{user}@{address}" if user else address, path, parts.query, ""))


def _name(host: str, port: int) -> str:
    return f"{host}:{port}"


async def _asked(source: str, node: str = "") -> Facts:
    connector = Connector(source, PATIENCE)
    try:
        async with asyncio.timeout(PATIENCE):
            return await _facts(await connector.client(), node, urlsplit(source).hostname or "")
    except (TimeoutError, *FAILURES) as error:
        if node:  # another one than the person has named
            error.add_note(node)
        raise StoreUnavailable from error
    finally:
        await connector.aclose()


async def _with_replicas(source: str, primary: Facts) -> list[Facts]:
    """*primary*, and those of its replicas that can be asked in the same way."""
    found = await asyncio.gather(*(_replica(source, primary, *each) for each in _replicas_of(primary)))
    unasked = tuple(each for each in found if isinstance(each, Unasked))
    return [replace(primary, unasked=unasked), *(each for each in found if isinstance(each, Facts))]


def _replicas_of(primary: Facts) -> list[tuple[str, int]]:
    numbers = range(int(primary.said.get("connected_slaves", 0)))
    told = [primary.said[name] for number in numbers if (name := f"slave{number}") in primary.said]
    return [(str(each["ip"]), int(each["port"])) for each in told]


async def _replica(source: str, primary: Facts, host: str, port: int) -> Facts | Unasked:
    node = _name(host, port)
    try:
        found = await _asked(at(source, host, port), node)
    except StoreUnavailable as error:
        cause = error.__cause__
        why = "it does not answer" if isinstance(cause, TimeoutError) else str(cause) or type(cause).__name__
        return Unasked(node=node, why=why, is_stranger=isinstance(cause, AuthenticationError))
    if found.said.get("master_link_status", "up") != "up":  # it has no replication id in common with anybody yet
        return Unasked(node=node, why="it is still copying, or cut off from its primary")
    # Behind a tunnel or in a container the address may be another server's, as seen from here.
    if found.info is not None and found.said.get("master_replid") != primary.said.get("master_replid"):
        return Unasked(node=node, why="from here, another server answers there")
    return replace(found, stands_by=True)


async def _facts(node: Any, name: str, host: str) -> Facts:
    questions = _Questions(node)
    skew, info = await _skew(questions), await questions.ask("INFO")
    return Facts(
        node=name,
        skew=skew,
        info=info,
        settings=await _settings(questions),
        missing=await _missing(questions),
        primaries=await _primaries(questions, host) if (info or {}).get("cluster_enabled") else (),
        refused=questions.refused,
    )


class _Questions:
    """Asks one server, and keeps what it would not answer."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self.refused: dict[str, Refused] = {}

    async def ask(self, *command: str) -> Any:
        """The answer, or None."""
        try:
            return await self._node.execute_command(*command)
        except ResponseError as error:  # denied, renamed, or taken away as managed services do
            self.refused[command[0].split()[0].lower()] = Refused.because_of(error)
            return None


async def _settings(questions: _Questions) -> Mapping[str, str] | None:
    found: dict[str, str] = {}
    for name in SETTINGS:  # one by one: Redis 6.2 takes one name
        answer = await questions.ask("CONFIG GET", name)
        if answer is None:
            return None
        found |= {_text(key): _text(value) for key, value in dict(answer).items()}
    return found


async def _missing(questions: _Questions) -> frozenset[str] | None:
    names = (*NEEDED, *OPTIONAL)
    found = await questions.ask("COMMAND INFO", *names)
    return None if found is None else frozenset(name for name, known in zip(names, found, strict=True) if not known)


async def _primaries(questions: _Questions, host: str) -> tuple[tuple[str, int], ...]:
    # Of each range the third is its primary; a node that does not know its own address, *host*, leaves it out.
    slots = await questions.ask("CLUSTER SLOTS") or []
    return tuple(sorted({(_text(owner[0] or "") or host, int(owner[1])) for _, _, owner, *_ in slots}))


async def _skew(questions: _Questions) -> float | None:
    """How far the server's clock is ahead of ours; as exact as its answer is quick."""
    looks = []
    for _ in range(LOOKS_AT_THE_CLOCK):
        asked, began = time.time(), time.monotonic()
        answer = await questions.ask("TIME")
        if answer is None:
            return None
        seconds, microseconds = answer
        took = time.monotonic() - began
        looks.append((took, int(seconds) + int(microseconds) / 1e6 - asked - took / 2))
    return min(looks)[1]


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
