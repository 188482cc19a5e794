"""
Limits on a real server: `store/lua/` counts as `core/limits.py` does, and withholds what a limited caller would be given.

The way is that of `test_script_equals_table.py`: a state is put there, the script runs, and the core runs on the same state at
the moment that the script reports.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from contract import test_script_equals_table as the_table
from contract import test_visits as the_visits
from contract.test_script_equals_table import NEW, SID, SUBJECT, VISIT, Bench, cases, shown_for
from redis.asyncio import Redis
from redis.crc import key_slot
from support.losses import let_know
from support.stage import travelling

from asgi_tokenguard import (
    Code,
    FixedLocator,
    Limits,
    NotAuthenticated,
    Place,
    Rate,
    RateLimited,
    StepUpRequired,
    TokenGuard,
)
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.doubts import ANYONE, Visit, Watch
from asgi_tokenguard.core.limits import MOST_COUNTS, Count, weigh
from asgi_tokenguard.core.rotation import Outcome, Presented, present
from asgi_tokenguard.store import scripts
from asgi_tokenguard.store.keyspace import limit_key, session_key

ONE = Rate(1, per=600)
EACH = Limits(
    logins_per_user=Rate(20, per=60),
    logins_per_address=Rate(10, per=60),
    presentations_per_session=Rate(30, per=60),
    presentations_per_user=Rate(60, per=60),
    presentations_per_address=Rate(40, per=600),
)
REFUSED = {Outcome.REUSE, Outcome.REFUSE}


class Counting(Bench):
    """A session whose user's counts are to be seen."""

    def __init__(self, guard: TokenGuard, redis: Any) -> None:
        super().__init__(guard, redis)
        self.limit_key = limit_key(guard.engine.settings.namespace, SUBJECT)
        self.limits = guard.engine.settings.limits

    async def numbers(self) -> dict[bytes, int]:
        return {field: int(number) for field, number in (await self.redis.hgetall(self.limit_key)).items()}

    async def exhaust(self, sid: str = SID, visit: Visit = VISIT) -> dict[bytes, int]:
        """Fill all that a presentation counts against."""
        now = await self.now_ms() * 1000
        numbers = {count.field: now + count.rate.period for count in self.limits.of_presentation(sid, visit.network)}
        await self.redis.hset(self.limit_key, mapping=numbers)
        return numbers


@pytest.fixture
async def limited(options: dict[str, Any], clock: Any) -> AsyncIterator[TokenGuard]:
    async with travelling(TokenGuard(**options, limits=EACH), clock) as guard:
        yield guard


@pytest.fixture
async def bench(limited: TokenGuard, redis: Any) -> Counting:
    bench = Counting(limited, redis)
    await let_know(bench.store, redis, bench.key, lost_ms=0)  # its sessions are older than the server
    return bench


# --- Numbers

BODY = "local wait = wait_for(1) return {now_ms, wait}"


async def counted(bench: Counting, counts: list[Count]) -> tuple[int, int]:
    """Let the script count, and nothing else: the moment, and how long to wait."""
    triples = [word for field, rate in counts for word in (field, rate.period, rate.interval)]
    script = "\n".join([scripts.read("record"), scripts.read("limits"), BODY])
    return tuple(await bench.redis.eval(script, 3, bench.key, bench.key, bench.limit_key, 600_000, *triples))


@pytest.mark.parametrize("seed", range(6))
async def test_limits_lua_is_weigh(bench, seed):
    """Counts that are idle, in use, full, and further ahead than they can be, near every edge."""
    dice = random.Random(seed)
    waited = passed = 0
    for _ in range(60):
        counts = [
            Count(
                bytes([65 + at]) * dice.choice([1, 5, 26]), Rate(dice.choice([1, 3, 7, 1000]), per=dice.choice([1, 60, 86_400]))
            )
            for at in range(dice.randint(0, 3))
        ]
        now = await bench.now_ms() * 1000
        before = {b"other": now}
        for field, rate in counts:
            edge = dice.choice([0, now, now + rate.period - rate.interval, now + rate.period, now + 2 * rate.period])
            if edge:
                before[field] = edge + dice.randint(-2_000, 6_000)
        await bench.redis.delete(bench.limit_key)
        await bench.redis.hset(bench.limit_key, mapping=before)
        ran_at, wait = await counted(bench, counts)
        after = weigh(before, counts, now_ms=ran_at)
        assert (after.numbers, after.wait_ms) == (await bench.numbers(), wait)
        waited, passed = waited + bool(wait), passed + (not wait)
    assert waited > 5 < passed


@pytest.mark.parametrize("held", [MOST_COUNTS - 3, MOST_COUNTS - 2, MOST_COUNTS - 1, MOST_COUNTS, 5 * MOST_COUNTS])
async def test_limits_lua_makes_room_as_weigh_does(bench, held):
    """What would be idle soonest goes; garbage counts for nothing, and goes first."""
    now = await bench.now_ms() * 1000
    before = {b"p%03d" % number: now + number * 1_000 for number in range(held)}
    await bench.redis.hset(bench.limit_key, mapping=before | {b"p001": "garbage"})
    counts = [Count(b"p002", Rate(2, per=600)), Count(b"P", ONE)]
    ran_at, wait = await counted(bench, counts)
    expected = weigh(before | {b"p001": 0}, counts, now_ms=ran_at)
    assert (0, 0) == (wait, expected.wait_ms)
    found = await bench.redis.hgetall(bench.limit_key)
    assert dict(expected.numbers) == {field: 0 if number == b"garbage" else int(number) for field, number in found.items()}
    assert (b"garbage" in found.values()) == (held + 2 <= MOST_COUNTS)


async def test_a_users_counts_are_one_key_of_the_same_slot_that_nobody_listens_to_and_that_goes(bench, limited, redis, clock):
    tokens = await limited.login(SUBJECT)
    await limited.rotate(tokens.refresh_token)
    assert key_slot(bench.key.encode()) == key_slot(bench.limit_key.encode())
    assert not bench.limit_key.startswith(f"{limited.engine.settings.namespace}:s:")
    # As long as the longest of all limits: a presentation must not shorten the memory of logins.
    assert 599_000 < await redis.pttl(bench.limit_key) <= 600_000
    assert {b"L", b"P", tokens.session_id.encode()} < set(await bench.numbers())
    clock.advance(601)
    assert 0 == await redis.exists(bench.limit_key)


# --- Presentations


@pytest.mark.parametrize("case", list(cases()), ids=str)
async def test_a_limited_presentation_leaves_the_record_as_one_by_who_can_receive_nothing_does(bench, case):
    """The whole table: nothing is handed out, nothing rotates, and what is reuse is reuse; that one counts is not needed."""
    head = await bench.head(case.gen, case.condition)
    before = await bench.put(head)
    numbers = await bench.exhaust(visit=ANYONE)
    shown = shown_for(case.presented, case.gen, head.access_issued)
    try:
        found = (await bench.store.present(SUBJECT, SID, shown, caller=case.caller, new=NEW)).outcome
    except RateLimited as limited:
        found = limited
    step = present(head, shown, now_ms=bench.ran_at, lifetimes=bench.lifetimes, caller=Caller.OTHER, new=NEW)
    if step.outcome in REFUSED:
        assert step.outcome is found
    else:
        assert 1 <= found.retry_after <= 15  # of four a minute, the slowest of the three that are full
    expected = None if step.head is None else replace(before, head=step.head)
    assert expected == await bench.record()
    assert numbers == await bench.numbers()


@pytest.mark.parametrize("watch", the_visits.WATCHES, ids=range(len(the_visits.WATCHES)))
@pytest.mark.parametrize("presented", Presented)
async def test_a_limited_visit_is_not_judged_and_leaves_what_it_proves(limited, redis, presented, watch):
    """From a strange network, with other strings, late: whatever it is, nobody asks a locator for it."""
    bench = the_visits.Bench(limited, redis)
    await let_know(bench.store, redis, bench.key, lost_ms=0)
    counting = Counting(limited, redis)
    states = [{}, {"seen": False}, {"age": 3}, {"seen": False, "age": 3}, {"late": True, "late_run": 2}]
    visits = [Visit(address=the_visits.ABROAD, network=network, device=the_visits.PHONE) for network in (b"work", b"cafe")]
    for state, visit, caller in product(states, visits, Caller):
        before = await bench.put(**state)
        await counting.exhaust(visit=visit)
        shown = the_visits.shown_for(presented, before.head)
        outcome = None
        with suppress(RateLimited):
            outcome = (await bench.present(shown, visit=visit, watch=watch, caller=caller)).outcome
        step = present(
            before.head,
            shown,
            now_ms=bench.ran_at,
            lifetimes=bench.lifetimes,
            caller=Caller.OTHER,
            new=NEW,
            visit=visit,
            watch=watch,
        )
        assert outcome is (step.outcome if step.outcome in REFUSED else None)
        assert (None if step.head is None else replace(before, head=step.head)) == await bench.record()


@pytest.mark.parametrize("presented", Presented)
@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("watched", [False, True])
async def test_what_is_served_or_judged_counts_once_and_what_is_refused_does_not(bench, presented, caller, watched):
    """With room left, the table is the table: a limit that is not reached changes nothing but its numbers."""
    watch = Watch(network=watched)
    for state, passed in product(the_table.states(5), (False, True)):
        await bench.redis.delete(bench.limit_key)
        head = await bench.head(5, state)
        before = await bench.put(head)
        visit = replace(VISIT, passed=passed)
        shown = shown_for(presented, 5, head.access_issued)
        found = await bench.store.present(SUBJECT, SID, shown, caller=caller, new=NEW, visit=visit, watch=watch)
        step = present(
            head, shown, now_ms=bench.ran_at, lifetimes=bench.lifetimes, caller=caller, new=NEW, visit=visit, watch=watch
        )
        assert (step.outcome, step.head) == (found.outcome, found.record and found.record.head)
        assert (found.record is None) or before.claims == found.record.claims
        # What has passed was counted when it met its judgement: it is the second step of one request.
        counts = () if passed or step.outcome in REFUSED else EACH.of_presentation(SID, VISIT.network)
        assert weigh({}, counts, now_ms=bench.ran_at).numbers == await bench.numbers()


async def test_a_dead_token_is_answered_as_ever_and_uses_nothing_up(limited, bench):
    """Else whoever has one, years old, could make its former owner wait."""
    tokens = await limited.login(SUBJECT)
    await limited.revoke_all(SUBJECT)
    before = await bench.numbers()
    for _ in range(100):
        with pytest.raises(NotAuthenticated) as refused:
            await limited.rotate(tokens.refresh_token)
        assert Code.REVOKED is refused.value.code
    assert before == await bench.numbers()


async def test_of_many_at_once_exactly_as_many_pass_as_may(options, clock):
    """Counted in the script that is limited: two processes and a hundred requests find no gap between look and act."""
    limits = Limits(presentations_per_session=Rate(7, per=600), logins_per_user=Rate(3, per=600))
    async with (
        travelling(TokenGuard(**options, limits=limits), clock) as one,
        travelling(TokenGuard(**options, limits=limits), clock) as two,
    ):
        logins = await asyncio.gather(*(guard.login("user-1") for guard in (one, two) * 5), return_exceptions=True)
        (first, *_) = passed = [each for each in logins if not isinstance(each, RateLimited)]
        assert 3 == len(passed) == len(await one.sessions("user-1"))
        clock.advance(901)
        shown = [guard.rotate(first.refresh_token) for guard in (one, two) * 50]
        answers = await asyncio.gather(*shown, return_exceptions=True)
        served = [each for each in answers if not isinstance(each, RateLimited)]
        assert 7 == len(served)
        assert 1 == len({each.refresh_token for each in served})  # one rotates, the others get the same successor
        assert {80 < each.retry_after <= 86 for each in answers if isinstance(each, RateLimited)} == {True}  # 600 / 7, up


async def test_sessions_networks_and_users_count_for_themselves(options, clock):
    limits = Limits(presentations_per_session=Rate(2, per=600), presentations_per_address=Rate(3, per=600))
    async with travelling(TokenGuard(**options, limits=limits), clock) as guard:
        one, two, other = [(await guard.login(user)).refresh_token for user in ("user-1", "user-1", "user-2")]

        async def rotates(token: str, address: str) -> bool:
            try:
                return bool(await guard.rotate(token, ip_address=address))
            except RateLimited:
                return False

        assert [True, True, False] == [await rotates(one, "192.0.2.7") for _ in range(3)]
        assert [True, False] == [await rotates(two, "192.0.2.200") for _ in range(2)]  # the same /24
        assert [True, False] == [await rotates(two, "198.51.100.1") for _ in range(2)]  # but the session has had its two
        assert await rotates(other, "192.0.2.7")


# --- Logins


async def test_a_login_that_has_to_wait_changes_nothing(options, clock, redis):
    """Neither the sessions that it would have taken the place of, nor a tombstone, nor what has expired meanwhile."""
    limits = Limits(logins_per_address=Rate(2, per=60), logins_per_user=Rate(3, per=86_400))
    async with travelling(TokenGuard(**options, limits=limits, max_sessions=1), clock) as guard:
        login = guard.engine.store.login
        sids = [f"01ARZ3NDEKTSV4RRFFQ6{number:06d}" for number in range(5)]
        for sid in sids[:2]:
            await login("user-1", sid, NEW, claims=b"", visit=VISIT)
        key = session_key(options["namespace"], "user-1")
        counts = limit_key(options["namespace"], "user-1")
        before = await redis.hgetall(key), await redis.hgetall(counts)
        with pytest.raises(RateLimited) as limited:
            await login("user-1", sids[2], NEW, claims=b"", visit=VISIT, ends=sids[:2], most=1)
        assert 20 < limited.value.retry_after <= 30
        assert before == (await redis.hgetall(key), await redis.hgetall(counts))
        assert [] == await guard.endings("user-1")
        elsewhere = replace(VISIT, network=b"net2")
        await login("user-1", sids[3], NEW, claims=b"", visit=elsewhere)
        with pytest.raises(RateLimited) as limited:  # three in a day, wherever
            await login("user-1", sids[4], NEW, claims=b"", visit=replace(VISIT, network=b"net3"))
        assert 28_790 < limited.value.retry_after <= 28_800
        clock.advance(28_800)
        await login("user-1", sids[4], NEW, claims=b"", visit=replace(VISIT, network=b"net3"))


async def test_after_a_judgement_the_same_request_is_not_limited(options, clock):
    """A rotation from a new network is two scripts; the second never finds the limit that the first has filled."""
    paris = Place(latitude=48.857, longitude=2.352, city="Paris", country="FR")
    towns = FixedLocator({"192.0.2.0/24": paris, "198.51.100.0/24": paris})
    limits = Limits(presentations_per_user=ONE)
    async with travelling(TokenGuard(**options, limits=limits, locator=towns), clock) as guard:
        tokens = await guard.login("user-1", ip_address="192.0.2.7")
        assert (await guard.rotate(tokens.refresh_token, ip_address="198.51.100.1")).access_token
        with pytest.raises(RateLimited):
            await guard.rotate(tokens.refresh_token, ip_address="203.0.113.1")
        clock.advance(600)
        with pytest.raises(StepUpRequired):
            await guard.rotate(tokens.refresh_token, ip_address="203.0.113.1")  # judged again, now that it may


# --- Without limits


@pytest.mark.parametrize("limits", [None, EACH])
async def test_without_limits_the_scripts_ask_what_they_always_have(options, clock, reached, limits):
    """To the command; with them it is a question for each limit and two writes, of which the first may look for room."""
    async with travelling(TokenGuard(**options, limits=limits), clock) as guard:
        tokens = await guard.login("user-1")
        await guard.authenticate(tokens.access_token)
        await guard.rotate(tokens.refresh_token)
        found = await inside(reached, guard.rotate(tokens.refresh_token))
        more = [] if limits is None else ["HGET"] * 3 + ["HLEN", "HSET", "PEXPIRE"]
        assert ["TIME", "HGET", *more] == found
        found = await inside(reached, guard.login("user-2"))
        more = [] if limits is None else ["HGET"] * 2 + ["HLEN", "HSET", "PEXPIRE"]
        assert ["TIME", *more, "HGETALL", "HSET", "TTL", "EXPIREAT"] == found


async def inside(reached: Any, step: Awaitable[object]) -> list[str]:
    """What scripts call while *step* runs."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Redis(unix_socket_path=str(each.socket))) for each in reached.members]
        monitors = [await stack.enter_async_context(client.monitor()) for client in clients]
        await step
        found = []
        for client, monitor in zip(clients, monitors, strict=True):
            await client.echo("enough")
            while (heard := await monitor.next_command())["command"] != "ECHO enough":
                found += [heard["command"].split()[0]] if heard["client_type"] == "lua" else []
    return found
