"""The demo's page as a newcomer meets it: by its buttons, without reading code."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from browser.demo.visit import ACCESS, answer, generation, is_in, is_out, log_in, rotated, says

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]

# --- What rotates


async def test_a_newcomer_logs_in_by_keyboard_and_sees_a_rotation(page):
    await page.get_by_label("User", exact=True).wait_for()
    names = []
    for _ in range(4):
        await page.keyboard.press("Tab")
        names.append(await page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
    assert ["Skip to the content", "user", "password", "Log in"] == names
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert "solid" == outline, "whoever uses the keyboard sees where they are"
    await page.keyboard.press("Enter")
    await is_in(page)
    # What had the focus is gone; whoever listens is told where they are now.
    assert "life-title" == await page.evaluate("document.activeElement.id")

    seconds = int(await page.locator("#seconds").inner_text())
    assert 0 <= seconds <= ACCESS
    await rotated(page)
    await says(page.get_by_role("log"), "Rotated by GET /auth/sessions: generation 1.", "the refresh token in the cookie")
    await says(page.locator("#chain li", has_text="Generation 0"), "superseded")
    await says(page.locator("#chain li", has_text="Generation 1"), "in use")


async def test_the_page_shows_that_a_script_cannot_see_the_cookie(signed_in):
    await signed_in.get_by_text("What a script in this page can see").click()
    assert "(empty)" == await signed_in.locator("#cookies").inner_text()
    claims = await signed_in.locator("#claims").inner_text()
    assert '"sub": "ada"' in claims
    assert '"gen"' in claims


async def test_a_reload_and_a_second_tab_go_on_with_the_session_and_leave_together(context, signed_in, url):
    await signed_in.reload()
    await is_in(signed_in)
    other = await context.new_page()
    await other.goto(url)
    await is_in(other)
    await rotated(other)
    await rotated(signed_in)
    await other.get_by_role("button", name="Log out").click()
    for tab in (other, signed_in):
        await is_out(tab, "logged_out")


async def test_a_new_tab_shows_the_session_with_no_rotation_to_wait_for(context, signed_in, url):
    """The other tab's token may come before the page listens, and then nothing more happens until it is over."""
    await signed_in.get_by_label("and every 2 seconds by itself").uncheck()
    other = await context.new_page()
    await other.goto(url)
    await is_in(other)
    await says(other.get_by_role("log"), "Signed in as ada.")


async def test_without_the_pages_own_calls_the_token_runs_out_and_the_next_call_rotates(signed_in):
    await signed_in.get_by_label("and every 2 seconds by itself").uncheck()
    await says(signed_in.get_by_role("timer"), "over: the next call rotates")
    before = await generation(signed_in)
    await signed_in.get_by_role("button", name="Call the API now").click()
    await rotated(signed_in, before + 1)
    await says(signed_in.get_by_role("log"), "GET /api/me: 200, served to ada")


async def test_a_browser_that_keeps_no_secure_cookie_over_http_is_told_so(context, signed_in):
    """As Safari does not, and no browser does for another computer's address."""
    await context.clear_cookies(name="__Host-refresh")
    await is_out(signed_in, "token_expired")
    await says(signed_in.get_by_role("alert"), "your browser has not kept it")


async def test_a_demo_that_was_started_again_asks_for_a_login_and_says_nothing_untrue(context, signed_in, url):
    """Its secret is another one: what the browser still has of the last start counts for nothing."""
    cookie = next(each for each in await context.cookies() if each["name"] == "__Host-refresh")
    head, payload, signature = cookie["value"].split(".")
    await context.add_cookies([{**cookie, "value": f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"}])
    await signed_in.goto(url)
    await signed_in.get_by_label("User", exact=True).wait_for()
    assert not await signed_in.locator("#over").is_visible()
    await log_in(signed_in)


async def test_a_demo_that_is_away_says_so_at_each_click_and_one_that_was_started_again_why_a_login_is_due(demo, signed_in):
    log = signed_in.get_by_role("log")
    demo.stop()
    away = log.get_by_text("The demo does not answer. Is it still running?")
    await away.wait_for()  # by the page's own calls, once
    for name in ("Log out", "Call the API now"):
        told = await away.count()
        await signed_in.get_by_role("button", name=name).click()
        await away.nth(told).wait_for()

    demo.start()
    await says(log, "The demo answers again.")
    await is_out(signed_in, "invalid_token")
    await says(signed_in.get_by_role("alert"), "it was started again and has forgotten all sessions")
    await log_in(signed_in)


# --- Devices


@pytest_asyncio.fixture(loop_scope="session")
async def other(context, signed_in):
    """The second device that the page offers, signed in, in New York."""
    async with context.expect_page() as opened:
        await signed_in.get_by_role("link", name="Open a second device").click()
    other = await opened.value
    assert other.url.startswith("http://localhost:")
    await other.locator("#town option").first.wait_for(state="attached")
    await other.evaluate("document.cookie = 'demo-town=new-york; Path=/'")
    await log_in(other)
    return other


async def test_ending_a_device_throws_the_other_tab_out_in_a_moment(signed_in, other):
    end = signed_in.get_by_role("button", name=re.compile("^End .* in New York, US$"))
    await end.wait_for()
    await signed_in.get_by_role("img", name=re.compile("Map of the world:.*New York")).wait_for()
    # The page's own calls would tell it within two seconds; without them it is the socket alone.
    await other.get_by_label("and every 2 seconds by itself").uncheck()
    await end.click()
    await is_out(other, "revoked")
    await says(other.get_by_role("log"), "closed this page's WebSocket: 4401 revoked")
    await end.wait_for(state="detached")
    assert await signed_in.get_by_role("button", name="Log out").is_visible()


async def test_ending_a_device_takes_a_fresh_proof_of_who_asks(context, signed_in, other):
    await context.clear_cookies(name="__Host-fresh")  # as a minute after the login
    await signed_in.get_by_role("button", name=re.compile("^End .* in New York, US$")).click()
    dialog = signed_in.get_by_role("dialog", name="Is it you?")
    await says(dialog, "Ending a session takes a fresh login")
    assert "password" == await signed_in.evaluate("document.activeElement.name")

    await signed_in.keyboard.press("Escape")
    await dialog.wait_for(state="hidden")
    await says(signed_in.get_by_role("log"), "You gave no proof")
    # Nothing was ended, and nothing else has changed: neither where the keyboard is nor that the page calls by itself.
    await signed_in.wait_for_function("/^End .* in New York/.test(document.activeElement.ariaLabel)")
    assert await signed_in.get_by_label("and every 2 seconds by itself").is_checked()
    await rotated(signed_in, await generation(signed_in) + 1)
    assert await other.get_by_role("button", name="Log out").is_visible()

    await signed_in.get_by_role("button", name="End all others").click()
    await dialog.get_by_label("Password of ada").fill("babbage")
    await dialog.get_by_role("button", name="Confirm").click()
    await says(dialog.get_by_role("alert"), "Wrong password.")
    await dialog.get_by_label("Password of ada").fill("lovelace")
    await signed_in.keyboard.press("Enter")
    await dialog.wait_for(state="hidden")
    await is_out(other, "revoked")
    await says(signed_in.get_by_role("log"), "Ended 1 other")


async def test_whoever_stands_on_a_device_stays_there_while_it_is_seen_again_and_again(signed_in, other):
    end = signed_in.get_by_role("button", name=re.compile("^End .* in New York, US$"))
    await end.focus()
    drawn = await end.element_handle()
    await signed_in.wait_for_function("button => !button.isConnected", arg=drawn)  # its time has changed
    assert await end.evaluate("button => button === document.activeElement")


async def test_a_journey_is_judged_at_the_next_rotation(signed_in):
    await signed_in.get_by_label("This browser is in").select_option("compiegne")
    dialog = signed_in.get_by_role("dialog", name="Is it you?")
    await says(dialog, "a town that your session does not know")
    await dialog.get_by_label("Password of ada").fill("lovelace")
    await dialog.get_by_role("button", name="Confirm").click()
    await signed_in.get_by_role("button", name=re.compile("in Compiègne, FR$")).wait_for()

    await signed_in.get_by_label("This browser is in").select_option("tokyo")
    await is_out(signed_in, "revoked")


# --- Attacks


async def test_an_old_refresh_token_is_caught_and_the_page_says_why(signed_in):
    await signed_in.get_by_role("button", name="Replay the old copy").click()
    await says(answer(signed_in, "replay"), "Refused: 401 reuse_detected", "Handed out: nothing", "The guard says:")
    await says(signed_in.get_by_role("alert"), "Your session is over: reuse_detected", "Log in again")
    assert await signed_in.get_by_role("button", name="Replay the old copy").is_disabled()
    await log_in(signed_in)
    await says(signed_in.locator("#endings"), "reuse_detected", "thief/1.0")


@pytest.mark.parametrize(
    ("town", "verdict", "means", "goes_on"),
    [
        ("tokyo", "Refused: 401 revoked", "Too far away for one person", False),
        ("compiegne", "Refused: 401 step_up_required", "has to know your password", True),
        ("versailles", "Served: 200", "it might be you", True),
    ],
)
async def test_a_copy_on_another_continent_is_judged_by_its_distance(town, verdict, means, goes_on, signed_in):
    await signed_in.get_by_label("The thief is in").select_option(town)
    await signed_in.get_by_role("button", name="Use the copy there").click()
    await says(answer(signed_in, "elsewhere"), verdict, means)
    if goes_on:
        await signed_in.get_by_role("img", name=re.compile("a thief in ")).wait_for()
        await rotated(signed_in, await generation(signed_in) + 1)
    else:
        await is_out(signed_in, "revoked")


async def test_a_post_from_another_site_is_refused_twice(signed_in):
    """The browser keeps the cookie back; and where it would not, the guard says no."""
    await signed_in.get_by_role("button", name="Visit that page").click()
    await says(answer(signed_in, "cross"), "Refused: 401 token_required", "without your cookie", "SameSite=Lax")
    await says(answer(signed_in, "cross"), "Refused: 403 cross_site_request", "Nothing was done and nothing rotated")
    frame = signed_in.frame_locator("iframe")
    await says(frame.get_by_role("status"), "cannot read the answer")
    assert (await frame.locator("#here").inner_text()).startswith("http://localhost:")


async def test_a_forged_token_is_refused_and_the_owner_goes_on(signed_in):
    await signed_in.get_by_role("button", name="Send the forged token").click()
    await says(answer(signed_in, "forge"), "Refused: 401 invalid_token", "Handed out: nothing")
    await rotated(signed_in, await generation(signed_in) + 1)
