"""
What we use of redis-py beyond its documented face, in one place; each line is pinned by tests/store/test_redis_py.py.

A client is one of three: of a single server, of Sentinel's current primary, of a cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import RedisClusterException, RedisError

if TYPE_CHECKING:
    from redis.asyncio.cluster import ClusterNode

Client: TypeAlias = Redis | RedisCluster

# Whatever redis-py raises where a server gives no answer.  A cluster without a node that answers is no `RedisError`, and a
# slot that nobody owns is a KeyError.  So is, as an AttributeError, a redirection to a node that has no slot yet (ASK).
FAILURES = (RedisError, RedisClusterException, OSError)
CLUSTER_FAILURES = (*FAILURES, KeyError, AttributeError)


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


async def read_topology(client: RedisCluster, suspect: str = "") -> None:
    """Let *client* ask the cluster anew who owns what, and *suspect* last: it may be frozen."""
    await client.initialize(last_failed_node_name=suspect or None)
    await client.nodes_manager.initialize(last_failed_node_name=suspect or None)


def primaries_of(client: RedisCluster) -> list[ClusterNode]:
    """From whom *client* reads, if it knows the cluster."""
    return client.get_primaries()


async def at_owner(client: Any, key: str) -> dict[str, Any]:
    """
    Arguments of `execute_command` that send it to the owner of *key* (anybody, where it is empty), and once only.

    A cluster's client sends a command again after a lost answer, unless it is told where to; a script may have run by then.
    """
    if not isinstance(client, RedisCluster):
        return {}
    await client.initialize()  # nothing, where it has been
    return {"target_nodes": client.get_node_from_key(key) if key else client.get_default_node()}


def owner(client: RedisCluster, key: str) -> str:
    """The name of the node that *client* would ask for *key*; empty where none is known."""
    try:
        node = client.get_node_from_key(key)
    except RedisClusterException:
        return ""
    return "" if node is None else node.name


def dedicated_connection(source: Any) -> Any:
    """A connection set up as those of *source* are (a client's pool, or a node of a cluster), over RESP3: pushes come in it."""
    return source.connection_class(**{**source.connection_kwargs, "protocol": 3})


def hear_pushes(connection: Any, heard: Callable[[list[Any]], Awaitable[None]]) -> None:
    """
    Give every invalidation that arrives at *connection*, once it is open, to *heard*.

    redis-py logs what *heard* raises and goes on.
    """
    connection._parser.set_invalidation_push_handler(heard)  # noqa: SLF001 (there is no public way)
