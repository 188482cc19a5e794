"""`refresh_header`: native apps keep their refresh token themselves; no browser can use it, or be made to ask for it."""

from __future__ import annotations

import pytest
from support.actors import COOKIE, FRESH, METADATA, OWN
from support.forge import claims_of
from support.forgeries import FORGERIES
from support.http import send, serving
from support.sockets import Peer, Room
from support.stage import answer, staged
from support.wire import call

from asgi_tokenguard import FixedLocator, Place, get_auth

HEADER, NEW = "x-refresh-token", "x-new-refresh-token"
BROWSERS = {kind: says for kind, says in METADATA.items() if says} | {
    "an old browser": {"origin": OWN},
    "an old browser elsewhere": {"origin": "https://evil.example"},
    "a sandboxed frame": {"origin": "null"},
    "half-sent metadata": {"sec-fetch-dest": "empty"},
    "a prefetch": {"sec-purpose": "prefetch"},
    "a fourth field of later days": {"sec-fetch-user": "?1"},
}


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock, refresh_header="X-Refresh-Token", endpoints="/auth") as stage:
        yield stage


class Phone:
    """A native app: no cookies, its tokens in variables of its own."""

    def __init__(self, app):
        self.app = app
        self.refresh = ""  # it says with every request that it keeps the token itself
        self.access = self.fresh = None

    def copy(self):
        thief = Phone(self.app)
        thief.refresh = self.refresh
        return thief

    async def ask(self, path="/me", method="GET", headers=(), *, access=True, **extra):
        sent = [(HEADER, self.refresh), *headers]
        if access and self.access:
            sent.append(("authorization", f"Bearer {self.access}"))
        if self.fresh:
            sent.append(("x-fresh-token", self.fresh))
        return await call(self.app, method, path, sent, **extra)

    async def get(self, path="/me", method="GET", headers=(), **options):
        result = await self.ask(path, method, headers, **options)
        assert [] == result.all("set-cookie"), "an automatic jar would send it beside the header"
        for name, field in (("x-new-access-token", "access"), (NEW, "refresh"), ("x-new-fresh-token", "fresh")):
            if (value := result.get(name)) is not None:
                setattr(self, field, value)
        return result


async def logged_in(stage):
    phone = Phone(stage.app)
    if (await phone.get("/login", "POST")).status != 200 or not phone.refresh:
        raise RuntimeError("the login gave no refresh token")
    await stage.quiet()
    return phone


async def expired(stage):
    phone = await logged_in(stage)
    stage.clock.advance(901)
    return phone


def gave(result):
    """What an answer hands out."""
    names = {"x-new-access-token": "access", NEW: "refresh", "x-new-fresh-token": "fresh", "set-cookie": "cookie"}
    return {names[name] for name, _ in result.headers if name in names}


class TestAPhone:
    async def test_logs_in_and_keeps_all_three_tokens_itself(self, stage):
        result = await Phone(stage.app).get("/login", "POST")
        assert {"access", "refresh", "fresh"} == gave(result)
        assert ["no-store"] == result.all("cache-control")
        assert "rt+jwt" not in result.get("x-new-access-token")

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    async def test_is_served_on_it_alone_and_rotates(self, stage, method):
        """I1 does not stand in the way: what no page can send proves the caller."""
        phone = await expired(stage)
        before = phone.refresh
        result = await phone.get("/me", method, access=False)
        assert (200, {"access", "refresh"}) == (result.status, gave(result))
        assert claims_of(before)["gen"] + 1 == claims_of(phone.refresh)["gen"]
        assert (200, set()) == ((again := await phone.get("/me", method)).status, gave(again))

    async def test_a_lost_answer_heals(self, stage):
        phone = await expired(stage)
        lost = await phone.ask()
        stage.clock.advance(3600)
        again = await phone.get()
        assert (200, lost.get(NEW)) == (again.status, again.get(NEW))

    async def test_two_requests_at_once_get_the_same_successor(self, stage):
        phone = await expired(stage)
        one, two = await phone.ask(), await phone.ask()
        assert one.get(NEW) == two.get(NEW)
        assert one.get(NEW) is not None

    async def test_a_thief_who_comes_late_ends_it_for_both(self, stage):
        phone = await expired(stage)
        thief = phone.copy()
        await phone.get()
        await phone.get()
        stage.clock.advance(31)
        result = await thief.ask(headers=[("user-agent", "another")])
        assert (401, "reuse_detected", set()) == (result.status, result.code, gave(result))
        assert (401, "reuse_detected") == ((owner := await phone.get()).status, owner.code)

    async def test_who_comes_from_far_away_is_judged_as_with_a_cookie(self, options, clock):
        near, far = Place(latitude=48.9, longitude=2.4, city="Paris"), Place(latitude=35.7, longitude=139.7, city="Tokyo")
        locator = FixedLocator({"192.0.2.0/24": near, "203.0.113.0/24": far})
        async with staged(options, clock, refresh_header="X-Refresh-Token", locator=locator) as stage:
            phone = await expired(stage)
            assert "revoked" == (await phone.ask(client=("203.0.113.9", 5))).code

    async def test_logs_out_with_it_alone(self, stage):
        for path in ("/logout", "/auth/logout"):
            phone = await logged_in(stage)
            assert 204 == (await phone.ask(path, "POST", access=False)).status
            assert "logged_out" == (await phone.ask()).code
            assert 204 == (await Phone(stage.app).ask(path, "POST")).status
            assert (403, "cross_site_request") == (
                (garbage := await call(stage.app, "POST", path, [(HEADER, "garbage")])).status,
                garbage.code,
            ), "what proves nothing is no proof"

    async def test_a_login_ends_the_session_that_it_brings(self, stage):
        phone = await logged_in(stage)
        old = phone.copy()
        await phone.get("/login", "POST")
        assert (200, 1) == ((await phone.get()).status, len(await stage.guard.sessions("user-1")))
        assert 401 == (await old.ask()).status

    async def test_proves_freshness_by_its_own_header(self, stage):
        @stage.on("/confirm")
        async def confirm(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        @stage.on("/sensitive")
        async def sensitive(scope, receive, send):
            await get_auth(scope).require_fresh()
            await answer(send)

        phone = await expired(stage)
        assert (401, "step_up_required") == ((stale := await phone.get("/sensitive")).status, stale.code)
        await phone.get("/me")
        confirmed = await phone.get("/confirm", "POST")
        assert (200, True) == (confirmed.status, "fresh" in gave(confirmed))
        assert 200 == (await phone.get("/sensitive")).status

    async def test_opens_a_websocket(self, stage):
        stage.on("/ws")(Room())
        phone = await logged_in(stage)
        async with Peer(stage.app, headers=[(HEADER, phone.refresh)]) as peer:
            await peer.accepted()
            assert "user-1" == (await peer.says())["subject"]
        async with Peer(stage.app, headers=[(HEADER, phone.refresh), ("origin", OWN)]) as peer:
            assert (403, "not_for_pages") == await peer.refusal()

    async def test_the_endpoints_take_it(self, stage):
        phone = await expired(stage)
        result = await phone.get("/auth/refresh", "POST", access=False)
        assert (204, {"access", "refresh"}) == (result.status, gave(result))
        described = (await call(stage.app, "GET", "/auth/openapi.json")).json()
        scheme = described["components"]["securitySchemes"]["refreshHeader"]
        assert ("header", HEADER) == (scheme["in"], scheme["name"])
        operation = described["paths"]["/auth/refresh"]["post"]
        assert {"refreshHeader": []} in operation["security"]
        assert "not_for_pages" in operation["responses"]["403"]["content"]["application/json"]["examples"]

    async def test_whose_header_is_no_token_is_refused(self, stage):
        phone = await logged_in(stage)
        for value, code in (("garbage", "invalid_token"), (phone.access, "invalid_token"), ("", "token_required")):
            assert (401, code) == ((result := await call(stage.app, "GET", "/me", [(HEADER, value)])).status, result.code)

    @pytest.mark.parametrize("name", sorted(FORGERIES.keys() - {"empty"}))  # an empty one asks
    async def test_i3_no_forgery_counts_in_it(self, stage, options, name):
        phone = await logged_in(stage)
        forged = FORGERIES[name](phone.refresh, options["secret"])
        for method in ("GET", "POST"):
            result = await call(stage.app, method, "/me", [(HEADER, forged)])
            assert (401, "invalid_token", set()) == (result.status, result.code, gave(result))
        assert 200 == (await phone.get()).status

    async def test_that_says_rotation_is_off_is_handed_nothing(self, stage):
        phone = await expired(stage)
        result = await phone.get(headers=[("x-token-rotation", "off")])
        assert (200, set()) == (result.status, gave(result))


class TestABrowser:
    """The attacker is a script in a page, his own or one of ours: he wants what `HttpOnly` keeps from him."""

    @pytest.mark.parametrize("says", BROWSERS.values(), ids=BROWSERS)
    async def test_cannot_use_the_header(self, stage, says):
        phone = await expired(stage)
        for method in ("GET", "POST"):
            result = await phone.ask(method=method, headers=says.items())
            assert (403, "not_for_pages", set()) == (result.status, result.code, gave(result))
            assert None is result.get("access-control-expose-headers")
        assert 0 == claims_of(phone.refresh)["gen"]
        assert 200 == (await phone.get()).status

    @pytest.mark.parametrize("path", ["/login", "/logout", "/open/x", "/auth/logout", "/auth/refresh"])
    @pytest.mark.parametrize("says", BROWSERS.values(), ids=BROWSERS)
    async def test_cannot_ask_for_it_at_login_or_anywhere(self, stage, says, path):
        """An empty header asks; no session starts for who may not have what is asked for."""
        result = await Phone(stage.app).ask(path, "POST", says.items())
        assert (403, set()) == (result.status, gave(result))
        assert result.code in {"not_for_pages", "cross_site_request"}
        assert [] == await stage.guard.sessions("user-1")

    @pytest.mark.parametrize("value", ["", "x", "a token"])
    async def test_without_metadata_brings_its_cookie_along_which_makes_two(self, stage, value):
        """A script in a page of an old browser, where a GET of the same origin says nothing of itself."""
        tab = await stage.expired()
        value = tab.browser.jar if value == "a token" else value
        for path in ("/me", "/open/x", "/logout"):
            result = await call(stage.app, "GET", path, [(HEADER, value), ("cookie", f"{COOKIE}={tab.browser.jar}")])
            assert (400, "duplicate_credentials", set()) == (result.status, result.code, gave(result))
        assert 200 == (await tab.get()).status

    async def test_a_login_beside_another_session_looks_as_well(self, options, clock):
        async with staged(options, clock, refresh_header="X-Refresh-Token", public=["/login", "/keeping"]) as stage:
            stage.handlers.by_path["/keeping"] = keeping
            tab = await stage.logged_in()
            headers = [(HEADER, ""), ("cookie", f"{COOKIE}={tab.browser.jar}")]
            result = await call(stage.app, "GET", "/keeping", headers)
            assert (400, set()) == (result.status, gave(result))
            result = await call(stage.app, "GET", "/keeping", [(HEADER, ""), *METADATA["page"].items()])
            assert (403, "not_for_pages", set()) == (result.status, result.code, gave(result))
            assert 1 == len(await stage.guard.sessions("user-1"))

    async def test_nor_by_confirming_the_password(self, stage):
        """Its access token lets it in, and the header is not looked at before it is asked for something."""

        @stage.on("/confirm")
        async def confirm(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        tab = await stage.logged_in()
        result = await tab.post("/confirm", headers={HEADER: ""})
        assert (403, "not_for_pages", set()) == (result.status, result.code, gave(result))
        bare = await tab.post("/confirm", kind="bare", headers={HEADER: ""})
        assert (400, set()) == (bare.status, gave(bare))

    async def test_goes_on_with_its_cookie_as_ever(self, stage):
        tab = await stage.expired()
        result = await tab.get()
        assert (200, {"access", "cookie"}) == (result.status, gave(result))
        assert "X-New-Access-Token" == result.get("access-control-expose-headers")


async def keeping(scope, receive, send):
    await get_auth(scope).login("user-1", keep_session=True)
    await answer(send)


class TestTwo:
    @pytest.mark.parametrize("values", [("a", "a"), ("a", "b"), ("", ""), ("", "a")])
    async def test_i4_the_header_twice_is_refused(self, stage, values):
        phone = await expired(stage)
        values = [phone.refresh if value == "a" else value for value in values]
        result = await call(stage.app, "GET", "/me", [(HEADER, value) for value in values])
        assert (400, "duplicate_credentials", set()) == (result.status, result.code, gave(result))
        assert 200 == (await phone.get()).status

    async def test_i4_so_are_two_freshness_tokens(self, stage):
        @stage.on("/sensitive")
        async def sensitive(scope, receive, send):
            await get_auth(scope).require_fresh()
            await answer(send)

        phone = await logged_in(stage)
        assert 400 == (await phone.ask("/sensitive", headers=[("cookie", f"{FRESH}={phone.fresh}")])).status

    async def test_two_values_in_one_field_are_no_token(self, stage):
        phone = await expired(stage)
        for value in (f"{phone.refresh}, {phone.refresh}", f"{phone.refresh},", f"Bearer {phone.refresh}"):
            assert "invalid_token" == (await call(stage.app, "GET", "/me", [(HEADER, value)])).code


async def test_off_by_default_the_header_is_nothing(options, clock):
    async with staged(options, clock) as stage:
        tab = await stage.expired()
        result = await call(stage.app, "GET", "/me", [(HEADER, tab.browser.jar)])
        assert (401, "token_required") == (result.status, result.code)
        login = await call(stage.app, "POST", "/login", [(HEADER, "")])
        assert {"access", "cookie", "fresh"} == gave(login)


async def test_a_program_with_cookies_is_not_handed_one_that_it_has_not_asked_for(stage):
    """A renderer that passes the headers of our answers on would hand it to scripts."""
    login = await call(stage.app, "POST", "/login")
    assert {"access", "cookie", "fresh"} == gave(login)
    stage.clock.advance(901)
    rotated = await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={login.cookie()}")])
    assert {"access", "cookie"} == gave(rotated)


async def test_over_http(stage):
    with serving(stage.app) as url:
        login = send(url, "POST", "/login", [("X-Refresh-Token", "")])
        assert (200, {"access", "refresh", "fresh"}) == (login.status, gave(login))
        await stage.quiet()
        stage.clock.advance(901)
        rotated = send(url, "POST", "/me", [("X-Refresh-Token", login.get(NEW))])
        assert (200, {"access", "refresh"}) == (rotated.status, gave(rotated))
        page = send(url, "POST", "/me", [("X-Refresh-Token", rotated.get(NEW)), ("Origin", OWN)])
        assert (403, "not_for_pages") == (page.status, page.code)
