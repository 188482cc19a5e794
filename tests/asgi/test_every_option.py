"""P31: every option changes what a request meets; each test sends the same request with and without it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings

import pytest
import redis.asyncio
from starlette.responses import PlainTextResponse
from support.actors import COOKIE, METADATA, OWN, Browser
from support.apps import plain_app
from support.forge import claims_of, digest_of, header_of
from support.possession import Holder
from support.server import RedisServer
from support.stage import answer, carried, staged, who
from support.streams import Ticker, reading
from support.wire import call

from asgi_tokenguard import (
    DPoP,
    Durability,
    FixedLocator,
    InsecureCookieWarning,
    Key,
    KeySet,
    Lifetimes,
    Limits,
    Place,
    Rate,
    RefreshCookie,
    RiskPolicy,
    StepUpRequired,
    TokenGuard,
    TokenGuardMiddleware,
    get_auth,
)
from asgi_tokenguard.core.risk import change_of_device
from asgi_tokenguard.options import GuardOptions

OTHER_SECRET = "quite another secret of more than thirty-two bytes"


@pytest.fixture
def stage(options, clock):
    return lambda **more: staged(options, clock, **more)


def bearer(token):
    return [("authorization", f"Bearer {token}")]


async def log_in(stage, **headers):
    return await call(stage.app, "POST", "/login", (METADATA["bare"] | headers).items())


async def test_secret_verifies_and_another_one_does_not(stage):
    async with stage() as one, stage(secret=OTHER_SECRET) as two:
        token = (await log_in(one)).new_token
        assert 200 == (await call(one.app, "GET", "/me", bearer(token))).status
        # Its kid is unknown there, so that the token proves nothing.
        assert "token_required" == (await call(two.app, "GET", "/me", bearer(token))).code


async def test_dpop_binds_what_a_login_with_a_proof_starts(stage, clock):
    holder = Holder(now=clock.time)
    async with stage() as plain, stage(dpop=DPoP(OWN)) as bound:
        for where, is_bound in ((plain, False), (bound, True)):
            token = (await log_in(where, dpop=holder.proof("POST", f"{OWN}/login"))).new_token
            assert is_bound is ("cnf" in claims_of(token))
            status = 401 if is_bound else 200
            assert status == (await call(where.app, "GET", "/me", bearer(token))).status


async def test_issuer_is_carried_and_asked_for(stage):
    async with stage() as before, stage(issuer="https://id.example") as named, stage(issuer="https://id.example/") as other:
        token = (await log_in(named)).new_token
        assert "https://id.example" == claims_of(token)["iss"]
        assert 200 == (await call(named.app, "GET", "/me", bearer(token))).status
        bare = (await log_in(before)).new_token
        assert "iss" not in claims_of(bare)
        for where, shown in ((before, token), (other, token), (named, bare)):
            assert "invalid_token" == (await call(where.app, "GET", "/me", bearer(shown))).code


async def test_audience_is_carried_and_asked_for_in_every_kind_of_token(stage):
    async with stage(audience="https://api.example") as one, stage(audience=["mobile", "https://api.example"]) as two:
        browser = Browser(one.app)
        tab = browser.tab()
        await tab.post("/login")
        assert ["https://api.example"] * 3 == [claims_of(token)["aud"] for token in (tab.token, browser.jar, browser.fresh)]
        browser.app = two.app
        assert 200 == (await tab.get()).status
        theirs = Browser(two.app).tab()
        await theirs.post("/login")
        assert ["mobile", "https://api.example"] == claims_of(theirs.token)["aud"]
    async with stage(audience="mobile") as other:
        browser.app = other.app
        assert 401 == (await tab.get()).status
        tab.reload()
        assert 401 == (await tab.get()).status  # nor by its cookie


@pytest.mark.parametrize("cache", [True, False])
async def test_leeway_is_how_long_a_token_that_is_over_still_counts(stage, clock, cache):
    async with stage(cache=cache) as strict, stage(leeway=60, cache=cache) as patient:
        token = (await log_in(patient)).new_token
        for _ in range(3):
            assert 200 == (await call(patient.app, "GET", "/me", bearer(token))).status
        clock.advance(900 + 59)
        assert 200 == (await call(patient.app, "GET", "/me", bearer(token))).status
        assert "token_expired" == (await call(strict.app, "GET", "/me", bearer(token))).code
        clock.advance(2)
        assert "token_expired" == (await call(patient.app, "GET", "/me", bearer(token))).code


async def test_leeway_changes_nothing_of_when_a_cookie_rotates(stage, clock):
    async with stage(leeway=60) as patient:
        tab = Browser(patient.app).tab()
        await tab.post("/login")
        tab.reload()
        clock.advance(901)
        assert "both" == carried(await tab.get())


async def test_keys_are_exchanged_without_logging_anybody_out(options, clock):
    """The newest signs, all verify; a token of a key that was taken out counts as absent."""
    options = {name: value for name, value in options.items() if name != "secret"}
    old, new = Key(OTHER_SECRET, kid="2025"), Key(OTHER_SECRET * 2, kid="2026", algorithm="HS512")
    async with staged(options, clock, keys=KeySet([old])) as before:
        tab = await before.logged_in()
        assert {"alg": "HS256", "kid": "2025", "typ": "at+jwt"} == header_of(tab.token)
        assert {"alg": "HS256", "kid": "2025", "typ": "rt+jwt"} == header_of(tab.browser.jar)
    async with staged(options, clock, keys=KeySet([old, new])) as during:
        tab.browser.app = during.app
        assert 200 == (await tab.get()).status
        clock.advance(901)
        await tab.get()
        assert {"alg": "HS512", "kid": "2026", "typ": "at+jwt"} == header_of(tab.token)
        signed_by_old = await during.logged_in()
    async with staged(options, clock, keys=KeySet([old])) as behind:  # a worker that was not deployed yet
        tab.browser.app = behind.app
        assert "token_required" == (await call(behind.app, "GET", "/me", bearer(tab.token))).code
        assert "invalid_token" == (await tab.ask(token=False)).code
    async with staged(options, clock, keys=KeySet([new])) as after:
        tab.browser.app = after.app
        assert 200 == (await tab.get()).status
        assert 200 == (await call(after.app, "GET", "/me", bearer(signed_by_old.token))).status


async def test_redis_is_where_the_sessions_are(stage, options):
    """A URL, here of another database, or a client."""
    url = f"{options['redis']}?db=1"
    async with (
        redis.asyncio.Redis.from_url(url) as client,
        stage() as here,
        stage(redis=url) as there,
        stage(redis=client) as given,
    ):
        token = (await log_in(there)).new_token
        assert "session_ended" == (await call(here.app, "GET", "/me", bearer(token))).code
        assert 200 == (await call(given.app, "GET", "/me", bearer(token))).status


async def test_namespace_keeps_apps_apart(stage):
    async with stage(namespace="one") as one, stage(namespace="two") as two:
        token = (await log_in(one)).new_token
        assert 200 == (await call(one.app, "GET", "/me", bearer(token))).status
        assert "session_ended" == (await call(two.app, "GET", "/me", bearer(token))).code
        client = await one.guard.engine.store._link.connector.client()
        assert 1 == await client.exists(f"one:s:{{{digest_of('user-1')}}}")
        await one.guard.revoke_all("user-1")


@pytest.mark.parametrize("timeout", [0.1, 0.4])
async def test_timeout_is_how_long_a_request_waits(stage, timeout):
    server = RedisServer().start()
    with contextlib.closing(server):
        async with stage(redis=server.url, timeout=timeout) as waiting:
            token = (await log_in(waiting)).new_token
            server.freeze()
            took = []
            for _ in range(3):  # the least of them: a busy machine makes some longer
                began = time.monotonic()
                assert 503 == (await call(waiting.app, "GET", "/me", bearer(token))).status
                took.append(time.monotonic() - began)
            assert timeout <= min(took) < timeout + 0.6
            server.thaw()


async def test_durability_is_what_has_to_have_a_login_before_it_counts(stage):
    """This server has no replica: nothing of the login leaves, and nothing is left of it."""
    careful = Durability(login="replicated", timeout=0.05)
    async with stage() as ordinary, stage(durability=careful) as replicated:
        assert 200 == (await log_in(ordinary)).status
        await ordinary.guard.revoke_all("user-1")
        refused = await log_in(replicated)
        assert (503, "not_confirmed", "1", "nothing") == (
            refused.status,
            refused.code,
            refused.get("retry-after"),
            carried(refused),
        )
        assert [] == await replicated.guard.sessions("user-1")


async def test_public_paths_look_at_nothing(stage):
    forged = bearer("forged")
    async with stage() as closed, stage(public=["/login", "/news", "/docs/*"]) as opened:
        for path in ("/news", "/docs/", "/docs/a"):
            assert "invalid_token" == (await call(closed.app, "GET", path, forged)).code
            assert 200 == (await call(opened.app, "GET", path, forged)).status
        assert "invalid_token" == (await call(opened.app, "GET", "/news/a", forged)).code


async def test_optional_paths_take_a_user_and_do_without(stage):
    async with stage(optional=[]) as closed, stage(optional=["/shop"]) as opened:
        tab = await opened.logged_in()
        assert "token_required" == (await call(closed.app, "GET", "/shop")).code
        assert None is (await call(opened.app, "GET", "/shop")).json()["subject"]
        assert "user-1" == (await tab.get("/shop")).json()["subject"]
        assert None is (await call(opened.app, "GET", "/shop", [("cookie", f"{COOKIE}=bad")])).json()["subject"]
        assert "invalid_token" == (await call(opened.app, "GET", "/shop", bearer("forged"))).code


async def test_required_false_makes_every_path_optional(stage):
    async with stage() as strict, stage(required=False, optional=[]) as lenient:
        tab = await lenient.logged_in()
        assert "token_required" == (await call(strict.app, "GET", "/any")).code
        assert None is (await call(lenient.app, "GET", "/any")).json()["subject"]
        assert "user-1" == (await tab.get("/any")).json()["subject"]
        assert "invalid_token" == (await call(lenient.app, "GET", "/any", bearer("forged"))).code


class TestLifetimes:
    SHORT = Lifetimes(access=10, idle=100, absolute=250, grace=4)

    async def test_access_is_how_long_the_access_token_lives(self, stage, clock):
        async with stage() as usual, stage(lifetimes=self.SHORT) as short:
            for where, expected in ((usual, 200), (short, 401)):
                tab = await where.logged_in()
                clock.advance(11)
                assert expected == (await call(where.app, "GET", "/me", bearer(tab.token))).status

    async def test_idle_is_how_long_the_session_lives_unused(self, stage, clock):
        async with stage() as usual, stage(lifetimes=self.SHORT) as short:
            for where, expected in ((usual, 200), (short, 401)):
                result = await log_in(where)
                assert ("Max-Age=100;" in result.get("set-cookie")) == (where is short)
                clock.advance(101)
                assert expected == (await call(where.app, "GET", "/me", [("cookie", f"{COOKIE}={result.cookie()}")])).status

    async def test_absolute_is_how_long_the_session_lives_at_most(self, stage, clock):
        for absolute, expected in ((250, 401), (1000, 200)):
            async with stage(lifetimes=Lifetimes(access=10, idle=100, absolute=absolute, grace=4)) as where:
                tab = await where.logged_in()
                for _ in range(4):
                    clock.advance(60)
                    assert 200 == (await tab.get()).status
                left = claims_of(tab.browser.jar)["exp"] - int(clock.time())
                assert (left <= 10) == (absolute == 250)
                clock.advance(11)
                assert expected == (await tab.get()).status

    async def test_grace_is_how_long_a_superseded_cookie_is_served(self, stage, clock):
        for grace, expected in ((2, "rolled_back_client"), (4, None)):
            async with stage(lifetimes=Lifetimes(access=10, idle=100, absolute=250, grace=grace)) as where:
                tab = await where.logged_in()
                old = tab.browser.jar
                clock.advance(11)
                await tab.get()
                await tab.get()
                clock.advance(3)
                assert expected == (await call(where.app, "GET", "/me", [("cookie", f"{COOKIE}={old}")])).code


class TestCookie:
    @pytest.mark.parametrize(
        ("cookie", "expected"),
        [
            (RefreshCookie(), "__Host-refresh; Max-Age=1296000; Path=/; Secure; HttpOnly; SameSite=Lax"),
            (RefreshCookie("__Host-r"), "__Host-r; Max-Age=1296000; Path=/; Secure; HttpOnly; SameSite=Lax"),
            (RefreshCookie(same_site="strict"), "__Host-refresh; Max-Age=1296000; Path=/; Secure; HttpOnly; SameSite=Strict"),
            (RefreshCookie(same_site="none"), "__Host-refresh; Max-Age=1296000; Path=/; Secure; HttpOnly; SameSite=None"),
            (RefreshCookie("r", path="/app"), "r; Max-Age=1296000; Path=/app; Secure; HttpOnly; SameSite=Lax"),
            (
                RefreshCookie("__Secure-r", domain="app.example"),
                "__Secure-r; Max-Age=1296000; Path=/; Domain=app.example; Secure; HttpOnly; SameSite=Lax",
            ),
        ],
    )
    async def test_it_is_written_read_and_cleared_under_its_name(self, stage, cookie, expected):
        async with stage(cookie=cookie) as where:
            result = await log_in(where)
            value = result.cookie(cookie.name)
            assert [expected.replace("; ", f"={value}; ", 1)] == result.cookie_lines
            for name, status in ((cookie.name, 200), ("other", 401)):
                assert status == (await call(where.app, "GET", "/me", [("cookie", f"{name}={value}")])).status
            result = await call(where.app, "POST", "/logout", [("origin", OWN)])
            assert [expected.replace("; ", "=; ", 1).replace("1296000", "0")] == result.cookie_lines

    async def test_secure_is_left_out_only_by_an_unsafe_name_and_with_a_warning(self, stage):
        with pytest.warns(InsecureCookieWarning):
            cookie = RefreshCookie("refresh", unsafe_plain_http=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with stage(cookie=cookie) as where:
                assert "Secure" not in (await log_in(where)).get("set-cookie")


@pytest.mark.parametrize(
    ("header", "right", "wrong"),
    [
        ("Authorization: Bearer", ("authorization", "Bearer {}"), ("authorization", "Token {}")),
        ("Authorization: Token", ("authorization", "token {}"), ("authorization", "Bearer {}")),
        ("X-Access-Token", ("x-access-token", "{}"), ("authorization", "Bearer {}")),
        ("X-Auth: JWT", ("x-auth", "jwt  {}"), ("x-auth", "{}")),
    ],
)
async def test_access_header_is_where_the_access_token_is_read(stage, header, right, wrong):
    async with stage(access_header=header) as where:
        token = (await log_in(where)).new_token
        assert 200 == (await call(where.app, "GET", "/me", [(right[0], right[1].format(token))])).status
        assert "token_required" == (await call(where.app, "GET", "/me", [(wrong[0], wrong[1].format(token))])).code


async def test_new_token_header_is_where_it_is_handed_out(stage):
    async with stage() as usual, stage(new_token_header="X-Pass") as other:
        for where, name in ((usual, "x-new-access-token"), (other, "x-pass")):
            result = await log_in(where)
            assert [name] == [key for key, _ in result.headers if key in {"x-new-access-token", "x-pass"}]
            assert name == result.get("access-control-expose-headers").lower()


async def test_refresh_header_is_where_native_apps_carry_the_refresh_token(stage):
    for options, expected in (({}, (None, 401)), ({"refresh_header": "X-Refresh-Token"}, ("x-new-refresh-token", 200))):
        async with stage(**options) as where:
            login = await log_in(where, **{"x-refresh-token": ""})
            token = login.get("x-new-refresh-token") or login.cookie()
            used = await call(where.app, "GET", "/me", [("x-refresh-token", token)])
            name = next((name for name, _ in login.headers if name == "x-new-refresh-token"), None)
            assert expected == (name, used.status)
            assert (name is None) == (login.cookie() is not None)


async def test_trusted_origins_may_send_on_the_cookie_and_read_tokens(stage):
    says = METADATA["cross-fetch"] | {"origin": "https://admin.example"}
    async with stage() as closed, stage(trusted_origins=["HTTPS://admin.example:443"]) as opened:
        for where, expected in ((closed, "403 nothing"), (opened, "200 both")):
            where.on("/who")(who)
            tab = await where.expired()
            result = await call(where.app, "POST", "/who", [*says.items(), ("cookie", f"{COOKIE}={tab.browser.jar}")])
            assert expected == f"{result.status} {carried(result)}"


PARIS = Place(latitude=48.857, longitude=2.352, city="Paris", country="FR")
TOKYO = Place(latitude=35.690, longitude=139.692, city="Tokyo", country="JP")
TOWNS = FixedLocator({"192.0.2.0/24": PARIS, "203.0.113.0/24": TOKYO})
ABROAD = {"client": ("203.0.113.9", 50000)}


async def test_locator_judges_a_cookie_from_elsewhere_by_its_place(stage):
    for options, expected in (({}, (200, None)), ({"locator": TOWNS}, (401, "revoked"))):
        async with stage(**options) as where:
            tab = await where.expired()
            result = await tab.ask(**ABROAD)
            assert expected == (result.status, result.code)


async def test_risk_is_what_that_leads_to(stage):
    strict = RiskPolicy(rules=[change_of_device])
    for options, expected in (({}, 200), ({"risk": strict}, 401)):
        async with stage(**options) as where:
            tab = await where.expired()
            assert expected == (await tab.ask(headers={"user-agent": "another browser"})).status


async def test_reauthentication_is_where_a_doubted_caller_may_still_go(stage):
    async def confirm(scope, receive, send):
        await answer(send, 200, {"pending": get_auth(scope).pending, "subject": get_auth(scope).subject})

    for options, expected in (({}, 401), ({"reauthentication": ["/confirm"]}, 200)):
        async with stage(risk=RiskPolicy(rules=[change_of_device]), **options) as where:
            where.on("/confirm")(confirm)
            tab = await where.expired()
            result = await tab.ask("/confirm", headers={"user-agent": "another browser"})
            assert expected == result.status
    assert {"pending": "change_of_device", "subject": "user-1"} == result.json()


async def test_streams_are_the_types_of_responses_that_end_with_their_session(stage):
    for options, kind, ends in (
        ({}, "text/event-stream", True),
        ({}, "application/zip", False),
        ({"streams": ["application/zip"]}, "application/zip", True),
        ({"streams": ["application/zip"]}, "text/event-stream", False),
        ({"streams": ["*/*"]}, "application/zip", True),
        ({"streams": []}, "text/event-stream", False),
    ):
        async with stage(**options) as where:
            where.on("/events")(Ticker(kind))
            tab = await where.logged_in()
            async with reading(where, tab) as reader:
                await where.guard.revoke_all("user-1")
                if ends:
                    await reader.ended()
                else:
                    await asyncio.sleep(0.2)
                    await reader.flows()


async def test_fresh_is_how_long_a_login_counts_as_fresh(stage, clock):
    async def sensitive(scope, receive, send):
        await get_auth(scope).require_fresh()
        await answer(send)

    for seconds, expected in ((60, 401), (120, 200)):
        async with stage(fresh=seconds) as where:
            where.on("/sensitive")(sensitive)
            login = await log_in(where)
            proof = [line.partition(";")[0] for line in login.all("set-cookie") if line.startswith("__Host-fresh=")]
            clock.advance(90)
            headers = [*bearer(login.new_token), ("cookie", proof[0])]
            assert expected == (await call(where.app, "GET", "/sensitive", headers)).status


async def test_max_sessions_is_how_many_a_user_may_have(stage, clock):
    for most, expected in ((2, "replaced"), (3, None)):
        async with stage(max_sessions=most) as where:
            first = (await log_in(where)).new_token
            for _ in range(2):
                clock.advance(1)
                await log_in(where)
            assert expected == (await call(where.app, "GET", "/me", bearer(first))).code
            await where.guard.revoke_all("user-1")


async def test_limits_are_how_often_a_cookie_may_come_without_a_live_token(stage):
    limits = Limits(presentations_per_session=Rate(2, per=60), logins_per_user=Rate(2, per=60))
    for options, expected in (({}, [200] * 4), ({"limits": limits}, [200, 200, 429, 429])):
        async with stage(**options) as where:
            cookies = [(await log_in(where)).cookie() for _ in range(2)]
            headers = [("cookie", f"{COOKIE}={cookies[0]}")]
            assert expected == [(await call(where.app, "GET", "/me", headers)).status for _ in range(4)]
            assert expected[2] == (await log_in(where)).status
            await where.guard.revoke_all("user-1")


async def test_mirror_is_told_who_has_changed(stage):
    class Recorder:
        def __init__(self):
            self.rows = {}

        async def sync(self, subject, read):
            self.rows[subject] = [session.id for session in await read(subject)]

        async def subjects(self):
            for subject in self.rows:
                yield subject

        async def aclose(self):
            self.rows["closed"] = True

    mirror = Recorder()
    async with stage(mirror=mirror) as where:
        tab = await where.logged_in()
        assert {"user-1": [claims_of(tab.token)["sid"]]} == mirror.rows
        await tab.post("/logout")
        await where.quiet()
        assert {"user-1": []} == mirror.rows
        assert 1 == await where.guard.reconcile()
    assert mirror.rows["closed"]


async def test_trusted_proxies_are_believed_about_the_address(stage):
    for options, expected in (({}, "192.0.2.7"), ({"trusted_proxies": ["192.0.2.0/24"]}, "198.51.100.9")):
        async with stage(**options) as where:
            await log_in(where, **{"x-forwarded-for": "198.51.100.9"})
            (session,) = await where.guard.sessions("user-1")
            assert expected == session.ip_address
            await where.guard.revoke_all("user-1")


async def test_endpoints_are_mounted_below_their_prefix_and_off_by_default(stage):
    async with stage() as off, stage(endpoints="/auth") as on, stage(endpoints="/own/session") as elsewhere:
        for where, prefix in ((on, "/auth"), (elsewhere, "/own/session")):
            tab = await where.logged_in()
            for path in ("/auth/sessions", "/own/session/sessions"):
                assert path.startswith(prefix) == ("sessions" in (await tab.get(path)).json())
                assert path.startswith(prefix) == (not where.handlers.calls[path])
        await (await off.logged_in()).get("/auth/sessions")
        assert 1 == off.handlers.calls["/auth/sessions"]


async def test_cache_serves_what_was_live_a_moment_ago_and_can_be_turned_off(stage):
    async with stage() as on, stage(cache=False) as off:
        assert (0, 5) == (await reads_of_five(on, "/me"), await reads_of_five(off, "/me"))


async def test_strict_paths_ask_redis_each_time(stage):
    async with stage(strict=["/admin/*"]) as where:
        assert (0, 5) == (await reads_of_five(where, "/me"), await reads_of_five(where, "/admin/x"))
        # Whatever somebody might read as one of them as well.
        for path in ("/x/../admin/x", "/admin//x", "//admin/x", "/admin"):
            assert 5 == await reads_of_five(where, path), path


async def test_staleness_bounds_how_long_a_verdict_is_served_unheard_of(options):
    """The process still hears nothing of a server that stands still: after so many seconds it has to ask."""
    for staleness, after, expected in ((0.2, 0.4, 503), (5, 0.4, 200)):
        own = RedisServer(travel=False).start()
        guard = TokenGuard(**options | {"redis": own.url, "staleness": staleness, "timeout": 0.3}, public=["/login"])
        try:
            async with guard:
                app = TokenGuardMiddleware(plain_app, guard=guard)
                token = (await call(app, "POST", "/login", METADATA["bare"].items())).new_token
                while not guard.engine.liveness.known(f"Bearer {token}".encode()):
                    assert 200 == (await call(app, "GET", "/me", bearer(token))).status
                    await asyncio.sleep(0.02)
                own.freeze()
                await asyncio.sleep(after)
                assert expected == (await call(app, "GET", "/me", bearer(token))).status
                own.thaw()
        finally:
            own.close()


async def reads_of_five(where, path):
    """What five requests for *path* read from Redis, once the token is known."""
    tab = await where.logged_in()
    headers = {"authorization": f"Bearer {tab.token}"}
    while not where.guard.engine.liveness.known(headers["authorization"].encode()) and where.options.get("cache", True):
        assert 200 == (await call(where.app, "GET", "/me", headers.items())).status
        await asyncio.sleep(0.02)
    await call(where.app, "GET", "/me", headers.items())  # without a cache: the first use is written down
    before = where.commands()
    for _ in range(5):
        assert 200 == (await call(where.app, "GET", path, headers.items())).status
    return (where.commands() - before)["hget"]


async def test_sign_in_is_where_a_document_without_a_session_is_sent(stage):
    for options, expected in (({}, (401, None)), ({"sign_in": "/login"}, (303, "/login?next=/me"))):
        async with stage(**options) as where:
            result = await call(where.app, "GET", "/me", METADATA["page"].items())
            assert expected == (result.status, result.get("location"))


async def test_step_up_is_where_a_document_is_sent_whose_user_has_to_confirm(stage):
    async def sensitive(scope, receive, send):
        raise StepUpRequired(300)

    paths = {"reauthentication": ["/confirm"]}
    for options, expected in ((paths, (401, None)), (paths | {"step_up": "/confirm"}, (303, "/confirm?next=/email"))):
        async with stage(**options) as where:
            where.on("/email")(sensitive)
            result = await (await where.logged_in()).get("/email", kind="page")
            assert expected == (result.status, result.get("location"))


async def test_on_refusal_is_how_an_app_words_a_refusal(stage):
    for options, expected in (({}, b'{"detail"'), ({"on_refusal": lambda *_: PlainTextResponse("Who are you?")}, b"Who are y")):
        async with stage(**options) as where:
            result = await call(where.app, "GET", "/me")
            assert (401, expected) == (result.status, result.body[:9])


def test_no_option_is_left_out():
    """An option that is added needs a test here."""
    tests = [name for name in globals() if name.startswith("test_")] + ["test_lifetimes_", "test_cookie_"]  # classes
    options = GuardOptions.__annotations__
    # Of two options that begin alike, the longer one is not a test of the shorter one.
    tested = {max((name for name in options if test.startswith(f"test_{name}_")), key=len, default="") for test in tests}
    assert set() == options.keys() - tested


async def test_p33_two_apps_in_one_process_do_not_share_an_option(stage):
    """Side by side, request by request, all that can differ differs."""
    one = stage(cookie=RefreshCookie("one"), new_token_header="X-One", namespace="n1", public=["/login", "/one"])
    two = stage(
        cookie=RefreshCookie("two"), new_token_header="X-Two", namespace="n2", public=["/login", "/two"],
        required=False, optional=[], secret=OTHER_SECRET, lifetimes=Lifetimes(access=60),
    )  # fmt: skip
    async with one as first, two as second:
        for _ in range(2):
            for where, name, access in ((first, "one", 900), (second, "two", 60)):
                result = await log_in(where)
                token = result.get(f"x-{name}")
                assert result.cookie(name)
                assert access == claims_of(token)["exp"] - claims_of(token)["iat"]
        assert 401 == (await call(first.app, "GET", "/two")).status
        assert 200 == (await call(second.app, "GET", "/any")).status
        assert 2 == len(await first.guard.sessions("user-1")) == len(await second.guard.sessions("user-1"))
        await first.guard.revoke_all("user-1")
        assert 2 == len(await second.guard.sessions("user-1"))


async def test_one_guarded_app_inside_another_keeps_its_own_users(stage):
    """The inner guard's word is the one that the inner app hears."""
    async with (
        stage(namespace="outer", public=["/login", "/in"]) as outer,
        stage(namespace="inner", cookie=RefreshCookie("in"), public=["/in"]) as inner,
    ):

        @inner.on("/in")
        async def log_in_inside(scope, receive, send):
            await get_auth(scope).login("inner-user")
            await answer(send)

        outer.on("/in")(inner.app)
        result = await Browser(outer.app).tab().ask("/in")
        assert (None, True) == (result.cookie(), result.cookie("in") is not None)
        assert [] == await outer.guard.sessions("inner-user")
        assert 1 == len(await inner.guard.sessions("inner-user"))
