"""A real Sentinel, a primary and its replica: the guard follows the primary, and does not trust one that was deposed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from support.cluster import command, listeners, until
from support.holder import Holder
from support.sentinel import NAME, Watched
from support.server import RedisServer

from asgi_tokenguard import NotAuthenticated, StoreUnavailable, TokenGuard, Tokens, Tracking
from asgi_tokenguard.store.keyspace import session_key
from asgi_tokenguard.store.primaries import primaries

pytestmark = pytest.mark.thorough

STALENESS = 0.5
SECRET = "a secret of more than thirty-two bytes, for tests only"
KEY = session_key("tg", "user-1")


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Watched() as watched:
        yield watched


@asynccontextmanager
async def a_process(watched: Watched) -> AsyncIterator[TokenGuard]:
    sentinel = Sentinel([("127.0.0.1", watched.sentinel.port)], socket_timeout=1)
    client = sentinel.master_for(NAME, retry=Retry(NoBackoff(), 0))
    try:
        async with TokenGuard(secret=SECRET, redis=client, staleness=STALENESS, timeout=2) as guard:
            yield guard
        assert await client.ping()  # it stays the user's
    finally:
        await client.aclose()
        await sentinel.aclose()


async def logged_in(guard: TokenGuard) -> Tokens:
    async with asyncio.timeout(30):
        while True:
            with suppress(StoreUnavailable):
                return await guard.login("user-1")
            await asyncio.sleep(0.01)


async def replicated(watched: Watched) -> None:
    await asyncio.to_thread(until, lambda: command(watched.replica, "EXISTS", KEY), "the session is replicated")


def revoke_at(server: RedisServer) -> float:
    if not command(server, "DEL", KEY):
        raise RuntimeError("the session was not there")
    return time.monotonic()


async def test_the_channel_follows_the_primary(watched):
    """Killed, it is replaced; what is changed at the new one is heard, and what was ended meanwhile is not served."""
    async with a_process(watched) as guard:
        tokens = await guard.login("user-1")
        holder = await Holder(guard, tokens.access_token).settle()
        assert (1, 0) == (len(listeners(watched.primary)), len(listeners(watched.replica)))
        await replicated(watched)
        watched.primary.kill()
        died = time.monotonic()
        await asyncio.to_thread(until, lambda: revoke_at(watched.replica), "the replica has taken over")
        since = time.monotonic()
        assert await holder.served_for(since, STALENESS) <= STALENESS
        print(f"service at the new primary {since - died:.1f} s after the old one died")  # noqa: T201

        again = await Holder(guard, (await logged_in(guard)).access_token).settle()
        assert (1, Tracking.ON) == (len(listeners(watched.replica)), guard.tracking)
        since = await asyncio.to_thread(revoke_at, watched.replica)
        heard = await again.served_for(since, STALENESS)
        assert heard < STALENESS  # pushed, and not found out by a lease
        for each in (holder, again):
            with pytest.raises(NotAuthenticated):
                await guard.authenticate(each.field.decode().removeprefix("Bearer "))


async def test_a_primary_that_is_cut_off_from_its_replica_is_not_trusted(watched):
    """
    On the other side of the cut the replica may have been made the primary; ours answers PING and reads as ever.

    It has `min-replicas-to-write`, so it refuses the lease once it has missed its replica for longer than it may.
    """
    async with a_process(watched) as guard:
        holder = await Holder(guard, (await guard.login("user-1")).access_token).settle()
        await replicated(watched)
        for far in (watched.sentinel, watched.replica):
            far.freeze()
        cut = time.monotonic()
        async with asyncio.timeout(20):
            while guard.tracking is Tracking.ON:
                await asyncio.sleep(0.01)
        assert not holder.is_served
        with pytest.raises(StoreUnavailable):
            await guard.login("user-2")
        assert command(watched.primary, "PING")
        print(f"trust ended {time.monotonic() - cut:.1f} s after the cut")  # noqa: T201
        for far in (watched.sentinel, watched.replica):
            far.thaw()


async def test_a_client_that_has_moved_on_takes_the_channel_with_it(watched):
    """Both servers live; where the old one is not asked any more, nobody listens to it either."""
    async with a_process(watched) as guard:
        holder = await Holder(guard, (await guard.login("user-1")).access_token).settle()
        await replicated(watched)
        client = await guard.engine.store._link.connector.client()
        (primary,) = await primaries(client, "tg", anew=False)
        await primary.connection.connect()
        primary.compare()
        command(watched.sentinel, "SENTINEL", "FAILOVER", NAME)
        await asyncio.to_thread(until, lambda: revoke_at(watched.replica), "the replica takes writes")
        assert await holder.served_for(time.monotonic(), STALENESS) <= STALENESS
        await Holder(guard, (await logged_in(guard)).access_token).settle()
        assert 1 == len(listeners(watched.replica))
        with pytest.raises(RedisError, match="another primary"):
            primary.compare()
        await primary.connection.disconnect(nowait=True)
