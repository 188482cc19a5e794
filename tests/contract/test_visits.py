"""
Doubts, tombstones and descriptions on a real server: `store/lua/` does what `core/doubts.py` says.

The way is that of `test_script_equals_table.py`: a record is put there, the script runs, and the core runs on the same record
at the moment that the script reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from redis.asyncio import Redis
from support.losses import let_know

from asgi_tokenguard import Device, NotAuthenticated, Place, TokenGuard
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.devices import pack_device
from asgi_tokenguard.core.doubts import ANYONE, Visit, Watch, why_reused
from asgi_tokenguard.core.places import pack_place
from asgi_tokenguard.core.records import Head, Record, decode, encode, ulid_text
from asgi_tokenguard.core.rotation import Handout, NewIds, Outcome, Presented, Shown, present
from asgi_tokenguard.store.answers import Late, Whose
from asgi_tokenguard.store.keyspace import session_key, tombstone_key

SUBJECT, SID = "user-1", "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NEW = NewIds(access=b"new access jti..", refresh=b"new refresh jti.")
HOME, ABROAD = bytes([192, 0, 2, 7]), bytes([198, 51, 100, 9])
LAPTOP, PHONE, UNSTATED, UNSET = b"lapW", b"phoA", b"lap\0", bytes(4)
FIREFOX = pack_device(Device(browser="Firefox 140", system="Linux", kind="desktop"))
PARIS = pack_place(Place(latitude=48.857, longitude=2.352, city="Paris", country="FR"))
WATCHES = [Watch(), Watch(network=True, linger_generations=3), Watch(network=True, device=True, linger_generations=1)]


class Bench:
    """One session in Redis, in whatever state a test wants."""

    def __init__(self, guard: TokenGuard, redis: Redis) -> None:
        self.store, self.redis = guard.engine.store, redis
        self.lifetimes = guard.engine.settings.lifetimes
        self.key = session_key(guard.engine.settings.namespace, SUBJECT)
        self.graves = tombstone_key(guard.engine.settings.namespace, SUBJECT)
        self.ran_at = 0
        hear = self.store.clock.sync

        def sync(redis_ms: int, asked: float) -> None:
            self.ran_at = redis_ms
            hear(redis_ms, asked)

        self.store.clock.sync = sync

    async def now(self) -> int:
        return int((await self.redis.eval("return redis.call('TIME')", 1, self.key))[0])  # of the key's node

    async def put(self, *, gen: int = 5, seen: bool = True, age: int = 1000, **more: Any) -> Record:
        """A session whose head was issued *age* seconds ago."""
        issued = await self.now() - age
        head = Head(
            gen=gen,
            access_jti=b"live access jti.",
            refresh_jti=b"refresh jti %04d" % gen,
            access_issued=issued,
            refresh_issued=issued,
            seen=seen,
            mark=(issued + 2) * 1000,
            absolute=issued + 40 * 86_400,
            auth_time=issued,
            left=1,
            device=LAPTOP,
            networks=b"home" + b"work" + bytes(8),
        )
        record = Record(head=replace(head, **more), claims=b'{"a":1}', address=HOME, device=FIREFOX, place=PARIS)
        await self.redis.hset(self.key, SID, encode(record))
        return record

    async def record(self) -> Record | None:
        raw = await self.redis.hget(self.key, SID)
        return None if raw is None else decode(raw)

    async def present(self, shown: Shown, **more: Any) -> Any:
        return await self.store.present(SUBJECT, SID, shown, **{"caller": Caller.SCRIPT, "new": NEW} | more)


@pytest.fixture
async def bench(guard: TokenGuard, redis: Any) -> Bench:
    bench = Bench(guard, redis)
    await let_know(bench.store, redis, bench.key, lost_ms=0)  # its sessions are older than the server
    return bench


def shown_for(presented: Presented, head: Head) -> Shown:
    gen = {Presented.PREVIOUS: head.gen - 1, Presented.OLDER: head.gen - 2, Presented.AHEAD: head.gen + 1}.get(
        presented, head.gen
    )
    jti = b"somebody else's." if presented is Presented.TWIN else b"refresh jti %04d" % gen
    return Shown(gen=gen, jti=jti, issued=head.refresh_issued)


def cases() -> Iterator[tuple[Any, ...]]:
    states = [{}, {"seen": False}, {"age": 3}, {"seen": False, "age": 3}, {"late": True, "late_run": 2}, {"device": UNSET}]
    visits = [
        Visit(address=ABROAD, network=network, device=device, passed=passed)
        for network, device, passed in product([b"work", b"cafe"], [LAPTOP, PHONE, UNSTATED, UNSET], [False, True])
    ]
    yield from product(Presented, range(len(states)), [visits], Caller, range(len(WATCHES)), [states])


@pytest.mark.parametrize(
    ("presented", "state", "visits", "caller", "watch", "states"),
    [
        # Scripts are who receives all; the other callers differ in what is handed out, which the table's own tests say.
        pytest.param(
            *case,
            id=f"{case[0].value}-{case[1]}-{case[3].value}-{case[4]}",
            marks=() if case[3] is Caller.SCRIPT else pytest.mark.thorough,
        )
        for case in cases()
    ],
)
async def test_present_lua_doubts_as_the_core_does(bench, presented, state, visits, caller, watch, states):
    """Outcome, doubts and the whole record after it, spliced tail included."""
    for visit in visits:
        before = await bench.put(**states[state])
        shown = shown_for(presented, before.head)
        found = await bench.present(shown, caller=caller, visit=visit, watch=WATCHES[watch])
        step = present(
            before.head,
            shown,
            now_ms=bench.ran_at,
            lifetimes=bench.lifetimes,
            caller=caller,
            new=NEW,
            visit=visit,
            watch=WATCHES[watch],
        )
        assert (step.presented, step.outcome, step.doubts) == (found.presented, found.outcome, found.doubts)
        expected = None if step.head is None else replace(before, head=step.head)
        stays = step.outcome in {Outcome.JUDGE, Outcome.REFUSE, Outcome.REUSE}
        if expected and not stays and (visit.passed or (step.outcome is Outcome.ROTATE and caller.takes_cookie)):
            stays = not caller.takes_cookie or visit.device in {before.head.device, UNSET}
            device = FIREFOX if stays else b""
            expected = replace(expected, address=ABROAD, device=device, place=b"")
        assert expected == found.record == await bench.record()


@pytest.mark.parametrize("presented", [Presented.PREVIOUS, Presented.OLDER])
@pytest.mark.parametrize("held", [None, 4, 5])
@pytest.mark.parametrize("mark", [2, 33])
async def test_a_reuse_is_called_what_the_core_calls_it_and_remembered(bench, guard, presented, held, mark):
    for network, device in product([b"home", b"cafe"], [LAPTOP, PHONE, UNSTATED]):
        before = await bench.put()
        head = replace(before.head, mark=(before.head.refresh_issued + mark) * 1000)
        await bench.redis.hset(bench.key, SID, encode(replace(before, head=head)))
        visit = Visit(address=ABROAD, network=network, device=device, held=held)
        found = await bench.present(shown_for(presented, head), visit=visit, user_agent="x" * 300)
        expected = why_reused(head, visit, previous=presented is Presented.PREVIOUS)
        assert (Outcome.REUSE, expected, None) == (found.outcome, found.reason, await bench.record())
        assert expected is await bench.present(shown_for(presented, head)), "whoever comes later hears the same"
        (ending,) = await guard.endings(SUBJECT)
        assert (expected, presented.value, "192.0.2.7", "198.51.100.9", "x" * 160) == (
            ending.reason,
            ending.presented,
            ending.holder_address,
            ending.other_address,
            ending.other_user_agent,
        )
        assert "Firefox 140" == ending.holder_device.browser


async def test_a_caller_without_a_visit_is_never_an_accident(bench):
    before = await bench.put()
    found = await bench.present(shown_for(Presented.PREVIOUS, before.head), visit=ANYONE)
    assert Code.REUSE_DETECTED is found.reason


@pytest.mark.parametrize("whose", Whose)
async def test_an_end_leaves_its_reason_for_a_day(bench, guard, clock, whose):
    await bench.put()
    kept = ulid_text(bytes(16))
    assert 1 == await bench.store.end(SUBJECT, whose, SID if whose is Whose.ONE else kept, Code.LOGGED_OUT)
    assert Code.LOGGED_OUT is await bench.store.reason(SUBJECT, SID)
    clock.advance(86_401)
    assert (None, []) == (await bench.store.reason(SUBJECT, SID), await guard.endings(SUBJECT))


async def test_a_later_end_keeps_no_older_one_in_memory(bench, guard, clock):
    await bench.put()
    await guard.revoke(SUBJECT, SID)
    clock.advance(80_000)
    await guard.revoke(SUBJECT, (await guard.login(SUBJECT)).session_id)
    clock.advance(10_000)
    assert await bench.store.reason(SUBJECT, SID) is None
    assert 1 == len(await guard.endings(SUBJECT))


async def test_more_than_a_hundred_ends_at_once_have_one_tombstone(bench, guard):
    record = await bench.put()
    sids = [ulid_text(number.to_bytes(16, "big")) for number in range(150)]
    await bench.redis.hset(bench.key, mapping=dict.fromkeys(sids, encode(record)))
    assert 151 == await guard.revoke_all(SUBJECT)
    assert 1 == await bench.redis.hlen(bench.graves)
    assert Code.REVOKED is await bench.store.reason(SUBJECT, sids[7])
    assert [None] == [ending.session_id for ending in await guard.endings(SUBJECT)]


async def test_p39_tombstones_of_a_user_have_a_bound(bench, guard, clock):
    for _ in range(140):
        await guard.revoke(SUBJECT, (await guard.login(SUBJECT)).session_id)
    newest = (await guard.login(SUBJECT)).session_id
    clock.advance(1)
    await guard.revoke(SUBJECT, newest)
    assert await bench.redis.hlen(bench.graves) <= 128
    assert newest == (await guard.endings(SUBJECT))[0].session_id


async def test_a_tombstone_that_is_not_ours_is_none(bench, guard):
    await bench.redis.hset(bench.graves, SID, b"garbage")
    assert (None, []) == (await bench.store.reason(SUBJECT, SID), await guard.endings(SUBJECT))


async def test_p60_the_session_that_rotated_longest_ago_makes_room(bench, options, guard):
    first, second = (await guard.login(SUBJECT)).session_id, (await guard.login(SUBJECT)).session_id
    raw = await bench.redis.hget(bench.key, first)
    newer = replace(decode(raw), head=replace(decode(raw).head, refresh_issued=await bench.now() + 5))
    await bench.redis.hset(bench.key, first, encode(newer))
    await bench.store.login(SUBJECT, SID, NEW, claims=b"", most=2)
    assert {first.encode(), SID.encode()} == set(await bench.redis.hkeys(bench.key))
    assert Code.REPLACED is await bench.store.reason(SUBJECT, second)


async def test_a_description_is_written_only_where_it_still_fits(bench):
    describe = {"name": LAPTOP, "device": b"d" * 120, "address": HOME, "place": b"p" * 117}
    assert not await bench.store.describe(SUBJECT, SID, **describe)
    assert await bench.record() is None, "a record that is not there is never written"
    before = await bench.put()
    assert await bench.store.describe(SUBJECT, SID, **describe)
    assert replace(before, device=b"d" * 120, place=b"p" * 117) == await bench.record()
    before = await bench.put()
    assert await bench.store.describe(SUBJECT, SID, **describe | {"name": PHONE})
    assert replace(before, place=b"p" * 117) == await bench.record()
    before = await bench.put()
    assert not await bench.store.describe(SUBJECT, SID, **describe | {"name": PHONE, "address": ABROAD})
    assert before == await bench.record()


@pytest.mark.parametrize("again", [False, True], ids=["for the first time", "after a redelivery"])
async def test_a_cookie_that_leaves_late_moves_when_it_left(bench, again):
    before = await bench.put(seen=False, age=20, mark=0)
    head = replace(before.head, mark=(before.head.refresh_issued + 9 * again) * 1000)
    await bench.redis.hset(bench.key, SID, encode(replace(before, head=head)))
    late = await bench.store.look(SUBJECT, SID, Handout(cookie=True, token=True), gen=5, refresh_jti=head.refresh_jti)
    after = (await bench.record()).head
    assert (Late.UNSEEN, 1 if again else 21) == (late, after.left if again else round(after.left / 21) * 21)


def test_all_keys_of_a_user_share_a_slot():
    one, other = session_key("tg", "a{b}c"), tombstone_key("tg", "a{b}c")
    assert one.split("{")[1] == other.split("{")[1]
    assert one != other


async def test_each_end_is_remembered_for_a_day_also_beside_later_ones(bench, guard, clock):
    """The key lives a day longer with each that is added; what it keeps does not."""
    first, second = await guard.login(SUBJECT), await guard.login(SUBJECT)
    await guard.revoke(SUBJECT, first.session_id)
    clock.advance(86_400 - 10)
    await guard.revoke(SUBJECT, second.session_id)
    assert Code.REVOKED is await bench.store.reason(SUBJECT, first.session_id)
    clock.advance(11)
    assert (None, Code.REVOKED) == (
        await bench.store.reason(SUBJECT, first.session_id),
        await bench.store.reason(SUBJECT, second.session_id),
    )
    assert [second.session_id] == [ending.session_id for ending in await guard.endings(SUBJECT)]
    for tokens, code in ((first, Code.SESSION_ENDED), (second, Code.REVOKED)):
        with pytest.raises(NotAuthenticated) as refused:
            await guard.rotate(tokens.refresh_token)
        assert code is refused.value.code


async def test_the_tombstone_of_all_tells_nothing_of_a_session_that_began_later(bench, guard, clock):
    """An operator deletes it by hand, or it is evicted: nobody has revoked it."""
    earlier, record = await guard.login(SUBJECT), await bench.put()
    await bench.redis.hset(bench.key, mapping={ulid_text(bytes([0] * 15 + [n])): encode(record) for n in range(120)})
    await guard.revoke_all(SUBJECT)
    clock.advance(2)
    later = await guard.login(SUBJECT)
    await bench.redis.hdel(bench.key, later.session_id)
    for tokens, reason, code in ((earlier, Code.REVOKED, Code.REVOKED), (later, None, Code.SESSION_ENDED)):
        assert reason is await bench.store.reason(SUBJECT, tokens.session_id)
        with pytest.raises(NotAuthenticated) as refused:
            await guard.rotate(tokens.refresh_token)
        assert code is refused.value.code


@pytest.mark.parametrize("raw", [b"", b"abc", b"\xff\xff\xff\xff", b"\xff\xff\xff\xffgarbage"], ids=repr)
async def test_tombstones_of_somebody_elses_hinder_nothing_and_go_first(bench, guard, raw):
    """Whatever lies there, a user can be logged in, out and listed."""
    tokens, other = await guard.login(SUBJECT), await guard.login(SUBJECT)
    await bench.redis.hset(bench.graves, mapping={other.session_id: raw} | {f"not ours {n}": raw for n in range(130)})
    await bench.redis.hdel(bench.key, other.session_id)
    with pytest.raises(NotAuthenticated):
        await guard.rotate(other.refresh_token)
    assert await guard.revoke(SUBJECT, tokens.session_id)
    assert [tokens.session_id] == [ending.session_id for ending in await guard.endings(SUBJECT)]
