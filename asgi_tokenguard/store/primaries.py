"""
The primaries behind a client, and how each of them proves again and again that it is one.

Rule: a verdict is trusted only while somebody listens at every server that may take a change.  Where all are heard it does not
matter who owns a key now: wherever it is changed, or moves to, the change is pushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redis.asyncio import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.crc import key_slot
from redis.exceptions import ConnectionError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.store import redis_py
from asgi_tokenguard.store.cluster import read_topology
from asgi_tokenguard.store.topology import tag_in, view_of

if TYPE_CHECKING:
    from asgi_tokenguard.store.redis_py import Client

Command: TypeAlias = tuple[str | int, ...]

# Nobody reads what a lease writes, it counts that it was taken; so that nothing is left behind, it is gone after a second.
LEASE_MS: Final = 1000
NODES: Final[Command] = ("CLUSTER", "NODES")


class Primary:
    """A server that nobody can depose; PING proves that it lives."""

    opening: tuple[Command, ...] = ()
    lease: tuple[Command, ...] = (("PING",),)

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def opened(self, answers: list[Any]) -> None:
        """Learn from the answers to *opening*."""

    def compare(self) -> None:
        """Look, before each lease, whether the client reads from somebody else by now; raises `ConnectionError`."""

    def proved(self, answers: list[Any]) -> None:
        """Look at the answers to *lease*; raises `ConnectionError` where they prove nothing."""


class SentinelsPrimary(Primary):
    """
    The primary that Sentinel names.

    A deposed one goes on to answer PING.  A write it refuses as a replica, and, cut off from its replicas, where the operator
    has set `min-replicas-to-write`.
    """

    def __init__(self, pool: SentinelConnectionPool, namespace: str) -> None:
        super().__init__(redis_py.dedicated_connection(pool))
        self._pool = pool
        self.lease = (("SET", f"{namespace}:lease", "", "PX", LEASE_MS),)

    def compare(self) -> None:
        # Verdicts are read through the client: where it has opened a connection to another primary, they are that one's.
        if redis_py.sentinels_primary(self._pool) != (self.connection.host, self.connection.port):
            raise ConnectionError("Sentinel names another primary")


class Members:
    """What the primaries of one cluster share: the ids of all at which somebody listens, and their names in the client."""

    def __init__(self, client: RedisCluster) -> None:
        self.nodes = redis_py.primaries_of(client)
        self.ids: set[str] = set()
        self._names = {node.name for node in self.nodes}
        self._client = client

    def compare(self) -> None:
        if not self._names.issuperset(node.name for node in redis_py.primaries_of(self._client)):
            raise ConnectionError("the client reads from a primary at which nobody listens")


class ClusterPrimary(Primary):
    """
    One primary of a cluster.

    The write proves that the majority still counts on it: deposed it answers MOVED, cut off CLUSTERDOWN.  Its view of the
    cluster proves that nobody has joined unheard: whoever hands it a slot, or votes for it, knows it before it takes one.
    """

    opening = (NODES,)

    def __init__(self, node: Any, members: Members, namespace: str) -> None:
        super().__init__(redis_py.dedicated_connection(node))
        self._members = members
        self._namespace = namespace

    def opened(self, answers: list[Any]) -> None:
        view = view_of(_text(answers[0]))
        self._members.ids.add(view.me)
        if not view.slots:  # it has lost them since the client asked
            raise ConnectionError("a primary has no slot to write to")
        tag = tag_in(view.slots, key_slot)
        self.lease = (NODES, ("SET", f"{self._namespace}:lease:{{{tag}}}", "", "PX", LEASE_MS))

    def compare(self) -> None:
        self._members.compare()

    def proved(self, answers: list[Any]) -> None:
        if not view_of(_text(answers[0])).writers <= self._members.ids:
            raise ConnectionError("the cluster has a primary at which nobody listens")


async def primaries(client: Client, namespace: str, *, anew: bool) -> list[Primary]:
    """All of *client*, their connections not open yet; *anew* where what it knows of them may be past."""
    if isinstance(client, RedisCluster):
        await (read_topology(client) if anew else client.initialize())
        members = Members(client)
        return [ClusterPrimary(node, members, namespace) for node in members.nodes]
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return [SentinelsPrimary(pool, namespace)]
    return [Primary(redis_py.dedicated_connection(pool))]


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)
