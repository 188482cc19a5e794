"""More is asked of Redis than it answers: who would wait in vain is told at once, and who needs no Redis is served."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from support.cables import wire_to
from support.holder import Holder
from support.replicas import replicated

from asgi_tokenguard import Durability, StoreUnavailable, TokenGuard
from asgi_tokenguard.store.connect import POOL

SECRET = "a secret of more than thirty-two bytes, for tests only"
TIMEOUT = 1.0


async def timed(doing) -> tuple[bool, float]:
    began = time.monotonic()
    try:
        await doing
        served = True
    except StoreUnavailable:
        served = False
    return served, time.monotonic() - began


async def flood(guard: TokenGuard, number: int) -> tuple[Counter[bool], list[float], int]:
    """So many logins, fifty each hundredth of a second: what came of them, how long refusals took, the longest queue."""
    tasks, longest = [], 0
    for start in range(0, number, 50):
        tasks += [asyncio.ensure_future(timed(guard.login(f"user-{start + each}"))) for each in range(50)]
        await asyncio.sleep(0.01)
        longest = max(longest, guard.engine.store._link._gate("").waiting)
    results = await asyncio.gather(*tasks)
    return Counter(served for served, _ in results), [took for served, took in results if not served], longest


async def all_served(guard: TokenGuard) -> bool:
    results = await asyncio.gather(*(timed(guard.login(f"user-{number}")) for number in range(100)))
    return all(served for served, _ in results)


async def test_a_slow_replica_has_a_short_queue_and_slows_nothing_else_down():
    """Four wait at a time, 50 ms each, which is 80 a second; who checks a token or rotates needs none of it."""
    durability = Durability(revocation="replicated")
    async with (
        replicated() as pair,
        TokenGuard(secret=SECRET, redis=pair.url, timeout=TIMEOUT, cache=False, durability=durability) as guard,
    ):
        tokens = await guard.login("user-1")
        for _ in range(8):
            await guard.revoke_all("user-2")
        pair.cable.slowness = 0.05
        for _ in range(8):  # the pace shows
            await asyncio.gather(*(timed(guard.revoke_all(f"user-{number}")) for number in range(2, 18)))
        crowd = [asyncio.ensure_future(timed(guard.revoke_all(f"user-{number}"))) for number in range(2, 302)]
        for _ in range(20):
            assert await guard.authenticate(tokens.access_token)
            assert await guard.sessions("user-1")
        results = await asyncio.gather(*crowd)
        refused = sorted(took for served, took in results if not served)
        assert 8 <= len(results) - len(refused) <= 100
        assert refused[len(refused) // 2] < TIMEOUT / 4
        assert refused[-1] < 2 * TIMEOUT


async def test_a_slow_server_has_a_short_queue_and_refusals_are_quick(own):
    """Eight connections of 50 ms each answer 160 a second: a thousand within a fifth of one cannot all be served."""
    async with (
        wire_to(own) as wire,
        TokenGuard(secret=SECRET, redis=f"redis://127.0.0.1:{wire.port}", timeout=TIMEOUT) as guard,
    ):
        await asyncio.gather(*(guard.login("user-1") for _ in range(8)))  # connections are open, scripts known
        holder = await Holder(guard, (await guard.login("holder")).access_token).settle()
        wire.slowness = 0.05
        await asyncio.gather(*(guard.login("user-1") for _ in range(60)), return_exceptions=True)
        outcomes, refusals, longest = await flood(guard, 1_000)
        assert outcomes[True] >= 50
        assert outcomes[False] >= 500
        assert longest <= 300
        assert sorted(refusals)[len(refusals) // 2] < TIMEOUT / 4
        assert holder.is_served  # from memory
        wire.slowness = 0.0
        ended = time.monotonic()
        while not await all_served(guard):  # the first answers show that it is quick again
            assert time.monotonic() - ended < 5


@pytest.mark.parametrize("durability", ["primary", "replicated"])
async def test_before_a_frozen_server_only_a_few_wait(durability):
    async with replicated() as pair, TokenGuard(secret=SECRET, redis=pair.url, timeout=TIMEOUT, durability=durability) as guard:
        await guard.login("user-1")
        pair.primary.freeze()
        try:
            await asyncio.gather(*(timed(guard.login("user-1")) for _ in range(20)))
            waits = [timed(guard.login("user-1")) for _ in range(500)]
            results = await asyncio.gather(*waits)
            assert not any(served for served, _ in results)
            waited = [took for _, took in results if took > TIMEOUT / 2]
            assert 1 <= len(waited) <= POOL  # those that find out when it is back
        finally:
            pair.primary.thaw()
        began = time.monotonic()
        while not (await timed(guard.login("user-1")))[0]:
            assert time.monotonic() - began < 5
        while not await all_served(guard):
            assert time.monotonic() - began < 5


async def test_an_address_at_which_nobody_answers_costs_its_timeout():
    """A full queue of connections drops each new one without a word, as a firewall does."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with ExitStack() as crowd:
            for _ in range(4):
                caller = crowd.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(deaf.getsockname())
            guard = TokenGuard(secret=SECRET, redis=f"redis://127.0.0.1:{deaf.getsockname()[1]}", timeout=0.3)
            served, took = await timed(guard.login("user-1"))
            assert not served
            assert 0.2 < took < 3
            await guard.aclose()
