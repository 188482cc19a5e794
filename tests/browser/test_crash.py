"""
A browser that dies without writing its cookies down.

Chromium writes them every 30 seconds, so that one which is killed sooner comes back with the cookie of before the rotation.
That is what a thief's copy looks like too; the user is asked to sign in and told what has happened, not that there was a theft.
"""

from __future__ import annotations

import pytest
from browser.chromium import profile
from browser.pages import refresh_cookie, tab
from browser.test_pages import signs_in
from support.commands import command_of, running
from support.forge import claims_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]

SITE = "server_rendered/site.py"


@pytest.fixture
def site(server):
    with running(command_of(SITE, SITE), server) as url:
        yield url.replace("127.0.0.1", "localhost")


async def gen(context):
    return claims_of((await refresh_cookie(context))["value"])["gen"]


async def used_yesterday(user, site):
    """A profile whose user has signed in and closed the browser: the cookie is on disk."""
    context = await user.start()
    page = await tab(context, f"{site}/")
    await signs_in(page)
    assert "Hello ada" == await page.title()
    await context.close()


async def opened_and_killed(user, site, clock):
    """Today the first page comes with a rotation, the second one uses its cookie; 5 seconds later the browser is killed."""
    clock.advance(901)
    context = await user.start()
    for _ in range(2):
        page = await tab(context, f"{site}/")
    assert ("Hello ada", 1) == (await page.title(), await gen(context))
    clock.advance(5)
    await user.kill()


async def test_a_browser_killed_after_a_rotation_is_told_why_it_signs_in_again(playwright, site, clock):
    async with profile(playwright) as user:
        await used_yesterday(user, site)
        await opened_and_killed(user, site, clock)
        clock.advance(60)
        context = await user.start()
        assert 0 == await gen(context), "the cookie of the rotation was not on disk"
        page = await tab(context, f"{site}/")
        assert f"{site}/sign-in?next=/" == page.url
        said = await page.inner_text("body")
        assert "lost its latest cookie, as happens in a crash" in said
        assert "used from two places" not in said
        await signs_in(page)
        assert ("Hello ada", f"{site}/") == (await page.title(), page.url)


async def test_a_browser_that_is_back_within_the_grace_is_served(playwright, site, clock):
    async with profile(playwright) as user:
        await used_yesterday(user, site)
        await opened_and_killed(user, site, clock)
        context = await user.start()
        assert 0 == await gen(context)
        page = await tab(context, f"{site}/")
        assert "Hello ada" == await page.title()


async def test_i8_a_browser_killed_before_it_used_the_new_cookie_loses_nothing(playwright, house):
    """
    The successor was never seen, not even by a request for the site's icon: its answer might as well have been lost.
    """
    async with profile(playwright) as user:
        context = await user.start()
        page = await tab(context, house.url)
        assert 200 == await page.evaluate("fetch('/login', {method: 'POST'}).then(answer => answer.status)")
        await context.close()

        house.let_access_expire()
        context = await user.start()
        await tab(context, f"{house.url}/page/1")
        assert (1, 1) == (await gen(context), house.rotations())
        await user.kill()

        house.advance(3600)
        context = await user.start()
        assert 0 == await gen(context)
        page = await tab(context, f"{house.url}/page/2")
        assert "a page" == await page.title()
        assert (1, 1) == (await gen(context), house.rotations())
