"""The locator over HTTP: it asks as seldom as it can, and a dead provider slows nobody down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.http import serving
from support.provider import BERLIN, PLACES, REFUSALS, SAMPLES, ProviderApp, drips, floods, hangs, says
from support.ticks import Ticks

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.geo import MISS, Fields, HttpLocator
from asgi_tokenguard.geo.breaker import FAILURES, OPEN_SECONDS
from asgi_tokenguard.geo.cache import FAILURE_SECONDS, PLACE_SECONDS, UNKNOWN_SECONDS

PLACE = Place(latitude=52.52, longitude=13.405, city="Berlin", country="DE")
NOBODY = {"message": "nothing is known"}


@pytest.fixture(scope="module")
def site():
    app = ProviderApp()
    with serving(app, lifespan="off") as url:
        yield app, url


@pytest.fixture
def app(site):
    site[0].reply = says(BERLIN)
    site[0].asked.clear()
    return site[0]


@pytest.fixture
def clock():
    return Ticks()


@pytest.fixture
async def locator(site, app, clock):
    async with locating(site[1], clock=clock) as locator:
        yield locator


@asynccontextmanager
async def locating(url: str, **options: Any) -> AsyncIterator[HttpLocator]:
    """A busy machine is no dead provider: what is about the timeout gives one of its own."""
    locator = HttpLocator(url + "/{address}?key=s3cr3t", **{"timeout": 5.0} | options)
    try:
        yield locator
    finally:
        await locator.aclose()


def addresses(number: int, start: int = 0) -> list[str]:
    return [f"8.8.{index // 250}.{index % 250 + 1}" for index in range(start, start + number)]


# --- Answers


@pytest.mark.parametrize("provider", SAMPLES)
async def test_known_providers(site, app, provider):
    app.reply = says(SAMPLES[provider])
    async with locating(site[1], fields=getattr(Fields, provider)) as locator:
        assert PLACES[provider] == await locator.locate("8.8.8.8")


@pytest.mark.parametrize("provider", REFUSALS)
async def test_their_refusals(site, app, provider):
    app.reply = says(REFUSALS[provider])
    async with locating(site[1], fields=getattr(Fields, provider)) as locator:
        assert await locator.locate("8.8.8.8") is None


@pytest.mark.parametrize("reply", [
    hangs, drips, floods, says(b"", 500), says(b"", 302, ("location", "http://127.0.0.1:9/")), says(b"garbage"),
    says(b"[]"), says(b"[" * 60_000), says(BERLIN | {"city": ""}),
    says(BERLIN | {"latitude": 91}), says(b'{"latitude": NaN}'), says(BERLIN | {"ip": "9.9.9.9"}),
])  # fmt: skip
async def test_whatever_a_provider_does_the_place_is_unknown_and_nothing_is_raised(site, app, reply):
    app.reply = reply
    async with locating(site[1], timeout=0.5) as locator:
        started = time.monotonic()
        assert await locator.locate("8.8.8.8") is None
        assert time.monotonic() - started < 5


@pytest.fixture(scope="module")
def nobody():
    return HttpLocator("http://127.0.0.1:9/{address}")


@settings(deadline=None, database=None)
@given(
    st.text()
    | st.none()
    | st.integers()
    | st.binary()
    | st.sampled_from(["10.0.0.1", "127.0.0.1", "::1", "fe80::1%x&ip=8.8.8.8"])
)
async def test_what_is_no_public_address_is_not_asked_about(nobody, text):
    """No provider learns of it: it would be somebody's internal network, or text that an attacker wrote."""
    assert await nobody.locate(text) is None
    assert {} == nobody._memory._found


async def test_a_mapped_address_is_asked_about_as_ipv4_and_kept_as_such(app, locator):
    assert PLACE == await locator.locate("::ffff:8.8.8.8")
    assert PLACE == await locator.locate("8.8.8.8")
    assert ["/8.8.8.8?key=s3cr3t"] == app.asked


async def test_one_address_is_one_entry_however_it_is_written(app, locator):
    for text in ("2001:4860:4860::8888", "2001:4860:4860:0:0:0:0:8888", "2001:4860:4860::8888".upper()):
        assert PLACE == await locator.locate(text)
    assert 1 == len(app.asked)


# --- Keeping


@pytest.mark.parametrize(("answer", "expected", "seconds"), [
    ((BERLIN,), PLACE, PLACE_SECONDS), ((NOBODY,), None, UNKNOWN_SECONDS), ((b"", 404), None, UNKNOWN_SECONDS),
    ((b"", 500), None, FAILURE_SECONDS), ((b"garbage",), None, FAILURE_SECONDS),
])  # fmt: skip
async def test_answers_are_kept_for_their_time(app, locator, answer, expected, seconds):
    clock = locator._memory._clock
    app.reply = says(*answer)
    assert [expected] * 3 == [await locator.locate("8.8.8.8") for _ in range(3)]
    clock.advance(seconds - 1)
    assert expected == await locator.locate("8.8.8.8")
    assert 1 == len(app.asked)
    clock.advance(1)
    app.reply = says(BERLIN)
    assert PLACE == await locator.locate("8.8.8.8")
    assert 2 == len(app.asked)


async def test_a_failure_is_not_held_against_an_address_for_long(app, locator, clock):
    app.reply = says(b"", 503)
    assert await locator.locate("8.8.8.8") is None
    app.reply = says(BERLIN)
    clock.advance(FAILURE_SECONDS)
    assert FAILURE_SECONDS <= 10
    assert PLACE == await locator.locate("8.8.8.8")


async def test_the_number_of_kept_addresses_is_bounded(locator):
    locator._memory._entries = 3
    for address in addresses(10):
        await locator.locate(address)
    assert 3 == len(locator._memory._found)


# --- Asking together


async def test_parallel_look_ups_of_one_address_ask_once(app, locator):
    app.reply = says(BERLIN, after=0.2)
    assert [PLACE] * 50 == await asyncio.gather(*(locator.locate("8.8.8.8") for _ in range(50)))
    assert 1 == len(app.asked)


async def test_other_addresses_do_not_wait_for_it(app, locator):
    app.reply = says(BERLIN, after=0.2)
    found = await asyncio.gather(*(locator.locate(address) for address in addresses(10) * 3))
    assert [PLACE] * 30 == found
    assert 10 == len(app.asked)


@pytest.mark.parametrize("victims", [[0], [1, 2], [0, 1, 2, 3]])
async def test_a_caller_who_is_cancelled_harms_no_other(app, locator, victims):
    app.reply = says(BERLIN, after=0.3)
    tasks = [asyncio.ensure_future(locator.locate("8.8.8.8")) for _ in range(5)]
    await asyncio.sleep(0.05)
    for victim in victims:
        tasks[victim].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert victims == [index for index, each in enumerate(found) if isinstance(each, asyncio.CancelledError)]
    assert [PLACE] * (5 - len(victims)) == [each for each in found if isinstance(each, Place)]
    assert 1 == len(app.asked)


async def test_what_all_callers_gave_up_waiting_for_is_there_for_the_next(app, locator):
    app.reply = says(BERLIN, after=0.2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await locator.locate("8.8.8.8")
    assert PLACE == await locator.locate("8.8.8.8")
    assert 1 == len(app.asked)


async def test_at_the_end_callers_get_none_at_once(app, locator):
    app.reply = hangs
    tasks = [asyncio.ensure_future(locator.locate(address)) for address in ("8.8.8.8", "8.8.8.8", "8.8.4.4")]
    await asyncio.sleep(0.05)
    await locator.aclose()
    assert [None] * 3 == await asyncio.gather(*tasks)
    app.reply = says(BERLIN)
    assert PLACE == await locator.locate("8.8.8.8")


# --- A provider that is dead


async def fail(locator: HttpLocator, number: int, start: int = 0) -> None:
    assert [None] * number == [await locator.locate(address) for address in addresses(number, start)]


async def test_after_five_failures_in_a_row_nobody_waits_for_it(app, locator, clock, caplog):
    app.reply = says(b"", 500)
    await fail(locator, FAILURES)
    app.reply = hangs
    started = time.monotonic()
    await fail(locator, 100, start=100)
    assert time.monotonic() - started < 5
    assert FAILURES == len(app.asked)
    assert ["the location provider http://127.0.0.1 fails, locations are unknown: status 500"] == caplog.messages
    assert logging.ERROR == caplog.records[0].levelno


async def test_half_open_one_look_up_probes_and_a_living_provider_is_asked_again(app, locator, clock, caplog):
    app.reply = says(b"", 500)
    await fail(locator, FAILURES)
    clock.advance(OPEN_SECONDS)
    app.reply = says(BERLIN, after=0.2)
    found = await asyncio.gather(*(locator.locate(address) for address in addresses(20, start=100)))
    assert 1 == sum(place == PLACE for place in found)
    assert FAILURES + 1 == len(app.asked)
    assert [PLACE] * 5 == [await locator.locate(address) for address in addresses(5, start=200)]
    assert "the location provider http://127.0.0.1 answers again" == caplog.messages[-1]
    assert 2 == len(caplog.messages)


async def test_half_open_a_provider_that_still_fails_is_left_alone_for_as_long_again(app, locator, clock, caplog):
    app.reply = says(b"", 500)
    await fail(locator, FAILURES)
    for start in (100, 200):
        clock.advance(OPEN_SECONDS - 1)
        await fail(locator, 5, start)
        clock.advance(1)
        await fail(locator, 5, start + 50)
    assert FAILURES + 2 == len(app.asked)
    assert 1 == len(caplog.messages)


async def test_what_is_kept_is_there_while_the_provider_is_dead(app, locator):
    assert PLACE == await locator.locate("9.9.9.9")
    app.reply = says(b"", 500)
    await fail(locator, FAILURES)
    assert PLACE == await locator.locate("9.9.9.9")


async def test_that_a_provider_is_dead_is_not_kept_of_an_address(app, locator, clock):
    app.reply = says(b"", 500)
    await fail(locator, FAILURES)
    assert await locator.locate("9.9.9.9") is None
    clock.advance(OPEN_SECONDS)
    app.reply = says(BERLIN)
    assert PLACE == await locator.locate("9.9.9.9")


async def test_unknown_addresses_are_no_failures(app, locator):
    """Else whoever comes from addresses that the provider does not know could make everybody unknown."""
    for number, reply in enumerate([says(NOBODY), says(b"", 404), says(BERLIN | {"latitude": "x"})]):
        app.reply = reply
        await fail(locator, FAILURES, start=number * 100)
    app.reply = says(BERLIN)
    assert PLACE == await locator.locate("9.9.9.9")


async def test_a_refused_connection_counts(clock, caplog):
    async with locating("http://127.0.0.1:9", clock=clock) as locator:
        await fail(locator, FAILURES)
    assert ["the location provider http://127.0.0.1 fails, locations are unknown: ConnectError"] == caplog.messages


# --- A cache that processes share


class Shared:
    """A cache as an app may write it; the test says what goes wrong."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.puts: list[tuple[str, Any, float]] = []
        self.gets = 0
        self.wrong: Any = None

    async def get(self, address: str) -> Any:
        self.gets += 1
        await self._go_wrong()
        return self.kept.get(address, MISS)

    async def put(self, address: str, place_or_none: Place | None, ttl_seconds: float) -> None:
        await self._go_wrong()
        self.puts.append((address, place_or_none, ttl_seconds))
        self.kept[address] = place_or_none

    async def _go_wrong(self) -> None:
        if self.wrong == "hang":
            await asyncio.sleep(60)
        elif self.wrong:
            raise self.wrong


async def test_processes_share_what_they_found(site, app, clock):
    shared = Shared()
    async with locating(site[1], cache=shared, clock=clock) as first, locating(site[1], cache=shared, clock=clock) as second:
        app.reply = says(BERLIN)
        assert PLACE == await first.locate("::ffff:8.8.8.8")
        assert PLACE == await second.locate("8.8.8.8")
        app.reply = says(NOBODY)
        assert await second.locate("8.8.4.4") is None
        assert await first.locate("8.8.4.4") is None
    assert 2 == len(app.asked)
    assert [("8.8.8.8", PLACE, PLACE_SECONDS), ("8.8.4.4", None, UNKNOWN_SECONDS)] == shared.puts


async def test_what_came_from_it_is_asked_for_again_after_ten_minutes(site, app, clock):
    """Who knows how old it is?"""
    shared = Shared()
    shared.kept["8.8.8.8"] = PLACE
    async with locating(site[1], cache=shared, clock=clock) as locator:
        for _ in range(3):
            assert PLACE == await locator.locate("8.8.8.8")
        assert 1 == shared.gets
        clock.advance(UNKNOWN_SECONDS)
        assert PLACE == await locator.locate("8.8.8.8")
        assert 2 == shared.gets
    assert [] == app.asked


async def test_failures_are_not_shared(site, app):
    shared = Shared()
    app.reply = says(b"", 500)
    async with locating(site[1], cache=shared) as locator:
        await fail(locator, FAILURES + 3)
    assert [] == shared.puts


@pytest.mark.parametrize("wrong", [ConnectionError("redis is down"), KeyError("x"), TimeoutError(), "hang"])
async def test_a_cache_that_fails_is_a_miss(site, app, wrong, caplog):
    shared = Shared()
    shared.wrong = wrong
    async with locating(site[1], cache=shared) as locator:
        started = time.monotonic()
        assert PLACE == await locator.locate("8.8.8.8")
        assert time.monotonic() - started < 3
        assert PLACE == await locator.locate("8.8.8.8")
    assert 1 == len(app.asked)
    assert "8.8.8.8" not in caplog.text


@pytest.mark.parametrize("lie", ["Berlin", {}, 0, False, MISS.value, (52.5, 13.4)])
async def test_what_is_no_place_in_it_is_a_miss(site, app, lie):
    shared = Shared()
    shared.kept["8.8.8.8"] = lie
    async with locating(site[1], cache=shared) as locator:
        assert PLACE == await locator.locate("8.8.8.8")


# --- Loops, clients, secrets


def test_one_locator_serves_several_event_loops(site, app):
    """A bare test client makes a loop for each request; connections belong to the loop that opened them."""
    locator = HttpLocator(site[1] + "/{address}", timeout=5)

    async def once(address: str) -> Place | None:
        try:
            return await locator.locate(address)
        finally:
            await locator.aclose()

    assert [PLACE] * 3 == [asyncio.run(once(address)) for address in addresses(3)]


async def test_a_client_that_is_passed_is_not_closed(site, app):
    async with httpx.AsyncClient() as client:
        async with locating(site[1], client=client) as locator:
            assert PLACE == await locator.locate("8.8.8.8")
        assert not client.is_closed


async def test_a_client_that_runs_other_people_s_code_cannot_make_a_look_up_raise(site, app, caplog):
    async def explode(_):
        raise LookupError("hook s3cr3t 8.8.8.8")

    async with httpx.AsyncClient(event_hooks={"request": [explode]}) as client, locating(site[1], client=client) as locator:
        await fail(locator, FAILURES)
    assert ["the location provider http://127.0.0.1 fails, locations are unknown: LookupError"] == caplog.messages


async def test_a_closed_client_makes_no_look_up_raise(site, app):
    client = httpx.AsyncClient()
    await client.aclose()
    async with locating(site[1], client=client) as locator:
        assert await locator.locate("8.8.8.8") is None


async def test_no_log_line_shows_a_key_or_an_address(site, app, clock, caplog):
    caplog.set_level(logging.DEBUG)
    async with locating(site[1], clock=clock, headers={"X-Key": "s3cr3t"}, cache=Shared()) as locator:
        await locator.locate("8.8.8.8")
        for number, reply in enumerate([says(b"", 500), says(b"8.8.8.8"), says(BERLIN | {"ip": "8.8.8.8"})]):
            app.reply = reply
            await fail(locator, FAILURES, start=number * 100)
        clock.advance(OPEN_SECONDS)
        app.reply = says(BERLIN)
        await locator.locate("8.8.8.8")
        assert "HttpLocator('http://127.0.0.1')" == repr(locator) == str(locator)
    assert caplog.messages
    assert "s3cr3t" not in caplog.text
    assert not any(address in caplog.text for address in ["8.8.8.8", *addresses(FAILURES), *addresses(FAILURES, 100)])


@pytest.mark.parametrize(
    "wrong",
    [{"cache": {}.keys()}, {"cache": "redis://"}, {"fields": "ipinfo"}, {"timeout": 0}, {"headers": "x"}, {"client": 5}],
)
def test_options_that_cannot_be_meant(wrong):
    with pytest.raises(ConfigurationError) as caught:
        HttpLocator("https://api.example/{address}", **wrong)
    assert "locator" == caught.value.option


@pytest.mark.parametrize("url", ["http://api.example/{address}?key=s3cr3t", "https://api.example/?key=s3cr3t", "s3cr3t", None])
def test_urls_that_cannot_be_meant(url):
    with pytest.raises(ConfigurationError) as caught:
        HttpLocator(url)
    assert "locator" == caught.value.option
    assert "s3cr3t" not in str(caught.value)
