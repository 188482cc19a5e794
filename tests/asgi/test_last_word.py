"""I13: the app has the last word in its own response, and a login ends the session that the request carried."""

from __future__ import annotations

import pytest
from support.actors import COOKIE, Browser
from support.forge import claims_of, sign
from support.stage import answer, carried
from support.wire import Answer, call

from asgi_tokenguard import get_auth


def logs_in(stage, path, user="user-1", **how):
    """A handler that logs *user* in."""

    @stage.on(path)
    async def handler(scope, receive, send):
        await get_auth(scope).login(user, **how)
        auth = get_auth(scope)
        await answer(send, 200, {"subject": auth.subject, "session_id": auth.session_id, "user": scope["user"].identity})


def logs_out(stage, path):
    @stage.on(path)
    async def handler(scope, receive, send):
        await get_auth(scope).logout()
        auth = get_auth(scope)
        await answer(send, 200, {"subject": auth.subject, "is_authenticated": scope["user"].is_authenticated})


async def ids(stage, user="user-1"):
    return {session.id for session in await stage.guard.sessions(user)}


def sid(cookie):
    return claims_of(cookie)["sid"]


@pytest.mark.parametrize("user", ["user-1", "user-2"], ids=["the same user", "another user"])
async def test_i13_a_login_replaces_the_rotation_of_its_own_request(stage, user):
    """One cookie goes out, the new session's; the one that rotated on the way in is over, whoever's it was."""
    logs_in(stage, "/switch", user)
    tab = await stage.expired()
    old = sid(tab.browser.jar)
    result = await tab.post("/switch")
    assert "both" == carried(result)
    assert old != sid(tab.browser.jar) == claims_of(tab.token)["sid"]
    assert {"subject": user, "session_id": sid(tab.browser.jar), "user": user} == result.json()
    assert {sid(tab.browser.jar)} == await ids(stage) | await ids(stage, "user-2")


async def test_i13_a_logout_replaces_the_rotation_of_its_own_request(stage):
    """The cookie is cleared, nothing of the rotation is written after it, and the session is over (P12)."""
    logs_out(stage, "/leave")
    tab = await stage.expired()
    old = tab.browser.jar
    result = await tab.post("/leave")
    assert (200, "", None) == (result.status, result.cookie(), result.new_token)
    assert {"subject": None, "is_authenticated": False} == result.json()
    tab.browser.jar = old
    assert "logged_out" == (await tab.get()).code


async def test_i13_a_login_ends_both_sessions_that_a_request_carries(stage):
    """The header shows one, the cookie another."""
    one, two = await stage.logged_in(), await stage.logged_in("user-2")
    other_device = await stage.logged_in()
    one.browser.jar = two.browser.jar
    result = await one.post("/login?user=user-3")
    assert 200 == result.status
    assert {sid(other_device.browser.jar)} == await ids(stage)
    assert set() == await ids(stage, "user-2")
    assert {sid(one.browser.jar)} == await ids(stage, "user-3")


async def test_i13_keep_session_keeps_them(stage):
    logs_in(stage, "/login", "user-2", keep_session=True)
    tab = await stage.logged_in("user-1")
    assert {sid(tab.browser.jar)} == await ids(stage, "user-2")
    kept = sid(tab.browser.jar)
    await tab.post("/login")
    assert {kept, sid(tab.browser.jar)} == await ids(stage, "user-2")
    assert kept != sid(tab.browser.jar)


@pytest.mark.parametrize("state", ["live", "expired", "rotated away", "forged", "of a dead session"])
async def test_i13_a_login_takes_no_id_from_the_request(stage, options, state):
    """Fixation (P14): whatever cookie an attacker has planted, the session's id is made here and now."""
    tab = await stage.logged_in()
    planted = tab.browser.jar
    if state == "expired":
        stage.clock.advance(16 * 24 * 3600)
    elif state == "rotated away":
        stage.clock.advance(901)
        await tab.get()
    elif state == "forged":
        planted = sign(planted.split(".")[0], claims_of(planted), options["secret"][::-1])
    elif state == "of a dead session":
        await stage.guard.revoke_all("user-1")
    tab.browser.jar = planted
    await tab.post("/login?user=victim")
    assert sid(planted) != sid(tab.browser.jar)
    assert {sid(tab.browser.jar)} == await ids(stage, "victim")


async def test_i13_a_login_ends_a_session_of_which_only_an_old_token_is_left(stage):
    """Any genuine token proves the session, as at logout."""
    tab = await stage.expired()
    tab.browser.jar = None
    await tab.post("/login")
    assert {sid(tab.browser.jar)} == await ids(stage)


async def test_i13_what_a_handler_does_last_holds(stage):
    @stage.on("/in-and-out")
    async def in_and_out(scope, receive, send):
        await get_auth(scope).login("user-1")
        await get_auth(scope).logout()
        await answer(send)

    @stage.on("/out-and-in")
    async def out_and_in(scope, receive, send):
        await get_auth(scope).logout()
        await get_auth(scope).login("user-1")
        await answer(send)

    tab = await stage.expired()
    assert "both" == carried(await tab.post("/out-and-in"))
    assert {sid(tab.browser.jar)} == await ids(stage)
    result = await tab.post("/in-and-out")
    assert ("", None) == (result.cookie(), result.new_token)
    assert set() == await ids(stage), "a session is left that nobody holds"


async def test_i13_of_two_logins_in_one_request_the_last_one_holds(stage):
    @stage.on("/login")
    async def twice(scope, receive, send):
        await get_auth(scope).login("user-1")
        await get_auth(scope).login("user-2")
        await answer(send)

    tab = Browser(stage.app).tab()
    await tab.post("/login")
    assert set() == await ids(stage), "a session is left that nobody holds"
    assert {sid(tab.browser.jar)} == await ids(stage, "user-2")


async def test_i13_a_second_login_that_keeps_the_session_still_replaces_the_first(stage):
    @stage.on("/login")
    async def twice(scope, receive, send):
        await get_auth(scope).login("user-2")
        await get_auth(scope).login("user-2", keep_session=True)
        await answer(send)

    tab = await stage.logged_in("user-2")
    assert {sid(tab.browser.jar)} == await ids(stage, "user-2")


@pytest.mark.parametrize("verb", ["login", "logout"])
async def test_i13_an_auth_that_was_taken_earlier_follows(stage, verb):
    """Also one that stands in a copy of the scope, as some frameworks make."""
    seen = []

    @stage.on("/follow")
    async def handler(scope, receive, send):
        before = get_auth(dict(scope))
        await getattr(get_auth(scope), verb)(*["user-2"][: verb == "login"])
        seen.append((before.subject, before is get_auth(scope)))
        await answer(send)

    await (await stage.logged_in()).post("/follow")
    assert [("user-2" if verb == "login" else None, True)] == seen


async def test_i13_a_slow_request_never_brings_an_ended_session_back(stage):
    """It began before the logout and ends after it."""
    slow = Answer()

    @stage.on("/slow")
    async def handler(scope, receive, send):
        assert 204 == (await other.post("/logout")).status
        await answer(send, 200, {"subject": get_auth(scope).subject})

    tab = await stage.expired()
    other = tab.browser.tab()
    await tab.get()
    stage.clock.advance(931)
    old = tab.browser.jar
    await call(stage.app, "GET", "/slow", [("cookie", f"{COOKIE}={old}")], answer=slow)
    assert (200, "nothing") == (slow.status, carried(slow))
    assert set() == await ids(stage)
    for cookie in (old, tab.browser.jar):
        tab.browser.jar = cookie
        assert 401 == (await tab.ask(token=False)).status


@pytest.mark.parametrize("how", ["revoke", "revoke_all", "revoke_others"])
async def test_i13_where_the_app_ends_the_session_by_the_engine_nothing_of_the_rotation_leaves(stage, how):
    @stage.on("/end")
    async def handler(scope, receive, send):
        auth = get_auth(scope)
        rest = {"revoke": [auth.session_id], "revoke_all": [], "revoke_others": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}[how]
        assert await getattr(stage.guard, how)(auth.subject, *rest)
        await answer(send)

    result = await (await stage.expired()).get("/end")
    assert (200, "nothing") == (result.status, carried(result))
    assert set() == await ids(stage)


async def test_i13_ending_other_sessions_takes_nothing_from_this_one(stage):
    @stage.on("/end-others")
    async def handler(scope, receive, send):
        assert 1 == await stage.guard.revoke_others("user-1", get_auth(scope).session_id)
        await answer(send)

    await stage.logged_in()
    tab = await stage.expired()
    assert "both" == carried(await tab.get("/end-others"))
    assert {sid(tab.browser.jar)} == await ids(stage)


async def test_i13_a_session_that_ends_while_its_owner_is_served_takes_no_login_with_it(stage):
    """The handler ends all sessions of the user and signs in again: the new session's tokens leave."""

    @stage.on("/new-password")
    async def handler(scope, receive, send):
        await stage.guard.revoke_all("user-1")
        await get_auth(scope).login("user-1")
        await answer(send)

    await stage.logged_in()
    tab = await stage.expired()
    assert "both" == carried(await tab.post("/new-password"))
    assert {sid(tab.browser.jar)} == await ids(stage)
    assert 200 == (await tab.get()).status
