"""A service worker stands between the page and the guard, and answers out of its cache."""

from __future__ import annotations

import pytest
import pytest_asyncio
from browser.house import opened
from browser.pages import FORM, app, ask, refresh_cookie, signed_in_app, tab

pytestmark = [pytest.mark.thorough, pytest.mark.asyncio(loop_scope="session")]

REGISTER = """async (name) => {
  await navigator.serviceWorker.register(`/open/${name}`, {scope: "/"});
  await navigator.serviceWorker.ready;
  if (!navigator.serviceWorker.controller)
    await new Promise(resolve => navigator.serviceWorker.addEventListener("controllerchange", resolve));
  return navigator.serviceWorker.controller.state;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def page(context, house):
    page = await signed_in_app(context, house)
    assert "activat" in await page.evaluate(REGISTER, "worker.js")
    return page


async def test_an_old_answer_out_of_its_cache_brings_no_old_token_back(house, page):
    house.let_access_expire()
    assert (200, True) == ((answered := await ask(page, "/kept")).status, answered.token)
    house.let_access_expire()
    assert (200, True) == ((answered := await ask(page)).status, answered.token)
    newer = await page.evaluate("client.state.claims")

    assert (200, True) == ((answered := await ask(page, "/kept")).status, answered.token)
    assert 1 == len(house.exchanges("/kept")), "the second answer came out of the cache, its header too"
    assert newer == await page.evaluate("client.state.claims")
    assert (200, False) == ((answered := await ask(page)).status, answered.token)
    assert 2 == house.rotations()


async def test_a_kept_answer_of_a_session_that_is_over_brings_nobody_back(house, page):
    house.let_access_expire()
    assert (200, True) == ((answered := await ask(page, "/kept")).status, answered.token)
    await page.evaluate("client.logout()")
    assert (200, True) == ((answered := await ask(page, "/kept")).status, answered.token)
    assert 1 == len(house.exchanges("/kept"))
    assert await page.evaluate("client.authorization() === null")
    assert 401 == (await ask(page)).status


async def test_pages_that_come_through_it_rotate_as_others_do(context, house, page):
    before = await refresh_cookie(context)
    house.let_access_expire()
    await page.goto(f"{house.url}/app/guarded")
    (document,) = house.exchanges("/app/guarded")
    assert (200, "cookie") == (document.status, document.carried)
    assert 200 == (await page.evaluate("loaded"))["status"]
    assert await page.evaluate("navigator.serviceWorker.controller !== null")
    assert before != await refresh_cookie(context)
    assert 1 == house.rotations()


async def test_i1_forms_of_others_that_come_through_it_are_refused(context, house, page, attacker):
    """
    The careless worker passes everything on.  Chromium goes on saying who has sent it.
    """
    before = await refresh_cookie(context)
    house.let_access_expire()
    for number, url in enumerate((attacker.far, attacker.near)):
        evil = await tab(context, url)
        async with evil.expect_navigation(url=f"{house.url}/transfer/{number}"):
            await evil.evaluate(FORM, f"{house.url}/transfer/{number}")
        (sent,) = house.exchanges(f"/transfer/{number}")
        assert ("empty", (401, 403)[number]) == (sent.sent["sec-fetch-dest"], sent.status)
        assert 0 == house.handlers.calls[f"/transfer/{number}"]
    assert (before, 0) == (await refresh_cookie(context), house.rotations())


async def test_a_login_by_form_works_through_it(context, house, page):
    await page.evaluate("client.logout()")
    async with page.expect_navigation(url=f"{house.url}/login?user=user-2"):
        await page.evaluate(FORM, f"{house.url}/login?user=user-2")
    (*_, sent) = house.exchanges("/login")
    assert ("empty", 200, "cookie") == (sent.sent["sec-fetch-dest"], sent.status, sent.carried)
    await page.goto(f"{house.url}/app/guarded")
    assert "user-2" == (await page.evaluate("loaded"))["body"]["subject"]


async def test_without_a_session_its_navigations_are_sent_to_sign_in(context, options, clock):
    with opened(options | {"sign_in": "/open/app/sign-in", "public": ["/open/*"]}, clock) as house:
        page = await app(context, house)
        assert "activat" in await page.evaluate(REGISTER, "worker.js")
        await page.goto(f"{house.url}/app/guarded")
        assert f"{house.url}/open/app/sign-in?next=/app/guarded" == page.url
        (sent,) = house.exchanges("/app/guarded")
        assert ("empty", 303) == (sent.sent["sec-fetch-dest"], sent.status)
