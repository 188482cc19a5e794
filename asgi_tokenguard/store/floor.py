"""The servers that will do, as they tell of themselves; who tells nothing is taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from asgi_tokenguard.errors import ConfigurationError

# Redis 6.2 is the oldest that the tests run on; of Valkey 7.2 no build was at hand.
REDIS: Final = (6, 2)
VALKEY: Final = (8, 0)


def check_version(server: Mapping[str, Any]) -> None:
    """*server* is the section of that name of `INFO`; raise `ConfigurationError` where it tells of an older version."""
    # Valkey names the version of Redis that it is compatible with as well; servers of others name one of Redis alone.
    for name, field, least in (("Valkey", "valkey_version", VALKEY), ("Redis", "redis_version", REDIS)):
        version = str(server.get(field, ""))
        if found := re.match(r"(\d+)\.(\d+)", version):
            if (int(found[1]), int(found[2])) < least:
                raise ConfigurationError("redis", f"the server is {name} {version}", remedy())
            return


def check_alone(server: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` where *server* is a node of a cluster: of another node's keys it would only say MOVED."""
    for field in ("redis_mode", "server_mode"):  # Valkey's own name for it
        if server.get(field) == "cluster":
            remedy = "pass a client: redis.asyncio.RedisCluster(host, port, retry=Retry(NoBackoff(), 0))"
            raise ConfigurationError("redis", "the server is a node of a cluster, which a URL cannot name", remedy)


def remedy() -> str:
    return f"use Redis {REDIS[0]}.{REDIS[1]} or later, or Valkey {VALKEY[0]}.{VALKEY[1]} or later"
