"""I2: preflights pass untouched and anonymous; a response that carries a token says so, and echoes nothing."""

from __future__ import annotations

import pytest
from support.actors import COOKIE, METADATA, OWN
from support.stage import answer, staged, who
from support.wire import call

PREFLIGHT = {"origin": "https://friend.example", "access-control-request-method": "POST"}
NO_STORE = ("cache-control", "no-store")
EXPOSE = ("access-control-expose-headers", "X-New-Access-Token")


@pytest.mark.parametrize(
    "credentials",
    [
        [],
        [("authorization", "Bearer {token}"), ("cookie", COOKIE + "={cookie}")],
        [("authorization", "Bearer forged")],
        [("authorization", "Bearer a"), ("authorization", "Bearer b")],
        [("cookie", f"{COOKIE}=a"), ("cookie", f"{COOKIE}=b")],
    ],
    ids=["none", "good", "forged", "two tokens", "two cookies"],
)
async def test_i2_preflights_pass_untouched_and_anonymous(stage, credentials):
    """CORS middleware inside the guard can answer them, whatever they carry; Redis is not asked."""
    stage.on("/me")(who)
    tab = await stage.expired()
    sent = [(name, value.format(token=tab.token, cookie=tab.browser.jar)) for name, value in credentials]
    before = stage.commands()
    result = await call(stage.app, "OPTIONS", "/me", [*PREFLIGHT.items(), *sent])
    assert (200, {"subject": None}) == (result.status, result.json())
    assert [] == result.headers
    assert not stage.commands() - before


@pytest.mark.parametrize("missing", PREFLIGHT)
async def test_i2_options_without_the_marks_of_a_preflight_is_a_request_like_others(stage, missing):
    headers = {name: value for name, value in PREFLIGHT.items() if name != missing}
    assert "token_required" == (await call(stage.app, "OPTIONS", "/me", headers.items())).code
    assert "token_required" == (await call(stage.app, "GET", "/me", PREFLIGHT.items())).code


async def test_i2_a_response_that_carries_both_tokens(stage):
    @stage.on("/page")
    async def handler(scope, receive, send):
        await answer(send, headers=[(b"Content-Type", b"text/plain")])

    tab = await stage.expired()
    result = await tab.get("/page")
    assert [
        ("content-type", "text/plain"),
        ("x-new-access-token", tab.token),
        EXPOSE,
        ("set-cookie", f"{COOKIE}={tab.browser.jar}; Max-Age=1296000; Path=/; Secure; HttpOnly; SameSite=Lax"),
        NO_STORE,
    ] == result.headers


async def test_i2_a_response_that_carries_only_a_cookie_exposes_nothing(stage):
    stage.on("/who")(who)
    result = await (await stage.expired()).get("/who", kind="page")
    assert ["set-cookie", "cache-control"] == [name for name, _ in result.headers]


async def test_i2_a_response_that_carries_only_an_access_token_sets_no_cookie(stage):
    stage.on("/who")(who)
    tab = await stage.logged_in()
    tab.reload()
    assert ["x-new-access-token", *(name for name, _ in (EXPOSE, NO_STORE))] == [
        name for name, _ in (await tab.get("/who")).headers
    ]


async def test_i2_a_response_that_carries_nothing_is_the_apps_own(stage):
    head = {"type": "http.response.start", "status": 200, "headers": []}

    @stage.on("/bare")
    async def handler(scope, receive, send):
        await send(head)
        await send({"type": "http.response.body", "body": b""})

    result = await (await stage.logged_in()).get("/bare")
    assert result.messages[0] is head


async def test_i2_the_apps_headers_of_the_same_names_are_kept(stage):
    own = [
        (b"set-cookie", b"theme=dark"),
        (b"cache-control", b"max-age=60"),
        (b"access-control-expose-headers", b"X-Total"),
        (b"x-new-access-token", b"the app's"),
    ]

    @stage.on("/own")
    async def handler(scope, receive, send):
        await answer(send, headers=own)

    result = await (await stage.expired()).ask("/own")
    assert own == result.head["headers"][:4]
    assert ["X-Total", "X-New-Access-Token"] == result.all("access-control-expose-headers")
    assert ["max-age=60", "no-store"] == result.all("cache-control")


async def test_i2_the_apps_own_list_of_headers_is_not_changed_in_place(stage):
    """It may be one list for all its responses, and a token in it would go to the next user."""
    shared = [(b"content-type", b"text/plain")]

    @stage.on("/shared")
    async def handler(scope, receive, send):
        await answer(send, headers=shared)

    await (await stage.expired()).get("/shared")
    assert [(b"content-type", b"text/plain")] == shared


async def test_i2_nothing_of_the_request_is_echoed(stage):
    stage.on("/who")(who)
    tab = await stage.expired()
    marked = {
        "x-new-access-token": "echo",
        "access-control-request-headers": "echo",
        "origin": OWN,
        "referer": "https://app.example/echo",
        "user-agent": "echo",
        "x-forwarded-host": "echo",
    }
    result = await tab.ask("/who?echo=echo", headers=marked)
    assert {"x-new-access-token", "access-control-expose-headers", "set-cookie", "cache-control"} == {
        name for name, _ in result.headers
    }
    assert not any("echo" in value or OWN in value for _, value in result.headers)
    refused = await call(stage.app, "GET", "/echo", [*marked.items(), ("authorization", "Bearer echo")])
    assert b"echo" not in refused.body
    assert not any("echo" in value for _, value in refused.headers)


async def test_i2_the_exposed_name_is_that_of_the_option(options, clock):
    async with staged(options, clock, new_token_header="X-Fresh-Pass") as stage:
        result = await call(stage.app, "POST", "/login", METADATA["bare"].items())
        assert "X-Fresh-Pass" == result.get("access-control-expose-headers")
        assert result.get("x-fresh-pass").count(".") == 2
        assert result.new_token is None


async def test_i2_a_logout_is_not_stored_either(stage):
    tab = await stage.logged_in()
    result = await tab.post("/logout")
    assert [f"{COOKIE}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"] == result.cookie_lines
    assert ["no-store"] == result.all("cache-control")
    assert [] == result.all("access-control-expose-headers")
