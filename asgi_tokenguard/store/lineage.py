"""Since when each node of the store is known to have lost no writes; `lua/lineage.lua` asks and says."""

from __future__ import annotations

import logging
from typing import Final

logger = logging.getLogger("asgi_tokenguard")
UNKNOWN: Final = ("", "0")


class Lineages:
    """
    The replication id of each node, and the moment since which that is known (ms of the node's clock).

    A node that starts, or is promoted, takes a new id.  An app process that never met the old one takes the worse guess, so
    that processes need not agree.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, node: str) -> tuple[str, str]:
        """What the scripts are told of *node*: its id and since when."""
        return self._known.get(node, UNKNOWN)

    def learn(self, node: str, reply: bytes) -> None:
        """*reply* is what a script says: an id and a moment with a blank between, or nothing where it did not ask."""
        replication_id, blank, since = reply.decode("latin-1").partition(" ")
        known = self.of(node)
        if not blank or replication_id == known[0]:
            return
        if known is not UNKNOWN:
            logger.warning(
                "Redis %s was promoted or has started again; it may have lost its last writes, so for two graces nobody is"
                " accused of reuse whose session is older",
                node,
            )
        self._known[node] = (replication_id, since)
