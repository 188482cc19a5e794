"""A front-end on another origin than its API, set up as docs/options.md says."""

from __future__ import annotations

import functools

import pytest
from browser.house import neighbour, opened
from browser.pages import ask, refresh_cookie, tab
from starlette.middleware.cors import CORSMiddleware

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def front_end():
    with neighbour() as found:
        yield found.near


@pytest.fixture
def api(options, clock, front_end):
    """It trusts its front-end, and its CORS middleware lets every origin read, as careless ones do."""
    around = functools.partial(
        CORSMiddleware,
        allow_origin_regex="https?://.*",
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["Authorization"],
    )
    with opened(options | {"trusted_origins": [front_end]}, clock, around=around) as house:
        yield house


@pytest.fixture
def page_of(context, api):
    async def show(origin):
        page = await tab(context, origin)
        # The API has another URL here, and credentials have to be asked for.
        await page.evaluate("window.own = window.ask")
        await page.evaluate(
            "url => { window.ask = (path, options) => own(url + path, {...options, credentials: 'include'}) }", api.url
        )
        return page

    return show


async def test_a_trusted_front_end_logs_in_rotates_and_reads_the_header(context, api, front_end, page_of):
    page = await page_of(front_end)
    assert (200, True) == ((answered := await ask(page, "/login", method="POST")).status, answered.token)
    first = await refresh_cookie(context)
    assert "user-1" == (await ask(page)).body["subject"]

    api.let_access_expire()
    answered = await ask(page, "/change", method="POST")
    assert (200, "user-1", True) == (answered.status, answered.body["subject"], answered.token)
    assert 1 == api.rotations()
    assert first["value"] != (await refresh_cookie(context))["value"]
    assert ["OPTIONS", "POST"] == [exchange.method for exchange in api.exchanges("/change")]

    await page.reload()
    page = await page_of(front_end)
    assert (200, True) == ((answered := await ask(page)).status, answered.token)
    assert 1 == api.rotations()


async def test_i1_any_other_origin_reads_no_token_however_careless_cors_is(context, api, front_end, page_of, attacker):
    """
    A GET on the cookie is served to whom CORS lets read: that is the app's word.  What the session lives on is not handed out.
    """
    assert 200 == (await ask(await page_of(front_end), "/login", method="POST")).status
    api.let_access_expire()
    page = await page_of(attacker.near)
    answered = await ask(page)
    assert ("user-1", False) == (answered.body["subject"], answered.token)
    answered = await ask(page, "/change", method="POST")
    assert (403, "cross_site_request", False) == (answered.status, answered.body["code"], answered.token)
    answered = await ask(page, "/login?user=attacker", method="POST")
    assert (403, "cross_site_request", False) == (answered.status, answered.body["code"], answered.token)
    assert 0 == api.rotations()
    assert [] == api.heads("attacker")


async def test_a_refusal_is_read_by_the_front_end(api, front_end, page_of):
    page = await page_of(front_end)
    answered = await ask(page)
    assert (401, "token_required") == (answered.status, answered.body["code"])
