"""
The scripts in `store/lua/` do what `core/rotation.py` says, row by row, on a real server.

A record in a given state is put into Redis, the script runs, and the core runs on the same record at the moment that the
script reports; outcome, hand-out and the whole record after have to be the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import pytest
from redis.asyncio import Redis
from support.losses import let_know

from asgi_tokenguard import TokenGuard
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.doubts import Visit
from asgi_tokenguard.core.records import Head, Record, decode, encode, ulid_text
from asgi_tokenguard.core.rotation import (
    TABLE,
    Condition,
    Handout,
    NewIds,
    Outcome,
    Presented,
    Shown,
    condition,
    look,
    present,
    renew,
    replace_access,
    see,
)
from asgi_tokenguard.store import scripts
from asgi_tokenguard.store.answers import Late, Whose
from asgi_tokenguard.store.keyspace import session_key

SUBJECT, SID, OTHER_SID = "user-1", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01BX5ZZKBKACTAV9WEVGEMMVRZ"
NEW = NewIds(access=b"new access jti..", refresh=b"new refresh jti.")
HOME, ABROAD = bytes([192, 0, 2, 7]), bytes([198, 51, 100, 9])
CLAIMS = b'{"role":"admin"}'
VISIT = Visit(address=ABROAD, network=b"net1", device=b"dev1")
# Away from the edge, so that a slow machine does not cross it between writing the record and running the script.
MARGIN = 5


def jti(gen: int) -> bytes:
    return b"refresh jti %04d" % gen


ACCESS_JTI, FOREIGN_JTI = b"live access jti.", b"somebody else's."


class Bench:
    """One session in Redis, in whatever state a test wants."""

    def __init__(self, guard: TokenGuard, redis: Redis) -> None:
        self.store = guard.engine.store
        self.redis = redis
        self.lifetimes = guard.engine.settings.lifetimes
        self.key = session_key(guard.engine.settings.namespace, SUBJECT)
        # The moment at which the last script ran: the store passes what it hears to its clock.
        self.ran_at = 0
        hear = self.store.clock.sync

        def sync(redis_ms: int, asked: float) -> None:
            self.ran_at = redis_ms
            hear(redis_ms, asked)

        self.store.clock.sync = sync

    async def now_ms(self) -> int:
        seconds, microseconds = await self.redis.eval("return redis.call('TIME')", 1, self.key)  # of the key's node
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def head(self, gen: int, state: Condition) -> Head:
        now_ms = await self.now_ms()
        settled_since = -MARGIN * 1000 if not state.settled else MARGIN * 1000
        graces = 1 if state.seen else 2
        over_since = MARGIN if state.over else -MARGIN
        return Head(
            gen=gen,
            access_jti=ACCESS_JTI,
            refresh_jti=jti(gen),
            access_issued=now_ms // 1000 - self.lifetimes.access - over_since,
            refresh_issued=now_ms // 1000 - self.lifetimes.access - 60,
            seen=state.seen,
            mark=now_ms - graces * self.lifetimes.grace_ms - settled_since,
            absolute=now_ms // 1000 + 40 * 86_400,
            auth_time=now_ms // 1000 - 7000,
        )

    async def put(self, head: Head, sid: str = SID) -> Record:
        record = Record(head=head, claims=CLAIMS, address=HOME)
        await self.redis.hset(self.key, sid, encode(record))
        return record

    async def record(self, sid: str = SID) -> Record | None:
        raw = await self.redis.hget(self.key, sid)
        return None if raw is None else decode(raw)


@pytest.fixture
async def bench(guard: TokenGuard, redis: Redis) -> Bench:
    bench = Bench(guard, redis)
    await let_know(bench.store, redis, bench.key, lost_ms=0)  # its sessions are older than the server
    return bench


class Case(NamedTuple):
    presented: Presented
    gen: int
    condition: Condition
    caller: Caller

    def __str__(self) -> str:
        flags = [name for name, on in self.condition._asdict().items() if on]
        return "-".join([self.presented.value, f"gen{self.gen}", *flags, self.caller.value])


def states(gen: int) -> list[Condition]:
    """What a head of *gen* can be; that of a login has no predecessor and is always settled."""
    every = [Condition(*flags) for flags in product((False, True), repeat=3)]
    return [state for state in every if gen > 0 or state.settled]


def cases() -> Iterator[Case]:
    for gen, presented, caller in product((0, 1, 5), Presented, Caller):
        if presented is Presented.PREVIOUS and gen < 1:
            continue
        if presented is Presented.OLDER and gen < 2:
            continue
        for state in states(gen):
            yield Case(presented, gen, state, caller)


def shown_for(presented: Presented, gen: int, now: int) -> Shown:
    shown = {
        Presented.HEAD: (gen, jti(gen)),
        Presented.TWIN: (gen, FOREIGN_JTI),
        Presented.PREVIOUS: (gen - 1, jti(gen - 1)),
        Presented.OLDER: (gen - 2, jti(gen - 2)),
        Presented.AHEAD: (gen + 1, jti(gen + 1)),
    }[presented]
    return Shown(gen=shown[0], jti=shown[1], issued=now - 17)


def test_the_cases_are_the_whole_table():
    assert set(TABLE) == {(case.presented, case.condition) for case in cases() if case.gen == 5}


@pytest.mark.parametrize("case", list(cases()), ids=str)
async def test_present_lua_is_the_rotation_table(bench, case):
    """The full product of presented generation, state of the head and caller, as far as it can exist."""
    head = await bench.head(case.gen, case.condition)
    before = await bench.put(head)
    shown = shown_for(case.presented, case.gen, head.access_issued)

    found = await bench.store.present(SUBJECT, SID, shown, caller=case.caller, new=NEW, visit=VISIT)
    assert case.condition == condition(head, bench.ran_at, bench.lifetimes), "the machine was too slow for the margin"
    step = present(head, shown, now_ms=bench.ran_at, lifetimes=bench.lifetimes, caller=case.caller, new=NEW, visit=VISIT)

    assert (step.presented, step.outcome) == (found.presented, found.outcome)
    assert (case.presented, TABLE[case.presented, case.condition]) == (found.presented, found.outcome)
    expected = None
    if step.head is not None:
        moved = step.head.gen != head.gen and step.outcome is Outcome.ROTATE
        expected = replace(before, head=step.head, address=ABROAD if moved else HOME)
    assert expected == found.record
    assert expected == await bench.record()


@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("presented", [Presented.HEAD, Presented.PREVIOUS])
@pytest.mark.parametrize("seen", [False, True])
async def test_present_lua_has_the_tables_edges(bench, presented, seen, caller):
    """To the millisecond for the grace, to the second for the access token: each edge is passed while the records wait."""
    edges = set()
    for shift, seconds, graces in product(range(-1, 6), (0, 1), (1, 2)):
        now_ms = await bench.now_ms()
        head = replace(
            await bench.head(3, Condition(seen, settled=True, over=True)),
            mark=now_ms - graces * bench.lifetimes.grace_ms + shift,
            access_issued=now_ms // 1000 - bench.lifetimes.access + seconds,
        )
        await bench.put(head)
        shown = shown_for(presented, 3, 0)
        found = await bench.store.present(SUBJECT, SID, shown, caller=caller, new=NEW)
        step = present(head, shown, now_ms=bench.ran_at, lifetimes=bench.lifetimes, caller=caller, new=NEW)
        assert step.outcome is found.outcome
        assert step.head == (found.record and found.record.head)
        edges.add(bench.ran_at - head.mark - graces * bench.lifetimes.grace_ms)
    assert edges & {-1, 0, 1}, "no record was near the edge"


@pytest.mark.parametrize("address", [b"", HOME, ABROAD, bytes(16)], ids=["none", "the same", "IPv4", "IPv6"])
async def test_a_rotation_keeps_the_tail_but_for_a_new_address(bench, address):
    """Parts are spliced, never parsed: claims stay byte for byte, whatever the lengths around them."""
    head = await bench.head(2, Condition(seen=True, settled=True, over=True))
    before = await bench.put(head)
    found = await bench.store.present(
        SUBJECT, SID, shown_for(Presented.HEAD, 2, 0), caller=Caller.SCRIPT, new=NEW, visit=replace(VISIT, address=address)
    )
    assert (before.claims, address or HOME) == (found.record.claims, found.record.address)


@pytest.mark.parametrize("missing", ["no key", "no field", "idle", "absolute"])
async def test_where_there_is_no_session_nothing_is_decided_and_nothing_is_written(bench, missing):
    head = await bench.head(2, Condition(seen=True, settled=True, over=True))
    now = await bench.now_ms() // 1000
    await bench.put(head, OTHER_SID)  # the user's key outlives the session
    dead = {
        "idle": replace(head, refresh_issued=now - bench.lifetimes.idle),
        "absolute": replace(head, absolute=now),
    }.get(missing)
    expected = Code.SESSION_ENDED if dead is None else Code.SESSION_EXPIRED
    leaving = Handout(cookie=True, token=True)

    shown = shown_for(Presented.HEAD, 2, 0)
    steps = [
        (expected, lambda: bench.store.present(SUBJECT, SID, shown, caller=Caller.SCRIPT, new=NEW)),
        (expected, lambda: bench.store.reauthenticated(SUBJECT, SID, NEW)),
        (False, lambda: bench.store.see(SUBJECT, SID, gen=2, access_jti=ACCESS_JTI)),
        (Late.GONE, lambda: bench.store.look(SUBJECT, SID, leaving, gen=2, refresh_jti=jti(2))),
        (0, lambda: bench.store.update_claims(SUBJECT, SID, b"{}", NEW.access)),
    ]
    for answer, step in steps:
        if dead is not None:
            await bench.put(dead)
        if missing == "no key":
            await bench.redis.delete(bench.key)
        assert answer == await step()
        assert await bench.record() is None


@pytest.mark.parametrize("gen_shown", [4, 5, 6])
@pytest.mark.parametrize("shown_jti", [ACCESS_JTI, FOREIGN_JTI], ids=["its jti", "another jti"])
@pytest.mark.parametrize("state", states(5), ids=str)
async def test_see_lua_is_see(bench, state, shown_jti, gen_shown):
    """Only the live access token of the head makes it seen; the first sight sets `mark`, a later one writes nothing."""
    head = await bench.head(5, state)
    before = await bench.put(head)
    live = await bench.store.see(SUBJECT, SID, gen=gen_shown, access_jti=shown_jti)
    after = see(head, gen=gen_shown, access_jti=shown_jti, now_ms=bench.ran_at)
    assert (after is not None) == live
    assert replace(before, head=head if after is None else after) == await bench.record()


@pytest.mark.parametrize("leaving", [Handout(True, True), Handout(True, False), Handout(False, True)], ids=str)
@pytest.mark.parametrize("decided", ["for the head", "for a twin", "for the previous", "for the next"])
@pytest.mark.parametrize("state", states(5), ids=str)
async def test_i15_look_lua_is_look(bench, state, decided, leaving):
    """What may still leave, and that `mark` moves exactly where a cookie does."""
    head = await bench.head(5, state)
    before = await bench.put(head)
    gen, refresh_jti = {
        "for the head": (5, jti(5)),
        "for a twin": (5, FOREIGN_JTI),
        "for the previous": (4, jti(4)),
        "for the next": (6, jti(6)),
    }[decided]
    late = await bench.store.look(SUBJECT, SID, leaving, gen=gen, refresh_jti=refresh_jti)
    after, left = look(head, leaving, gen=gen, refresh_jti=refresh_jti, now_ms=bench.ran_at)
    found = {Late.MOVED: Handout(False, False), Late.SEEN: leaving._replace(cookie=False), Late.UNSEEN: leaving}[late]
    assert left == found
    assert replace(before, head=after) == await bench.record()


async def test_i15_look_lua_lets_nothing_leave_for_a_session_that_is_over(bench):
    leaving = Handout(cookie=True, token=True)
    assert Late.GONE is await bench.store.look(SUBJECT, SID, leaving, gen=0, refresh_jti=jti(0))
    assert (None, Handout(False, False)) == look(None, leaving, gen=0, refresh_jti=jti(0), now_ms=0)
    assert 0 == await bench.redis.exists(bench.key)


@pytest.mark.parametrize(("gen", "state"), [(gen, state) for gen in (0, 1, 5) for state in states(gen)], ids=str)
async def test_reauthenticated_lua_is_renew(bench, gen, state):
    """And called again with the same ids after a lost reply, it says the same: the cookie of a rotation is not forgotten."""
    head = await bench.head(gen, state)
    before = await bench.put(head)
    record, leaving = await bench.store.reauthenticated(SUBJECT, SID, NEW)
    after, expected = renew(head, now_ms=bench.ran_at, lifetimes=bench.lifetimes, new=NEW)
    assert (replace(before, head=after), expected) == (record, leaving)
    assert record == await bench.record()

    again, leaving = await bench.store.reauthenticated(SUBJECT, SID, NEW)
    assert expected == leaving
    if leaving.cookie:
        assert record == again
    assert (record.head.gen, record.head.refresh_jti, NEW.access) == (
        again.head.gen,
        again.head.refresh_jti,
        again.head.access_jti,
    )
    assert again == await bench.record()


@pytest.mark.parametrize("claims", [b"", b"{}", b'{"role":"guest"}', b'{"x":"' + b"y" * 4000 + b'"}'], ids=len)
@pytest.mark.parametrize(("gen", "state"), [(gen, state) for gen in (0, 5) for state in states(gen)], ids=str)
async def test_update_claims_lua_is_replace_access(bench, gen, state, claims):
    """The old access token is dead, its successor's jti is derived from one argument; nothing else moves."""
    head = await bench.head(gen, state)
    before = await bench.put(head)
    assert 1 == await bench.store.update_claims(SUBJECT, SID, claims, NEW.access)
    after = replace_access(head, now_ms=bench.ran_at, access_jti=derived_jti(NEW.access, SID))
    assert replace(before, head=after, claims=claims) == await bench.record()


def derived_jti(base: bytes, sid: str) -> bytes:
    return base[:6] + hashlib.sha1(base + sid.encode()).digest()[:10]


async def test_update_claims_lua_gives_each_session_an_access_token_of_its_own(bench):
    """One random argument for all sessions of a user, and still no jti twice, each in the form of a ULID."""
    sids = [ulid_text(number.to_bytes(16, "big")) for number in range(50)]
    head = await bench.head(0, Condition(seen=True, settled=True, over=False))
    for sid in sids:
        await bench.put(head, sid)
    assert 50 == await bench.store.update_claims(SUBJECT, None, b"{}", NEW.access)
    found = [(await bench.record(sid)).head.access_jti for sid in sids]
    assert [derived_jti(NEW.access, sid) for sid in sids] == found
    assert 50 == len(set(found))
    assert {NEW.access[:6]} == {jti[:6] for jti in found}  # the time part: they sort with other ULIDs


async def test_login_lua_writes_the_first_generation(bench):
    """Generation 0, unseen, both tokens issued now; the sessions that it ends are gone with the same script."""
    other = await bench.put(await bench.head(3, Condition(True, True, False)), OTHER_SID)
    record = await bench.store.login(SUBJECT, SID, NEW, claims=CLAIMS, visit=VISIT)
    now = bench.ran_at // 1000
    head = Head(
        gen=0,
        access_jti=NEW.access,
        refresh_jti=NEW.refresh,
        access_issued=now,
        refresh_issued=now,
        seen=False,
        mark=bench.ran_at,
        absolute=now + bench.lifetimes.absolute,
        auth_time=now,
        left=1,
        device=VISIT.device,
        networks=VISIT.network + bytes(12),
    )
    assert Record(head=head, claims=CLAIMS, address=ABROAD) == record == await bench.record()
    assert other == await bench.record(OTHER_SID)
    assert condition(head, bench.ran_at, bench.lifetimes) == Condition(seen=False, settled=True, over=False)

    third = "01CCCCCCCCCCCCCCCCCCCCCCCC"
    await bench.store.login(SUBJECT, third, NEW, claims=b"", ends=[SID, OTHER_SID])
    assert [third.encode()] == await bench.redis.hkeys(bench.key)


async def test_login_lua_drops_what_has_expired_and_nothing_else(bench):
    now = await bench.now_ms() // 1000
    live = await bench.head(3, Condition(True, True, True))
    await bench.put(replace(live, refresh_issued=now - bench.lifetimes.idle), "01DDDDDDDDDDDDDDDDDDDDDDDD")
    await bench.put(replace(live, absolute=now), "01EEEEEEEEEEEEEEEEEEEEEEEE")
    await bench.put(live, OTHER_SID)
    await bench.redis.hset(bench.key, "01FFFFFFFFFFFFFFFFFFFFFFFF", b"of a later version")
    await bench.store.login(SUBJECT, SID, NEW, claims=b"")
    assert {SID.encode(), OTHER_SID.encode(), b"01FFFFFFFFFFFFFFFFFFFFFFFF"} == set(await bench.redis.hkeys(bench.key))


@pytest.mark.parametrize(
    ("whose", "sid", "ended", "left"),
    [
        (Whose.ONE, SID, 1, {OTHER_SID, "expired"}),
        (Whose.ONE, "expired", 0, {SID, OTHER_SID}),
        (Whose.ONE, "unknown", 0, {SID, OTHER_SID, "expired"}),
        (Whose.OTHERS, SID, 1, {SID}),
        (Whose.OTHERS, "unknown", 2, set()),
        (Whose.ALL, "", 2, set()),
    ],
)
async def test_end_lua_ends_what_it_is_told_and_counts_the_live(bench, whose, sid, ended, left):
    head = await bench.head(3, Condition(True, True, True))
    await bench.put(head)
    await bench.put(head, OTHER_SID)
    await bench.put(replace(head, absolute=await bench.now_ms() // 1000), "expired")
    await bench.redis.expire(bench.key, 1000)
    assert ended == await bench.store.end(SUBJECT, whose, sid)
    assert left == {field.decode() for field in await bench.redis.hkeys(bench.key)}
    if left:
        assert 990 < await bench.redis.ttl(bench.key) <= 1000  # the key expires as it would have


async def test_sessions_lua_lists_the_live_and_drops_the_expired(bench):
    head = await bench.head(3, Condition(True, True, True))
    mine, other = await bench.put(head), await bench.put(replace(head, gen=9), OTHER_SID)
    await bench.put(replace(head, absolute=await bench.now_ms() // 1000), "expired")
    assert {SID: mine, OTHER_SID: other} == dict(await bench.store.sessions(SUBJECT))
    assert 2 == await bench.redis.hlen(bench.key)


@pytest.mark.parametrize("end", ["idle", "absolute"])
async def test_whatever_is_written_the_key_lives_as_long_as_its_longest_session(bench, end):
    head = await bench.head(3, Condition(True, True, True))
    now = await bench.now_ms() // 1000
    if end == "absolute":
        head = replace(head, absolute=now + 2000)
    await bench.put(head)
    await bench.redis.expire(bench.key, 500)
    found = await bench.store.present(SUBJECT, SID, shown_for(Presented.HEAD, 3, 0), caller=Caller.SCRIPT, new=NEW)
    left = found.record.head.ends_at(bench.lifetimes.idle) - bench.ran_at // 1000
    assert left - 2 <= await bench.redis.ttl(bench.key) <= left
    await bench.redis.expire(bench.key, 400 * 86_400)  # a longer session of the same user
    await bench.store.see(SUBJECT, SID, gen=4, access_jti=NEW.access)
    assert 399 * 86_400 < await bench.redis.ttl(bench.key)


def head_of(*, gen: int, seen: bool, seconds: int, mark: int) -> Head:
    return Head(
        gen=gen,
        access_jti=bytes(16),
        refresh_jti=b"\xff" * 16,
        access_issued=seconds,
        refresh_issued=seconds // 3,
        seen=seen,
        mark=mark,
        absolute=2**32 - 1,
        auth_time=seconds // 2,
        left=gen % 2**16,
        late=seen,
        late_run=gen % 16,
        device=b"\0dev",
        networks=bytes(range(16)),
    )


HEADS = [
    head_of(gen=0, seen=False, seconds=0, mark=0),
    head_of(gen=1, seen=True, seconds=1_800_000_000, mark=1_800_000_000_123),
    head_of(gen=2**32 - 1, seen=True, seconds=2**32 - 1, mark=2**48 - 1),
]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.gen)
@pytest.mark.parametrize(
    ("claims", "address"), [(b"", b""), (CLAIMS, HOME), (b"\0" * 65_535, bytes(range(16)))], ids=["", "s", "l"]
)
async def test_python_and_lua_have_one_layout(bench, head, claims, address):
    """What one side packs the other reads, field by field, and packs again to the same bytes."""
    raw = encode(Record(head=head, claims=claims, address=address))
    await bench.redis.hset(bench.key, SID, raw)
    body = """
        local r = decode(redis.call('HGET', KEYS[1], ARGV[1]))
        local function text(n) return string.format('%.0f', n) end
        return {encode(r), text(r.gen), r.access_jti, r.refresh_jti, text(r.access_issued), text(r.refresh_issued),
          tostring(r.seen), text(r.mark), text(r.absolute), text(r.auth_time), text(r.left), tostring(r.late),
          text(r.late_run), r.device, r.networks, r.tail}
    """
    again, *fields, tail = await bench.redis.eval(scripts.read("record") + body, 1, bench.key, SID)
    assert raw == again
    assert raw.endswith(tail)
    times = (head.access_issued, head.refresh_issued, head.seen, head.mark, head.absolute, head.auth_time, head.left)
    doubted = (head.late, head.late_run, head.device, head.networks)
    written = (head.gen, head.access_jti, head.refresh_jti, *times, *doubted)
    assert [value if isinstance(value, bytes) else str(value).lower().encode() for value in written] == fields
    assert Record(head=head, claims=claims, address=address) == decode(again)
