"""
A computer that was suspended: its monotonic clock stood still while Redis's went on (docs/redis.md).

To a process that is the same as a server whose clock has leapt ahead, which is how it is shown here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.holder import Holder
from support.needs import missing
from support.server import RedisServer

from asgi_tokenguard import TokenGuard
from asgi_tokenguard.core.decisions import Access
from asgi_tokenguard.core.lifetimes import ACCESS

SECRET = "a secret of more than thirty-two bytes, for tests only"


@pytest.fixture
def own() -> Iterator[RedisServer]:
    server = RedisServer()
    try:
        if not server.travels:
            missing("libfaketime is not installed, or the server is linked statically")
        yield server.start()
    finally:
        server.close()


async def test_what_is_over_is_noticed_once_redis_tells_the_time_anew(own):
    async with TokenGuard(secret=SECRET, redis=own.url) as guard:
        holder = await Holder(guard, (await guard.login("user-1")).access_token).settle()
        clock = guard.engine.store.clock
        own.clock.advance(ACCESS + 100)
        assert own.clock.time() - clock.now_ms() / 1000 > ACCESS
        async with guard.engine.store.patience():
            assert await holder.liveness.judge(holder.claims) is Access.LIVE
            await guard.login("user-2")  # a script, which tells the time
            assert abs(own.clock.time() - clock.now_ms() / 1000) < 1
            assert await holder.liveness.judge(holder.claims) is Access.EXPIRED
        assert holder.is_served  # what was known before goes on for what was left of it


async def test_what_is_revoked_counts_all_the_same(own):
    async with TokenGuard(secret=SECRET, redis=own.url) as guard:
        tokens = await guard.login("user-1")
        holder = await Holder(guard, tokens.access_token).settle()
        own.clock.advance(ACCESS + 100)
        await guard.revoke("user-1", tokens.session_id)
        assert await holder.served_for(guard.engine.store.clock.monotonic(), 1.0) <= 1.0
