"""What a process knows of the writes that its server may have lost."""

from __future__ import annotations

import re
from typing import Any

from asgi_tokenguard.store.redis import RedisStore


async def let_know(store: RedisStore, redis: Any, key: str, *, lost_ms: int) -> None:
    """Let *store* know that the server of *key* may have lost writes at *lost_ms*, and at no moment since."""
    info = await redis.eval("return redis.call('INFO', 'replication')", 1, key)  # a script runs on the node of its key
    (replication_id,) = re.findall(rb"master_replid:(\w+)", info)
    store.lineages._known.clear()
    store.lineages.know(store._link.connector.owner(key), replication_id.decode(), str(lost_ms))
