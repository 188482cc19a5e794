"""Since when each node of the store is known to have lost no writes; `lua/lineage.lua` asks and says."""

from __future__ import annotations

import logging
from itertools import count
from typing import TYPE_CHECKING, Final

from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError

from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.store.keyspace import lineage_key

if TYPE_CHECKING:
    from asgi_tokenguard.store.link import Link

logger = logging.getLogger("asgi_tokenguard")
UNKNOWN: Final = ("", "0")


class Lineages:
    """
    The replication id of each node, and the moment since which that is known (ms of the node's clock).

    A node that starts, or is promoted, takes a new id.  Whoever meets one first writes down when, on the node itself, and all
    others read that: else each new process would forgive reuse anew, and a thief would only have to wait for a deployment.
    It is kept for *lasts* (ms), an absolute lifetime: no session that lives then began before the loss.
    """

    def __init__(self, link: Link, namespace: str, lasts: int) -> None:
        self._link = link
        self._namespace = namespace
        self._lasts = lasts
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, node: str) -> tuple[str, str]:
        """What the scripts are told of *node*: its id and since when."""
        return self._known.get(node, UNKNOWN)

    async def learn(self, node: str, told: bytes) -> None:
        """*told* is what a script says that met an id it was not told of: that and its guess, with a blank between."""
        replication_id, _, guess = told.decode("latin-1").partition(" ")
        self.know(node, replication_id, await self._agreed(node, replication_id, guess))

    def know(self, node: str, replication_id: str, since: str) -> None:
        if self.of(node) is not UNKNOWN:
            logger.warning(
                "Redis %s was promoted or has started again; it may have lost its last writes, so for two graces nobody is"
                " accused of reuse whose session is older",
                node,
            )
        self._known[node] = (replication_id, since)

    async def _agreed(self, node: str, replication_id: str, guess: str) -> str:
        """The moment that whoever came first has written down; *guess* is ours, where nobody has."""
        key = lineage_key(self._namespace, await self._tag(node), replication_id)
        try:
            if await self._link.write(key, "SET", key, guess, "NX", "PX", self._lasts) is not None:
                return guess
            found: bytes | None = await self._link.read(key, "GET", key)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, NoPermissionError):  # a user without `+set`: each process guesses
                return guess
            raise
        return guess if found is None else found.decode("latin-1")

    async def _tag(self, node: str) -> str:
        """A hash tag of a slot of *node*, which has just answered; where there is but one node, none is needed."""
        client = await self._link.connector.client()
        if not isinstance(client, RedisCluster):
            return ""
        slots = {slot for slot, nodes in client.nodes_manager.slots_cache.items() if nodes and nodes[0].name == node}
        if not slots:  # it has lost them since
            raise StoreUnavailable
        return next(tag for tag in map(str, count()) if client.keyslot(f"{{{tag}}}") in slots)
