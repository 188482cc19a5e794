"""`sign_in` and `step_up`: which documents are sent to a page, how they come back, and all that stays a 401."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from support.actors import COOKIE, METADATA, Browser
from support.http import request_bytes, send_raw, serving
from support.stage import answer, carried, staged
from support.wire import call

from asgi_tokenguard import (
    Code,
    ConfigurationError,
    CrossSiteRequest,
    NotAuthenticated,
    StepUpRequired,
    StoreUnavailable,
    TokenGuard,
    get_auth,
    next_path,
)

OPTIONS = {"sign_in": "/login", "step_up": "/confirm", "reauthentication": ["/confirm"]}
PAGE = METADATA["page"] | {"accept": "text/html"}


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock, **OPTIONS) as stage:
        yield stage


def raising(stage, path, refusal):
    @stage.on(path)
    async def handler(scope, receive, send):
        raise refusal


async def ask(stage, target="/me", method="GET", headers=PAGE, **extra):
    async def app(scope, receive, send):
        await stage.app(scope | extra, receive, send)

    return await call(app, method, target, headers.items())


def where(result):
    """Where an answer sends its visitor, checked to be a whole redirect; None where it sends nobody."""
    if result.status != 303:
        assert result.status in {200, 204, 400, 401, 403, 503}
        assert None is result.get("location")
        return None
    assert (["0"], b"", ["no-store"]) == (result.all("content-length"), result.body, result.all("cache-control"))
    assert ["cookie, sec-fetch-dest, sec-fetch-mode"] == result.all("vary")
    (location,) = result.all("location")
    return location


class TestWhoIsSent:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_a_document_without_a_session_is_sent_to_sign_in_and_back(self, stage, method):
        assert "/login?next=/me%3Ftab%3D2" == where(await ask(stage, "/me?tab=2", method))
        assert {} == stage.handlers.calls

    @pytest.mark.parametrize("kind", [kind for kind in METADATA if kind not in {"page", "form"}])
    async def test_a_script_an_image_and_a_program_hear_401(self, stage, kind):
        """A cross-site navigation by GET is a document like any other: links lead here from everywhere."""
        result = await ask(stage, headers=METADATA[kind])
        assert (kind == "cross-form", "token_required") == (where(result) is not None, result.code or "token_required")
        if kind != "cross-form":
            assert (401, "Bearer") == (result.status, result.get("www-authenticate"))

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "QUERY"])
    async def test_no_other_method_becomes_a_get(self, stage, method):
        result = await ask(stage, "/me", method, METADATA["form"])
        assert (401, None) == (result.status, where(result))

    async def test_a_renderer_that_cannot_hand_cookies_on_hears_401(self, stage):
        assert None is where(await ask(stage, headers=PAGE | {"x-token-rotation": "off"}))

    @pytest.mark.parametrize("cookie", ["", "garbage", "dead", "over"])
    async def test_whatever_the_cookie_is(self, stage, clock, cookie):
        tab = await stage.logged_in()
        value = tab.browser.jar if cookie in {"dead", "over"} else cookie
        if cookie == "dead":
            await stage.guard.revoke_all("user-1")
        if cookie == "over":
            clock.advance(16 * 86_400)
        result = await ask(stage, headers=PAGE | {"cookie": f"{COOKIE}={value}"})
        assert ("/login?next=/me", []) == (where(result), result.all("set-cookie"))

    async def test_what_is_no_401_sends_nobody(self, stage):
        doubled = await ask(stage, headers=PAGE | {"cookie": f"{COOKIE}=a; {COOKIE}=b"})
        assert (400, None) == (doubled.status, where(doubled))
        for refusal in (CrossSiteRequest(), StoreUnavailable()):
            raising(stage, "/open/x", refusal)
            result = await ask(stage, "/open/x")
            assert (refusal.status_code, None) == (result.status, where(result))

    async def test_without_the_option_nobody_is_sent_anywhere(self, options, clock):
        async with staged(options, clock) as stage:
            assert (401, "token_required") == ((result := await ask(stage)).status, result.code)

    async def test_a_signed_in_user_is_served(self, stage):
        assert 200 == (await (await stage.logged_in()).get(kind="page")).status

    async def test_the_mounted_endpoints_are_no_pages(self, options, clock):
        async with staged(options, clock, endpoints="/auth", **OPTIONS) as stage:
            assert (401, None) == ((result := await ask(stage, "/auth/sessions")).status, where(result))
            assert "/login?next=/authors" == where(await ask(stage, "/authors"))


class TestRefusalsOfTheApp:
    async def test_one_that_reaches_the_middleware_is_answered_alike(self, stage):
        raising(stage, "/open/x", NotAuthenticated(Code.TOKEN_REQUIRED))
        assert "/login?next=/open/x" == where(await ask(stage, "/open/x"))
        assert 401 == (await ask(stage, "/open/x", "POST", METADATA["form"])).status

    async def test_step_up_has_a_page_of_its_own(self, stage):
        raising(stage, "/email", StepUpRequired(300))
        tab = await stage.logged_in()
        assert "/confirm?next=/email" == where(await tab.get("/email", kind="page"))
        script = await tab.get("/email")
        assert (401, "step_up_required") == (script.status, script.code)
        assert 'max_age="300"' in script.get("www-authenticate")

    async def test_without_it_a_login_is_proof_as_well(self, options, clock):
        async with staged(options, clock, sign_in="/login") as stage:
            raising(stage, "/email", StepUpRequired(300))
            assert "/login?next=/email" == where(await (await stage.logged_in()).get("/email", kind="page"))

    async def test_step_up_alone_leaves_the_rest_a_401(self, options, clock):
        async with staged(options, clock, step_up="/confirm", reauthentication=["/confirm"]) as stage:
            raising(stage, "/email", StepUpRequired(300))
            assert "/confirm?next=/email" == where(await (await stage.logged_in()).get("/email", kind="page"))
            assert 401 == (await ask(stage)).status

    async def test_the_cookie_of_a_rotation_rides_on_the_redirect(self, stage):
        """It would be lost else, and the next presentation of the old one would have to heal it."""
        raising(stage, "/email", StepUpRequired(300))
        tab = await stage.expired()
        result = await tab.get("/email", kind="page")
        assert ("/confirm?next=/email", "cookie", 1) == (where(result), carried(result), (await stage.head(tab)).gen)

    async def test_a_logout_rides_on_it_as_well(self, stage):
        @stage.on("/bye")
        async def handler(scope, receive, send):
            await get_auth(scope).logout()
            raise NotAuthenticated(Code.LOGGED_OUT)

        result = await (await stage.logged_in()).get("/bye", kind="page")
        assert ("/login?next=/bye", "") == (where(result), result.cookie())

    async def test_confirming_leads_back_and_in(self, stage):
        """The whole way: sent, shown, confirmed, back."""

        @stage.on("/email")
        async def sensitive(scope, receive, send):
            await get_auth(scope).require_fresh()
            await answer(send)

        @stage.on("/confirm")
        async def confirm(scope, receive, send):
            if scope["method"] == "POST":
                await get_auth(scope).reauthenticated("user-1")
                await answer(send, 303, b"", [(b"location", next_path(scope).encode())])
            else:
                await answer(send)

        tab = await stage.expired()
        to = where(await tab.get("/email?new=a@b", kind="page"))
        assert 200 == (await tab.get(to, kind="page")).status
        back = await tab.post(to, kind="form")
        assert (303, "/email?new=a@b") == (back.status, back.get("location"))
        assert 200 == (await tab.get(back.get("location"), kind="page")).status


class TestNoCircle:
    @pytest.mark.parametrize("path", ["/login", "/login/", "/login?next=/me"])
    async def test_the_sign_in_page_sends_nobody_anywhere(self, options, clock, path):
        """Also where a framework adds the slash by itself, which then is another path, and not public."""
        async with staged(options, clock, **OPTIONS) as stage:
            for refusal in (NotAuthenticated(Code.TOKEN_REQUIRED), StepUpRequired(300)):
                raising(stage, "/login", refusal)
                result = await ask(stage, path)
                assert (401, None) == (result.status, where(result))

    async def test_nor_does_the_page_for_step_up_send_to_itself(self, stage):
        raising(stage, "/confirm", StepUpRequired(300))
        tab = await stage.logged_in()
        assert 401 == (await tab.get("/confirm", kind="page")).status
        assert "/login?next=/confirm" == where(await ask(stage, "/confirm"))

    async def test_who_follows_ends_at_a_page(self, stage):
        for path in ("/me", "/confirm", "/a/b?c", "/login?next=/me"):
            for _ in range(3):
                result = await ask(stage, path)
                path = where(result) or path
            assert 303 != result.status

    @pytest.mark.parametrize(
        ("options", "option"),
        [
            ({"sign_in": "/sign-in"}, "sign_in"),
            ({"sign_in": "/sign-in", "optional": ["/sign-in"]}, "sign_in"),
            ({"sign_in": "/sign-in", "required": False}, "sign_in"),
            ({"sign_in": "/sign-in", "reauthentication": ["/sign-in"]}, "sign_in"),
            ({"sign_in": "/login/", "public": ["/login"]}, "sign_in"),
            ({"step_up": "/confirm"}, "step_up"),
            ({"step_up": "/confirm", "reauthentication": ["/confirm/"]}, "step_up"),
            ({"step_up": "/confirm", "reauthentication": ["/*"], "public": ["/confirm"]}, "step_up"),
            ({"sign_in": "/auth/login", "endpoints": "/auth", "public": ["/*"]}, "sign_in"),
            ({"step_up": "/auth/x", "endpoints": "/auth", "reauthentication": ["/*"]}, "step_up"),
        ],
    )
    def test_pages_that_would_not_let_their_visitors_in_are_refused_at_start_up(self, options, option):
        with pytest.raises(ConfigurationError) as caught:
            TokenGuard(secret="s" * 32, redis="redis://localhost", **options)
        assert option == caught.value.option


class TestOpenRedirects:
    """`next` of what the guard writes, for requests that an attacker's link makes."""

    @pytest.mark.parametrize(
        "path",
        [
            "//evil.example",
            "//evil.example/..",
            "/\\evil.example",
            "/a/../b",
            "/a//b",
            "/a\0b",
            "/a\r\nb",
            "http://evil.example/",
            "*",
            "",
        ],
    )
    async def test_a_path_that_can_be_read_in_two_ways_is_not_come_back_to(self, stage, path):
        assert "/login" == where(await ask(stage, raw_path=None, path=path))

    @pytest.mark.parametrize("raw", ["/a%2fb", "/%2fevil.example", "/a%2Fb", "/x/y"])
    async def test_nor_one_whose_raw_form_says_something_else(self, stage, raw):
        assert "/login" == where(await ask(stage, raw_path=raw.encode(), path="/a/b"))

    async def test_what_is_too_long_is_left_out_whole(self, stage):
        assert "/login?next=/me%3F" + "a" * 1020 == where(await ask(stage, "/me?" + "a" * 1020))
        assert "/login" == where(await ask(stage, "/me?" + "a" * 1021))

    async def test_no_byte_of_the_query_ends_the_header(self, stage):
        query = bytes(range(256))
        to = where(await ask(stage, query_string=query))
        assert to.isascii()
        assert to.isprintable()
        assert " " not in to
        assert ["next"] == list(parse_qs(urlsplit(to).query))

    async def test_the_host_is_not_in_it(self, stage):
        assert "/login?next=/me" == where(await ask(stage, headers=PAGE | {"host": "evil.example", "x-forwarded-host": "evil"}))

    @pytest.mark.parametrize(
        ("root", "path", "expected"),
        [
            ("/api", "/api/me", "/api/login?next=/api/me"),
            ("/api/", "/api/me", "/api/login?next=/api/me"),
            ("/api", "/me", "/api/login?next=/api/me"),  # a proxy has cut it off
            ("/a b", "/a b/me", "/a%20b/login?next=/a%2520b/me"),
            ("/api", "/x/api/me", "/api/login"),
            ("/api", "*", "/api/login"),
            ("/api", "me", "/api/login"),
            ("/api", "http://evil.example/", "/api/login"),
            ("//evil.example", "//evil.example/me", None),
            ("/\\evil.example", "/me", None),
            ("https://evil.example", "/me", None),
            ("/api\r\nX: y", "/me", None),
            ("/" + "a" * 2000, "/me", None),
        ],
    )
    async def test_a_root_path_stands_before_both(self, stage, root, path, expected):
        assert expected == where(await ask(stage, raw_path=None, path=path, root_path=root))

    async def test_a_client_that_names_its_own_root_path_is_sent_nowhere(self, stage):
        assert None is where(await ask(stage, headers=PAGE | {"daphne-root-path": "/x"}, root_path="/x", path="/x/me"))


class TestNextPath:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("next=/me", "/me"),
            ("next=/me%3Fa%3Db", "/me?a=b"),
            ("", "/"),
            ("next=//evil.example", "/"),
            ("next=https://evil.example", "/"),
            ("next=%5C%5Cevil.example", "/"),
            ("next=/%09/evil.example", "/"),
            ("next=/me&next=//evil.example", "/"),
        ],
    )
    def test_it_is_a_path_of_this_site_or_the_default(self, query, expected):
        from starlette.requests import Request

        scope = {"type": "http", "query_string": query.encode()}
        assert expected == next_path(scope) == next_path(Request(scope | {"headers": []}))

    def test_the_default_is_the_apps_to_choose(self):
        assert "/home" == next_path({"query_string": b"next=//evil.example"}, "/home")
        assert "/home" == next_path({}, default="/home")


# What an attacker writes into the request line, over real HTTP.
TARGETS = [
    ("/me", "/login?next=/me"),
    ("/me?a=b&next=//evil.example", "/login?next=/me%3Fa%3Db%26next%3D//evil.example"),
    ("/caf%C3%A9%20x?q=%E2%82%AC", "/login?next=/caf%25C3%25A9%2520x%3Fq%3D%25E2%2582%25AC"),
    ("//evil.example/x", "/login"),
    ("/%2fevil.example", "/login"),
    ("/%5cevil.example", "/login"),
    ("/..//evil.example", "/login"),
    ("/me%0d%0aSet-Cookie:%20a=b", "/login"),
    ("/me?a=%0d%0aSet-Cookie:%20a=b", "/login?next=/me%3Fa%3D%250d%250aSet-Cookie:%2520a%3Db".replace(":", "%3A")),
    ("/%00", "/login"),
    ("/%09/evil.example", "/login"),
]


@pytest.mark.parametrize("parser", ["h11", "httptools"])
async def test_over_http_no_target_leads_off_the_site(stage, parser):
    with serving(stage.app, http=parser) as url:
        for target, expected in TARGETS:
            result = send_raw(url, request_bytes("GET", target, PAGE.items()))
            assert expected == where(result), target
            assert [] == result.all("set-cookie")
        # Absolute form (RFC 9112 section 3.2.2): servers differ in what they make of it, and none of it is followed.
        result = send_raw(url, request_bytes("GET", "http://evil.example/me", PAGE.items()))
        assert where(result) in {"/login", "/login?next=/me"}


async def test_a_browser_signs_in_and_is_back_where_it_was(stage):
    @stage.on("/login")
    async def login(scope, receive, send):
        if scope["method"] == "POST":
            await get_auth(scope).login("user-1")
            await answer(send, 303, b"", [(b"location", next_path(scope).encode())])
        else:
            await answer(send)

    tab = Browser(stage.app).tab()
    to = where(await tab.get("/me?tab=2", kind="page"))
    assert 200 == (await tab.get(to, kind="page")).status
    back = await tab.post(to, kind="form")
    assert ("/me?tab=2", "cookie") == (back.get("location"), carried(back))
    assert "user-1" == (await tab.get(back.get("location"), kind="page")).json()["subject"]
