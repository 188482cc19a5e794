"""A site of pages and forms in a browser that runs no scripts: `examples/server_rendered/site.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import pytest_asyncio
from browser.pages import refresh_cookie
from support.commands import command_of, running
from support.forge import claims_of

pytestmark = [pytest.mark.thorough, pytest.mark.asyncio(loop_scope="session")]

SITE = "server_rendered/site.py"
DAY = 86_400


@pytest.fixture
def site(server) -> Iterator[str]:
    with running(command_of(SITE, SITE), server) as url:
        yield url.replace("127.0.0.1", "localhost")


@pytest_asyncio.fixture(loop_scope="session")
async def reader(chromium, site):
    """Somebody who has turned JavaScript off, and has signed in."""
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{site}/")
    assert f"{site}/sign-in?next=/" == page.url
    await signs_in(page)
    assert "Hello ada" == await page.title()
    yield page
    await context.close()


async def signs_in(page, password="lovelace"):
    await page.fill("[name=user]", "ada")
    await page.fill("[name=password]", password)
    await clicks(page, "button")


async def clicks(page, what):
    """And waits for the page that this leads to."""
    async with page.expect_navigation():
        await page.click(what)


async def generation(page):
    return claims_of((await refresh_cookie(page.context))["value"])["gen"]


async def test_navigation_alone_rotates(reader, site, clock):
    assert 0 == await generation(reader)
    clock.advance(901)
    await reader.goto(f"{site}/")
    assert ("Hello ada", 1) == (await reader.title(), await generation(reader))
    await reader.reload()
    assert ("Hello ada", 1) == (await reader.title(), await generation(reader))


async def test_daily_visits_never_run_into_the_idle_end(reader, site, clock):
    for day in range(1, 41):
        clock.advance(DAY)
        await reader.goto(f"{site}/")
        assert ("Hello ada", day) == (await reader.title(), await generation(reader))
    clock.advance(16 * DAY)
    await reader.goto(f"{site}/")
    assert f"{site}/sign-in?next=/" == reader.url


async def test_a_form_rotates_as_a_link_does(reader, site, clock):
    """
    What a form sends is not lost to a rotation: the same request rotates and is served.
    """
    clock.advance(200)
    await clicks(reader, "text=Email")
    assert "Change your email" == await reader.title()
    await reader.fill("[name=email]", "ada@example.org")
    clock.advance(901)
    await clicks(reader, "button")
    # The login is not fresh any more, so that the form is refused in words; its request has rotated all the same.
    assert ("Sorry", 1) == (await reader.title(), await generation(reader))
    await clicks(reader, "text=Start again")
    assert "Hello ada" == await reader.title()


async def test_a_page_that_asks_for_the_password_leads_back(reader, site, clock):
    clock.advance(901)
    await clicks(reader, "text=Email")
    assert f"{site}/confirm?next=/email" == reader.url
    await signs_in(reader)
    assert ("Change your email", f"{site}/email") == (await reader.title(), reader.url)


async def test_ten_tabs_that_open_at_once_rotate_once(reader, site, clock):
    """
    A browser that restores its windows in the morning.
    """
    tabs = [await reader.context.new_page() for _ in range(10)]
    for _ in range(3):
        before = await generation(reader)
        clock.advance(901)
        # Distinct URLs: requests for one wait for each other in the HTTP cache.
        await asyncio.gather(*(page.goto(f"{site}/?{number}") for number, page in enumerate(tabs)))
        assert ["Hello ada"] * 10 == [await page.title() for page in tabs]
        assert before + 1 == await generation(reader)


async def test_signing_out_ends_it_for_the_back_button_too(reader, site):
    await clicks(reader, "text=Sign out")
    assert (f"{site}/sign-in", None) == (reader.url, await refresh_cookie(reader.context))
    await reader.goto(f"{site}/email")
    assert f"{site}/sign-in?next=/email" == reader.url
