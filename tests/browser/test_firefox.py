"""The stories that matter most once more, in another engine: stock Firefox."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from browser.firefox import firefox
from browser.pages import FETCH, FORM, IMAGE, SOCKET, ask, eventually, race
from browser.test_cookies import NOTHING, STORED
from browser.test_service_worker import REGISTER
from support.forge import claims_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]

TABS = 10
REFRESH = "__Host-refresh"
REFERRER_POLICY = """policy => {
  document.head.append(Object.assign(document.createElement("meta"), {name: "referrer", content: policy}));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fox():
    async with firefox() as fox:
        yield fox


@pytest_asyncio.fixture(loop_scope="session")
async def user(fox):
    user = await fox.user()
    yield user
    await user.close()


async def app(user, house, name="app", path="open/app"):
    page = await user.tab(f"{house.url}/{path}/{name}")
    await page.evaluate("loaded")
    return page


async def signed_in(user, house, name="user-1"):
    page = await app(user, house)
    answered = await ask(page, f"/login?user={name}", method="POST")
    assert (200, True) == (answered.status, answered.token)
    await page.evaluate("signedOut.length = 0")
    return page


async def generation(user):
    return claims_of((await user.cookies())[REFRESH]["value"]["value"])["gen"]


async def shown(page, url):
    """*page* shows *url* by now."""
    await eventually(lambda: page.evaluate("url => location.href === url && document.readyState === 'complete'", url))


async def test_the_cookies_are_stored_as_they_are_meant(user, house):
    page = await signed_in(user, house)
    kept = await user.cookies()
    assert {REFRESH, "__Host-fresh"} == set(kept)
    for name, same_site in ((REFRESH, "lax"), ("__Host-fresh", "strict")):
        found = {key: kept[name][key] for key in ("domain", "path", "httpOnly", "secure", "sameSite")}
        assert {"domain": "localhost", "path": "/", "httpOnly": True, "secure": True, "sameSite": same_site} == found
    assert NOTHING == await page.evaluate(STORED)
    assert 204 == (await ask(page, "/logout", method="POST")).status
    assert {} == await user.cookies()


@pytest.mark.parametrize("path", ["open/app", "app"], ids=["public pages", "guarded pages"])
async def test_i7_ten_tabs_that_load_at_once_rotate_once(user, house, path):
    await signed_in(user, house)
    pages = [await user.tab() for _ in range(TABS)]

    async def loaded(page, url):
        await page.goto(url)
        return await page.evaluate("loaded")

    for morning in range(1, 4):
        house.let_access_expire()
        loading = [loaded(page, f"{house.url}/{path}/{number}") for number, page in enumerate(pages)]
        answers = await race(house, "/me", *loading)
        assert [200] * TABS == [answer["status"] for answer in answers]
        assert (morning, morning) == (house.rotations(), await generation(user))
        assert {morning} == {await page.evaluate("client.state.claims.gen") for page in pages}
    assert [[]] * TABS == [await page.evaluate("signedOut") for page in pages]


async def test_i7_two_tabs_in_turn_never_ping_pong(user, house):
    one = await signed_in(user, house)
    other = await app(user, house, "other")
    for lifetime in range(1, 11):
        house.let_access_expire()
        first, second = (one, other) if lifetime % 2 else (other, one)
        for page in (first, second, first, second):
            assert 200 == (await ask(page)).status
        assert lifetime == house.rotations()


async def test_i8_a_reload_before_the_answer_came_heals(user, house):
    page = await signed_in(user, house)
    house.let_access_expire()
    house.lost.add("/slow")
    await page.evaluate("void (window.going = ask('/slow').catch(() => 0))")
    await eventually(lambda: [each for each in house.exchanges("/slow") if each.status])
    assert (1, 0) == (house.rotations(), await generation(user))
    await page.reload()
    assert 200 == (await page.evaluate("loaded"))["status"]
    assert (1, 1) == (house.rotations(), await generation(user))


@pytest.mark.parametrize("where", ["far", "near"])
async def test_i1_what_pages_of_others_send_is_refused_and_rotates_nothing(user, house, attacker, where):
    await signed_in(user, house)
    house.let_access_expire()
    before = (await user.cookies())[REFRESH]["value"]
    evil = await user.tab(getattr(attacker, where))
    options = {"method": "POST", "mode": "no-cors"}
    assert "opaque" == (await evil.evaluate(FETCH, [f"{house.url}/by-fetch", options]))["type"]
    assert "TypeError" == await evil.evaluate(FETCH, [f"{house.url}/read", {}])
    assert "failed" == await evil.evaluate(IMAGE, f"{house.url}/by-image")
    assert 1006 == await evil.evaluate(SOCKET, f"{house.url}/ws")
    await evil.evaluate(FORM, f"{house.url}/by-form")
    await shown(evil, f"{house.url}/by-form")

    sent = {path: house.exchanges(path)[0] for path in ("/by-fetch", "/by-form", "/ws", "/read", "/by-image")}
    assert {where == "near"} == {each.had_cookie for each in sent.values()}
    refused = {"near": 403, "far": 401}[where]
    assert [refused] * 3 == [sent[path].status for path in ("/by-fetch", "/by-form", "/ws")]
    assert {"nothing"} == {each.carried for each in sent.values()}
    assert 0 == house.handlers.calls["/by-fetch"] + house.handlers.calls["/by-form"]
    assert (before, 0) == ((await user.cookies())[REFRESH]["value"], house.rotations())


@pytest.mark.parametrize("where", ["far", "near"])
@pytest.mark.parametrize(
    ("worker", "policy"),
    [
        ("worker.js", "unsafe-url"),
        ("worker.js", "no-referrer"),
        ("worker.js", "same-origin"),
        ("modest-worker.js", "unsafe-url"),
    ],
)
async def test_i1_behind_a_service_worker_forms_of_others_are_refused(user, house, attacker, worker, where, policy):
    """
    Where a careless worker passes a form on, Firefox says that the page itself has sent it, but for the referrer.

    So says a login, too, and a logout that needs no cookie to take one away.
    """
    page = await signed_in(user, house)
    assert "activat" in await page.evaluate(REGISTER, worker)
    before = await user.cookies()
    for path in ("/transfer", "/logout", "/login"):
        earlier = len(house.exchanges(path))
        evil = await user.tab(getattr(attacker, where))
        await evil.evaluate(REFERRER_POLICY, policy)
        await evil.evaluate(FORM, f"{house.url}{path}?user=attacker")
        (sent,) = await eventually(lambda: [one for one in house.exchanges(path)[earlier:] if one.status])  # noqa: B023
        assert sent.status == (401 if (path, where) == ("/transfer", "far") else 403)
        assert "nothing" == sent.carried
        is_worker = worker == "worker.js"
        assert sent.sent["sec-fetch-site"] == (
            "same-origin" if is_worker else {"far": "cross-site", "near": "same-site"}[where]
        )
    assert 0 == house.handlers.calls["/transfer"]
    assert (before, []) == (await user.cookies(), house.heads("attacker"))


async def test_own_forms_that_a_service_worker_passes_on_are_served(user, house):
    page = await signed_in(user, house)
    assert "activat" in await page.evaluate(REGISTER, "worker.js")
    await page.evaluate(FORM, f"{house.url}/transfer")
    (sent,) = await eventually(lambda: [one for one in house.exchanges("/transfer") if one.status])
    assert ("same-origin", 200) == (sent.sent["sec-fetch-site"], sent.status)


async def test_the_client_rotates_and_shares(user, house):
    one = await signed_in(user, house)
    other = await app(user, house, "other")
    house.let_access_expire()
    assert (200, True) == ((answered := await ask(one, "/change", method="POST")).status, answered.token)
    await eventually(lambda: other.evaluate("client.state.claims.gen === 1"))
    assert (200, False) == ((answered := await ask(other)).status, answered.token)
    assert (1, 1) == (house.rotations(), await generation(user))


async def test_i6_a_revocation_closes_the_other_tabs_socket(user, house):
    one, other = await signed_in(user, house), await app(user, house, "other")
    await other.evaluate("openSocket()")
    assert "user-1" == await eventually(lambda: other.evaluate("heard[0]"))
    sid = await one.evaluate("client.state.claims.sid")
    assert 204 == (await ask(one, f"/auth/sessions/{sid}", method="DELETE")).status
    assert [4401, "revoked"] == await other.evaluate("socketClosed")
    for page in (one, other):
        await eventually(lambda: page.evaluate("signedOut.length"))  # noqa: B023 (awaited in this round)
    assert [["revoked"]] * 2 == [await page.evaluate("signedOut.map(each => each.code)") for page in (one, other)]


async def test_a_page_out_of_the_back_forward_cache_goes_on(user, house, attacker):
    page = await signed_in(user, house)
    await page.evaluate("void addEventListener('pageshow', event => { window.restored = event.persisted })")
    await page.goto(attacker.far)
    house.let_access_expire()
    await page.back()
    await eventually(lambda: page.evaluate("window.restored === true"))
    assert 200 == (await ask(page)).status
    assert (1, 1) == (house.rotations(), await page.evaluate("client.state.claims.gen"))


async def test_a_job_ends_the_session_of_every_tab(user, house):
    one, other = await signed_in(user, house), await app(user, house, "other")
    await asyncio.to_thread(house.in_a_job, lambda guard: guard.revoke_all("user-1"))

    async def is_refused():
        return (await ask(one)).status == 401

    await eventually(is_refused)
    await eventually(lambda: other.evaluate("signedOut.length"))
    assert 401 == (await ask(other)).status
