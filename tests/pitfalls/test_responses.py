"""P11 to P13, P26 to P30, P55, P57, P58: writing responses."""

from __future__ import annotations

import pytest
from support.actors import COOKIE
from support.stage import answer, carried
from support.wire import Answer, call

from asgi_tokenguard import get_auth


@pytest.mark.parametrize("kind", ["image", "prefetch", "frame", "events"])
async def test_p11_who_cannot_read_the_answer_takes_no_token_away(stage, kind):
    tab = await stage.expired()
    assert "nothing" == carried(await tab.get(kind=kind))
    assert "both" == carried(await tab.get())


async def test_p11_a_navigation_takes_the_cookie_and_leaves_the_token_to_the_script(stage):
    tab = await stage.expired()
    tab.reload()
    assert "cookie" == carried(await tab.get(kind="page"))
    assert "token" == carried(await tab.get())


async def test_p12_a_logout_response_sets_no_new_cookie(stage):
    """The session rotated on the way in to its own logout."""

    @stage.on("/bye")
    async def bye(scope, receive, send):
        await get_auth(scope).logout()
        await answer(send, 200, headers=[(b"set-cookie", b"theme=; Max-Age=0")])

    tab = await stage.expired()
    result = await tab.ask("/bye", method="POST")
    assert ["theme=; Max-Age=0", f"{COOKIE}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"] == result.cookie_lines
    assert 401 == (await tab.get()).status


@pytest.mark.parametrize("path", ["/me", "/open/x"])
async def test_p13_a_revoked_cookie_gets_no_token(stage, path):
    """Refused or served as nobody, in one and the same decision."""
    tab = await stage.expired()
    await stage.guard.revoke_all("user-1")
    result = await tab.get(path)
    assert "nothing" == carried(result)
    assert result.status == 401 or result.json()["subject"] is None


async def test_p26_the_apps_cookies_stay(stage):
    @stage.on("/own")
    async def own(scope, receive, send):
        await answer(send, headers=[(b"set-cookie", b"a=b; Path=/"), (b"set-cookie", b"c=d")])

    result = await (await stage.expired()).get("/own")
    assert ["a=b; Path=/", "c=d"] == result.all("set-cookie")[:2]
    assert result.cookie()


async def test_p27_scripts_may_read_the_header(stage):
    """`tests/frameworks` shows it beside Starlette's CORS middleware."""

    @stage.on("/cors")
    async def cors(scope, receive, send):
        await answer(send, headers=[(b"access-control-expose-headers", b"X-Total")])

    result = await (await stage.expired()).get("/cors")
    assert ["X-Total", "X-New-Access-Token"] == result.all("access-control-expose-headers")


async def test_p28_nothing_is_done_for_a_chunk_of_a_body(stage):
    """Each message after the head is the server's own `send`, awaited once, with the app's own object."""
    chunks = [{"type": "http.response.body", "body": b"x" * 1000, "more_body": True} for _ in range(200)]

    @stage.on("/stream")
    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        before = stage.commands()
        for chunk in chunks:
            await send(chunk)
        assert not stage.commands() - before
        await send({"type": "http.response.body", "body": b""})

    result = await (await stage.expired()).ask("/stream")
    assert all(sent is chunk for sent, chunk in zip(result.messages[1:201], chunks, strict=True))


async def test_p28_the_head_of_a_response_that_carries_nothing_is_passed_through(stage):
    """Its `send` returns what the server's `send` returns: no coroutine of ours stands between."""
    results = []

    @stage.on("/raw")
    async def raw(scope, receive, send):
        results.append(send({"type": "http.response.start", "status": 204, "headers": []}))
        await results[0]
        await send({"type": "http.response.body", "body": b""})

    tab = await stage.logged_in()
    await tab.get("/raw")
    assert "send" == results[0].__name__
    assert "wire" in results[0].cr_code.co_filename


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("authorization", "Bearer x")], 401),
        ([("authorization", "Bearer " + "a." * 5000)], 401),
        ([("cookie", f"{COOKIE}=x")], 401),
        ([("cookie", f"{COOKIE}={'%00' * 100}")], 401),
        ([("authorization", "x"), ("authorization", "y")], 400),
        ([("sec-fetch-site", "?"), ("origin", "\xff")], 401),
    ],
)
async def test_p29_bad_input_is_neither_422_nor_500(stage, headers, status):
    result = await call(stage.app, "GET", "/me", headers)
    assert (status, {"detail", "code"}) == (result.status, result.json().keys())


@pytest.mark.parametrize("how", ["login", "rotation", "redelivery", "repeat", "page", "logout", "refusal"])
async def test_p30_what_carries_a_token_or_clears_one_is_not_stored(stage, how):
    @stage.on("/cached")
    async def cached(scope, receive, send):
        await answer(send, headers=[(b"cache-control", b"public, max-age=3600")])

    tab = await (stage.logged_in() if how == "repeat" else stage.expired())
    if how == "redelivery":
        await tab.ask()
    tab.reload()
    result = {
        "login": lambda: tab.post("/login"),
        "logout": lambda: tab.post("/logout"),
        "page": lambda: tab.get("/cached", kind="page"),
        "refusal": lambda: call(stage.app, "GET", "/cached"),
    }.get(how, lambda: tab.get("/cached"))
    assert "no-store" == (await result()).all("cache-control")[-1]


async def test_p30_what_carries_nothing_may_be_stored_as_ever(stage):
    @stage.on("/cached")
    async def cached(scope, receive, send):
        await answer(send, headers=[(b"cache-control", b"public, max-age=3600")])

    assert ["public, max-age=3600"] == (await (await stage.logged_in()).get("/cached")).all("cache-control")


@pytest.mark.parametrize("kind", ["fetch", "page"])
async def test_p55_a_handler_that_raises_does_not_lose_the_pair(stage, kind):
    @stage.on("/broken")
    async def broken(scope, receive, send):
        raise RuntimeError("a bug")

    tab, result = await stage.expired(), Answer()
    with pytest.raises(RuntimeError, match="a bug"):
        await tab.ask("/broken", kind=kind, answer=result)
    assert (500, {"fetch": "both", "page": "cookie"}[kind]) == (result.status, carried(tab.take(result)))
    stage.clock.advance(3600)
    assert 200 == (await tab.get()).status


async def test_p57_a_slow_answer_does_not_put_an_old_cookie_over_a_new_login(stage):
    @stage.on("/slow")
    async def slow(scope, receive, send):
        await other.post("/login?user=user-2")
        stage.clock.advance(2)
        await answer(send)

    tab = await stage.expired()
    other = tab.browser.tab()
    tab.take(await tab.ask("/slow"))
    assert "user-2" == (await other.get()).json()["subject"]
    tab.reload()
    assert "user-2" == (await tab.get()).json()["subject"]


async def test_p58_no_refusal_clears_the_cookie(stage):
    """It could cross a login on the wire and take the new one away."""
    tab = await stage.expired()
    stolen = tab.browser.jar
    await tab.get()
    await tab.get()
    stage.clock.advance(31)
    refusals = [
        await tab.ask(token=False, method="POST", kind="cross-form"),
        await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={stolen}; {COOKIE}=x")]),
        await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={stolen}")]),
        await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={stolen}")]),
        await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}=")]),
        await tab.ask(),
    ]
    assert [
        "cross_site_request",
        "duplicate_credentials",
        "rolled_back_client",
        "rolled_back_client",
        "invalid_token",
        "rolled_back_client",
    ] == [refusal.code for refusal in refusals]
    assert not any(refusal.all("set-cookie") for refusal in refusals)
    anonymous = await call(stage.app, "GET", "/open/x", [("cookie", f"{COOKIE}={stolen}")])
    assert (200, []) == (anonymous.status, anonymous.all("set-cookie"))
