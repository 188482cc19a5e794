"""
Bytes of a session in Redis, by `used_memory` over many sessions, which counts what `MEMORY USAGE` of one key leaves out: the
tables, the key's expiry, the allocator's rounding.

    python benchmarks/memory.py

Sessions are real logins, with claims of 120 bytes, an IPv6 address, and a device and a place of 40 bytes each, with one session
for each user and with three.  The design's target is at most 620 bytes with one and 460 with three.  Last, what stays of a
session for a day after it was ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from _common import SECRET, add_common, facts, real_server, server_name, show, write
from redis.asyncio import Redis

from asgi_tokenguard import TokenGuard
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.devices import DeviceHeaders, fingerprint
from asgi_tokenguard.core.sessions import pack_address
from asgi_tokenguard.parcels import Source

TARGETS = {1: 620, 3: 460}
PART = 40
NAME = fingerprint(DeviceHeaders())
# With more the guard refuses some where other benchmarks run beside this one: they would wait too long.
AT_ONCE = 100


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100_000, help="how many (default: %(default)s)")
    parser.add_argument("--claims", type=int, default=120, help="bytes of claims (default: %(default)s)")
    add_common(parser)
    asked = parser.parse_args()
    sessions = 3_000 if asked.quick else asked.sessions
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        guard = await stack.enter_async_context(TokenGuard(secret=SECRET, redis=url, timeout=60))
        client = await stack.enter_async_context(Redis.from_url(url))
        claims = claims_of(asked.claims)
        rows = [await measured(guard, client, claims, sessions, each) for each in TARGETS]
        tombstone = await ended(guard, client, claims, sessions)
        setting = facts(await server_name(client)) | {"allocator": (await client.info("memory"))["mem_allocator"]}
    print(f"{setting['server']} ({setting['allocator']}), claims of {asked.claims} bytes, IPv6, device and place of 40 bytes\n")
    columns = {"per_user": "sessions a user", "sessions": "sessions", "bytes": "bytes a session", "target": "target"}
    show(rows, columns | {"key_bytes": "MEMORY USAGE says"})
    print(f"\na session that was ended: {tombstone} bytes for a day")
    parameters = {"claims_bytes": asked.claims, "tombstone_bytes": tombstone}
    write({"benchmark": "memory", **setting, **parameters, "rows": rows}, asked.json)


def claims_of(size: int) -> dict[str, str]:
    """Claims of exactly *size* bytes as compact JSON."""
    frame = len(json.dumps({"role": ""}, separators=(",", ":")))
    return {"role": "a" * (size - frame)}


async def measured(guard: TokenGuard, client: Any, claims: dict[str, str], sessions: int, each: int) -> dict[str, Any]:
    users = sessions // each
    guard.engine.background.describe = lambda *_: None  # its jobs are done by hand, with parts of a fixed size
    await client.flushall()
    await load(guard, claims, users=AT_ONCE, each=1)  # connections, buffers and scripts are not what is measured
    await client.flushall()
    before = await settled(client)
    await load(guard, claims, users=users, each=each)
    used = await settled(client) - before
    key = await client.randomkey()
    return {
        "per_user": each,
        "sessions": users * each,
        "bytes": round(used / (users * each)),
        "target": TARGETS[each],
        "key_bytes": round(await client.memory_usage(key) / each),
    }


async def ended(guard: TokenGuard, client: Any, claims: dict[str, str], users: int) -> int:
    """Bytes of what is remembered of one session of each user."""
    await client.flushall()
    before = await settled(client)
    await load(guard, claims, users=users, each=1)
    for first in range(0, users, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, users))
        await asyncio.gather(*(guard.revoke_all(f"user-{number:07}") for number in numbers))
    return round((await settled(client) - before) / users)


async def load(guard: TokenGuard, claims: dict[str, str], *, users: int, each: int) -> None:
    """Log *users* in, *each* times; several at once, each over the engine's own way."""

    async def log_in(number: int) -> None:
        # An address of its own for each user: 16 bytes.
        address = pack_address(f"2001:db8::{number:x}")
        for _ in range(each):
            _, delivery = await guard.engine.login(
                f"user-{number:07}", claims, caller=Caller.SCRIPT, source=Source(address=address, device=DeviceHeaders())
            )
            # What the outbox finds out later: a device and a place of 40 bytes each, as the design counts them.
            await guard.engine.store.describe(
                delivery.subject, delivery.sid, name=NAME, device=b"d" * PART, address=address, place=b"p" * PART
            )

    for first in range(0, users, AT_ONCE):
        await asyncio.gather(*(log_in(number) for number in range(first, min(first + AT_ONCE, users))))


async def settled(client: Any) -> int:
    """`used_memory` without what connections hold, once the tables have finished to grow, which the server does meanwhile."""
    before = -1
    while True:
        memory = await client.info("memory")
        # The connection that asks takes some bytes more each time.
        used = memory["used_memory"] - memory["mem_clients_normal"]
        # Both tables are in memory while entries move from the old one to the new; before Redis 7.4 the server does not tell.
        if used == before and not memory.get("mem_overhead_db_hashtable_rehashing"):
            return used
        before = used
        await asyncio.sleep(0.3)


if __name__ == "__main__":
    asyncio.run(main())
