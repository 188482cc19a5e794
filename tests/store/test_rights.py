"""The rights that docs/redis.md names are enough, each of them is needed, and they reach no other keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import NoPermissionError
from support.acl import rights, rights_of_clusters
from support.cluster import Cluster, client_of, command, move_by_keys
from support.holder import Holder
from support.stage import travelling

from asgi_tokenguard import Limits, NotAuthenticated, Rate, StoreUnavailable, TokenGuard, Tracking
from asgi_tokenguard.store.keyspace import session_key
from asgi_tokenguard.store.lineage import UNKNOWN

SECRET = "a secret of more than thirty-two bytes, for tests only"
RIGHTS = rights()
COMMANDS = [right for right in RIGHTS if right.startswith("+")]
OF_CLUSTERS = rights_of_clusters()


@asynccontextmanager
async def guard_of(server: Any, clock: Any, rules: list[str], **more: Any) -> AsyncIterator[TokenGuard]:
    async with Redis.from_url(server.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "least", "reset", "on", ">password", *rules)
        await redis.script_flush()  # so that EVAL is needed, too
        url = server.url.replace("unix://", "unix://least:password@")
        try:
            async with travelling(TokenGuard(secret=SECRET, redis=url, timeout=10, **more), clock) as guard:
                yield guard
        finally:
            await redis.delete(*await redis.keys("tg:*"), "x")
            await redis.execute_command("ACL", "DELUSER", "least")


async def what_fails(guard: TokenGuard, clock: Any) -> set[str]:
    """Everything that asks Redis, once."""
    failed = set()
    store = guard.engine.store
    for name, doing in (
        ("steps", _steps(guard, clock)),
        ("places", store.put_place(1, b"x", 60)),
        ("place", store.get_place(1)),
    ):
        try:
            async with store.patience():
                await doing
        except StoreUnavailable:
            failed.add(name)
    if store.lineages.of("") is UNKNOWN or not await _info(store):
        failed.add("lineage")
    return failed


async def _info(store: Any) -> bool:
    async with store.patience():
        return bool(await store._link.server_info())


async def _steps(guard: TokenGuard, clock: Any) -> None:
    tokens = await guard.login("user-1")
    await guard.authenticate(tokens.access_token)
    old = tokens.refresh_token
    for _ in range(2):
        clock.advance(901)
        tokens = await guard.rotate(tokens.refresh_token)
        await guard.authenticate(tokens.access_token)
    await guard.sessions("user-1")
    await guard.update_claims("user-1", {"role": "admin"})
    tokens = await guard.login("user-1")
    await guard.revoke_others("user-1", tokens.session_id)
    await guard.revoke("user-1", tokens.session_id)
    await guard.endings("user-1")
    await guard.revoke_all("user-1")
    with pytest.raises(NotAuthenticated):
        await guard.rotate(old)


async def tracks(guard: TokenGuard) -> bool:
    """Whether verdicts are kept in memory; before the clock leaps, which to the channel is a silence."""
    holder = Holder(guard, (await guard.login("user-2")).access_token)
    async with asyncio.timeout(10):
        while guard.tracking not in {Tracking.ON, Tracking.REFUSED}:
            try:
                async with guard.engine.store.patience():
                    await holder.liveness.judge(holder.claims, holder.field)
            except StoreUnavailable:
                return False
            await asyncio.sleep(0.01)
    return guard.tracking is Tracking.ON


async def test_they_are_enough(server, clock):
    async with guard_of(server, clock, RIGHTS) as guard:
        assert await tracks(guard)
        assert set() == await what_fails(guard, clock)


async def test_limits_need_no_more(server, clock):
    """Also where there is no room left for another number."""
    limits = Limits(logins_per_address=Rate(1000, per=86_400), presentations_per_session=Rate(1000, per=86_400))
    async with guard_of(server, clock, RIGHTS, limits=limits) as guard:
        for number in range(150):
            await guard.login("user-1", ip_address=f"192.0.{number}.1")
        assert set() == await what_fails(guard, clock)


@pytest.mark.parametrize("right", COMMANDS)
async def test_each_is_needed(server, clock, right):
    less = [word for word in RIGHTS if word != right]
    try:
        async with guard_of(server, clock, less) as guard:
            assert not await tracks(guard) or await what_fails(guard, clock)
    except StoreUnavailable:  # it does not even open
        pass


async def test_other_keys_are_out_of_reach(server, clock):
    async with guard_of(server, clock, RIGHTS) as guard:
        client = await guard.engine.store._link.connector.client()
        key = session_key("tg", "user-1")
        await client.hset(key, "x", "y")
        for words in (
            ("GET", "x"),
            ("SET", "tgx", "y"),
            ("HGETALL", "other:s:1"),
            ("EVAL", "return redis.call('GET', 'x')", 0),
        ):
            with pytest.raises((NoPermissionError, Exception), match=r"(?i)permission|can't access|NOPERM"):
                await client.execute_command(*words)
        for words in (("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("SCAN", "0"), ("MONITOR",)):
            with pytest.raises(NoPermissionError):
                await client.execute_command(*words)


@pytest.fixture(scope="module")
def cluster():
    with Cluster(2) as cluster:
        yield cluster


@pytest.mark.thorough
@pytest.mark.parametrize("missing", [None, *OF_CLUSTERS])
async def test_a_cluster_asks_for_more(cluster, missing):
    """Each is needed there: to find the nodes, to prove that one still owns its slots, and to follow a slot that moves."""
    slot = key_slot(session_key("tg", "user-1").encode())
    source = cluster.owner_of(slot)
    (target,) = set(cluster.primaries) - {source}
    for member in cluster.members:
        command(member, "ACL", "SETUSER", "least", "reset", "on", ">password", *RIGHTS, *OF_CLUSTERS)
        if missing is not None:
            command(member, "ACL", "SETUSER", "least", missing.replace("+", "-"))
    fails = False
    try:
        async with (
            client_of(cluster, username="least", password="password") as client,
            TokenGuard(secret=SECRET, redis=client, timeout=10) as guard,
        ):
            tokens = await guard.login("user-1")
            fails = not await tracks(guard)
            await asyncio.to_thread(move_by_keys, source, target, slot, finish=False)
            async with guard.engine.store.patience():
                assert await guard.engine.store.check("user-1", tokens.session_id) is not None
    except StoreUnavailable:
        fails = True
    finally:
        await asyncio.to_thread(move_by_keys, source, target, slot)
    assert fails == (missing is not None)
