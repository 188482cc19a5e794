"""I7, I8, I9 in single steps through the guard; the searches and simulations are in `tests/core` and `tests/stories`."""

from __future__ import annotations

import asyncio

import pytest
from support.actors import COOKIE, METADATA, Browser, Thief
from support.forge import claims_of
from support.stage import carried
from support.wire import call


def copy_of(tab):
    """The same browser with its jar as it is now, in a page that holds no access token."""
    browser = Browser(tab.browser.app)
    browser.jar = tab.browser.jar
    return browser.tab()


async def settled(stage, tab, *, by="token"):
    """The tab rotates, its successor is seen by its access token or by its cookie, and the grace passes."""
    old = copy_of(tab)
    assert "both" == carried(await tab.get())
    if by == "cookie":
        tab.reload()
    assert 200 == (await tab.get()).status
    stage.clock.advance(31)
    return old


async def test_i7_of_many_simultaneous_presentations_one_rotates_and_all_have_the_same_successor(stage):
    tab = await stage.expired()
    tabs = [copy_of(tab) for _ in range(20)]
    answers = await asyncio.gather(*(each.ask() for each in tabs))
    assert {(200, "both")} == {(answer.status, carried(answer)) for answer in answers}
    assert (1, 1) == (len({answer.cookie() for answer in answers}), len({answer.new_token for answer in answers}))
    assert 1 == (await stage.head(tab.take(answers[0]) and tab)).gen


async def test_i7_a_second_presentation_of_the_head_rotates_nothing(stage):
    tab = await stage.expired()
    await tab.get()
    for _ in range(3):
        tab.reload()
        assert "token" == carried(await tab.get())
    assert 1 == (await stage.head(tab)).gen


@pytest.mark.parametrize("later", [1, 100, 10_000, 14 * 86_400])
async def test_i8_a_lost_answer_heals_without_a_time_limit(stage, later):
    tab = await stage.expired()
    lost = await tab.ask()
    stage.clock.advance(later)
    again = await tab.ask()
    assert (200, lost.cookie()) == (again.status, again.cookie())
    assert 200 == (await tab.get()).status
    assert claims_of(lost.cookie())["sid"] == claims_of(tab.browser.jar)["sid"]


async def test_i8_the_successor_is_healed_until_it_is_seen_and_no_longer(stage):
    tab = await stage.expired()
    old = copy_of(tab)
    await tab.get()
    assert "both" == carried(await old.ask())
    await tab.get()  # its access token: the successor has arrived
    assert (200, "nothing") == ((straggler := await old.ask()).status, carried(straggler))


@pytest.mark.parametrize("kind", ["bare", "fetch", "page", "image"])
@pytest.mark.parametrize("by", ["token", "cookie"])
async def test_i9_whoever_shows_a_superseded_cookie_once_the_successor_has_settled_ends_it_for_both(stage, by, kind):
    tab = await stage.expired()
    old = await settled(stage, tab, by=by)
    result = await old.ask(kind=kind)
    assert (401, "nothing") == (result.status, carried(result))
    assert result.code in {"reuse_detected", "rolled_back_client"}
    assert await stage.head(tab) is None
    assert 401 == (await tab.ask()).status, "the owner is signed out as well: which of the two is the thief nobody can tell"
    assert [] == await stage.guard.sessions("user-1")


async def test_i9_a_thief_with_strings_of_his_own_is_called_one(stage):
    tab = await stage.expired()
    thief = Thief(tab.browser)
    await settled(stage, tab)
    assert "reuse_detected" == (await thief.get()).code
    assert "reuse_detected" == (await tab.get()).code


async def test_i9_a_cookie_from_before_the_predecessor_ends_it_at_once(stage):
    tab = await stage.expired()
    oldest = copy_of(tab)
    await settled(stage, tab)
    stage.clock.advance(901)
    assert "both" == carried(await tab.get())
    assert 401 == (await oldest.ask()).status
    assert await stage.head(tab) is None


async def test_i9_a_straggler_within_the_grace_is_served_and_does_not_prolong_it(stage):
    tab = await stage.expired()
    old = copy_of(tab)
    await tab.get()
    await tab.get()
    for _ in range(2):
        stage.clock.advance(14)
        assert (200, "nothing") == ((result := await old.ask()).status, carried(result))
    stage.clock.advance(3)
    assert 401 == (await old.ask()).status


async def test_i9_a_reuse_on_an_optional_path_ends_it_too(stage):
    tab = await stage.expired()
    old = await settled(stage, tab)
    headers = [*METADATA["bare"].items(), ("cookie", f"{COOKIE}={old.browser.jar}")]
    assert 200 == (await call(stage.app, "GET", "/open/x", headers)).status
    assert await stage.head(tab) is None
