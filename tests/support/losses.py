"""What a process knows of the writes that its server may have lost."""

from __future__ import annotations

import re
from typing import Any

from asgi_tokenguard.store.lineage import Lineages
from asgi_tokenguard.store.redis import RedisStore


async def let_know(store: RedisStore, redis: Any, key: str, *, lost_ms: int) -> None:
    """Let *store* know that the server of *key* may have lost writes at *lost_ms*, and at no moment since."""
    info = await redis.eval("return redis.call('INFO', 'replication')", 1, key)  # a script runs on the node of its key
    (replication_id,) = re.findall(rb"master_replid:(\w+)", info)
    store.lineages = Lineages()
    store.lineages.learn(store._link.connector.owner(key), b"%s %d" % (replication_id, lost_ms))
