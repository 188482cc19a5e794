"""From a doubt to a verdict: whatever a locator does, a request is answered in time and nobody reads where it came from."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

import pytest
from support.stage import travelling

from asgi_tokenguard import NotAuthenticated, Place, RiskPolicy, StepUpRequired, TokenGuard
from asgi_tokenguard.core.risk import Action

HOME, NEXT_DESK, AWAY = "81.2.69.142", "81.2.69.9", "81.2.70.7"
BERLIN = Place(latitude=52.52, longitude=13.405, city="Berlin", country="DE")
HAMBURG = Place(latitude=53.55, longitude=9.99, city="Hamburg", country="DE")
TIMEOUT = 1.5
# What a busy machine adds between the deadline and the answer.
SLACK = 10


class Map:
    """Knows where addresses are, or does what *away* does for `AWAY`; counts what it was asked."""

    def __init__(self, away=None, **more):
        self.places = {HOME: BERLIN, NEXT_DESK: BERLIN, AWAY: BERLIN} | more
        self.away = away
        self.asked = Counter()

    async def locate(self, address):
        self.asked[address] += 1
        return await self.away() if self.away and address == AWAY else self.places.get(address)

    async def aclose(self):
        """Nothing is open."""


@pytest.fixture
async def guarded(options, clock):
    """`await guarded(map, **options)` opens a guard that is closed at the end."""
    opened = []

    async def open_one(locator, **more):
        guard = travelling(TokenGuard(**options | {"timeout": TIMEOUT, "locator": locator} | more), clock)
        opened.append(guard)
        await guard.open()
        return guard

    yield open_one
    for guard in opened:
        await guard.aclose()


async def resident(guard, address=HOME):
    """The tokens of a user who has just logged in and whose place has been looked up."""
    tokens = await guard.login("user-1", ip_address=address)
    assert 0 == await guard.engine.background.outbox.flush(10)
    return tokens


async def verdict(guard, tokens, address=AWAY):
    """What a visit from *address* is answered, in a word."""
    try:
        await guard.rotate(tokens.refresh_token, ip_address=address)
    except StepUpRequired as refused:
        return f"step_up: {refused.reason}"
    except NotAuthenticated as refused:
        return refused.code.value
    return "proceed"


async def hangs():
    await asyncio.sleep(60)


async def raises():
    raise ConnectionError(AWAY)


async def cancels_itself():
    raise asyncio.CancelledError


async def waits_for_a_task_that_is_cancelled():
    task = asyncio.ensure_future(hangs())
    asyncio.get_running_loop().call_soon(task.cancel)
    return await task


async def says_not_a_number():
    return Place(latitude=float("nan"), longitude=13.405, city="Berlin")


async def says_off_the_earth():
    return Place(latitude=52.52, longitude=1300.5, city="Berlin")


async def says_text():
    return "Berlin"


async def says_a_dict():
    return {"latitude": 52.52, "longitude": 13.405, "city": "Berlin"}


async def knows_nothing():
    return None


FAULTS = [
    hangs,
    raises,
    cancels_itself,
    waits_for_a_task_that_is_cancelled,
    says_not_a_number,
    says_off_the_earth,
    says_text,
    says_a_dict,
    knows_nothing,
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("unknown", "expected"), [("proceed", "proceed"), ("step_up", "step_up: unknown_location"), ("revoke", "revoked")]
)
async def test_a_locator_that_fails_in_any_way_is_what_the_policy_says_of_unknown_places(guarded, fault, unknown, expected):
    """Within the timeout, and the request is answered."""
    guard = await guarded(Map(fault), risk=RiskPolicy(unknown=unknown))
    tokens = await resident(guard)
    began = time.monotonic()
    assert expected == await verdict(guard, tokens)
    assert time.monotonic() - began < TIMEOUT + SLACK


async def test_a_request_that_is_cancelled_itself_ends_while_its_place_is_looked_up(guarded):
    looks = asyncio.Event()

    async def looks_long():
        looks.set()
        await asyncio.sleep(60)

    guard = await guarded(Map(looks_long), timeout=30)
    visit = asyncio.create_task(verdict(guard, await resident(guard)))
    await asyncio.wait_for(looks.wait(), 10)
    visit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visit


@pytest.mark.thorough
async def test_both_places_are_looked_up_at_once_so_that_two_slow_answers_are_one_wait(guarded):
    both = asyncio.Barrier(2)

    class Slow(Map):
        async def locate(self, address):
            await both.wait()  # which one look-up after the other never passes
            return BERLIN

    tokens = await resident(await guarded(None))
    assert "proceed" == await verdict(await guarded(Slow(), timeout=5), tokens)


async def test_the_stored_place_of_the_session_is_used_before_the_locator_is_asked(guarded):
    """Else each judgement would cost a second look-up, and a provider that has changed its mind would move the session."""
    where = Map()
    guard = await guarded(where)
    tokens = await resident(guard)
    where.asked.clear()
    where.places[HOME] = Place(latitude=-33.87, longitude=151.21, city="Sydney")
    assert "proceed" == await verdict(guard, tokens)
    assert Counter({AWAY: 1}) == where.asked


async def test_without_a_stored_place_the_address_of_the_session_is_looked_up(guarded):
    tokens = await resident(await guarded(None))
    where = Map()
    guard = await guarded(where)
    assert "proceed" == await verdict(guard, tokens)
    assert 1 == where.asked[HOME]


@pytest.mark.parametrize("address", [HOME, NEXT_DESK], ids=["the same", "its /24"])
async def test_where_the_network_did_not_change_the_locator_is_never_asked(guarded, address):
    where = Map()
    guard = await guarded(where)
    tokens = await resident(guard)
    where.asked.clear()
    for _ in range(3):
        assert "proceed" == await verdict(guard, tokens, address)
    assert Counter() == where.asked


async def test_a_rotation_without_an_address_asks_no_locator(guarded, clock):
    where = Map(raises)
    guard = await guarded(where)
    tokens = await resident(guard)
    where.asked.clear()
    clock.advance(guard.engine.settings.lifetimes.access + 1)
    assert (await guard.rotate(tokens.refresh_token)).refresh_token
    assert Counter() == where.asked


@pytest.mark.parametrize("fault", [None, *FAULTS])
async def test_no_line_of_the_log_tells_an_address_or_a_place(guarded, caplog, fault):
    caplog.set_level(logging.DEBUG, logger="asgi_tokenguard")
    guard = await guarded(Map(fault))
    await verdict(guard, await resident(guard))
    said = "\n".join(f"{line.getMessage()} {line.exc_info}" for line in caplog.records)
    assert "was judged" in said
    assert [] == [secret for secret in ("81.2.", "Berlin", "52.52", "13.405", "1300.5", "user-1") if secret in said]


async def test_a_failing_locator_is_named_in_the_log(guarded, caplog):
    guard = await guarded(Map(raises))
    await verdict(guard, await resident(guard))
    assert ["the locator Map failed, so that a place is unknown"] == [
        line.getMessage() for line in caplog.records if line.levelno == logging.WARNING
    ]


async def test_a_rule_that_fails_counts_as_step_up_and_is_logged_once_for_each_judgement(guarded, caplog):
    """Docs/risk.md: one that raises counts as step-up, and is logged."""

    def broken(signals):
        raise LookupError("no such table")

    guard = await guarded(Map(), risk=RiskPolicy(rules=[broken]))
    assert "step_up: broken" == await verdict(guard, await resident(guard))
    assert ["no such table"] == [str(line.exc_info[1]) for line in caplog.records if line.levelno == logging.ERROR]


async def test_two_rules_that_fail_are_one_line_with_both(guarded, caplog):
    def broken(signals):
        raise LookupError

    def wrong(signals):
        return "revoke"

    guard = await guarded(Map(), risk=RiskPolicy(rules=[broken, wrong]))
    assert "step_up: broken" == await verdict(guard, await resident(guard))
    (line,) = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert [LookupError, TypeError] == [type(error) for error in line.exc_info[1].exceptions]


async def test_a_rule_that_fails_makes_nothing_milder(guarded):
    def broken(signals):
        raise LookupError

    guard = await guarded(Map(**{AWAY: HAMBURG}), risk=RiskPolicy(rules=[broken]))
    assert "revoked" == await verdict(guard, await resident(guard))


async def test_a_rule_sees_both_places_and_both_addresses(guarded):
    seen = []

    def curious(signals):
        seen.append((signals.ip_address_before, signals.place_before.city, signals.ip_address, signals.place_now.city))
        return Action.PROCEED

    guard = await guarded(Map(**{AWAY: BERLIN}), risk=RiskPolicy(rules=[curious]))
    assert "proceed" == await verdict(guard, await resident(guard))
    assert [(HOME, "Berlin", AWAY, "Berlin")] == seen


@pytest.mark.parametrize("fault", [says_text, says_a_dict])
async def test_a_rule_never_sees_a_place_that_is_none(guarded, fault):
    seen = []
    guard = await guarded(Map(fault), risk=RiskPolicy(rules=[lambda signals: seen.append(signals.place_now)]))
    await verdict(guard, await resident(guard))
    assert [None] == seen


async def test_another_doubt_than_the_network_asks_no_locator(guarded, clock):
    """A tab that lingers at home: its place is that of the session."""
    where = Map()
    guard = await guarded(where, risk=RiskPolicy(linger_generations=1))
    tokens = await resident(guard)
    where.asked.clear()
    clock.advance(guard.engine.settings.lifetimes.access + 1)
    assert "proceed" == await verdict(guard, tokens, HOME)
    clock.advance(10)
    assert "step_up: lingering" == await verdict(guard, tokens, HOME)
    assert Counter() == where.asked


async def test_a_session_that_a_job_began_without_an_address_is_of_unknown_place(guarded):
    """It knows no network, and whoever comes first may hold a copy: he is asked, unless the job tells the address."""
    guard = await guarded(Map())
    assert "step_up: unknown_location" == await verdict(guard, await guard.login("user-1"), HOME)
    assert "proceed" == await verdict(guard, await resident(guard), HOME)


async def test_once_it_has_passed_its_network_is_known_and_its_place_measured_from(guarded):
    guard = await guarded(Map(**{AWAY: HAMBURG}), risk=RiskPolicy(unknown="proceed"))
    tokens = await guard.login("user-1")
    assert "proceed" == await verdict(guard, tokens, HOME)
    assert 0 == await guard.engine.background.outbox.flush(10)
    assert "revoked" == await verdict(guard, tokens, AWAY)


async def test_a_session_of_jobs_alone_is_never_judged(guarded):
    where = Map()
    guard = await guarded(where)
    assert (await guard.rotate((await guard.login("user-1")).refresh_token)).session_id
    assert Counter() == where.asked
