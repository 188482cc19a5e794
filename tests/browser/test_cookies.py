"""What a real browser keeps of a login, and who can reach it."""

from __future__ import annotations

import pytest
from browser.house import opened
from browser.pages import ask, refresh_cookie, signed_in, tab
from support.forge import claims_of

from asgi_tokenguard import RefreshCookie

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Everything of a page's origin in which a script could leave something behind.
STORED = """async () => JSON.stringify({
  cookie: document.cookie,
  local: {...localStorage},
  session: {...sessionStorage},
  name: window.name,
  history: history.state,
  databases: await indexedDB.databases(),
  caches: await caches.keys(),
  store: (await cookieStore.getAll()).map(each => each.name),
})"""
NOTHING = '{"cookie":"","local":{},"session":{},"name":"","history":null,"databases":[],"caches":[],"store":[]}'


async def test_the_cookies_are_stored_as_they_are_meant(context, house):
    await signed_in(context, house)
    kept = {cookie["name"]: cookie for cookie in await context.cookies()}
    assert {"__Host-refresh", "__Host-fresh"} == set(kept)
    for name, same_site in (("__Host-refresh", "Lax"), ("__Host-fresh", "Strict")):
        found = {key: kept[name][key] for key in ("domain", "path", "httpOnly", "secure", "sameSite")}
        # Without a dot before it: a cookie of this host alone.
        assert {"domain": "localhost", "path": "/", "httpOnly": True, "secure": True, "sameSite": same_site} == found


async def test_a_strict_cookie_stays_at_home(context, options, clock, attacker):
    """
    Browsers take a cookie without the attribute for `Lax`, so that only another one shows that it is sent and kept.
    """
    with opened(options | {"cookie": RefreshCookie(same_site="strict")}, clock) as house:
        await signed_in(context, house)
        assert "Strict" == (await refresh_cookie(context))["sameSite"]
        page = await tab(context, attacker.far)
        async with page.expect_navigation(url=f"{house.url}/page/linked"):
            await page.evaluate("url => { location.href = url }", f"{house.url}/page/linked")
        (sent,) = house.exchanges("/page/linked")
        assert (False, 401) == (sent.had_cookie, sent.status)


async def test_the_cookie_outlives_the_browser_as_long_as_the_session_does(context, house):
    page = await signed_in(context, house)
    cookie = await refresh_cookie(context)
    (head,) = house.heads()
    now = await page.evaluate("Date.now() / 1000")
    # The server's clock may have been moved by other stories, the browser's stands; a busy machine takes its time.
    left = head.ends_at(house.lifetimes.idle) - house.clock.time()
    assert left == pytest.approx(cookie["expires"] - now, abs=60)


async def test_no_script_reaches_the_cookie_and_no_store_holds_a_token(context, house):
    page = await signed_in(context, house)
    assert (await ask(page)).body["subject"] == "user-1"
    assert NOTHING == await page.evaluate(STORED)


async def test_a_page_cannot_plant_a_cookie_of_that_name(context, house):
    """
    A script that got into the page (or one of a subdomain) would sign its visitor in as somebody else.
    """
    page = await signed_in(context, house)
    before = (await refresh_cookie(context))["value"]
    await page.evaluate("document.cookie = '__Host-refresh=planted; Path=/; Secure'")
    await page.evaluate("document.cookie = '__Host-refresh=planted; Path=/open; Secure'")
    assert before == (await refresh_cookie(context))["value"]
    assert "user-1" == (await ask(page)).body["subject"]


async def test_a_link_that_downloads_rotates_as_a_page_does(context, house):
    """
    Chromium says of it what it says of a page behind a service worker, and keeps its cookie.
    """
    page = await signed_in(context, house)
    house.let_access_expire()
    await page.evaluate("document.body.innerHTML = '<a href=/report download>the report</a>'")
    async with page.expect_download() as download:
        await page.click("a")
    await (await download.value).path()
    (sent,) = house.exchanges("/report")
    assert ("navigate", "empty", "cookie") == (sent.sent["sec-fetch-mode"], sent.sent["sec-fetch-dest"], sent.carried)
    assert 200 == (await ask(page)).status
    assert (1, 1) == (house.rotations(), claims_of((await refresh_cookie(context))["value"])["gen"])


async def test_a_logout_takes_the_cookies_with_it(context, house):
    page = await signed_in(context, house)
    assert 204 == (await ask(page, "/logout", method="POST")).status
    assert [] == await context.cookies()
    assert 401 == (await ask(page)).status


async def test_a_reload_forgets_the_token_and_the_cookie_brings_another(context, house):
    page = await signed_in(context, house)
    await page.reload()
    assert await page.evaluate("window.token === undefined")
    answered = await ask(page)
    assert (200, True) == (answered.status, answered.token)
    assert 0 == house.rotations()
