"""A session ends: by its user on another device, in another tab, by a job; and what each open page hears of it."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from browser.pages import app, ask, eventually, signed_in_app

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def phone(chromium):
    """Another device of the same user's: a cookie jar of its own."""
    context = await chromium.new_context()
    yield context
    await context.close()


async def chatting(page, user="user-1"):
    """*page* with a WebSocket that is open."""
    await page.evaluate("openSocket()")
    assert user == await eventually(lambda: page.evaluate("heard[0]"))
    return page


async def told(page):
    """What *page* is told once it is signed out."""
    await eventually(lambda: page.evaluate("signedOut.length"))
    return [(each["code"], each["here"]) for each in await page.evaluate("signedOut")]


async def test_i6_revoked_in_one_tab_the_others_socket_closes(context, house):
    one, other = await signed_in_app(context, house), await chatting(await app(context, house, "other"))
    sid = await one.evaluate("client.state.claims.sid")
    # A session cannot end itself by its id and answer as itself; the endpoint does it, and the answer says so.
    assert 204 == (await ask(one, f"/auth/sessions/{sid}", method="DELETE")).status
    assert [4401, "revoked"] == await other.evaluate("socketClosed")
    # By the socket's close, not by a call: it has made none.
    assert [("revoked", True)] == await told(other)
    assert [("revoked", False)] == await told(one)


async def test_i6_a_logout_in_one_tab_closes_the_others_socket(context, house):
    one, other = await signed_in_app(context, house), await chatting(await app(context, house, "other"))
    await one.evaluate("client.logout()")
    assert [4401, "logged_out"] == await other.evaluate("socketClosed")
    assert ["logged_out"] == [code for code, _ in await told(other)]


async def test_i6_ended_from_another_device_all_tabs_of_this_one_drop_out(context, phone, house):
    here = [await chatting(await signed_in_app(context, house)), await app(context, house, "silent")]
    there = await signed_in_app(phone, house)
    listed = (await ask(there, "/auth/sessions")).body["sessions"]
    (target,) = [each["id"] for each in listed if not each["current"]]
    assert 204 == (await ask(there, f"/auth/sessions/{target}", method="DELETE")).status
    assert [4401, "revoked"] == await here[0].evaluate("socketClosed")
    assert [[("revoked", True)], [("revoked", False)]] == [await told(page) for page in here]
    # And the device that did it goes on.
    assert (200, []) == ((await ask(there)).status, await there.evaluate("signedOut"))


async def test_i10_ended_by_a_job_the_next_call_says_so_in_every_tab(context, house):
    one, other = await signed_in_app(context, house), await app(context, house, "other")
    await asyncio.to_thread(house.in_a_job, lambda guard: guard.revoke_all("user-1"))
    # By the channel of changes, normally within milliseconds, and at the latest after `staleness`.
    await eventually(lambda: _is_refused(one))
    assert [[("revoked", True)], [("revoked", False)]] == [await told(page) for page in (one, other)]
    await one.reload()
    assert 401 == (await one.evaluate("loaded"))["status"]


async def _is_refused(page):
    return (await ask(page)).status == 401


async def test_a_rotation_closes_no_socket(context, house):
    one, other = await signed_in_app(context, house), await chatting(await app(context, house, "other"))
    house.let_access_expire()
    assert (200, True) == ((answered := await ask(one)).status, answered.token)
    await other.evaluate("window.socket.send('still there')")
    await eventually(lambda: other.evaluate("heard.includes('still there')"))


async def test_i16_another_device_is_ended_only_after_the_password(context, phone, house):
    """
    The login was long ago: the client asks for the password and sends the call once more.
    """
    page, there = await signed_in_app(context, house), await chatting(await signed_in_app(phone, house))
    house.let_access_expire()
    listed = (await ask(page, "/auth/sessions")).body["sessions"]
    (target,) = [each["id"] for each in listed if not each["current"]]
    assert 204 == (await ask(page, f"/auth/sessions/{target}", method="DELETE")).status
    assert ["step_up_required"] == await page.evaluate("asked")
    assert [4401, "revoked"] == await there.evaluate("socketClosed")
    assert [401, 204] == [each.status for each in house.exchanges(f"/auth/sessions/{target}")]
