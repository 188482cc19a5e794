"""Answers that are lost, late, or overtaken by others."""

from __future__ import annotations

import asyncio

import pytest
from browser.pages import app, ask, eventually, refresh_cookie, signed_in_app
from support.forge import claims_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def begin(page, path):
    """A call whose answer is not waited for."""
    await page.evaluate("path => { window.going = ask(path) }", path)


async def cookie_gen(context):
    return claims_of((await refresh_cookie(context))["value"])["gen"]


@pytest.mark.parametrize("channel", ["tokenguard", False], ids=["beside another tab", "alone"])
async def test_i8_a_reload_before_the_answer_came_heals(context, house, channel):
    """
    The guard has rotated, the cookie and the token of that are lost: the page comes back with those of before.
    """
    page = await signed_in_app(context, house, channel=channel)
    other = await app(context, house, "other")
    house.lost.add("/slow")
    for reload in range(1, 4):
        house.let_access_expire()
        await begin(page, "/slow")
        (*_, sent) = await eventually(lambda: house.exchanges("/slow")[reload - 1 :])  # noqa: B023 (awaited in this round)
        await eventually(lambda: sent.status)  # noqa: B023 (likewise)
        assert ("both", reload, reload - 1) == (sent.carried, house.rotations(), await cookie_gen(context))
        await page.reload()
        assert 200 == (await page.evaluate("loaded"))["status"]
        assert (reload, reload) == (house.rotations(), await cookie_gen(context))
    assert 200 == (await ask(other)).status
    assert [[], []] == [await each.evaluate("signedOut") for each in (page, other)]


async def test_i8_it_heals_an_hour_later_too(context, house):
    page = await signed_in_app(context, house)
    house.let_access_expire()
    house.lost.add("/slow")
    await begin(page, "/slow")
    await eventually(lambda: [each.status for each in house.exchanges("/slow") if each.status])
    await page.close()
    house.advance(3600)
    page = await app(context, house)
    assert (200, 1) == ((await page.evaluate("loaded"))["status"], await cookie_gen(context))


async def test_two_answers_that_arrive_in_reverse_order(context, house):
    """
    The second one carries a later token of the same generation: the user's role has changed in between.
    """
    page = await signed_in_app(context, house)
    house.let_access_expire()
    wire = house.slow_wire("/first")
    await begin(page, "/first")
    await eventually(lambda: wire.waiting)
    assert 200 == (await ask(page, "/second")).status
    await asyncio.to_thread(house.in_a_job, lambda guard: guard.update_claims("user-1", {"role": "auditor"}))
    assert "auditor" == (await ask(page, "/second")).body["claims"]["role"]
    later = await page.evaluate("client.state.claims")

    wire.open()
    assert {"status": 200, "token": True} == {key: (await page.evaluate("going"))[key] for key in ("status", "token")}
    first, *_, second = house.exchanges("/first") + house.exchanges("/second")
    assert first.token != second.token, "the first answer did carry another token"
    assert later == await page.evaluate("client.state.claims")
    assert (200, False) == ((answered := await ask(page)).status, answered.token)
    assert (1, 1) == (house.rotations(), await cookie_gen(context))


async def test_i15_a_slow_handlers_answer_leaves_no_old_cookie_behind(context, house):
    """
    It began a generation ago.  By the time that its head leaves, the tab has rotated once more.
    """
    page = await signed_in_app(context, house)
    house.let_access_expire()
    handler = house.slow_handler("/first")
    await begin(page, "/first")
    await eventually(lambda: handler.waiting)
    assert 200 == (await ask(page)).status
    assert 200 == (await ask(page)).status
    house.let_access_expire()
    assert 200 == (await ask(page)).status
    assert (2, 2) == (house.rotations(), await cookie_gen(context))

    handler.open()
    assert 200 == (await page.evaluate("going"))["status"]
    assert "nothing" == house.exchanges("/first")[0].carried
    assert (2, 2) == (await page.evaluate("client.state.claims.gen"), await cookie_gen(context))
    house.let_access_expire()
    await page.reload()
    assert 200 == (await page.evaluate("loaded"))["status"]


async def test_i15_a_slow_handler_of_the_old_session_leaves_the_new_login_alone(context, house):
    page = await signed_in_app(context, house)
    house.let_access_expire()
    handler = house.slow_handler("/first")
    await begin(page, "/first")
    await eventually(lambda: handler.waiting)
    assert 200 == (await ask(page, "/login?user=user-2", method="POST")).status
    new = await refresh_cookie(context)

    house.advance(2)  # longer than a head may leave without a second look
    handler.open()
    await page.evaluate("going")
    assert "nothing" == house.exchanges("/first")[0].carried
    assert new == await refresh_cookie(context)
    assert "user-2" == (await ask(page)).body["subject"]
    await page.reload()
    assert "user-2" == (await page.evaluate("loaded"))["body"]["subject"]
