"""Limits: whoever comes too often is told to wait and for how long; nobody is signed out by one, and no thief is spared."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.responses import HTMLResponse
from support.actors import COOKIE, METADATA, Browser, Thief
from support.sockets import Peer, Room, cookie_of
from support.stage import answer, carried, staged
from support.wire import call

from asgi_tokenguard import (
    Durability,
    FixedLocator,
    Limits,
    Place,
    Rate,
    RateLimited,
    RiskPolicy,
    TokenGuardMiddleware,
    get_auth,
)

ONE = Rate(1, per=600)
TIGHT = Limits(presentations_per_session=ONE)


@pytest.fixture
def stage(options, clock):
    return lambda limits=TIGHT, **more: staged(options, clock, limits=limits, **more)


def told(result):
    return f"{result.status} {result.code} {carried(result)}"


LIMITED = "429 rate_limited nothing"


async def used_up(where):
    """A tab whose session has just used up its presentations; its access token is over."""
    tab = await where.expired()
    assert "both" == carried(await tab.get())
    tab.reload()
    return tab


# --- What is answered


async def test_who_presents_a_cookie_too_often_is_told_how_long_to_wait_and_then_served(stage, clock):
    async with stage(Limits(presentations_per_session=Rate(3, per=600))) as where:
        tab = await where.logged_in()
        began = clock.time()
        for _ in range(3):
            tab.reload()
            assert "200 None token" == told(await tab.get())
        tab.reload()
        result = await tab.get()
        assert (LIMITED, ["no-store"]) == (told(result), result.all("cache-control"))
        wait = int(result.get("retry-after"))
        assert 200 - (clock.time() - began) <= wait <= 200
        clock.advance(wait - 10)  # not before
        result = await tab.get()
        assert LIMITED == told(result)
        assert 1 <= (left := int(result.get("retry-after"))) <= 10
        clock.advance(left)
        assert "200 None token" == told(await tab.get())
        assert LIMITED == told(await tab.ask(token=False))  # one every 200 s from here on


async def test_a_live_access_token_is_never_limited(stage):
    """However often it is sent: the cookie is not presented then."""
    async with stage(strict=["/strict"]) as where:
        tab = await where.expired()
        await tab.get()
        for path in ("/me", "/strict") * 10:
            assert 200 == (await tab.get(path)).status
        assert LIMITED == told(await tab.ask(token=False))


async def test_nothing_of_a_limited_request_reaches_the_app_or_the_browser(stage):
    async with stage() as where:
        tab = await used_up(where)
        where.clock.advance(901)
        await tab.get()  # and this one is counted
        before, calls = await where.head(tab), where.handlers.calls["/me"]
        for kind in ("fetch", "page", "form", "image", "bare", "prefetch"):
            result = await tab.ask(token=False, kind=kind)
            assert (LIMITED, []) == (told(result), result.all("set-cookie"))
        assert calls == where.handlers.calls["/me"]
        assert before.gen == (await where.head(tab)).gen


@pytest.mark.parametrize("kind", ["image", "page", "frame", "events", "prefetch", "fetch"])
async def test_those_who_receive_nothing_count_as_well(stage, kind):
    """Else a thief would ride along as an image."""
    async with stage() as where:
        tab = await where.logged_in()
        assert 200 == (await tab.ask(token=False, kind=kind)).status
        assert LIMITED == told(await tab.ask(token=False, kind=kind))


async def test_a_renderer_that_takes_no_rotation_counts_as_well(stage):
    async with stage() as where:
        tab = await where.logged_in()
        off = {"x-token-rotation": "off"}
        assert [200, 429] == [(await tab.ask(token=False, kind="bare", headers=off)).status for _ in range(2)]


async def test_on_an_optional_path_it_is_no_stranger_who_waits(stage):
    """As nobody, a tab would seem signed out for a moment."""
    async with stage(sign_in="/login") as where:
        tab = await where.logged_in()
        for kind in ("fetch", "page"):
            tab.reload()
            await tab.get("/open/x")
            assert LIMITED == told(await tab.ask("/open/x", token=False, kind=kind))


async def test_a_document_is_not_sent_to_sign_in_and_an_app_words_its_page(stage):
    async with stage(sign_in="/login", on_refusal=lambda _, refusal: HTMLResponse(f"wait {refusal.retry_after}")) as where:
        tab = await where.logged_in()
        await tab.ask(token=False)
        result = await tab.ask(token=False, kind="page")
        wait = result.get("retry-after")
        assert (429, f"wait {wait}".encode(), None) == (result.status, result.body, result.get("location"))


@pytest.mark.parametrize("denials", [True, False])
async def test_a_handshake_on_the_cookie_is_a_presentation(stage, denials):
    async with stage() as where:
        app = TokenGuardMiddleware(Room(), guard=where.guard)
        tab = await where.logged_in()
        async with Peer(app, headers=cookie_of(tab)) as peer:
            await peer.accepted()
            assert "user-1" == (await peer.says())["subject"]
            async with Peer(app, headers=cookie_of(tab), denials=denials) as refused:
                assert (429 if denials else 403, "rate_limited") == await refused.refusal()
                if denials:
                    assert b"retry-after" in dict(refused.sent[0]["headers"])
            assert "user-1" == (await peer.says())["subject"]  # and the open one goes on


async def test_mounted_endpoints_are_limited_and_say_so_but_for_logout(stage):
    async with stage(endpoints="/auth") as where, stage(None, endpoints="/auth") as off:
        described, usual = [(await call(each.app, "GET", "/auth/openapi.json")).json() for each in (where, off)]
        assert [] == list(OpenAPIV31SpecValidator(described).iter_errors())
        assert "429" not in str(usual)
        limited = {path for path, all_ in described["paths"].items() for each in all_.values() if "429" in each["responses"]}
        assert {"/auth/sessions", "/auth/sessions/{sid}", "/auth/refresh"} == limited
        refusal = described["paths"]["/auth/refresh"]["post"]["responses"]["429"]
        assert (["rate_limited"], ["Retry-After"]) == (
            list(refusal["content"]["application/json"]["examples"]),
            list(refusal["headers"]),
        )
        tab = await where.logged_in()
        assert [204, 429] == [(await tab.ask("/auth/refresh", method="POST", token=False)).status for _ in range(2)]
        assert 204 == (await tab.ask("/auth/logout", method="POST", token=False)).status
        assert [] == await where.guard.sessions("user-1")


async def test_limits_of_logins_alone_are_none_of_the_endpoints(stage):
    async with stage(Limits(logins_per_user=ONE), endpoints="/auth") as where:
        assert "429" not in (await call(where.app, "GET", "/auth/openapi.json")).body.decode()


# --- Logins


async def test_a_login_too_many_is_429_and_the_session_before_it_lives_on(stage):
    async with stage(Limits(logins_per_user=Rate(2, per=600))) as where:
        tab = await where.logged_in()
        await tab.post("/login")
        (session,) = await where.guard.sessions("user-1")
        result = await tab.post("/login")
        assert (LIMITED, []) == (told(result), result.all("set-cookie"))
        assert 200 == (await tab.get()).status
        assert [session.id] == [each.id for each in await where.guard.sessions("user-1")]
        tab.reload()
        assert 200 == (await tab.get()).status
        assert 200 == (await Browser(where.app).tab().post("/login?user=user-2")).status
        where.clock.advance(int(result.get("retry-after")))
        assert "200 None both" == told(await tab.post("/login"))


async def test_a_login_too_many_leaves_another_users_session_in_that_browser_alone(stage):
    """Two users share a computer; the second one's login has to wait, and the first one is not signed out by that."""
    async with stage(Limits(logins_per_user=ONE)) as where:
        await where.logged_in("user-2")
        tab = await where.logged_in("user-1")
        assert LIMITED == told(await tab.post("/login?user=user-2"))
        assert "user-1" == (await tab.get()).json()["subject"]
        where.clock.advance(600)
        assert 200 == (await tab.post("/login?user=user-2")).status
        assert [] == await where.guard.sessions("user-1")


async def test_a_login_that_waits_is_not_told_that_replicas_are_missing(stage):
    """Nothing of it could be lost.  One that was not confirmed has been counted: it was a login."""
    careful = Durability(login="replicated", timeout=0.05)
    async with stage(Limits(logins_per_user=ONE), durability=careful) as where:
        found = [told(await Browser(where.app).tab().post("/login")) for _ in range(2)]
        assert ["503 not_confirmed nothing", LIMITED] == found


async def test_a_login_that_cannot_end_another_users_session_is_none(stage):
    """Nobody was told of it, so that it is not listed either."""
    async with stage(None, durability=Durability(revocation="replicated", timeout=0.05)) as where:
        tab = await where.logged_in("user-1")
        assert "503 not_confirmed nothing" == told(await tab.post("/login?user=user-2"))
        assert [] == await where.guard.sessions("user-2")


async def test_an_app_may_catch_it_and_a_rotation_on_the_way_in_still_leaves(stage):
    async with stage(Limits(logins_per_user=Rate(1, per=3600))) as where:

        @where.on("/again")
        async def again(scope, receive, send):
            try:
                await get_auth(scope).login("user-1")
            except RateLimited as limited:
                await answer(send, 200, {"wait": limited.retry_after})

        tab = await where.expired()
        result = await tab.post("/again")
        assert ("both", True) == (carried(result), 2600 < result.json()["wait"] < 2700)
        assert 200 == (await tab.get()).status


async def test_logins_from_one_network_count_together_and_others_do_not(stage):
    async with stage(Limits(logins_per_address=ONE)) as where:
        asked = ["192.0.2.7", "192.0.2.200", "198.51.100.1", "2001:db8:1::1", "2001:db8:1::ffff", "2001:db8:1:1::1"]
        found = [(await Browser(where.app, address=address).tab().post("/login")).status for address in asked]
        assert [200, 429, 200, 200, 429, 200] == found


# --- Nobody is signed out


@pytest.mark.parametrize("seed", range(3))
async def test_ten_tabs_under_a_tight_limit_are_never_signed_out(stage, seed):
    """Hours of reloads, ten at once, answers that are lost, two requests a minute: some wait, none hears 401."""
    dice = random.Random(seed)
    async with stage(Limits(presentations_per_session=Rate(2, per=60), presentations_per_user=Rate(3, per=60))) as where:
        first = await where.logged_in()
        tabs = [first, *(first.browser.tab() for _ in range(9))]
        statuses = []
        for _ in range(60):
            where.clock.advance(dice.choice([0, 1, 5, 29, 31, 60, 901]))
            asking = dice.sample(tabs, dice.randint(1, 10))
            for tab in asking:
                if dice.random() < 0.5:
                    tab.reload()
            answers = await asyncio.gather(*(tab.ask(kind=dice.choice(["fetch", "fetch", "page", "image"])) for tab in asking))
            for tab, result in zip(asking, answers, strict=True):
                statuses.append(result.status)
                if dice.random() < 0.8:
                    tab.take(result)
            await where.quiet()
        assert {200, 429} == set(statuses)
        where.clock.advance(60)
        assert 200 == (await first.get()).status


async def test_i8_a_lost_answer_heals_also_where_the_next_ones_have_to_wait(stage):
    async with stage() as where:
        tab = await where.expired()
        lost = await tab.ask()
        for _ in range(3):
            assert LIMITED == told(await tab.ask())
        where.clock.advance(14 * 86_400)
        again = await tab.get()
        assert (200, lost.cookie()) == (again.status, again.cookie())


async def test_a_step_up_and_its_password_are_one_presentation_each(stage):
    """The second look at a cookie that was doubted is not limited: it has been counted."""
    towns = FixedLocator({"192.0.2.0/24": Place(latitude=52.5, longitude=13.4, city="Berlin")})
    limits = Limits(presentations_per_user=Rate(2, per=600))
    async with stage(limits, locator=towns, risk=RiskPolicy(unknown="step_up"), reauthentication=["/confirm"]) as where:

        @where.on("/confirm")
        async def confirm(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        tab = await where.expired()
        tab.browser.address = "203.0.113.1"
        assert "step_up_required" == (await tab.get()).code
        assert 200 == (await tab.post("/confirm")).status
        assert 200 == (await tab.get()).status
        tab.reload()
        assert LIMITED == told(await tab.get())


# --- Nobody is spared


def copy_of(tab):
    browser = Browser(tab.browser.app)
    browser.jar = tab.browser.jar
    return browser.tab()


@pytest.mark.parametrize("kind", ["bare", "image", "page"])
async def test_i9_reuse_is_found_while_the_limit_is_used_up(stage, kind):
    """A thief who polls is limited, and still ends the session by the first token that is too old."""
    async with stage() as where:
        tab = await where.expired()
        thief = copy_of(tab)
        assert "both" == carried(await tab.get())
        await tab.get()  # the successor is seen
        assert LIMITED == told(await thief.ask(kind=kind)), "within the grace he is told to wait"
        where.clock.advance(31)
        result = await thief.ask(kind=kind)
        assert (401, True) == (result.status, result.code in {"reuse_detected", "rolled_back_client"})
        assert await where.head(tab) is None


async def test_i9_who_keeps_the_limit_used_up_does_not_keep_a_successor_unseen(stage):
    """
    A server-rendered app: the owner has nothing but the cookie, and the thief uses every presentation up.

    That the owner's cookie came back counts although he has to wait: else the thief would be handed the successor for ever.
    """
    async with stage() as where:
        tab = await where.expired()
        thief = Thief(tab.browser)
        assert "cookie" == carried(await tab.get(kind="page"))
        assert LIMITED == told(await tab.get(kind="page"))
        assert (await where.head(tab)).seen
        where.clock.advance(600)
        assert "reuse_detected" == (await thief.get()).code


async def test_a_limited_visit_asks_no_locator(stage):
    """What a look-up costs is not a thief's to spend."""

    class Counting:
        asked = 0

        async def locate(self, address):
            self.asked += 1

        async def aclose(self):
            pass

    locator = Counting()
    async with stage(locator=locator) as where:
        tab = await where.expired()
        thief = Thief(tab.browser).own
        thief.address = "203.0.113.1"
        found = []
        for _ in range(5):
            found.append((await thief.tab().get(kind="bare")).status)
            await where.quiet()
        assert [401, 429, 429, 429, 429] == found
        assert locator.asked <= 4  # two places for one judgement; the rest is for the list of sessions


async def test_a_mismatch_of_users_counts_for_the_cookie(stage):
    """Beside somebody else's access token a copy cannot be tried more often, either."""
    async with stage(cache=False) as where:
        tab = await where.logged_in()
        other = await where.logged_in("user-2")
        where.clock.advance(901)
        headers = [
            *METADATA["bare"].items(),
            ("cookie", f"{COOKIE}={tab.browser.jar}"),
            ("authorization", f"Bearer {other.token}"),
        ]
        found = [(await call(where.app, "GET", "/me", headers)).code for _ in range(2)]
        assert ["session_mismatch", "rate_limited"] == found


async def test_a_thief_elsewhere_uses_up_what_is_his_networks_and_the_owner_goes_on(stage):
    """Why `presentations_per_address` is the first to choose: per session, the owner would have to wait with him."""
    for limits, expected in ((Limits(presentations_per_address=ONE), 200), (TIGHT, 429)):
        async with stage(limits, namespace=f"elsewhere-{expected}") as where:
            tab = await where.logged_in()
            thief = Browser(where.app, address="198.51.100.1")
            thief.jar = tab.browser.jar
            for _ in range(5):
                await thief.tab().get(kind="bare")
            tab.reload()
            assert expected == (await tab.get()).status


async def test_what_many_processes_count_is_one_number(stage):
    async with stage() as where:
        tab = await where.logged_in()
        async with where.another_process() as guard:
            apps = itertools.cycle([where.app, TokenGuardMiddleware(where.handlers, guard=guard)])
            found = []
            for _ in range(4):
                tab.browser.app = next(apps)
                found.append((await tab.ask(token=False)).status)
        assert [200, 429, 429, 429] == found
