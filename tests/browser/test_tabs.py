"""Many tabs of one browser, each with the client, on one session."""

from __future__ import annotations

import asyncio

import pytest
from browser.house import PATIENCE
from browser.pages import app, ask, eventually, race, refresh_cookie, signed_in_app
from support.forge import claims_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABS = 10
LIFETIMES = 30


async def loaded(page, url):
    await page.goto(url)
    return await page.evaluate("loaded")


async def generations(pages):
    """Of which generation the tokens of *pages* are."""
    return {await page.evaluate("client.state.claims?.gen ?? null") for page in pages}


@pytest.mark.parametrize(
    "path", ["open/app", pytest.param("app", marks=pytest.mark.thorough)], ids=["public pages", "guarded pages"]
)
async def test_i7_ten_tabs_that_load_at_once_rotate_once(context, house, path):
    """
    The morning after: a browser restores its windows, and every page asks for everything at once.
    """
    await signed_in_app(context, house)
    pages = [await context.new_page() for _ in range(TABS)]
    for morning in range(1, 4):
        house.let_access_expire()
        answers = await race(house, "/me", *(loaded(page, f"{house.url}/{path}/{number}") for number, page in enumerate(pages)))
        assert [200] * TABS == [answer["status"] for answer in answers]
        assert {"user-1"} == {answer["body"]["subject"] for answer in answers}
        await _ask_once_more(pages, morning)
        assert morning == house.rotations()
        assert {morning} == await generations(pages)
        assert morning == claims_of((await refresh_cookie(context))["value"])["gen"]
    assert [[]] * TABS == [await page.evaluate("signedOut") for page in pages]


@pytest.mark.parametrize(
    "channel", ["tokenguard", pytest.param(False, marks=pytest.mark.thorough)], ids=["sharing", "each for itself"]
)
async def test_i7_ten_tabs_that_ask_at_once_rotate_once(context, house, channel):
    """
    All of them hold the access token that is over.
    """
    await signed_in_app(context, house)
    pages = await asyncio.gather(*(app(context, house, str(number), channel=channel) for number in range(TABS)))
    for time in range(1, 4):
        house.let_access_expire()
        # Three calls of each tab, none of which waits for another.
        asking = [ask(page, f"/me?{number}") for page in pages for number in range(3)]
        assert [200] * 3 * TABS == [answered.status for answered in await race(house, "/me", *asking)]
        await _ask_once_more(pages, time)
        assert time == house.rotations()
        await eventually(lambda: _all_hold(pages, time))  # noqa: B023 (awaited in this round)
    assert [[]] * TABS == [await page.evaluate("signedOut") for page in pages]


async def _ask_once_more(pages, generation):
    """A tab whose calls all came after another one was back with the new token is served, and given it at its next call."""
    for page in pages:
        if {generation} != await generations([page]):
            assert 200 == (await ask(page)).status


async def _all_hold(pages, generation):
    return {generation} == await generations(pages)


@pytest.mark.thorough
@pytest.mark.parametrize("channel", ["tokenguard", False], ids=["sharing", "each for itself"])
async def test_i7_two_tabs_in_turn_for_thirty_lifetimes_never_ping_pong(context, house, channel):
    one = await signed_in_app(context, house, channel=channel)
    other = await app(context, house, "other", channel=channel)
    for lifetime in range(1, LIFETIMES + 1):
        house.let_access_expire()
        first, second = (one, other) if lifetime % 2 else (other, one)
        for page in (first, second, first, second):
            assert 200 == (await ask(page)).status
        assert lifetime == house.rotations()
        house.advance(house.lifetimes.access / 2)
        assert 200 == (await ask(second)).status
        assert lifetime == house.rotations()
    assert [[], []] == [await page.evaluate("signedOut") for page in (one, other)]


async def test_what_one_tab_is_handed_the_others_use(context, house):
    one = await signed_in_app(context, house)
    others = [await app(context, house, str(number)) for number in range(3)]
    house.let_access_expire()
    assert (200, True) == ((answered := await ask(one, "/change", method="POST")).status, answered.token)
    await eventually(lambda: _all_hold(others, 1))
    before = len(house.log)
    assert [200] * 3 == [(await ask(page)).status for page in others]
    assert ["nothing"] * 3 == [exchange.carried for exchange in house.log[before:]]


async def test_a_new_tab_is_given_the_token_by_those_that_are_open(context, house):
    await signed_in_app(context, house)
    await app(context, house, "new", tabPatience=1000 * PATIENCE)  # on a busy machine a tab may take its time to answer
    assert house.exchanges("/me")[-1].sent["authorization"].startswith("Bearer ")
    assert "nothing" == house.exchanges("/me")[-1].carried


async def test_a_logout_is_told_in_every_tab_once(context, house):
    pages = [await signed_in_app(context, house), await app(context, house, "2"), await app(context, house, "3")]
    await pages[1].evaluate("client.logout()")
    for number, page in enumerate(pages):
        await eventually(lambda: page.evaluate("signedOut.length"))  # noqa: B023 (awaited in this round)
        told = await page.evaluate("signedOut")
        assert [("logged_out", number == 1)] == [(each["code"], each["here"]) for each in told]
        assert await page.evaluate("client.authorization() === null")
        assert 401 == (await ask(page)).status
    assert [1, 1, 1] == [await page.evaluate("signedOut.length") for page in pages]
    # And back: whoever signs in anew is signed in everywhere.
    assert 200 == (await ask(pages[0], "/login", method="POST")).status
    await eventually(lambda: pages[2].evaluate("client.authorization() !== null"))
    assert "user-1" == (await ask(pages[2])).body["subject"]
