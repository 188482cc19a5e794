"""
Whether a server tells the truth about its disk.

`WAITAOF` is to answer once the disk has a write.  With `appendfsync everysec` some servers answer before it has (redis/redis
pull request 13793, which mended it for Redis 8).  Of twelve writes, ten were acknowledged by Valkey 9.1.2 with no fdatasync
behind them, seven by 9.0.0 and by 8.1.8, none by Redis 8.2.3.  With `always` every one had its own, on all four.  A kill does
not show it, only a power cut does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from asgi_tokenguard.errors import ConfigurationError

# The oldest on which `everysec` was seen to be waited for.
HONEST: Final = (8, 2)


def check_disk(server: Mapping[str, Any], appendfsync: str) -> None:
    """Raise `ConfigurationError` where what *server*, a section of `INFO`, acknowledges may not be on its disk."""
    if appendfsync == "always" or (appendfsync == "everysec" and _waits_for_everysec(server)):
        return
    problem = (
        "with `appendfsync no` the server never tells that the disk has anything"
        if appendfsync == "no"
        else f"with `appendfsync {appendfsync}` this server's WAITAOF may answer before the disk has the write"
    )
    raise ConfigurationError("durability", problem, "set `appendfsync always` there, and on its replicas")


def _waits_for_everysec(server: Mapping[str, Any]) -> bool:
    version = re.match(r"(\d+)\.(\d+)", str(server.get("redis_version", "")))
    # Valkey names the version of Redis that it is compatible with as well.
    return "valkey_version" not in server and version is not None and (int(version[1]), int(version[2])) >= HONEST
