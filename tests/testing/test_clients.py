"""The clients are what a browser is to the app: what they send, what they keep, what they forget."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from asgi_tokenguard import ConfigurationError, FixedLocator, Place, TokenGuardMiddleware, get_auth
from asgi_tokenguard.testing import AsyncAuthClient, AuthClient, Clock, guarded

PARIS, TOKYO = "192.0.2.10", "203.0.113.10"
TOWNS = FixedLocator(
    {
        f"{PARIS}/32": Place(latitude=48.857, longitude=2.352, city="Paris"),
        f"{TOKYO}/32": Place(latitude=35.690, longitude=139.692, city="Tokyo"),
    }
)


async def login(request):
    await get_auth(request).login("ada")
    return JSONResponse({"ok": True})


async def enter(request):
    await get_auth(request).login("ada")
    return RedirectResponse("/me", 303)


async def logout(request):
    await get_auth(request).logout()
    return Response(status_code=204)


async def confirm(request):
    await get_auth(request).reauthenticated("ada")
    return Response(status_code=204)


async def email(request):
    await get_auth(request).require_fresh()
    return Response(status_code=204)


async def me(request):
    body = await request.body()
    return JSONResponse({"user": request.user.identity, "sent": dict(request.headers), "body": body.decode()})


async def broken(request):
    raise LookupError("a bug of the app")


async def loop(request):
    return JSONResponse({"loop": id(asyncio.get_running_loop()), "state": getattr(request.state, "word", None)})


ENDPOINTS = {"/login": login, "/enter": enter, "/logout": logout, "/confirm": confirm, "/email": email, "/me": me,
             "/broken": broken, "/loop": loop}  # fmt: skip
PUBLIC = ["/login", "/enter", "/logout", "/loop"]


def bare_app(**more):
    return Starlette(routes=[Route(path, each, methods=["GET", "POST"]) for path, each in ENDPOINTS.items()], **more)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(still, clock):
    with guarded(bare_app(), redis=still.url, clock=clock, public=PUBLIC) as app:
        yield app


@pytest.fixture
def client(app):
    with AuthClient(app) as client:
        yield client


# --- Life of a session


def test_p42_a_session_goes_on_by_itself_until_it_is_idle_for_too_long(client, clock):
    assert 401 == client.get("/me").status_code
    client.post("/login")
    first = client.access_token
    assert "ada" == client.get("/me").json()["user"]
    assert first == client.access_token

    clock.advance(minutes=16)
    assert "ada" == client.get("/me").json()["user"]
    assert first != client.access_token

    clock.advance(days=15, minutes=1)
    gone = client.get("/me")
    assert (401, "token_expired") == (gone.status_code, gone.json()["code"])


async def test_p42_the_same_in_coroutines(app, clock):
    async with AsyncAuthClient(app) as client:
        assert 401 == (await client.get("/me")).status_code
        await client.post("/login")
        first = client.access_token
        clock.advance(minutes=16)
        tabs = [client, client.tab(), client.tab()]
        answers = await asyncio.gather(*(tab.get("/me") for tab in tabs))
        assert ["ada"] * 3 == [answer.json()["user"] for answer in answers]
        assert first != client.access_token
        assert 1 == len({tab.access_token for tab in tabs})
        await client.guard.revoke_all("ada")
        assert "revoked" == (await client.get("/me")).json()["code"]
        assert "revoked" == (await client.navigate("/me")).json()["code"]


def test_two_browsers_of_one_user_are_revoked_together(client):
    client.post("/login")
    phone = client.another_browser(headers={"User-Agent": "a phone"})
    assert 401 == phone.get("/me").status_code
    phone.post("/login")
    assert 2 == len(client.call(client.guard.sessions, "ada"))
    assert 2 == client.call(client.guard.revoke_all, "ada")
    assert ["revoked", "revoked"] == [each.get("/me").json()["code"] for each in (client, phone)]


def test_a_thief_with_a_copy_of_the_cookie_is_found_out_when_both_have_used_it(client, clock):
    client.post("/login")
    thief = client.another_browser(headers={"User-Agent": "the thief's"})
    thief.cookies = client.cookies  # a copy, as httpx takes them
    clock.advance(minutes=16)
    for _ in range(2):
        assert 200 == client.get("/me").status_code
    clock.advance(31)
    assert "reuse_detected" == thief.get("/me").json()["code"]
    assert "reuse_detected" == client.get("/me").json()["code"]


def test_a_login_that_is_not_fresh_any_more_is_asked_for_the_password(client, clock):
    client.post("/login")
    assert 204 == client.post("/email").status_code
    clock.advance(minutes=6)
    stale = client.post("/email")
    assert 401 == stale.status_code
    assert 'max_age="300"' in stale.headers["www-authenticate"]
    assert 204 == client.post("/confirm").status_code
    assert 204 == client.post("/email").status_code


def test_a_browser_that_comes_from_another_continent(still, clock):
    app = TokenGuardMiddleware(bare_app(), secret="s" * 32, redis=still.url, public=PUBLIC, locator=TOWNS)
    with guarded(app, redis=still.url, clock=clock), AuthClient(app, address=PARIS) as client:
        client.post("/login")
        assert PARIS == client.call(client.guard.sessions, "ada")[0].ip_address
        clock.advance(minutes=16)
        client.address = TOKYO
        assert (401, "revoked") == (client.navigate("/me").status_code, client.get("/me").json()["code"])


# --- What is sent


def test_a_fetch_says_what_a_browser_says(client):
    client.post("/login")
    sent = client.post("/me", content=b"\xc3\xa9").json()
    assert "\u00e9" == sent["body"]
    found = {name: sent["sent"].get(name) for name in ("origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")}
    assert {
        "origin": "https://testserver",
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
    } == found
    assert f"Bearer {client.access_token}" == sent["sent"]["authorization"]
    assert {"__Host-refresh", "__Host-fresh"} == {pair.split("=")[0] for pair in sent["sent"]["cookie"].split("; ")}
    assert "origin" not in client.get("/me").json()["sent"]


def test_what_a_request_says_of_itself_stands(client):
    client.post("/login")
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Authorization": ""}
    refused = client.post("/me", headers=foreign)
    assert (403, "cross_site_request") == (refused.status_code, refused.json()["code"])


def test_a_navigation_brings_the_cookie_alone_and_ends_the_page(client, clock):
    client.post("/login")
    cookie = client.cookies["__Host-refresh"]
    clock.advance(minutes=16)
    sent = client.navigate("/me").json()["sent"]
    assert ("navigate", "document") == (sent["sec-fetch-mode"], sent["sec-fetch-dest"])
    assert "authorization" not in sent
    assert cookie != client.cookies["__Host-refresh"]
    assert client.access_token is None
    assert "ada" == client.get("/me").json()["user"]
    assert client.access_token is not None


def test_a_form_is_submitted_and_its_redirect_is_followed(client):
    answer = client.navigate("/enter", method="POST")
    assert ("/me", "ada") == (answer.url.path, answer.json()["user"])
    assert client.access_token is None
    assert "https://testserver" == client.navigate("/me", method="POST").json()["sent"]["origin"]


def test_of_an_answer_that_redirects_a_script_sees_no_headers(client):
    """As in browsers, which follow before the script is asked: where it ends tells the token."""
    assert "ada" == client.post("/enter").json()["user"]
    assert client.access_token is not None
    assert "ada" == client.get("/me").json()["user"]


def test_headers_of_ones_own_are_sent_with_everything(app):
    with AuthClient(app, headers={"User-Agent": "one"}) as client:
        client.post("/login")
        beside = client.another_browser(headers={"User-Agent": "another"})
        beside.post("/login")
        assert ["one", "one", "another"] == [
            each.get("/me").json()["sent"]["user-agent"] for each in (client, client.tab(), beside)
        ]


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"access_header": "X-Access", "new_token_header": "X-Fresh-One"}, "x-access"),
        ({"access_header": "Authorization: DPoP-like"}, "authorization"),
    ],
)
def test_the_headers_of_the_guard_are_those_of_the_client(still, options, header):
    with guarded(bare_app(), redis=still.url, public=PUBLIC, **options) as app, AuthClient(app) as client:
        client.post("/login")
        sent = client.get("/me", cookies=None).json()["sent"]
        assert sent[header].split(" ")[-1] == client.access_token


# --- What is kept


def test_tabs_share_the_cookies_and_not_the_token(client):
    tab = client.tab()
    client.post("/login")
    assert tab.access_token is None
    assert "ada" == tab.get("/me").json()["user"]
    assert client.access_token == tab.access_token
    client.post("/logout")
    assert "logged_out" == tab.get("/me").json()["code"]
    assert 0 == len(tab.cookies)


def test_an_answer_that_comes_late_does_not_put_an_old_token_over_a_newer_one(client, clock):
    client.post("/login")
    old = client.access_token
    clock.advance(minutes=16)
    client.get("/me")
    new = client.access_token
    client._page.take(old)
    assert new == client.access_token
    client.access_token = old
    client._page.take(new)
    assert new == client.access_token


@pytest.mark.parametrize("forged", ["nonsense", "a.b.c", "a.\u00e9.c", ""])
def test_a_page_may_be_given_a_token_that_is_none(client, forged):
    client.access_token = forged
    if forged.isascii():
        assert 401 == client.get("/me").status_code
    client.post("/login", headers={"Authorization": ""})
    assert "ada" == client.get("/me").json()["user"]


def test_another_login_puts_its_token_over_the_one_before(client, clock):
    client.post("/login")
    clock.advance(minutes=16)
    client.get("/me")
    rotated = client.access_token
    client.post("/login")  # generation 0 again, of another session
    assert rotated != client.access_token
    assert "ada" == client.get("/me").json()["user"]


def test_cookies_are_forgotten_when_their_time_is_over(client, clock):
    client.post("/login")
    clock.advance(299)
    assert {"__Host-refresh", "__Host-fresh"} == set(client.cookies)
    clock.advance(2)
    assert {"__Host-refresh"} == set(client.cookies)
    clock.advance(days=15)
    assert set() == set(client.cookies)


# --- How the app runs


def test_all_browsers_are_before_one_app_in_one_event_loop(app):
    with AuthClient(app) as client:
        assert 1 == len({each.get("/loop").json()["loop"] for each in (client, client.tab(), client.another_browser())})


async def test_the_lifespan_runs_once_and_its_state_is_there(still):
    said = []

    @asynccontextmanager
    async def lifespan(app):
        said.append("up")
        yield {"word": "hello"}
        said.append("down")

    with guarded(bare_app(lifespan=lifespan), redis=still.url, public=PUBLIC) as app:

        def story():
            with AuthClient(app) as client:
                assert "hello" == client.another_browser().get("/loop").json()["state"]
                assert ["up"] == said

        await asyncio.to_thread(story)
        async with AsyncAuthClient(app) as client:
            assert "hello" == (await client.get("/loop")).json()["state"]
            assert ["up", "down", "up"] == said
        assert ["up", "down"] * 2 == said


@pytest.mark.parametrize("when", ["startup", "shutdown"])
def test_an_app_that_fails_to_start_or_to_end_says_so(still, when):
    @asynccontextmanager
    async def lifespan(app):
        if when == "startup":
            raise LookupError("no database")
        yield
        raise LookupError("no database")

    with guarded(bare_app(lifespan=lifespan), redis=still.url) as app:
        before = set(threading.enumerate())
        client, says = AuthClient(app), rf"(?s)lifespan\.{when}: .*no database"
        if when == "shutdown":
            client.__enter__()
            assert 401 == client.get("/me").status_code
        with pytest.raises(RuntimeError, match=says):
            client.__enter__() if when == "startup" else client.close()
        assert set() == set(threading.enumerate()) - before


def test_a_bare_app_without_a_lifespan_runs(still):
    async def app(scope, receive, send):
        assert "http" == scope["type"]
        await JSONResponse({"user": get_auth(scope).subject})(scope, receive, send)

    with guarded(app, redis=still.url, required=False) as behind, AuthClient(behind) as client:
        assert {"user": None} == client.get("/").json()


def test_an_app_that_fails_at_its_start_without_a_word_fails_the_test():
    """It has read that it is to start, so it knows a lifespan; only who has not may go on without one."""

    async def app(scope, receive, send):
        await receive()
        raise LookupError("no database")

    with pytest.raises(LookupError, match="no database"):
        AuthClient(app).__enter__()


def test_an_app_whose_guard_cannot_be_seen_runs_as_well(app):
    async def hidden(scope, receive, send):
        await app(scope, receive, send)

    with AuthClient(hidden) as client:
        client.post("/login")
        assert "ada" == client.get("/me").json()["user"]
        with pytest.raises(ConfigurationError, match=r"guarded\(app\)"):
            _ = client.guard


def test_what_the_app_raises_is_raised_in_the_test(client):
    client.post("/login")
    with pytest.raises(LookupError, match="a bug of the app"):
        client.get("/broken")
    assert 200 == client.get("/me").status_code


def test_without_with_it_says_how_to_write_it(app):
    with pytest.raises(RuntimeError, match="with AuthClient"):
        AuthClient(app).get("/me")


def test_nothing_is_left_running_when_the_block_ends(app):
    before = set(threading.enumerate())
    with AuthClient(app) as client:
        client.post("/login")
        assert set(threading.enumerate()) - before
    assert set() == set(threading.enumerate()) - before
    with pytest.raises(RuntimeError, match="has been closed"):
        client.get("/me")
    with AuthClient(app) as client:  # the app can be run again
        assert 401 == client.get("/me").status_code


def test_the_guard_may_stand_anywhere(still):
    app = bare_app()
    app.add_middleware(TokenGuardMiddleware, secret="s" * 32, redis="redis://127.0.0.1:1", public=PUBLIC)
    with guarded(app, redis=still.url) as app, AuthClient(app) as client:
        client.post("/login")
        assert "ada" == client.get("/me").json()["user"]
        assert 1 == len(client.call(client.guard.sessions, "ada"))
