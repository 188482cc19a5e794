"""The way of a request through the guard, as stories."""

from __future__ import annotations

import contextlib
from operator import itemgetter

import pytest
from support.actors import COOKIE, Browser
from support.forge import altered, claims_of
from support.server import RedisServer
from support.stage import answer, carried, staged
from support.wire import call

from asgi_tokenguard import ClaimsError, ResponseStarted, SubjectError, get_auth
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.decisions import Accept, Rotate


async def test_a_tab_logs_in_rotates_and_logs_out(browser, clock):
    """The whole product in one life: tokens in the head, a silent rotation, an end that is an end."""
    tab = browser.tab()
    assert (await tab.get()).code == "token_required"

    assert (await tab.post("/login")).status == 200
    first, cookie = tab.token, browser.jar
    assert (await tab.get()).json()["claims"] == {"role": "admin"}

    clock.advance(901)
    assert (await tab.get()).status == 200
    assert first != tab.token
    assert cookie != browser.jar

    assert (await tab.post("/logout")).status == 204
    assert browser.jar is None
    assert (await tab.get()).code == "logged_out"


async def test_redis_away_is_503_with_retry_after_and_json(options):
    """On every path that needs it, optional ones too; nobody is taken for anonymous."""
    server = RedisServer().start()
    with contextlib.closing(server):
        async with staged(options | {"redis": server.url, "timeout": 0.3}, server.clock) as stage:
            tab = await stage.logged_in()
            server.kill()
            for path in ("/me", "/open/x", "/login", "/logout"):
                result = await tab.ask(path)
                assert (503, "store_unavailable", "1") == (result.status, result.code, result.get("retry-after"))
                assert {"detail", "code"} == result.json().keys()
                assert ["no-store"] == result.all("cache-control")
                assert [] == result.all("set-cookie")
            assert 401 == (await call(stage.app, "GET", "/me")).status


class TestTooLate:
    """Once the head has left, nothing can be handed out or cleared any more."""

    @pytest.mark.parametrize("verb", ["login", "logout"])
    @pytest.mark.parametrize("path", ["/open/late", "/login"], ids=["guarded", "public"])
    async def test_login_and_logout_raise_before_redis_is_touched(self, stage, verb, path):
        raised = []

        async def late(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            before = stage.commands()
            try:
                await getattr(get_auth(scope), verb)(*["user-2"][: verb == "login"])
            except ResponseStarted as error:
                raised.append(error)
            assert not stage.commands() - before
            await send({"type": "http.response.body", "body": b"served"})

        tab = await stage.logged_in()
        stage.on(path)(late)
        result = await tab.post(path)
        assert (1, 200, b"served", []) == (len(raised), result.status, result.body, result.headers)
        assert await stage.head(tab)
        assert [] == await stage.guard.sessions("user-2")

    async def test_the_list_of_sessions_may_still_be_read(self, stage):
        @stage.on("/stream")
        async def stream(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            sessions = await get_auth(scope).sessions()
            await send({"type": "http.response.body", "body": b"".join(session.id.encode() for session in sessions)})

        tab = await stage.logged_in()
        assert claims_of(tab.token)["sid"] == (await tab.get("/stream")).body.decode()


@pytest.mark.parametrize(
    ("subject", "claims", "error"),
    [
        ("", None, SubjectError),
        (7, None, SubjectError),
        ("\ud800", None, SubjectError),
        ("x" * 2000, None, SubjectError),
        ("user-2", {"sub": "user-3"}, ClaimsError),
        ("user-2", {"at": float("nan")}, ClaimsError),
        ("user-2", {"big": "x" * 5000}, ClaimsError),
    ],
)
async def test_a_login_that_cannot_be_leaves_everything_as_it_was(stage, subject, claims, error):
    """The error comes before Redis is asked, so that the session that the request carried goes on, another user's too."""

    tab = await stage.logged_in()

    @stage.on("/login")
    async def handler(scope, receive, send):
        with pytest.raises(error):
            await get_auth(scope).login(subject, claims)
        await answer(send, 200, {"subject": get_auth(scope).subject})

    before = stage.commands()
    result = await tab.post("/login")
    assert (200, []) == (result.status, result.headers)
    assert not stage.commands() - before
    assert 200 == (await tab.get()).status


async def test_the_answer_to_a_login_says_at_once_who_it_is(stage):
    """`request.user` and a new `get_auth` within the handler that logged in."""

    @stage.on("/login")
    async def handler(scope, receive, send):
        before = get_auth(scope)
        await before.login("user-1", {"role": "admin", "scope": "read write"})
        auth = get_auth(scope)
        assert ("user-1", "user-1", {"role": "admin", "scope": "read write"}) == (before.subject, auth.subject, auth.claims)
        assert ("read", "write") == auth.scopes
        assert abs(stage.clock.time() - auth.auth_time) < 5
        await answer(send, 200, [session.id for session in await auth.sessions() if session.current])

    tab = Browser(stage.app).tab()
    result = await tab.post("/login")
    assert [claims_of(tab.token)["sid"]] == result.json()


async def test_what_an_access_token_says_is_what_the_app_sees(stage):
    """Also the subject in any script, and claims of any JSON."""
    claims = {"name": "Zo\u00eb \u30be\u30a8", "deep": {"list": [1, None, True, {"a": 0.5}]}, "empty": ""}
    subject = "\u30e6\u30fc\u30b6\u30fc:{1}\0*"

    @stage.on("/login")
    async def login(scope, receive, send):
        await get_auth(scope).login(subject, claims)
        await answer(send)

    tab = Browser(stage.app).tab()
    await tab.post("/login")
    assert (subject, claims) == itemgetter("subject", "claims")((await tab.get()).json())
    stage.clock.advance(901)
    assert (subject, claims) == itemgetter("subject", "claims")((await tab.get()).json())


async def test_the_codes_of_401_tell_why(stage):
    """Each code of this release, with the state that it is for."""
    tab = await stage.logged_in()
    token, cookie = tab.token, tab.browser.jar

    async def code(token=None, cookie=None):
        headers = [("authorization", f"Bearer {token}")] if token else []
        result = await call(stage.app, "GET", "/me", headers + ([("cookie", f"{COOKIE}={cookie}")] if cookie else []))
        challenge = result.get("www-authenticate")
        assert (challenge == "Bearer") == (result.code == "token_required")
        assert result.code == "token_required" or challenge.startswith('Bearer error="invalid_token", error_description="')
        return result.code

    other = await stage.logged_in("user-2")
    assert "token_required" == await code()
    assert "invalid_token" == await code(token="x")
    assert "invalid_token" == await code(cookie="x")
    stage.clock.advance(901)
    assert "token_expired" == await code(token)
    assert "session_mismatch" == await code(token, other.browser.jar)
    await tab.get()
    await tab.get()
    stage.clock.advance(31)
    assert "rolled_back_client" == await code(cookie=cookie)
    assert "rolled_back_client" == await code(cookie=cookie)
    assert "rolled_back_client" == await code(tab.token)
    stage.clock.advance(15 * 24 * 3600)
    assert "session_expired" == await code(cookie=other.browser.jar)
    assert "session_expired" == await code(other.token, other.browser.jar)
    assert "token_expired" == await code(other.token)


async def test_a_superseded_token_is_expired_to_its_client(stage):
    """Its session lives: the client asks again with its cookie and is handed the new one."""
    tab = await stage.logged_in()
    await stage.guard.update_claims("user-1", {"role": "guest"})
    result = await call(stage.app, "GET", "/me", [("authorization", f"Bearer {tab.token}")])
    assert (401, "token_expired") == (result.status, result.code)
    result = await tab.get()
    assert (200, {"role": "guest"}, "token") == (result.status, result.json()["claims"], carried(result))


@pytest.mark.parametrize("state", ["expired", "superseded", "ended"])
async def test_a_tab_never_changes_its_user_silently(stage, options, state):
    """Somebody has logged in as another user in another tab: refused, and the other user's session is not rotated."""
    tab, other = await stage.logged_in("user-1"), await stage.logged_in("user-2")
    token = tab.token
    if state == "superseded":
        await stage.guard.update_claims("user-1", {"role": "guest"})
        token = altered(token, options["secret"], exp=claims_of(token)["exp"] + 10_000)
    elif state == "ended":
        await stage.guard.revoke_all("user-1")
        token = altered(token, options["secret"], exp=claims_of(token)["exp"] + 10_000)
    stage.clock.advance(901)
    other.token = token
    result = await other.ask()
    assert (401, "session_mismatch", "nothing") == (result.status, result.code, carried(result))
    assert 0 == (await stage.head(other, "user-2")).gen
    other.reload()
    assert (200, "both") == ((result := await other.get()).status, carried(result))


async def test_a_dead_cookie_of_another_user_is_no_mismatch(stage):
    tab, other = await stage.logged_in("user-1"), await stage.logged_in("user-2")
    await stage.guard.revoke_all("user-2")
    stage.clock.advance(901)
    other.token = tab.token
    assert "revoked" == (await other.ask()).code


@pytest.mark.parametrize("decision", [Accept(), Rotate(caller=Caller.SCRIPT)], ids=lambda decision: type(decision).__name__)
async def test_where_core_and_shell_ever_disagree_nobody_is_let_in(stage, monkeypatch, decision):
    """A decision for a token that the request has not got."""
    monkeypatch.setattr("asgi_tokenguard.asgi.gate.decide", lambda facts: decision)
    result = await call(stage.app, "GET", "/me")
    assert (401, 0) == (result.status, stage.handlers.calls["/me"])
