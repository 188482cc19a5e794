"""
What we use of redis-py beyond its documented face, in one place; each line is pinned by tests/store/test_redis_py.py.

A client is one of three: of a single server, of Sentinel's current primary, of a cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import (
    ClusterDownError,
    ConnectionError,  # noqa: A004 (redis-py's own)
    RedisClusterException,
    RedisError,
    TimeoutError,  # noqa: A004 (redis-py's own)
)

if TYPE_CHECKING:
    from redis.asyncio.cluster import ClusterNode

Client: TypeAlias = Redis | RedisCluster

# Whatever redis-py raises where no answer comes; a cluster without a node that answers is no `RedisError`.
FAILURES: Final = (RedisError, RedisClusterException, OSError)
# Those after which somebody else may be the primary.
LOSSES: Final = (ConnectionError, TimeoutError, ClusterDownError, RedisClusterException, OSError)


def decodes(client: Client) -> bool:
    """Whether replies come as text."""
    settings = client.connection_kwargs if isinstance(client, RedisCluster) else client.connection_pool.connection_kwargs
    return bool(settings.get("decode_responses"))


def reads_replicas(client: Client) -> bool:
    """Whether reads may be answered by a server that does not know yet what was written."""
    if isinstance(client, RedisCluster):
        return bool(client.read_from_replicas or client.load_balancing_strategy)
    return isinstance(client.connection_pool, SentinelConnectionPool) and not client.connection_pool.is_master


def sentinels_primary(pool: SentinelConnectionPool) -> Any:
    """Host and port of the primary to which *pool* opened its last connection."""
    return pool.master_address


def primaries_of(client: RedisCluster) -> list[ClusterNode]:
    """From whom *client* reads, if it knows the cluster."""
    return client.get_primaries()


def address_of(client: Redis) -> str:
    """Where the server is that *client* asks, as an operator would name it."""
    pool: Any = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        found = pool.master_address
        return f"{found[0]}:{found[1]}" if found else f"the primary {pool.service_name}"
    settings = pool.connection_kwargs
    return str(settings["path"]) if "path" in settings else f"{settings.get('host')}:{settings.get('port')}"


def dedicated_connection(source: Any) -> Any:
    """A connection set up as those of *source* are (a client's pool, or a node of a cluster), over RESP3: pushes come in it."""
    return source.connection_class(**{**source.connection_kwargs, "protocol": 3})


def hear_pushes(connection: Any, heard: Callable[[list[Any]], Awaitable[None]]) -> None:
    """
    Give every invalidation that arrives at *connection*, once it is open, to *heard*.

    redis-py logs what *heard* raises and goes on.
    """
    connection._parser.set_invalidation_push_handler(heard)  # noqa: SLF001 (there is no public way)
