"""The mounted endpoints: who gets what, that nothing opens them, and that the app behind them is never reached."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from support.actors import COOKIE, METADATA, OWN
from support.stage import Stage, carried, staged, who
from support.wire import Answer, call, scope_of

from asgi_tokenguard import FixedLocator, Lifetimes, Place, RefreshCookie, TokenGuardMiddleware
from asgi_tokenguard.asgi import endpoints
from asgi_tokenguard.asgi.openapi import SCHEMAS, Needs

FRESH = "__Host-fresh"
UNKNOWN = "01HF7YAT00C1NP6X5D30R30C9M"


@pytest.fixture
async def stage(options, clock):
    """`/login` is public, the endpoints are below `/auth`."""
    async with staged(options, clock, endpoints="/auth", public=["/login"]) as stage:
        yield stage
        assert [] == [path for path in stage.handlers.calls if path.startswith("/auth/")]


class Device:
    """A browser with all its cookies, or a program (`kind="bare"`)."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.jar: dict[str, str] = {}
        self.token: str | None = None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        kind: str = "fetch",
        token: bool = True,
        without: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> Answer:
        sent = dict(METADATA[kind]) | (headers or {})
        if kind in {"fetch", "form"} and method not in {"GET", "HEAD"}:
            sent.setdefault("origin", OWN)
        jar = "; ".join(f"{name}={value}" for name, value in self.jar.items() if name not in without)
        if jar:
            sent["cookie"] = jar
        if token and self.token:
            sent["authorization"] = f"Bearer {self.token}"
        result = await call(self.stage.app, method, path, sent.items(), **extra)
        for line in result.all("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.jar.pop(name, None)
            self.jar |= {name: value} if value else {}
        self.token = result.new_token or self.token
        return result

    async def sessions(self) -> list[dict[str, Any]]:
        return (await self.ask("GET", "/auth/sessions")).json()["sessions"]

    @property
    def sid(self) -> str:
        return self.stage.guard.engine.codec.read_refresh(self.jar[COOKIE]).sid


async def logged_in(stage, user="user-1", kind="fetch", **extra):
    device = Device(stage)
    assert 200 == (await device.ask("POST", f"/login?user={user}", kind=kind, **extra)).status
    return device


def outcome(result: Answer) -> str:
    """The status, and the guard's code where it refuses."""
    return f"{result.status} {result.code}" if result.status >= 400 else str(result.status)


# --- The table


async def nobody(stage, device):
    return []


async def live(stage, device):
    return [("authorization", f"Bearer {device.token}")]


async def fresh(stage, device):
    return [*await live(stage, device), ("cookie", f"{FRESH}={device.jar[FRESH]}")]


async def fresh_header(stage, device):
    return [*await live(stage, device), ("x-fresh-token", device.jar[FRESH])]


async def stale(stage, device):
    """The session lives on its own access token, but the login was six minutes ago."""
    stage.clock.advance(360)
    return await fresh(stage, device)


async def expired(stage, device):
    stage.clock.advance(901)
    return await live(stage, device)


def cookies(device, *names):
    return ("cookie", "; ".join(f"{name}={device.jar[name]}" for name in names))


async def cookie(stage, device):
    return [*METADATA["fetch"].items(), ("origin", OWN), cookies(device, COOKIE)]


async def fresh_cookie(stage, device):
    return [*METADATA["fetch"].items(), ("origin", OWN), cookies(device, COOKIE, FRESH)]


async def bare_cookie(stage, device):
    return [cookies(device, COOKIE, FRESH)]


async def foreign(stage, device):
    """A page of another site, in a browser that sends it all cookies."""
    return [*METADATA["cross-fetch"].items(), cookies(device, COOKIE, FRESH)]


async def forged(stage, device):
    return [("authorization", "Bearer forged")]


async def twice(stage, device):
    return [*await live(stage, device), *await live(stage, device)]


async def ended(stage, device):
    await stage.guard.revoke("user-1", device.sid)
    return await fresh(stage, device)


CREDENTIALS = [
    nobody,
    live,
    fresh,
    fresh_header,
    stale,
    expired,
    cookie,
    fresh_cookie,
    bare_cookie,
    foreign,
    forged,
    twice,
    ended,
]
# What every endpoint that needs a session says to the credentials above; A stands for the endpoint's own answer to a fresh
# session, B to one that is not.
GUARDED = [
    "401 token_required", "B", "A", "A", "B", "401 token_expired", "B", "A", "403 cross_site_request",
    "403 cross_site_request", "401 invalid_token", "400 duplicate_credentials", "401 revoked",
]  # fmt: skip
READ = [*GUARDED[:8], "A", "A", *GUARDED[10:]]  # a GET rides on the cookie alone, and a foreign page cannot read it
LOGOUT = [*["204"] * 8, "403 cross_site_request", "403 cross_site_request", "403 cross_site_request", GUARDED[11], "204"]
STEP_UP = "401 step_up_required"


def row(pattern, own, unless_fresh=None):
    return [{"A": own, "B": unless_fresh or own}.get(cell, cell) for cell in pattern]


def alike(answer):
    return [answer] * len(CREDENTIALS)


TABLE = {
    ("GET", "/auth/sessions"): row(READ, "200"),
    ("HEAD", "/auth/sessions"): row(READ, "200"),
    ("DELETE", "/auth/sessions?others"): row(GUARDED, "200", STEP_UP),
    ("DELETE", "/auth/sessions?others="): row(GUARDED, "200", STEP_UP),
    ("DELETE", "/auth/sessions/{sid}"): row(GUARDED, "204", STEP_UP),
    ("DELETE", f"/auth/sessions/{UNKNOWN}"): row(GUARDED, "404 no_such_session", STEP_UP),
    ("DELETE", "/auth/sessions/*"): row(GUARDED, "404 no_such_session", STEP_UP),
    ("DELETE", "/auth/sessions/{sid}?others"): row(GUARDED, "400 invalid_query"),
    ("POST", "/auth/refresh"): row(GUARDED, "204"),
    ("POST", "/auth/logout"): LOGOUT,
    ("GET", "/auth/openapi.json"): alike("200"),
    ("HEAD", "/auth/openapi.json"): alike("200"),
    ("GET", "/auth/jwks.json"): alike("200"),
    ("HEAD", "/auth/jwks.json"): alike("200"),
    ("GET", "/auth/client.js"): alike("200"),
    ("HEAD", "/auth/client.js"): alike("200"),
    **{("DELETE", f"/auth/sessions{query}"): row(GUARDED, "400 invalid_query") for query in (
        "", "?", "?all", "?others=1", "?others&others", "?others&x", "?Others", "?other",
        "?%6Fthers", "?=others", "?others=&")},
    **{(method, path): alike("405 method_not_allowed") for method, path in (
        ("POST", "/auth/sessions"), ("PUT", "/auth/sessions"), ("get", "/auth/sessions"), ("TRACE", "/auth/sessions"),
        ("GET", "/auth/sessions/{sid}"), ("HEAD", "/auth/sessions/{sid}"), ("PATCH", "/auth/sessions/{sid}"),
        ("GET", "/auth/logout"), ("HEAD", "/auth/logout"), ("DELETE", "/auth/logout"), ("GET", "/auth/refresh"),
        ("POST", "/auth/openapi.json"), ("POST", "/auth/client.js"), ("POST", "/auth/jwks.json"), ("", "/auth/logout"))},
    **{("OPTIONS", path): alike("204") for path in (
        "/auth/sessions", "/auth/sessions/x", "/auth/logout", "/auth/refresh", "/auth/openapi.json")},
    **{("GET", path): alike("404 not_found") for path in (
        "/auth/", "/auth/x", "/auth/jwks", "/auth/client.mjs", "/auth/sessions/", "/auth/sessions/a/b", "/auth/Sessions",
        "/auth/sessionsx", "/auth/auth/sessions", "/auth/openapi.json/", "/auth/{sid}")},
    ("POST", "/auth/logout/"): alike("404 not_found"),
    ("DELETE", "/auth/sessions/{sid}/"): alike("404 not_found"),
    ("OPTIONS", "/auth/x"): alike("404 not_found"),
}  # fmt: skip


# The answers that are the same for all.
KEPT = {"/auth/client.js": "no-cache", "/auth/jwks.json": "public, max-age=300"}


@pytest.mark.parametrize(("request_line", "expected"), TABLE.items(), ids=[" ".join(line) for line in TABLE])
async def test_each_request_meets_its_answer(stage, request_line, expected):
    method, path = request_line
    found = []
    for credentials in CREDENTIALS:
        device = await logged_in(stage, kind="bare")
        headers = await credentials(stage, device)
        result = await call(stage.app, method, path.replace("{sid}", device.sid), headers)
        found.append(outcome(result))
        kept = KEPT.get(path) if result.status == 200 else None
        assert (kept or "no-store") in result.all("cache-control")
        if result.status >= 400:
            assert {"detail", "code"} == set(result.json())
        if result.status == 401:
            assert result.get("www-authenticate").startswith("Bearer")
        await stage.guard.revoke_all("user-1")
    assert dict(zip([each.__name__ for each in CREDENTIALS], expected, strict=True)) == dict(
        zip([each.__name__ for each in CREDENTIALS], found, strict=True)
    )


# --- Stories


async def test_an_owner_ends_the_session_of_a_thief(stage):
    """He sees a device that he does not know, is asked for his password, and ends it."""
    owner = await logged_in(stage)
    thief = await logged_in(stage, client=("198.51.100.9", 1), headers={"user-agent": "curl/8"})
    stage.clock.advance(301)
    (strange,) = [session for session in await owner.sessions() if session["ip_address"] == "198.51.100.9"]
    assert not strange["current"]

    asked = await owner.ask("DELETE", f"/auth/sessions/{strange['id']}")
    assert "401 step_up_required" == outcome(asked)
    assert 'error="insufficient_user_authentication"' in asked.get("www-authenticate")
    assert 'max_age="300"' in asked.get("www-authenticate")
    assert 200 == (await thief.ask("GET", "/me")).status

    await owner.ask("POST", "/login")
    assert 204 == (await owner.ask("DELETE", f"/auth/sessions/{strange['id']}")).status
    assert "401 revoked" == outcome(await thief.ask("GET", "/me"))
    listed = (await owner.ask("GET", "/auth/sessions")).json()
    assert [owner.sid] == [session["id"] for session in listed["sessions"]]
    assert (strange["id"], "revoked") in [(each["session_id"], each["reason"]) for each in listed["ended"]]


async def test_i16_a_thief_with_a_copy_of_the_refresh_cookie_ends_nobody(stage):
    owner, other = await logged_in(stage), await logged_in(stage)
    thief = Device(stage)
    thief.jar = {COOKIE: owner.jar[COOKIE]}
    thief.token = (await thief.ask("POST", "/auth/refresh")).new_token
    assert thief.token is not None
    for path in (f"/auth/sessions/{other.sid}", f"/auth/sessions/{owner.sid}", "/auth/sessions?others"):
        assert "401 step_up_required" == outcome(await thief.ask("DELETE", path))
    assert 2 == len(await owner.sessions())


async def test_i16_the_freshness_of_another_session_is_none(stage):
    owner, other = await logged_in(stage), await logged_in(stage)
    owner.jar[FRESH] = other.jar[FRESH]
    assert "401 step_up_required" == outcome(await owner.ask("DELETE", "/auth/sessions?others"))


async def test_ending_the_others_keeps_the_one_that_asks_and_other_users(stage):
    owner, stranger = await logged_in(stage), await logged_in(stage, "user-2")
    others = [await logged_in(stage) for _ in range(3)]
    result = await owner.ask("DELETE", "/auth/sessions?others")
    assert (200, {"ended": 3}) == (result.status, result.json())
    assert {"ended": 0} == (await owner.ask("DELETE", "/auth/sessions?others")).json()
    assert [200, 200, 401, 401, 401] == [(await each.ask("GET", "/me")).status for each in (owner, stranger, *others)]


async def test_nobody_sees_or_ends_the_sessions_of_another_user(stage):
    owner, stranger = await logged_in(stage), await logged_in(stage, "user-2")
    assert [stranger.sid] == [session["id"] for session in await stranger.sessions()]
    assert "404 no_such_session" == outcome(await stranger.ask("DELETE", f"/auth/sessions/{owner.sid}"))
    assert 200 == (await owner.ask("GET", "/me")).status
    await stage.guard.revoke_all("user-1")
    assert [] == (await stranger.ask("GET", "/auth/sessions")).json()["ended"]


async def test_i13_who_ends_his_own_session_is_handed_nothing_of_it(options, clock):
    """Though this very request has rotated on its way in."""
    async with staged(options, clock, endpoints="/auth", public=["/login"], lifetimes=Lifetimes(access=60)) as stage:
        owner = await logged_in(stage)
        clock.advance(61)
        result = await owner.ask("DELETE", f"/auth/sessions/{owner.sid}")
        assert (204, [("cache-control", "no-store")]) == (result.status, result.headers)
        assert "401 revoked" == outcome(await owner.ask("GET", "/me"))


async def test_the_list_is_that_of_the_engine_and_shows_no_secret(stage):
    owner = await logged_in(stage)
    gone = await logged_in(stage)
    await gone.ask("POST", "/auth/logout")
    await stage.guard.engine.background.aclose()  # devices and places are found off the request path
    result = await owner.ask("GET", "/auth/sessions")
    (expected,) = await stage.guard.sessions("user-1")
    (ending,) = await stage.guard.endings("user-1")
    assert {"sessions": [expected.to_dict() | {"current": True}], "ended": [ending.to_dict()]} == result.json()
    text = result.body.decode()
    for device in (owner, gone):
        secrets = [device.token, *device.jar.values()]
        assert [] == [secret for secret in secrets if secret in text or secret.split(".")[2] in text]


class TestRefresh:
    async def test_a_live_access_token_is_enough_and_nothing_is_new(self, stage):
        owner = await logged_in(stage)
        result = await owner.ask("POST", "/auth/refresh")
        assert (204, "nothing", b"") == (result.status, carried(result), result.body)
        assert [("cache-control", "no-store")] == result.headers

    async def test_one_that_is_over_is_replaced_and_the_cookie_with_it(self, stage):
        owner = await logged_in(stage)
        stage.clock.advance(901)
        result = await owner.ask("POST", "/auth/refresh")
        assert (204, "both") == (result.status, carried(result))
        assert 200 == (await owner.ask("GET", "/me", without=(COOKIE,))).status

    async def test_a_page_that_has_just_been_loaded_gets_the_token_again(self, stage):
        owner = await logged_in(stage)
        again = await owner.ask("POST", "/auth/refresh", token=False)
        assert (204, "token") == (again.status, carried(again))
        assert 200 == (await owner.ask("GET", "/me", without=(COOKIE,))).status

    async def test_a_program_shows_its_old_access_token_in_place_of_an_origin(self, stage):
        program = await logged_in(stage, kind="bare")
        stage.clock.advance(901)
        assert "403 cross_site_request" == outcome(await program.ask("POST", "/auth/refresh", kind="bare", token=False))
        assert "both" == carried(await program.ask("POST", "/auth/refresh", kind="bare"))

    async def test_i12_who_can_receive_nothing_is_handed_nothing(self, stage):
        owner = await logged_in(stage)
        stage.clock.advance(901)
        result = await owner.ask("POST", "/auth/refresh", headers={"x-token-rotation": "off"})
        assert (204, "nothing") == (result.status, carried(result))

    async def test_i9_it_is_no_way_around_the_rotation_table(self, stage):
        owner = await logged_in(stage)
        thief = Device(stage)
        thief.jar = dict(owner.jar)
        stage.clock.advance(901)
        for _ in range(2):
            await owner.ask("POST", "/auth/refresh")
        stage.clock.advance(61)
        assert "401 reuse_detected" == outcome(await thief.ask("POST", "/auth/refresh", client=("198.51.100.9", 1)))
        assert "401 reuse_detected" == outcome(await owner.ask("POST", "/auth/refresh"))


class TestLogout:
    async def test_it_ends_the_session_and_clears_the_cookies(self, stage):
        owner = await logged_in(stage)
        result = await owner.ask("POST", "/auth/logout")
        assert (204, b"", {}) == (result.status, result.body, owner.jar)
        assert 2 == len(result.all("set-cookie"))
        assert [] == await stage.guard.sessions("user-1")

    async def test_it_never_rotates_first(self, stage):
        """With a cookie that is due, and nothing of a rotation in the answer or in Redis."""
        owner = await logged_in(stage)
        cookie = dict(owner.jar)
        stage.clock.advance(901)
        result = await owner.ask("POST", "/auth/logout", kind="form", token=False)
        assert (204, "nothing") == (result.status, carried(result))
        (ending,) = await stage.guard.endings("user-1")
        assert "logged_out" == ending.reason
        owner.jar = cookie
        assert "401 logged_out" == outcome(await owner.ask("GET", "/me"))

    @pytest.mark.parametrize("passed", [0, 901, 16 * 24 * 3600])
    async def test_dead_tokens_are_proof_enough(self, stage, passed):
        owner = await logged_in(stage)
        stage.clock.advance(passed)
        assert 204 == (await owner.ask("POST", "/auth/logout", kind="bare", without=(COOKIE,))).status
        assert [] == await stage.guard.sessions("user-1")
        assert 204 == (await owner.ask("POST", "/auth/logout", kind="bare")).status

    async def test_i1_no_other_site_logs_anybody_out(self, stage):
        owner = await logged_in(stage)
        for kind in ("cross-form", "cross-fetch"):
            result = await owner.ask("POST", "/auth/logout", kind=kind, token=False)
            assert ("403 cross_site_request", []) == (outcome(result), result.all("set-cookie"))
        assert 200 == (await owner.ask("GET", "/me")).status


async def test_i1_no_other_site_ends_a_session_though_the_login_is_fresh(stage):
    owner, other = await logged_in(stage), await logged_in(stage)
    for kind in ("cross-form", "cross-fetch"):
        for path in ("/auth/sessions?others", f"/auth/sessions/{other.sid}"):
            assert "403 cross_site_request" == outcome(await owner.ask("DELETE", path, kind=kind, token=False))
    assert 2 == len(await stage.guard.sessions("user-1"))


async def test_a_doubted_caller_gets_the_challenge_and_no_list(options, clock):
    """The place that the cookie comes from is far away; a wide `reauthentication` pattern does not let it in here."""
    places = {
        "192.0.2.0/24": Place(latitude=52.5, longitude=13.4, city="Berlin"),
        "198.51.100.0/24": Place(latitude=51.9, longitude=13.4, city="Baruth"),  # 67 km
    }
    async with staged(
        options, clock, endpoints="/auth", public=["/login"], reauthentication=["/*"], locator=FixedLocator(places)
    ) as stage:
        stage.on("/confirm")(who)
        owner = await logged_in(stage)
        far = {"token": False, "client": ("198.51.100.9", 1)}
        assert 200 == (await owner.ask("GET", "/confirm", **far)).status
        for method, path in (("GET", "/auth/sessions"), ("POST", "/auth/refresh"), ("DELETE", "/auth/sessions?others")):
            result = await owner.ask(method, path, **far)
            assert "401 step_up_required" == outcome(result)
            assert "insufficient_user_authentication" in result.get("www-authenticate")
            assert "nothing" == carried(result)
        assert 204 == (await owner.ask("POST", "/auth/logout", **far)).status


# --- What opens nothing


WIDE = [
    {"public": ["/*"]},
    {"public": ["/login", "/*"]},
    {"optional": ["/*"], "reauthentication": ["/*"]},
    {"optional": ["/*"]},
    {"required": False, "optional": []},
]


@pytest.mark.parametrize("wide", WIDE, ids=str)
async def test_i14_no_pattern_of_the_app_opens_an_endpoint(options, clock, wide):
    async with staged(options, clock, **({"public": ["/login"], "endpoints": "/auth"} | wide)) as stage:
        stage.on("/any")(who)
        assert 200 == (await call(stage.app, "GET", "/any")).status
        for method, path in (("GET", "/auth/sessions"), ("POST", "/auth/refresh"), ("DELETE", "/auth/sessions?others")):
            assert "401 token_required" == outcome(await call(stage.app, method, path))
            assert "401 invalid_token" == outcome(
                await call(stage.app, method, path, [("cookie", f"{COOKIE}=bad"), ("origin", OWN)])
            )
        owner = await logged_in(stage)
        assert [True] == [session["current"] for session in await owner.sessions()]
        assert 204 == (await owner.ask("POST", "/auth/logout")).status


ODD = [
    ("/auth//sessions", {}),
    ("/auth/./sessions", {}),
    ("/auth/../auth/sessions", {}),
    ("/auth/../login", {}),
    ("/auth/x/../sessions", {}),
    ("/auth/sessions/..", {}),
    ("/auth/sessions\0", {}),
    ("/auth/\\sessions", {}),
    ("/auth/sessions", {"raw_path": b"/auth%2Fsessions"}),
    ("/auth/sessions", {"raw_path": b"/%2fauth/sessions"}),
    ("/auth/sessions", {"raw_path": b"/login"}),
    ("/auth/sessions", {"raw_path": b"/x/auth/sessions"}),
    ("/auth/api/sessions", {"root_path": "/api"}),
    ("/api/auth/../sessions", {"root_path": "/api"}),
]


async def ask(app, method, path, headers=(), **more):
    """A request whose scope says *path*, whatever a client would have made of it."""
    scope = scope_of(method, "/", headers) | {"path": path, "raw_path": path.encode()} | more
    result = Answer()

    async def send(message):
        result.messages.append(message)

    await app(scope, None, send)
    return result


@pytest.mark.parametrize(("path", "more"), ODD)
async def test_p17_an_odd_path_below_the_prefix_is_nothing_for_anybody(stage, path, more):
    owner = await logged_in(stage)
    before = stage.commands()
    for headers in ([], await fresh(stage, owner), await bare_cookie(stage, owner)):
        for method in ("GET", "DELETE", "POST"):
            assert "404 not_found" == outcome(await ask(stage.app, method, path, headers, **more))
    assert not stage.commands() - before


@pytest.mark.parametrize("root", ["/auth", "/x", "/auth/sessions", "/"])
async def test_p17_a_root_path_that_a_client_can_choose_reaches_neither_endpoint_nor_app(stage, root):
    owner = await logged_in(stage)
    headers = [*await live(stage, owner), ("daphne-root-path", root)]
    for path in {"/auth/sessions", f"{root.rstrip('/')}/auth/sessions"}:
        assert "404 not_found" == outcome(await ask(stage.app, "GET", path, headers, root_path=root))


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/auth/sessions", ""),
        ("/auth/sessions", "/app"),  # servers that leave the root out of the path
        ("/app/auth/sessions", "/app"),
        ("/auth/auth/sessions", "/auth"),
    ],
)
async def test_the_prefix_is_below_the_root_path(stage, path, root_path):
    owner = await logged_in(stage)
    result = await ask(stage.app, "GET", path, await live(stage, owner), root_path=root_path)
    assert {"sessions", "ended"} == set(result.json())


async def test_an_escaped_letter_is_that_letter(stage):
    owner = await logged_in(stage)
    result = await ask(stage.app, "GET", "/auth/sessions", await live(stage, owner), raw_path=b"/%61uth/sessions")
    assert {"sessions", "ended"} == set(result.json())


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/auth", {}),
        ("/authors", {}),
        ("/authors/sessions", {}),
        ("/Auth/sessions", {}),
        ("/x/auth/sessions", {}),
        ("//auth/sessions", {}),
        ("/auth/sessions", {"root_path": "/auth"}),  # the app sees /sessions
        ("/sessions", {}),
    ],
)
async def test_all_other_paths_are_the_apps(options, clock, path, more):
    async with staged(options, clock, endpoints="/auth", public=["/login"]) as stage:
        stage.on(path)(who)
        owner = await logged_in(stage)
        assert "401 token_required" == outcome(await ask(stage.app, "GET", path, **more))
        result = await ask(stage.app, "GET", path, await live(stage, owner), **more)
        assert (200, {"subject": "user-1"}) == (result.status, result.json())
        assert 1 == stage.handlers.calls[path]


@pytest.mark.parametrize("path", ["/auth/ws", "/auth/", "/auth/sessions", "/auth//x"])
async def test_no_socket_reaches_the_app_below_the_prefix(options, clock, path):
    async with staged(options, clock, endpoints="/auth", public=["/*"]) as stage:
        sent = []

        async def send(message):
            sent.append(message["type"])

        scope = scope_of("GET", path) | {"type": "websocket", "scheme": "wss", "subprotocols": []}
        await stage.app(scope, None, send)
        assert (["websocket.close"], 0) == (sent, stage.handlers.calls[path])


# --- Transport


async def test_i14_what_does_not_exist_asks_redis_nothing_and_rotates_nothing(stage):
    owner = await logged_in(stage)
    stage.clock.advance(901)
    before = stage.commands()
    for method, path in (
        ("GET", "/auth/x"),
        ("PUT", "/auth/sessions"),
        ("OPTIONS", "/auth/sessions"),
        ("GET", "/auth/openapi.json"),
        ("GET", "/auth/client.js"),
        ("GET", "/auth/jwks.json"),
    ):
        assert "nothing" == carried(await owner.ask(method, path))
    assert not stage.commands() - before


async def test_no_endpoint_reads_the_body(stage):
    async def receive():
        raise AssertionError("an endpoint has read the body")

    for operation in endpoints.OPERATIONS:
        owner = await logged_in(stage)
        result = Answer()

        async def send(message, result=result):
            result.messages.append(message)

        path = f"/auth{operation.path.replace('{sid}', UNKNOWN)}"
        scope = scope_of(operation.method, path, await fresh(stage, owner)) | {"query_string": (operation.query or "").encode()}
        await stage.app(scope, receive, send)
        assert result.status in {200, 204, 404}


@pytest.mark.parametrize("path", ["/auth/sessions", "/auth/openapi.json", "/auth/client.js"])
async def test_head_is_get_without_a_body(stage, path):
    owner = await logged_in(stage)
    await stage.quiet()  # the device of the login is written in between, or not
    got, head = await owner.ask("GET", path), await owner.ask("HEAD", path)
    assert (got.status, got.headers, b"") == (head.status, head.headers, head.body)
    assert str(len(got.body)) == head.get("content-length")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/auth/sessions", "DELETE, GET, HEAD, OPTIONS"),
        ("/auth/sessions/x", "DELETE, OPTIONS"),
        ("/auth/logout", "OPTIONS, POST"),
        ("/auth/refresh", "OPTIONS, POST"),
        ("/auth/openapi.json", "GET, HEAD, OPTIONS"),
        ("/auth/client.js", "GET, HEAD, OPTIONS"),
        ("/auth/jwks.json", "GET, HEAD, OPTIONS"),
    ],
)
async def test_each_path_says_its_methods(stage, path, allow):
    for method, status in (("OPTIONS", 204), ("PUT", 405)):
        result = await call(stage.app, method, path)
        assert (status, allow) == (result.status, result.get("allow"))
    assert None is (await call(stage.app, "OPTIONS", path)).get("content-length")


PREFLIGHT = [("origin", "https://friend.example"), ("access-control-request-method", "DELETE")]


async def test_i2_a_preflight_hears_no_word_of_cors_from_us(stage):
    """Browsers take that for a no, also for a trusted origin: CORS is the business of CORS middleware."""
    before = stage.commands()
    result = await call(stage.app, "OPTIONS", "/auth/sessions", PREFLIGHT)
    assert (204, ["cache-control", "allow"]) == (result.status, [name for name, _ in result.headers])
    assert "404 not_found" == outcome(await call(stage.app, "OPTIONS", "/auth/x", PREFLIGHT))
    assert not stage.commands() - before


async def test_i2_cors_middleware_outside_of_the_guard_answers_for_the_endpoints(options, clock):
    friend = "https://friend.example"
    async with staged(options, clock, endpoints="/auth", public=["/login"], trusted_origins=[friend]) as stage:
        owner = await logged_in(stage)
        stage.clock.advance(901)
        outside = CORSMiddleware(stage.app, allow_origins=[friend], allow_methods=["*"], allow_credentials=True)
        preflight = await call(outside, "OPTIONS", "/auth/refresh", PREFLIGHT)
        assert (200, friend) == (preflight.status, preflight.get("access-control-allow-origin"))
        sent = [*(METADATA["cross-fetch"] | {"origin": friend}).items(), cookies(owner, COOKIE)]
        result = await call(outside, "POST", "/auth/refresh", sent)
        assert (204, "both", friend) == (result.status, carried(result), result.get("access-control-allow-origin"))


async def test_i5_while_redis_is_away_nothing_is_told_and_nothing_is_said_to_be_done(options, clock):
    async with staged(options, clock, endpoints="/auth", public=["/login"]) as stage:
        owner = await logged_in(stage)
        headers = await fresh(stage, owner)
    away = Stage(options | {"endpoints": "/auth", "redis": "unix:///nowhere"}, clock)
    for operation in endpoints.OPERATIONS:
        path = f"/auth{operation.path.replace('{sid}', UNKNOWN)}"
        result = await call(away.app, operation.method, f"{path}?{operation.query or ''}", headers)
        if operation.needs is Needs.NOTHING:
            assert 200 == result.status
        else:
            assert ("503 store_unavailable", "1") == (outcome(result), result.get("retry-after"))
    await away.guard.aclose()


async def test_the_endpoints_do_not_care_which_framework_is_behind_them_and_where_it_is_mounted(options, clock):
    """A Starlette app with a route of the same name, mounted by another one."""

    async def never(request):
        raise AssertionError("the app was reached below the prefix")

    async with staged(options, clock, endpoints="/auth", public=["/login"]) as stage:
        inner = TokenGuardMiddleware(Starlette(routes=[Route("/auth/sessions", never)]), guard=stage.guard)
        outer = Starlette(routes=[Mount("/shop", app=inner), Route("/auth/sessions", lambda _: PlainTextResponse("the app's"))])
        owner = await logged_in(stage)
        headers = await live(stage, owner)
        assert [owner.sid] == [
            each["id"] for each in (await call(outer, "GET", "/shop/auth/sessions", headers)).json()["sessions"]
        ]
        assert b"the app's" == (await call(outer, "GET", "/auth/sessions", headers)).body
        assert [{"url": "/shop"}] == (await call(outer, "GET", "/shop/auth/openapi.json")).json()["servers"]


# --- The description


async def described(stage: Any, prefix: str = "/auth") -> dict[str, Any]:
    return (await call(stage.app, "GET", f"{prefix}/openapi.json")).json()


def operations(description: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}


async def test_the_description_is_valid_openapi(stage):
    description = await described(stage)
    assert "3.1.0" == description["openapi"]
    assert [] == list(OpenAPIV31SpecValidator(description).iter_errors())


async def test_what_is_described_is_what_answers(stage):
    """Each operation, and no method more."""
    described_here = operations(await described(stage))
    assert {(each.method, f"/auth{each.path}") for each in endpoints.OPERATIONS} == described_here
    assert len(endpoints.OPERATIONS) == len(described_here)
    for path in {path for _, path in described_here}:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            result = await call(stage.app, method, path.replace("{sid}", UNKNOWN))
            assert ((method, path) in described_here) == (result.status != 405)


async def test_every_refusal_of_the_table_is_described_and_each_described_success_is_met(stage):
    description = await described(stage)
    known = operations(description)
    met = set()
    for (method, line), cells in TABLE.items():
        path = line.partition("?")[0]
        if path.startswith("/auth/sessions/") and "/" not in path.removeprefix("/auth/sessions/"):
            path = "/auth/sessions/{sid}"
        if (method, path) not in known:
            continue
        responses = description["paths"][path][method.lower()]["responses"]
        for cell in cells:
            status, _, code = cell.partition(" ")
            examples = responses[status].get("content", {}).get("application/json", {}).get("examples", {})
            assert not code or code in examples, (method, path, cell)
            met.add((method, path, status))
    assert {
        (method, path, status)
        for method, path in known
        for status in description["paths"][path][method.lower()]["responses"]
        if status not in {"503", "304"}  # of both, elsewhere
    } == met


async def test_what_is_said_to_need_a_session_or_freshness_does(stage):
    description = await described(stage)
    owner = await logged_in(stage)
    for method, path in operations(description):
        ways = description["paths"][path][method.lower()]["security"]
        operation = endpoints.ROUTES[path.removeprefix("/auth")][method]
        line = f"{path.replace('{sid}', UNKNOWN)}?{operation.query or ''}"
        open_to_all = ways == [] or {} in ways
        assert open_to_all == ((await call(stage.app, method, line)).status < 400)
        if not open_to_all:
            needs_proof = all("freshCookie" in way or "freshHeader" in way for way in ways)
            assert needs_proof == (
                "401 step_up_required" == outcome(await call(stage.app, method, line, await live(stage, owner)))
            )


async def test_real_answers_have_the_described_shape(options, clock):
    """All keys, no other, and of the described types; null and not null."""
    place = Place(latitude=52.5, longitude=13.4, city="Berlin", country="DE", accuracy_km=10)
    async with staged(
        options, clock, endpoints="/auth", public=["/login"], locator=FixedLocator({"192.0.2.0/24": place})
    ) as stage:
        description = await described(stage)
        thief = await logged_in(stage, headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"})
        owner = await logged_in(stage, client=None)
        await thief.ask("POST", "/auth/logout")
        await logged_in(stage, headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"})
        await stage.guard.engine.background.aclose()
        listed = (await owner.ask("GET", "/auth/sessions")).json()
        ended = (await owner.ask("DELETE", "/auth/sessions?others")).json()
        refused = (await call(stage.app, "GET", "/auth/sessions")).json()
    assert (2, 1, 1) == (len(listed["sessions"]), len(listed["ended"]), ended["ended"])
    assert {True, False} == {session["location"] is None for session in listed["sessions"]}
    for name, value in (("Sessions", listed), ("Ended", ended), ("Error", refused)):
        schema = {"$ref": f"#/components/schemas/{name}", "components": closed(description["components"])}
        jsonschema.Draft202012Validator(schema).validate(value)


def closed(components: dict[str, Any]) -> dict[str, Any]:
    """The same, but that no object has a key more: what is not described must not be there."""
    schemas = {
        name: schema | ({"additionalProperties": False} if "properties" in schema else {})
        for name, schema in components["schemas"].items()
    }
    return {"schemas": schemas}


def test_what_is_described_of_records_are_their_fields():
    from dataclasses import fields

    from asgi_tokenguard import Device as DeviceRecord
    from asgi_tokenguard import Ending, Session

    for record in (Session, DeviceRecord, Place, Ending):
        assert [each.name for each in fields(record)] == sorted(
            SCHEMAS[record.__name__]["properties"], key=[each.name for each in fields(record)].index
        )


@pytest.mark.parametrize(
    ("more", "schemes"),
    [
        ({}, {"access": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}),
        ({"access_header": "Authorization: Token"}, {"access": {"type": "http", "scheme": "token"}}),
        (
            {"access_header": "X-Access-Token"},
            {"access": {"type": "apiKey", "in": "header", "name": "x-access-token", "description": "The access token."}},
        ),
        (
            {"access_header": "X-Auth: JWT"},
            {"access": {"type": "apiKey", "in": "header", "name": "x-auth", "description": "`jwt TOKEN`"}},
        ),
    ],
)
async def test_the_description_follows_the_options(options, clock, more, schemes):
    cookie = RefreshCookie("__Secure-mine")
    async with staged(options, clock, endpoints="/own/me", cookie=cookie, new_token_header="X-Pass", **more) as stage:
        description = await described(stage, "/own/me")
    assert [] == list(OpenAPIV31SpecValidator(description).iter_errors())
    assert all(path.startswith("/own/me/") for path in description["paths"])
    found = description["components"]["securitySchemes"]
    assert schemes["access"] == found["access"]
    assert ("__Secure-mine", cookie.fresh_name) == (found["refresh"]["name"], found["freshCookie"]["name"])
    assert ["X-Pass"] == list(description["paths"]["/own/me/refresh"]["post"]["responses"]["204"]["headers"])


async def test_the_description_holds_no_secret_of_the_options(stage, options):
    text = json.dumps(await described(stage))
    assert [] == [value for value in (options["secret"], options["redis"], options["namespace"]) if value in text]
