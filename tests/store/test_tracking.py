"""The channel of changes, on a real server: what it hears, when it is trusted, and what it does without one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from asgi_tokenguard import TokenGuard, Tracking
from asgi_tokenguard.core.backoff import Backoff
from asgi_tokenguard.store.cache import VerdictCache
from asgi_tokenguard.store.clock import RedisClock
from asgi_tokenguard.store.primaries import Primary
from asgi_tokenguard.store.tracking import Channel, Listener

# Long enough that a busy machine is no lapse of trust; a push takes a hundredth of it.
STALENESS = 1.0


@pytest.fixture
async def guard(own) -> AsyncIterator[TokenGuard]:
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url, staleness=STALENESS, timeout=2) as guard:
        yield guard


@pytest.fixture
async def client(own) -> AsyncIterator[Redis]:
    async with Redis.from_url(own.url) as client:
        yield client


class Known:
    """A token that is asked about until it is known."""

    def __init__(self, guard: TokenGuard, token: str) -> None:
        self.liveness = guard.engine.liveness
        self.claims = guard.engine.codec.read_access(token)
        self.field = f"Bearer {token}".encode()

    def is_known(self) -> bool:
        return self.liveness.known(self.field) is not None

    async def learn(self) -> None:
        deadline = time.monotonic() + 10
        while not self.is_known():
            await self.liveness.judge(self.claims, self.field)
            await asyncio.sleep(0.01)
            if time.monotonic() > deadline:
                raise AssertionError("it never was")

    async def forgotten(self, within: float) -> float:
        began = time.monotonic()
        while self.is_known():
            if time.monotonic() - began > within:
                raise AssertionError(f"still known after {within} s")
            await asyncio.sleep(0.001)
        return time.monotonic() - began


async def some(guard: TokenGuard, user: str = "user-1") -> Known:
    known = Known(guard, (await guard.login(user)).access_token)
    await known.learn()
    return known


@pytest.mark.parametrize(
    "command", [("DEL",), ("PEXPIRE", 1), ("FLUSHALL",), ("FLUSHDB",), ("RENAME", "elsewhere"), ("UNLINK",)]
)
async def test_however_a_key_goes_it_is_heard_of(guard, client, command):
    known = await some(guard)
    (key,) = [key async for key in client.scan_iter("tg:s:*")]
    name, *rest = command
    await (client.execute_command(name) if name.startswith("FLUSH") else client.execute_command(name, key, *rest))
    await known.forgotten(STALENESS / 2)


async def test_trust_is_renewed_as_long_as_leases_are_answered(guard):
    known = await some(guard)
    served = 0
    for _ in range(20):
        await asyncio.sleep(STALENESS / 10)
        served += known.is_known()
    assert served > 15  # without renewal it would be 10


async def test_a_lost_channel_drops_all_and_a_new_one_is_trusted_again(guard, client):
    known = await some(guard)
    (channel,) = [each for each in await client.client_list() if "t" in each["flags"]]
    await client.client_kill_filter(_id=channel["id"])
    await known.forgotten(STALENESS / 2)
    await known.learn()
    (new,) = [each for each in await client.client_list() if "t" in each["flags"]]
    assert channel["id"] != new["id"]


async def test_what_was_known_before_the_loss_is_asked_again_after_it(guard, client):
    """A change while nobody listened would have been missed."""
    known = await some(guard)
    cache = guard.engine.liveness._caches.here()
    (channel,) = [each for each in await client.client_list() if "t" in each["flags"]]
    await client.client_kill_filter(_id=channel["id"])
    while cache.is_armed:
        await asyncio.sleep(0.001)
    assert 0 == len(cache)
    await guard.revoke_all("user-1")
    while not cache.is_armed:
        await asyncio.sleep(0.001)
    assert not known.is_known()


async def test_a_restarted_empty_server_is_listened_to_again(own, guard):
    known = await some(guard)
    own.kill()
    await known.forgotten(STALENESS)
    own.start()
    await some(guard, "user-2")
    assert not known.is_known()


async def test_a_server_that_forbids_tracking_is_asked_each_time_and_said_once(own, client, caplog):
    """As a proxy or a managed service does; the guard works as it would with `cache=False`."""
    await client.execute_command("ACL", "SETUSER", "plain", "on", ">pass", "~*", "+@all", "-client|tracking")
    url = own.url.replace("redis://", "redis://plain:pass@")
    secret = "a secret of more than thirty-two bytes, for tests only"
    with caplog.at_level(logging.INFO, "asgi_tokenguard"):
        async with TokenGuard(secret=secret, redis=url, timeout=2) as guard:
            token = (await guard.login("user-1")).access_token
            known = Known(guard, token)
            for _ in range(20):
                await guard.authenticate(token)
                await known.liveness.judge(known.claims, known.field)
                await asyncio.sleep(0.005)
            assert (False, Tracking.REFUSED) == (known.is_known(), guard.tracking)
    said = [record for record in caplog.records if "CLIENT TRACKING" in record.getMessage()]
    assert (1, logging.WARNING) == (len(said), said[0].levelno)
    assert "pass" not in said[0].getMessage()


async def test_a_gauge_tells_whether_tokens_are_served_from_memory(own, guard, client):
    assert Tracking.IDLE == guard.tracking
    await some(guard)
    assert "on" == guard.tracking
    own.freeze()
    async with asyncio.timeout(20):
        while guard.tracking is not Tracking.CONNECTING:
            await asyncio.sleep(0.01)
    own.thaw()
    async with asyncio.timeout(20):
        while guard.tracking is not Tracking.ON:
            await asyncio.sleep(0.01)
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url, cache=False) as other:
        assert Tracking.OFF == other.tracking


async def test_a_user_who_may_not_ask_for_the_lease_is_told_and_not_tried_for_ever(own, client):
    """Sentinel's and a cluster's lease is a write, and PING may be forbidden as well."""
    await client.execute_command("ACL", "SETUSER", "quiet", "on", ">pass", "~*", "+@all", "-ping")
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url.replace("redis://", "redis://quiet:pass@"), timeout=2) as guard:
        token = (await guard.login("user-1")).access_token
        known = Known(guard, token)
        async with asyncio.timeout(20):
            while guard.tracking is not Tracking.REFUSED:
                await known.liveness.judge(known.claims, known.field)
                await asyncio.sleep(0.005)
        assert not known.is_known()


async def test_a_push_of_an_unknown_shape_drops_everything(guard):
    """redis-py logs what a handler raises and goes on: what is not understood must not be passed over."""
    for message in ([b"invalidate"], [b"invalidate", None], [b"invalidate", b"tg:s:x"], []):
        cache = VerdictCache()
        cache.arm()
        reading = cache.begin(b"tg:s:y")
        await Channel(Primary(None), cache, guard.engine.store.clock, prefix="tg:s:", staleness=1)._pushed(message)
        assert reading.is_stale


async def test_the_channel_ends_with_the_guard(own, client):
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url, timeout=2) as guard:
        await some(guard)
        assert 1 == len([each for each in await client.client_list() if "t" in each["flags"]])
    for _ in range(100):
        if not [each for each in await client.client_list() if "t" in each["flags"]]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("its connection is still open")


async def test_trust_counts_from_when_the_lease_was_asked_for_not_from_its_answer():
    """An answer that was on its way for three seconds says what was so three seconds ago."""
    answers = [b"PONG"]

    class Late:
        async def read_response(self, **_):
            return answers.pop()

    cache: VerdictCache[str] = VerdictCache()
    channel = Channel(Primary(Late()), cache, RedisClock(lambda: 13.0), prefix="tg:s:", staleness=5)
    channel._sent.append(10.0)
    with pytest.raises(IndexError):
        await channel.read(lambda: None)
    assert 15.0 == channel.until


async def test_no_lease_is_asked_for_once_the_client_reads_from_somebody_else():
    sent = []

    class Wire:
        async def send_command(self, *command):
            sent.append(command)

    class Past(Primary):
        def compare(self):
            if sent:
                raise ConnectionError("another primary")

    channel = Channel(Past(Wire()), VerdictCache(), RedisClock(lambda: 13.0), prefix="tg:s:", staleness=0.01)
    with pytest.raises(ConnectionError):
        await channel.ask_for_leases(60)
    assert [("PING",)] == sent


async def test_a_channel_that_fails_in_an_unknown_way_says_so_and_is_tried_again(guard, caplog, monkeypatch):
    """Such as a redis-py whose private attribute is gone: nothing is trusted, and that is not a silent loss of speed."""
    cache: VerdictCache[str] = VerdictCache()

    async def client():
        raise AttributeError("set_invalidation_push_handler")

    monkeypatch.setattr("asgi_tokenguard.store.tracking.BACKOFF", Backoff(first=0.01, most=0.01))
    listener = Listener(cache, client, guard.engine.store.clock, namespace="tg", staleness=1)
    running = asyncio.ensure_future(listener.run())
    await asyncio.sleep(0.1)
    assert not running.done()
    running.cancel()
    said = [record.getMessage() for record in caplog.records if "set_invalidation_push_handler" in record.getMessage()]
    assert 1 == len(said)
    assert not cache.is_armed
