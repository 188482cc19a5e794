"""P14, P15, P17 to P25, P43, P56: reading requests, logging in and out."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import pytest
from starlette.responses import PlainTextResponse
from support.actors import COOKIE, METADATA, OWN, Browser
from support.forge import aged, altered, claims_of
from support.forgeries import ULID
from support.server import RedisServer
from support.stage import answer, staged
from support.wire import Answer, call

from asgi_tokenguard import ConfigurationError, RiskPolicy, get_auth
from asgi_tokenguard.core.risk import Action


async def test_p14_an_id_in_the_request_is_never_adopted(stage):
    """An attacker plants his own cookie; the victim logs in and gets an id that the attacker has never seen."""
    attacker = await stage.logged_in("attacker")
    victim = Browser(stage.app).tab()
    victim.browser.jar = attacker.browser.jar
    await victim.post(f"/login?user=victim&sid={ULID}&session_id={ULID}")
    assert claims_of(victim.browser.jar)["sid"] not in {claims_of(attacker.browser.jar)["sid"], ULID}
    assert 401 == (await attacker.get()).status


async def test_p15_a_login_leaves_one_session_and_one_cookie(stage):
    tab = await stage.logged_in()
    old = (tab.token, tab.browser.jar)
    for _ in range(3):
        result = await tab.post("/login")
        assert 1 == len(result.cookie_lines)
    assert [claims_of(tab.browser.jar)["sid"]] == [session.id for session in await stage.guard.sessions("user-1")]
    assert 401 == (await call(stage.app, "GET", "/me", [("authorization", f"Bearer {old[0]}")])).status
    assert 401 == (await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={old[1]}")])).status


@pytest.mark.parametrize(
    ("pattern", "path", "query"),
    [
        ("/login", "/admin/login-report", b""),
        ("/docs", "/docs-internal", b""),
        ("/static/*", "/admin", b"a=/static/x"),
        ("/static/*", "/static", b""),
        ("/health", "/Health", b""),
        ("/a.b", "/aXb", b""),
    ],
)
async def test_p17_a_pattern_opens_no_path_that_only_looks_like_it(options, clock, pattern, path, query):
    async with staged(options, clock, public=[pattern]) as stage:
        assert 401 == (await call(stage.app, "GET", path, query_string=query)).status
        assert 200 == (await call(stage.app, "GET", pattern.replace("*", "x"))).status


async def test_p17_a_root_path_is_understood(options, clock):
    async with staged(options, clock, public=["/login", "/app/*"]) as stage:
        assert 200 == (await call(stage.app, "GET", "/app/login", root_path="/app")).status
        assert 401 == (await call(stage.app, "GET", "/app/me", root_path="/app")).status


@pytest.mark.parametrize(
    "value", ["Basic {}", "Token {}", "xBearer {}", "Bearer{}", "{} Bearer", "Bearer:{}", "Bearer, {}", "{}"]
)
async def test_p18_another_scheme_is_no_bearer(stage, value):
    token = (await stage.logged_in()).token
    assert "token_required" == (await call(stage.app, "GET", "/me", [("authorization", value.format(token))])).code


@pytest.mark.parametrize("value", ["Bearer {} {}", "Bearer {},{}", "Bearer Bearer {}"])
async def test_p18_one_scheme_has_one_token(stage, value):
    token = (await stage.logged_in()).token
    headers = [("authorization", value.format(*[token] * value.count("{}")))]
    assert "invalid_token" == (await call(stage.app, "GET", "/me", headers)).code


async def test_p19_of_two_security_headers_none_wins(stage):
    one, two = await stage.logged_in("one"), await stage.logged_in("two")
    headers = [("authorization", f"Bearer {tab.token}") for tab in (one, two)]
    assert "duplicate_credentials" == (await call(stage.app, "GET", "/me", headers)).code
    headers = [("cookie", f"{COOKIE}={tab.browser.jar}") for tab in (one, two)]
    assert "duplicate_credentials" == (await call(stage.app, "GET", "/me", headers)).code


async def test_p20_preflights_are_not_asked_for_a_token(stage):
    headers = [("origin", "https://other.example"), ("access-control-request-method", "DELETE")]
    assert 200 == (await call(stage.app, "OPTIONS", "/me", headers)).status


async def test_p21_nobody_is_believed_about_his_address(stage):
    """Until trusted proxies can be named, none is."""
    lies = {
        "x-forwarded-for": "203.0.113.9",
        "forwarded": "for=203.0.113.9",
        "x-real-ip": "203.0.113.9",
        "cf-connecting-ip": "203.0.113.9",
        "true-client-ip": "203.0.113.9",
    }
    tab = Browser(stage.app).tab()
    await tab.post("/login", headers=lies, client=("192.0.2.33", 1))
    (session,) = await stage.guard.sessions("user-1")
    assert "192.0.2.33" == session.ip_address
    stage.clock.advance(901)
    await tab.get(headers=lies, client=("2001:db8::7", 1))
    (session,) = await stage.guard.sessions("user-1")
    assert "2001:db8::7" == session.ip_address


async def test_p22_a_token_in_the_query_is_no_token(stage):
    """It would end in every access log."""
    tab = await stage.logged_in()
    query = f"access_token={tab.token}&token={tab.token}&{COOKIE}={tab.browser.jar}&authorization=Bearer%20{tab.token}"
    assert "token_required" == (await call(stage.app, "GET", f"/me?{query}")).code


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyError, TimeoutError, OSError, LookupError])
@pytest.mark.parametrize("rotates", [True, False])
async def test_p24_the_app_is_called_exactly_once(stage, error, rotates):
    @stage.on("/pay")
    async def pay(scope, receive, send):
        raise error

    tab = await (stage.expired() if rotates else stage.logged_in())
    with pytest.raises(error):
        await tab.ask("/pay", answer=Answer())
    assert 1 == stage.handlers.calls["/pay"]


@pytest.mark.parametrize("says", ["words", "nothing"])
@pytest.mark.parametrize("kind", ["plain", "async", "object", "partial"])
async def test_p23_a_callback_is_awaited_where_it_has_to_be(options, clock, kind, says):
    """A coroutine is not None, whatever it will answer: taken for the answer, it would be the app's words or a 500."""
    words = PlainTextResponse("Who are you?") if says == "words" else None

    async def later(scope, refusal):
        return words

    class Desk:
        async def __call__(self, scope, refusal):
            return words

    callbacks = {"plain": lambda *_: words, "async": later, "object": Desk(), "partial": partial(later)}
    async with staged(options, clock, on_refusal=callbacks[kind]) as stage:
        answer = await call(stage.app, "GET", "/me")
    assert (401, b"Who are you?" if words else b'{"detail": "') == (answer.status, answer.body[:12])


def test_p23_a_callback_that_nobody_would_await_is_refused_when_it_is_given():
    async def asks_somebody(signals):
        return Action.REVOKE

    with pytest.raises(ConfigurationError, match="coroutine function"):
        RiskPolicy(rules=[asks_somebody])


async def test_p25_an_outage_is_503_and_a_bad_token_401_and_neither_is_anonymous(options):
    server = RedisServer().start()
    with contextlib.closing(server):
        async with staged(options | {"redis": server.url, "timeout": 0.3}, server.clock) as stage:
            tab = await stage.logged_in()
            bearer = [("authorization", f"Bearer {tab.token}")]
            cookie = [("cookie", f"{COOKIE}={tab.browser.jar}")]
            server.kill()
            for path in ("/me", "/open/x"):
                for headers in (bearer, cookie, bearer + cookie):
                    assert 503 == (await call(stage.app, "GET", path, headers)).status
                bad = [("authorization", f"Bearer {tab.token}x")]
                assert 401 == (await call(stage.app, "GET", path, bad)).status
        assert 0 == stage.handlers.calls["/open/x"]


async def test_p43_concurrent_requests_see_their_own_state(stage):
    """Thirty users at once, each held up in the handler until all are in."""
    waiting, all_in = set(), asyncio.Event()

    @stage.on("/who")
    async def who(scope, receive, send):
        waiting.add(get_auth(scope).subject)
        if len(waiting) == 30:
            all_in.set()
        await asyncio.wait_for(all_in.wait(), 10)
        await answer(send, 200, [get_auth(scope).subject, scope["user"].identity, get_auth(scope).claims["role"]])

    tabs = {}
    for number in range(30):
        tabs[f"user-{number}"] = tab = Browser(stage.app).tab()
        await tab.post(f"/login?user=user-{number}&role=role-{number}")
    answers = await asyncio.gather(*(tab.get("/who") for tab in tabs.values()))
    expected = [[user, user, user.replace("user", "role")] for user in tabs]
    assert expected == [answer.json() for answer in answers]


class TestP56:
    """Who wants to leave can leave."""

    @pytest.fixture
    async def tab(self, stage):
        return await stage.logged_in()

    async def leave(self, stage, token=None, cookie=None):
        headers = [*METADATA["fetch"].items(), ("origin", OWN)]
        headers += [] if token is None else [("authorization", f"Bearer {token}")]
        headers += [] if cookie is None else [("cookie", f"{COOKIE}={cookie}")]
        result = await call(stage.app, "POST", "/logout", headers)
        assert (204, "", None) == (result.status, result.cookie(), result.new_token)
        return [session.id for session in await stage.guard.sessions("user-1")]

    @pytest.mark.parametrize("state", ["live", "expired", "superseded", "of an older generation"])
    async def test_p56_with_an_access_token_in_any_state(self, stage, options, tab, state):
        token = {
            "live": lambda: tab.token,
            "expired": lambda: aged(tab.token, options["secret"], 100_000),
            "superseded": lambda: altered(tab.token, options["secret"], jti=ULID),
            "of an older generation": lambda: tab.token,
        }[state]()
        if state == "of an older generation":
            stage.clock.advance(901)
            await tab.get()
        assert [] == await self.leave(stage, token)

    @pytest.mark.parametrize("state", ["head", "superseded"])
    async def test_p56_with_a_cookie_in_any_state(self, stage, tab, state):
        """Also a superseded one; that it was superseded is no theft then."""
        cookie = tab.browser.jar
        if state == "superseded":
            stage.clock.advance(901)
            await tab.get()
            await tab.get()
            stage.clock.advance(31)
        assert [] == await self.leave(stage, cookie=cookie)

    async def test_p56_with_nothing_left_to_end(self, stage, tab):
        await stage.guard.revoke_all("user-1")
        for _ in range(2):
            assert [] == await self.leave(stage, tab.token, tab.browser.jar)
        assert [] == await self.leave(stage)

    @pytest.mark.parametrize(("token", "cookie"), [("forged", None), (None, "forged"), ("a.b.c", "d.e.f")])
    async def test_p56_garbage_ends_nothing_and_the_cookie_is_cleared(self, stage, tab, token, cookie):
        assert 1 == len(await self.leave(stage, token, cookie))

    async def test_p56_it_rotates_nothing_first(self, stage, tab):
        """On a guarded path the way in may have rotated; what leaves is the cleared cookie."""
        stage.clock.advance(901)

        @stage.on("/bye")
        async def bye(scope, receive, send):
            await get_auth(scope).logout()
            await answer(send, 204)

        result = await tab.post("/bye")
        assert (204, "", None) == (result.status, result.cookie(), result.new_token)
        assert [] == await stage.guard.sessions("user-1")
