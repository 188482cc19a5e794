"""Pages that the back button brings back from memory, with the token that they held when they were left."""

from __future__ import annotations

import pytest
from browser.pages import app, ask, eventually, signed_in, signed_in_app, tab
from playwright.async_api import Error

pytestmark = [pytest.mark.thorough, pytest.mark.asyncio(loop_scope="session")]


async def by_hand(context, house, user=None):
    return await (tab(context, house.url) if user is None else signed_in(context, house, user))


async def with_the_client(context, house, user=None):
    return await (app(context, house) if user is None else signed_in_app(context, house, user))


@pytest.fixture(params=[by_hand, with_the_client])
def enter(request):
    """Opens a tab, signed in as its user or, without one, as whoever is."""
    return request.param


WATCH = "addEventListener('pageshow', event => { window.restored = event.persisted })"


async def left(page, house, attacker):
    """*page* is left for another site; the session's access token ends meanwhile."""
    await page.evaluate(WATCH)
    await page.goto(attacker.far)
    house.let_access_expire()


async def back(page):
    """The same page again, with its memory: `persisted`, so that no story passes on a page that was loaded anew."""

    async def is_restored():
        try:
            return await page.evaluate("window.restored === true")
        except Error:  # asked just when one document gave way to the other
            return False

    await page.evaluate("void setTimeout(() => history.back())")
    await eventually(is_restored)


async def test_a_page_from_memory_goes_on_with_its_next_request(context, house, attacker, enter):
    page = await enter(context, house, "user-1")
    memory = await page.evaluate("window.memory = Math.random()")
    await left(page, house, attacker)
    await back(page)
    assert memory == await page.evaluate("memory")
    if enter is with_the_client:  # it has asked by itself
        await eventually(lambda: page.evaluate("client.state.rotations"))
    answered = await ask(page)
    assert (200, enter is by_hand) == (answered.status, answered.token)
    assert 1 == house.rotations()


async def test_its_token_is_generations_behind_and_the_cookie_is_not(context, house, attacker, enter):
    """
    Other tabs have gone on meanwhile.  Their cookie is the browser's, so that nothing superseded is presented.
    """
    page = await enter(context, house, "user-1")
    await left(page, house, attacker)
    other = await enter(context, house)
    for _ in range(3):
        assert 200 == (await ask(other)).status
        house.let_access_expire()
    await back(page)
    assert (200, "user-1") == ((answered := await ask(page)).status, answered.body["subject"])
    assert (200, "user-1") == ((answered := await ask(other)).status, answered.body["subject"])
    assert 4 == house.rotations()


async def test_after_a_logout_the_page_from_memory_is_nobodys(context, house, attacker, enter):
    page = await enter(context, house, "user-1")
    await page.evaluate(WATCH)
    await page.goto(attacker.far)
    other = await enter(context, house)
    assert 204 == (await ask(other, "/logout", method="POST")).status
    await back(page)
    answered = await ask(page)
    assert (401, False) == (answered.status, answered.token)


async def test_after_a_logout_the_client_hears_of_it_when_its_page_is_back(context, house, attacker):
    """
    The back button on somebody's desk: the tab in which they have logged out is closed, so that only the server can tell.
    """
    page = await with_the_client(context, house, "user-1")
    await page.evaluate(WATCH)
    await page.goto(attacker.far)
    other = await with_the_client(context, house)
    await other.evaluate("client.logout()")
    await other.close()
    await back(page)
    await eventually(lambda: page.evaluate("signedOut.length"))
    assert [["logged_out", True]] == await page.evaluate("signedOut.map(each => [each.code, each.here])")
    assert await page.evaluate("client.authorization() === null")


async def test_a_page_from_memory_never_becomes_another_users(context, house, attacker, enter):
    """
    Somebody else has signed in in this browser: what the page shows is the first user's, so it must not act as the second.
    """
    page = await enter(context, house, "user-1")
    await left(page, house, attacker)
    await enter(context, house, "user-2")
    await back(page)
    answered = await ask(page, "/transfer", method="POST")
    assert 401 == answered.status
    assert 0 == house.handlers.calls["/transfer"]
    await page.reload()
    assert "user-2" == (await ask(page)).body["subject"]
