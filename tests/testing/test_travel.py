"""
A testing `Clock` does what a server's clock that is moved does.

Each story is told twice: on a server whose clock libfaketime moves, as in all our own tests, and on one that lives in the
present, under the `Clock` that users have.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from support.actors import Browser, Tab
from support.server import RedisServer
from support.stage import Handlers, answer, carried, travelling
from support.wire import Answer

from asgi_tokenguard import Limits, Rate, RiskPolicy, TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.store import scripts
from asgi_tokenguard.store.connect import Connector
from asgi_tokenguard.store.keyspace import limit_key, session_key, tombstone_key
from asgi_tokenguard.testing import Clock, guarded
from asgi_tokenguard.testing.travel import TravellingConnector

HOUR, DAY = 3600, 86400
OPTIONS = {"public": ["/login", "/logout"]}


class World:
    """One app, its Redis, and a way to let time pass."""

    def __init__(self, guard: TokenGuard, app: Any, advance: Callable[[float], None]) -> None:
        self.guard = guard
        self.app = app
        self.advance = advance

    async def logged_in(self) -> Tab:
        tab = Browser(self.app).tab()
        await tab.post("/login")
        return tab

    def hours_left(self, key_of: Callable[[str, str], str] = session_key, user: str = "user-1") -> int | None:
        """How long Redis will keep a user's key; None where it is gone."""
        settings = self.guard.engine.settings
        with redis.Redis.from_url(settings.redis) as client:
            ms = client.pttl(key_of(settings.namespace, user))
        return None if ms == -2 else round(ms / 1000 / HOUR)


def handlers() -> Handlers:
    app = Handlers()

    @app.on("/fresh")
    async def fresh(scope, receive, send):
        await get_auth(scope).require_fresh()
        await answer(send, 204)

    return app


@asynccontextmanager
async def on_a_server_that_travels(server: RedisServer, options: dict[str, Any], **more: Any) -> AsyncIterator[World]:
    guard = travelling(TokenGuard(**options, **OPTIONS | more), server.clock)
    async with guard:
        yield World(guard, TokenGuardMiddleware(handlers(), guard=guard), server.clock.advance)


@asynccontextmanager
async def under_a_testing_clock(server: RedisServer, options: dict[str, Any], **more: Any) -> AsyncIterator[World]:
    clock, guard = Clock(), TokenGuard(**options, **OPTIONS | more)
    with guarded(TokenGuardMiddleware(handlers(), guard=guard), redis=server.url, clock=clock) as app:
        async with guard:
            yield World(guard, app, clock.advance)


@pytest.fixture(params=[on_a_server_that_travels, under_a_testing_clock], ids=lambda world: world.__name__)
def world(request, options):
    server = request.getfixturevalue("server" if request.param is on_a_server_that_travels else "still")
    return lambda **more: request.param(server, options, **more)


def told(message: Answer) -> str:
    """An answer in words: its status, its code where it has one, what it hands out."""
    body = message.json() if message.body else {}
    return " ".join(filter(None, [str(message.status), body.get("code") if isinstance(body, dict) else "", carried(message)]))


# --- Stories


async def test_an_access_token_lives_for_its_quarter_of_an_hour_cached_or_not(world):
    async with world() as here:
        tab = await here.logged_in()
        found = [told(await tab.get()), told(await tab.get()), told(await tab.get())]
        here.advance(880)
        found.append(told(await tab.get()))
        here.advance(21)
        found += [told(await tab.get()), told(await tab.get())]
    assert ["200 nothing"] * 4 + ["200 both", "200 nothing"] == found


async def test_a_superseded_token_is_answered_again_then_served_then_ends_the_session(world):
    async with world(risk=RiskPolicy(linger_generations=0)) as here:
        tab = await here.logged_in()
        here.advance(901)
        old = Browser(here.app)
        old.jar = tab.browser.jar
        found = [told(await tab.get())]
        found.append(told(await old.tab().ask()))  # nobody has used the successor yet
        found.append(told(await tab.get()))
        found.append(told(await old.tab().ask()))
        here.advance(31)
        found += [told(await old.tab().ask()), told(await tab.get())]
    assert [
        "200 both",
        "200 both",
        "200 nothing",
        "200 nothing",
        "401 rolled_back_client nothing",
        "401 rolled_back_client nothing",
    ] == found


async def test_a_session_ends_idle(world):
    async with world() as here:
        tab = await here.logged_in()
        here.advance(15 * DAY - HOUR)
        found = [told(await tab.get()), here.hours_left()]
        here.advance(15 * DAY + 60)
        found += [told(await tab.get()), here.hours_left()]
    assert ["200 both", 360, "401 session_expired nothing", None] == found


async def test_a_session_ends_after_ninety_days_however_busy(world):
    async with world() as here:
        tab, found = await here.logged_in(), []
        for _ in range(6):
            here.advance(14 * DAY)
            found.append((told(await tab.get()), here.hours_left()))
        here.advance(5 * DAY)
        found.append((told(await tab.get()), here.hours_left()))
        here.advance(DAY + 60)
        found.append((told(await tab.get()), here.hours_left()))
    left = [360] * 5 + [6 * 24, 24]
    assert [("200 both", hours) for hours in left] + [("401 session_expired nothing", None)] == found


async def test_a_key_lives_as_long_as_the_longest_of_its_sessions(world):
    """A key that was given its end before a leap, and is given a later one after it."""
    async with world() as here:
        found = []
        for _ in range(3):
            tab = await here.logged_in()
            found.append(here.hours_left())
            here.advance(5 * HOUR)
            found.append(here.hours_left())
        here.advance(15 * DAY - 7 * HOUR)
        found += [here.hours_left(), told(await tab.get()), here.hours_left()]
    assert [360, 355, 360, 355, 360, 355, 2, "200 both", 360] == found


async def test_a_login_is_fresh_for_five_minutes(world):
    async with world() as here:
        tab = await here.logged_in()
        found = [told(await tab.get("/fresh"))]
        here.advance(270)
        found.append(told(await tab.get("/fresh")))
        here.advance(31)
        found += [told(await tab.get("/fresh")), told(await tab.get())]
    assert ["204 nothing", "204 nothing", "401 step_up_required nothing", "200 nothing"] == found


async def test_a_tombstone_tells_for_a_day(world):
    async with world() as here:
        here.advance(3 * DAY)
        tab = await here.logged_in()
        await here.guard.revoke_all("user-1")
        found = [told(await tab.get()), here.hours_left(tombstone_key)]
        here.advance(DAY - 2 * HOUR)
        found += [told(await tab.get()), here.hours_left(tombstone_key), len(await here.guard.endings("user-1"))]
        here.advance(2 * HOUR + 60)
        found += [told(await tab.get()), here.hours_left(tombstone_key), len(await here.guard.endings("user-1"))]
    assert ["401 revoked nothing", 24, "401 revoked nothing", 2, 1, "401 session_ended nothing", None, 0] == found


async def test_who_comes_too_often_waits_until_the_clock_says_so(world):
    """The numbers are moments, and their key lives for a duration: both have to move."""
    async with world(limits=Limits(logins_per_user=Rate(2, per=DAY))) as here:
        here.advance(3 * DAY)
        await here.logged_in()
        tab = await here.logged_in()
        found = [told(await tab.post("/login")), here.hours_left(limit_key)]
        here.advance(11 * HOUR)
        found += [told(await tab.post("/login")), here.hours_left(limit_key)]
        here.advance(HOUR)
        found += [told(await tab.post("/login")), here.hours_left(limit_key), told(await tab.post("/login"))]
        here.advance(DAY + 60)
        found.append(here.hours_left(limit_key))
    limited = "429 rate_limited nothing"
    assert [limited, 24, limited, 13, "200 both", 24, limited, None] == found


async def test_the_tombstone_of_all_tells_of_those_that_had_begun_by_then(world):
    """The id of a session tells when it began, and is compared with the time of the burial."""
    async with world(max_sessions=200) as here:
        here.advance(HOUR)
        tabs = [await here.logged_in() for _ in range(101)]
        here.advance(HOUR)
        await here.guard.revoke_all("user-1")
        here.advance(HOUR)
        later = await here.logged_in()
        settings = here.guard.engine.settings
        with redis.Redis.from_url(settings.redis) as client:
            client.delete(session_key(settings.namespace, "user-1"))
        found = [told(await tabs[0].get()), told(await later.get())]
    assert ["401 revoked nothing", "401 session_ended nothing"] == found


async def test_of_too_many_sessions_the_one_that_rotated_longest_ago_ends(world):
    async with world(max_sessions=2) as here:
        first = await here.logged_in()
        here.advance(HOUR)
        second = await here.logged_in()
        here.advance(HOUR)
        found = [told(await first.get())]
        here.advance(HOUR)
        third = await here.logged_in()
        found += [told(await tab.get()) for tab in (first, second, third)]
    assert ["200 both", "200 both", "401 replaced nothing", "200 nothing"] == found


async def test_new_claims_come_with_the_next_request(world):
    async with world() as here:
        tab = await here.logged_in()
        here.advance(HOUR)
        found = [told(await tab.get())]
        await here.guard.update_claims("user-1", {"role": "guest"})
        renewed = await tab.get()
        found += [told(renewed), renewed.json()["claims"]]
    assert ["200 both", "200 token", {"role": "guest"}] == found


async def test_an_answer_that_leaves_late_is_looked_at_once_more(world):
    async with world() as here:
        tab = await here.logged_in()

        @here.app.app.on("/slow")
        async def slow(scope, receive, send):
            if await here.guard.sessions("user-1"):
                here.advance(5)
                await here.guard.revoke_all("user-1")
            await answer(send, 200)

        here.advance(901)
        found = [told(await tab.get("/slow")), told(await tab.get())]
    assert ["200 nothing", "401 revoked nothing"] == found


async def test_a_clock_that_is_read_only_now_and_then_follows_as_well(world):
    """The guard asks for the time at its first read, and again after a minute: here neither is a script's."""
    async with world(cache=False) as here:
        tab = await here.logged_in()
        here.advance(120)
        found = [told(await tab.get())]
        here.advance(120)
        found += [told(await tab.get()), here.guard.engine.store.clock.now_ms() // 1000 - began(here, tab)]
    assert found[:2] == ["200 nothing", "200 nothing"]
    assert 240 <= found[2] <= 300


def began(here: World, tab: Tab) -> int:
    return here.guard.engine.codec.read_refresh(tab.browser.jar).iat


# --- All other stories

# What the guard counts in: grace, two graces, freshness, access, a day, idle, absolute.
BOUNDS = [30, 60, 300, 900, DAY, 15 * DAY, 90 * DAY]
STEPS = [0] * 8 + [35, 35, 70, 70, 330, 950, 950, 950, 950, 3 * HOUR, DAY + 100, 7 * DAY, 16 * DAY]
# How much later than another one a moment may be in one of the worlds: time that the machine took.
SLACK = 12


def script_of(seed: int) -> list[tuple[int, str, int]]:
    """Forty steps: how much time passes, who does what; no moment is so near to a bound that a slow machine could tell."""
    dice, moments, steps = random.Random(seed), [0], []
    while len(steps) < 40:
        wait = dice.choice(STEPS)
        now = moments[-1] + wait
        if any(bound - SLACK < now - then <= bound for then in moments for bound in BOUNDS):
            continue
        moments.append(now)
        action = dice.choice(["get", "get", "get", "get", "old", "page", "login", "fresh", "list", "claims", "lost", "revoke"])
        steps.append((wait, action, dice.randrange(3)))
    return steps


async def play(here: World, steps: list[tuple[int, str, int]]) -> list[str]:
    """Three browsers of one user live through *steps*; who is nobody logs in, and each keeps its last cookie but one."""
    tabs = [Browser(here.app).tab() for _ in range(3)]
    old = [Browser(here.app) for _ in tabs]
    nobody = {0, 1, 2}
    transcript = []
    for wait, action, number in steps:
        if wait:
            here.advance(wait)
        tab, before = tabs[number], tabs[number].browser.jar
        match "login" if number in nobody else action:
            case "get":
                word = told(await tab.get())
            case "page":
                word = told(await tab.get(kind="page"))
            case "login":
                word = told(await tab.post("/login"))
                nobody.discard(number)
            case "fresh":
                word = told(await tab.get("/fresh"))
            case "lost":
                word = told(await tab.ask())
            case "old":
                word = told(await old[number].tab().ask())
            case "list":
                word = str(len(await here.guard.sessions("user-1")))
            case "claims":
                word = str(await here.guard.update_claims("user-1", {"n": wait}))
            case "revoke":
                word = str(await here.guard.revoke_others("user-1", session_of(here, tab)))
        if action in {"get", "page"} and word.startswith("401"):
            nobody.add(number)
        if tab.browser.jar != before:
            old[number].jar = before
        transcript.append(f"{wait} {action} {number}: {word}; {here.hours_left()} {here.hours_left(tombstone_key)}")
    return transcript


def session_of(here: World, tab: Tab) -> str:
    return "" if tab.browser.jar is None else here.guard.engine.codec.read_refresh(tab.browser.jar).sid


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_happens_under_both_clocks(server, still, options, seed):
    steps = script_of(seed)
    more = {"risk": RiskPolicy(linger_generations=0)}  # lingering counts from 5 s on, which a slow machine may take
    transcripts = []
    for make, where in ((on_a_server_that_travels, server), (under_a_testing_clock, still)):
        async with make(where, options, **more) as here:
            transcripts.append(await play(here, steps))
    assert transcripts[0] == transcripts[1]


# --- What it stands on


def test_no_script_says_a_moment_in_a_way_that_is_not_translated():
    """A command that takes or gives a moment would have to be translated as TIME and EXPIREAT are."""
    texts = [each.text for each in vars(scripts).values() if isinstance(each, scripts.Script)]
    called = set(re.findall(r"redis\.p?call\('(\w+)'", "".join(texts)))
    durations = {"TTL", "PTTL", "EXPIRE", "PEXPIRE"}
    timeless = {"DEL", "HDEL", "HGET", "HGETALL", "HKEYS", "HLEN", "HSET"}
    assert {"TIME", "EXPIREAT", "INFO"} == called - durations - timeless
    known = r"redis\.p?call\('|redis\.sha1hex\("
    assert all("redis." not in re.sub(known, "", text) for text in texts)


def test_the_face_of_a_connector_is_whole():
    """Of its base it has no more than that: what it leaves out would look into what is not there."""
    face = {name for name in vars(Connector) if not name.startswith("_")}
    assert face == {name for name in vars(TravellingConnector) if not name.startswith("_")}
