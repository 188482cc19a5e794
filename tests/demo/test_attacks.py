"""The buttons of the demo's page: what a thief's program does is done to the real guard, and told as it was answered."""

from __future__ import annotations

import json
import uuid
from base64 import urlsafe_b64encode

import httpx
import pytest
from support.http import serving
from support.stage import travelling

import asgi_tokenguard
from asgi_tokenguard import Lifetimes, TokenGuardMiddleware
from asgi_tokenguard.demo import app as demo
from asgi_tokenguard.demo import attacks
from asgi_tokenguard.demo.bystander import MOST, Bystander
from asgi_tokenguard.demo.client import FOREIGN, Browser

ACCESS, GRACE = 30, 5


@pytest.fixture
async def demo_app(server, options, clock):
    app = demo.build(redis=server.url, lifetimes=Lifetimes(access=ACCESS, grace=GRACE), namespace=options["namespace"])
    travelling(app.guard, clock)
    return app


@pytest.fixture
async def http(demo_app):
    with serving(demo_app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            yield http


@pytest.fixture
async def owner(http):
    """Ada, signed in."""
    browser = Browser(http)
    await browser.log_in("ada", "lovelace")
    return browser


async def rotate(owner, clock):
    """Let the owner's access token expire, and use the successor."""
    clock.advance(ACCESS + 1)
    assert (await owner.get()).cookie
    assert 200 == (await owner.get()).status


def told(answer):
    assert 200 == answer.status, answer.body
    return answer.body["status"], answer.body["code"], answer.body["handed_out"]


@pytest.mark.parametrize("button", ["replay", "elsewhere", "cross-site"])
@pytest.mark.parametrize(
    "sent",
    [
        {"cookie": "__Host-refresh=\u00e9"},
        {"cookie": "demo-town=\u00e9"},
        {"cookie": 'demo-town="\\012"; __Host-refresh="\\351"'},
        {"x-demo-town": "\u00e9"},
    ],
    ids=lambda sent: ascii(*sent.values()),
)
async def test_i3_no_header_breaks_a_button(http, owner, clock, sent, button):
    await rotate(owner, clock)
    headers = {name: value.encode("latin-1") for name, value in sent.items()}
    headers |= {"authorization": f"Bearer {owner.token}", "content-type": "application/json"}
    answer = await http.post(f"/demo/{button}", headers=headers, json={"town": "tokyo"})
    assert 200 == answer.status_code


# --- An old refresh token


async def test_a_spent_cookie_that_comes_back_ends_the_session(owner, clock):
    await rotate(owner, clock)
    clock.advance(GRACE + 1)
    answer = await owner.post("/demo/replay")
    assert (401, "reuse_detected", []) == told(answer)
    assert "generation 0" in answer.body["sent"]
    assert "401 reuse_detected" == (await owner.get()).verdict


async def test_within_the_grace_it_is_served_as_a_late_tab_would_be_and_gets_nothing(owner, clock):
    await rotate(owner, clock)
    assert (200, None, []) == told(await owner.post("/demo/replay"))
    assert 200 == (await owner.get()).status


async def test_before_the_first_rotation_there_is_no_spent_cookie(owner):
    answer = await owner.post("/demo/replay")
    assert (409, None) == (answer.status, answer.code)


async def test_nobody_replays_the_cookie_of_another_session(owner, http, clock):
    await rotate(owner, clock)
    other = Browser(http)
    await other.log_in("ada", "lovelace")
    clock.advance(GRACE + 1)
    assert 409 == (await other.post("/demo/replay")).status
    assert 200 == (await owner.get()).status


# --- Another continent


@pytest.mark.parametrize(
    ("town", "expected", "afterwards"),
    [
        ("versailles", (200, None, ["access token"]), "200"),
        ("compiegne", (401, "step_up_required", []), "200"),
        ("tokyo", (401, "revoked", []), "401 revoked"),
        ("nairobi", (401, "revoked", []), "401 revoked"),
        ("new-york", (401, "revoked", []), "401 revoked"),
    ],
)
async def test_a_copy_is_judged_by_how_far_away_it_is_used(owner, town, expected, afterwards):
    assert expected == told(await owner.post("/demo/elsewhere", {"town": town}))
    assert afterwards == (await owner.get()).verdict


async def test_there_is_no_thief_in_a_town_that_does_not_exist(owner):
    assert 400 == (await owner.post("/demo/elsewhere", {"town": "atlantis"})).status


# --- A post from another site


async def test_a_post_from_another_site_is_refused_though_the_cookie_came(owner, clock):
    clock.advance(ACCESS + 1)  # a rotation is due: it does not get one
    assert (403, "cross_site_request", []) == told(await owner.post("/demo/cross-site"))
    assert 200 == (await owner.get()).status


async def test_what_was_answered_to_another_site_is_told_by_the_name_of_its_post(owner):
    name = str(uuid.uuid4())
    assert 204 == (await owner.get(f"/demo/seen/{name}")).status
    await owner.ask("POST", f"/api/transfer?attack={name}", headers=FOREIGN, token=False)
    seen = (await owner.get(f"/demo/seen/{name}")).body
    assert (403, "cross_site_request", True, False) == tuple(
        seen[each] for each in ("status", "code", "cookie_came", "handed_out")
    )
    assert (FOREIGN["Origin"], "cross-site") == (seen["origin"], seen["site"])

    without = str(uuid.uuid4())
    await owner.ask("POST", f"/api/transfer?attack={without}", headers=FOREIGN, token=False, cookie=False)
    seen = (await owner.get(f"/demo/seen/{without}")).body
    assert (401, "token_required", False) == (seen["status"], seen["code"], seen["cookie_came"])


# --- What keeps the buttons in their place

POSTS = [route.path for route in attacks.ROUTES if "POST" in route.methods]


@pytest.mark.parametrize("path", POSTS)
async def test_an_attack_needs_a_session_and_a_page_of_the_demo(path, owner, http):
    assert "401 token_required" == (await Browser(http).post(path)).verdict
    answer = await owner.ask("POST", path, headers=FOREIGN, token=False)
    assert "403 cross_site_request" == answer.verdict


@pytest.mark.parametrize("path", POSTS)
async def test_no_answer_contains_a_token(path, owner, clock):
    await rotate(owner, clock)
    answer = await owner.ask("POST", path, json={"town": "tokyo"})
    assert 200 == answer.status
    assert "eyJ" not in str(answer.body)


@pytest.mark.parametrize("path", [*POSTS, "/demo/seen/x", "/demo/about", "/auth/replay"])
async def test_no_other_app_has_them(path, options):
    """The guard brings none of its own: what it is put around is asked, and what it mounts is a table without them."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body"})

    guarded = TokenGuardMiddleware(app, **options, endpoints="/auth", public=["/demo/*"])
    async with guarded.guard:
        transport = httpx.ASGITransport(guarded)
        async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as http:
            answer = await http.post(path)
    assert (404 if path.startswith("/auth") else 418) == answer.status_code
    assert not hasattr(asgi_tokenguard, "demo") or "demo" not in asgi_tokenguard.__all__


# --- The bystander


def token(**claims):
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


class Answers:
    """An app that sets the cookie that it is told to."""

    def __init__(self):
        self.cookie = None

    async def __call__(self, scope, receive, send):
        headers = [] if self.cookie is None else [(b"set-cookie", f"__Host-refresh={self.cookie}; Path=/".encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"[1"})


@pytest.fixture
def wire(guard):
    app = Answers()
    bystander = Bystander(app, guard)

    async def pass_by(came, left, query=""):
        app.cookie = left
        transport = httpx.ASGITransport(bystander)
        async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as http:
            return await http.get(f"/{query}", headers={} if came is None else {"cookie": f"a=b; __Host-refresh={came}"})

    pass_by.bystander = bystander
    return pass_by


@pytest.mark.parametrize(
    ("came", "left"),
    [
        (None, token(sid="1", gen=0)),  # a login
        (token(sid="1", gen=0), None),  # any request
        (token(sid="1", gen=0), ""),  # a logout
        (token(sid="1", gen=0), token(sid="2", gen=0)),  # a login in place of an older session
        (token(sid="1", gen=0), token(sid="1", gen=0)),  # the same once more
        ("nothing", "garbage"),
        ("e30.W10.x", "a.%%%.x"),
    ],
)
async def test_only_what_was_superseded_within_its_session_is_a_spent_cookie(came, left, wire):
    await wire(came, left)
    assert {} == wire.bystander.spent


async def test_the_latest_superseded_cookie_is_kept_and_old_sessions_are_forgotten(wire):
    for gen in range(2):
        await wire(token(sid="1", gen=gen), token(sid="1", gen=gen + 1))
    assert {"1": token(sid="1", gen=1)} == wire.bystander.spent
    for sid in range(2, MOST + 2):
        await wire(token(sid=str(sid), gen=0), token(sid=str(sid), gen=1))
    assert MOST == len(wire.bystander.spent)
    assert "1" not in wire.bystander.spent


@pytest.mark.parametrize("name", ["", "x", "0" * 35, "G" * 36, "<script>" * 5])
async def test_posts_without_a_proper_name_are_not_remembered(name, wire):
    await wire(None, None, f"?attack={name}")
    assert {} == wire.bystander.seen


async def test_an_answer_that_is_no_refusal_of_ours_is_told_by_its_status(wire):
    name = str(uuid.uuid4())
    await wire(None, None, f"?attack={name}")
    assert (200, None) == (wire.bystander.seen[name].status, wire.bystander.seen[name].code)
