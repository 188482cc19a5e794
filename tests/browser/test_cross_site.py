"""
Pages of others that visitors with a session open: nothing that they send is taken for the user's, and nothing rotates.

*far* is another site, to which browsers send no `SameSite=Lax` cookie.  *near* is another origin of the same site (a sibling
subdomain that was taken over), to which they send every cookie; there the guard stands alone.
"""

from __future__ import annotations

import pytest
import pytest_asyncio
from browser.chromium import profile
from browser.house import opened
from browser.pages import FETCH, FORM, IMAGE, SOCKET, ask, eventually, refresh_cookie, signed_in, tab

from asgi_tokenguard import RefreshCookie

pytestmark = pytest.mark.asyncio(loop_scope="session")

THIRD_PARTY_COOKIES = {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}}


@pytest.fixture(params=["far", pytest.param("near", marks=pytest.mark.thorough)])
def evil(request, attacker):
    """Where the attacker's page is."""
    return getattr(attacker, request.param)


def refused(evil: str) -> tuple[bool, int]:
    """Whether an attacker's request comes with the cookie, and its status: where the cookie is, the guard alone refuses."""
    return (False, 401) if "127.0.0.1" in evil else (True, 403)


@pytest_asyncio.fixture(loop_scope="session")
async def victim(context, house):
    """Somebody whose next request would rotate."""
    page = await signed_in(context, house)
    house.let_access_expire()
    return page


@pytest.fixture
def unmoved(context, house, victim):
    """Asks whether all is as it was: the session, and the cookie that the browser keeps."""

    async def check(before):
        assert before == (await refresh_cookie(context))["value"]
        assert 0 == house.rotations()

    return check


@pytest_asyncio.fixture(loop_scope="session")
async def before(context, victim):
    return (await refresh_cookie(context))["value"]


async def test_i1_a_form_is_refused(context, house, evil, unmoved, before):
    page = await tab(context, evil)
    async with page.expect_navigation(url=f"{house.url}/transfer"):
        await page.evaluate(FORM, f"{house.url}/transfer")
    (sent,) = house.exchanges("/transfer")
    assert refused(evil) == (sent.had_cookie, sent.status)
    assert 0 == house.handlers.calls["/transfer"], "the app was never asked"
    await unmoved(before)


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
async def test_i1_an_unsafe_fetch_is_refused(context, house, evil, unmoved, before, mode):
    page = await tab(context, evil)
    found = await page.evaluate(FETCH, [f"{house.url}/transfer", {"method": "POST", "mode": mode, "body": "all"}])
    assert found == ("TypeError" if mode == "cors" else {"type": "opaque", "status": 0, "token": None})
    (sent,) = house.exchanges("/transfer")
    assert refused(evil) == (sent.had_cookie, sent.status)
    assert 0 == house.handlers.calls["/transfer"]
    await unmoved(before)


async def test_i12_a_fetch_reads_nothing_and_is_handed_nothing(context, house, evil, unmoved, before):
    page = await tab(context, evil)
    assert "TypeError" == await page.evaluate(FETCH, [f"{house.url}/me", {}])
    (sent,) = house.exchanges("/me")
    assert "nothing" == sent.carried
    await unmoved(before)


async def test_a_fetch_with_the_header_stops_at_its_preflight(context, house, evil, unmoved, before):
    """
    The access token travels in a header that no page of others may send: a browser asks first, and the answer is no.
    """
    page = await tab(context, evil)
    options = {"method": "POST", "headers": {"authorization": "Bearer stolen"}}
    assert "TypeError" == await page.evaluate(FETCH, [f"{house.url}/transfer", options])
    assert ["OPTIONS"] == [exchange.method for exchange in house.exchanges("/transfer")]
    await unmoved(before)


async def test_i12_an_image_shows_nothing_and_rotates_nothing(context, house, evil, unmoved, before):
    page = await tab(context, evil)
    assert "failed" == await page.evaluate(IMAGE, f"{house.url}/me")
    (sent,) = house.exchanges("/me")
    assert ("image", "nothing") == (sent.sent["sec-fetch-dest"], sent.carried)
    await unmoved(before)


async def test_i1_a_websocket_is_refused(context, house, evil, unmoved, before):
    page = await tab(context, evil)
    assert 1006 == await page.evaluate(SOCKET, f"{house.url}/ws")
    (sent,) = house.exchanges("/ws")
    assert refused(evil) == (sent.had_cookie, sent.status)
    await unmoved(before)


async def test_the_own_page_opens_what_was_refused(context, house, victim):
    """
    So that the stories above cannot pass because nothing works at all.
    """
    assert "user-1" == await victim.evaluate(SOCKET, f"{house.url}/ws")
    assert 0 == house.rotations(), "a handshake consumes nothing"
    assert (200, True) == ((answered := await ask(victim, "/transfer", method="POST")).status, answered.token)
    assert 1 == house.rotations()


async def test_i1_a_login_by_a_page_of_others_is_refused(context, house, evil):
    """
    Login CSRF: whoever is signed in as the attacker without a word uploads what the attacker reads.
    """
    page = await tab(context, evil)
    async with page.expect_navigation(url=f"{house.url}/login**"):
        await page.evaluate(FORM, f"{house.url}/login?user=attacker")
    (sent,) = house.exchanges("/login")
    assert 403 == sent.status
    assert [] == await context.cookies()
    assert [] == house.heads("attacker")


async def test_i1_a_logout_by_a_page_of_others_is_refused(context, house, evil, unmoved, before):
    page = await tab(context, evil)
    async with page.expect_navigation(url=f"{house.url}/logout"):
        await page.evaluate(FORM, f"{house.url}/logout")
    await unmoved(before)


async def test_a_frame_of_a_page_of_others_rotates_nothing(context, house, evil, unmoved, before):
    page = await tab(context, evil)
    await page.evaluate(
        """url => new Promise(resolve => {
          const frame = document.createElement("iframe");
          frame.onload = resolve;
          frame.src = url;
          document.body.append(frame);
        })""",
        f"{house.url}/page/framed",
    )
    (sent,) = house.exchanges("/page/framed")
    assert ("iframe", "nothing") == (sent.sent["sec-fetch-dest"], sent.carried)
    await unmoved(before)


async def test_a_link_on_a_page_of_others_arrives_signed_in(context, house, evil, before):
    """
    A navigation by GET is the user's own: it is a document, which can take the cookie.
    """
    page = await tab(context, evil)
    await page.evaluate("url => { document.body.innerHTML = `<a href='${url}'>there</a>` }", f"{house.url}/page/linked")
    async with page.expect_navigation(url=f"{house.url}/page/linked"):
        await page.click("a")
    (sent,) = house.exchanges("/page/linked")
    assert (200, "cookie") == (sent.status, sent.carried)
    assert sent.sent["sec-fetch-site"] in {"cross-site", "same-site"}
    assert before != (await refresh_cookie(context))["value"]


async def test_i1_where_every_cookie_is_sent_across_sites_the_guard_still_refuses(playwright, options, clock, attacker):
    """
    With `SameSite=None` nothing but the guard stands between a page of another site and the session.

    Browsers have begun to block cookies of third parties; this is one whose user allows them.
    """
    with opened(options | {"cookie": RefreshCookie(same_site="none")}, clock) as house:
        async with profile(playwright, THIRD_PARTY_COOKIES) as user:
            context = await user.start()
            page = await tab(context, house.url)
            assert 200 == await page.evaluate("fetch('/login', {method: 'POST'}).then(answer => answer.status)")
            house.let_access_expire()
            before = await refresh_cookie(context)
            page = await tab(context, attacker.far)
            options = {"method": "POST", "mode": "no-cors"}
            await page.evaluate(FETCH, [f"{house.url}/by-fetch", options])
            assert "failed" == await page.evaluate(IMAGE, f"{house.url}/by-image")
            assert 1006 == await page.evaluate(SOCKET, f"{house.url}/ws")
            async with page.expect_navigation(url=f"{house.url}/by-form"):
                await page.evaluate(FORM, f"{house.url}/by-form")
            sent = {path: house.exchanges(path)[0] for path in ("/by-fetch", "/by-image", "/by-form", "/ws")}
            assert {} == {path: each.sent for path, each in sent.items() if not each.had_cookie}
            assert {"/by-fetch": 403, "/by-image": 200, "/by-form": 403, "/ws": 403} == {
                path: each.status for path, each in sent.items()
            }
            assert {"nothing"} == {each.carried for each in sent.values()}
            assert 0 == house.rotations()
            assert await eventually(lambda: refresh_cookie(context)) == before
