"""What a server says of itself; whether that is safe, `asgi_tokenguard.doctor` knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, ResponseError

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.connect import Connector
from asgi_tokenguard.store.redis_py import FAILURES, primaries_of

# A person waits: longer than a request, shorter than their patience.
PATIENCE: Final = 5.0
# Of three answers the quickest tells the time best; the first one also opens the connection.
LOOKS_AT_THE_CLOCK: Final = 3

SETTINGS: Final = ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save", "min-replicas-to-write")
# What scripts and reads are made of, as Redis 6.2 has it; and what is used where it is there.
NEEDED: Final = ("evalsha", "eval", "time", "hget", "hset", "hdel", "hgetall", "hlen", "expireat", "pexpire", "ttl", "client")
OPTIONAL: Final = ("wait", "waitaof")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One primary; None is what its user may not ask."""

    node: str  # its name in a cluster, else empty
    info: Mapping[str, Any] | None
    settings: Mapping[str, str] | None
    missing: frozenset[str] | None
    skew: float  # seconds that its clock is ahead of ours

    @property
    def product(self) -> str:
        return "Valkey" if "valkey_version" in (self.info or {}) else "Redis"

    @property
    def version(self) -> str:
        info = self.info or {}
        return str(info.get("valkey_version", info.get("redis_version", "")))


async def ask(source: str) -> list[Facts]:
    """
    The facts of the server at the URL *source*, or of every primary of its cluster.

    Raises `StoreUnavailable` where one does not answer.
    """
    connector = Connector(source, PATIENCE)
    try:
        async with asyncio.timeout(PATIENCE):
            facts = await _facts(await connector.client(), "")
            is_member = bool((facts.info or {}).get("cluster_enabled")) and not source.startswith("unix:")
            return await _all_primaries(source) if is_member else [facts]
    except TimeoutError as error:
        raise StoreUnavailable from error
    except FAILURES as error:
        raise StoreUnavailable from error
    finally:
        await connector.aclose()


async def _all_primaries(source: str) -> list[Facts]:
    """The facts of every primary of the cluster of which *source* is a member."""
    cluster = RedisCluster.from_url(source, retry=Retry(NoBackoff(), 0))
    try:
        await cluster.initialize()
        return [await _facts(node, node.name) for node in primaries_of(cluster)]
    finally:
        await cluster.aclose()


async def _facts(node: Any, name: str) -> Facts:
    return Facts(
        node=name,
        skew=await _skew(node),
        info=await _allowed(node, "INFO"),
        settings=await _settings(node),
        missing=await _missing(node),
    )


async def _allowed(node: Any, *command: str) -> Any:
    try:
        return await node.execute_command(*command)
    except NoPermissionError:
        return None


async def _settings(node: Any) -> Mapping[str, str] | None:
    found: dict[str, str] = {}
    for name in SETTINGS:  # one by one: Redis 6.2 takes one name
        try:
            answer = await _allowed(node, "CONFIG GET", name)
        except ResponseError:  # managed services take the command away altogether
            return None
        if answer is None:
            return None
        found |= {_text(key): _text(value) for key, value in dict(answer).items()}
    return found


async def _missing(node: Any) -> frozenset[str] | None:
    names = (*NEEDED, *OPTIONAL)
    found = await _allowed(node, "COMMAND INFO", *names)
    return None if found is None else frozenset(name for name, known in zip(names, found, strict=True) if not known)


async def _skew(node: Any) -> float:
    """How far the server's clock is ahead of ours; as exact as its answer is quick."""
    looks = []
    for _ in range(LOOKS_AT_THE_CLOCK):
        asked, began = time.time(), time.monotonic()
        seconds, microseconds = await node.execute_command("TIME")
        took = time.monotonic() - began
        looks.append((took, int(seconds) + int(microseconds) / 1e6 - asked - took / 2))
    return min(looks)[1]


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
