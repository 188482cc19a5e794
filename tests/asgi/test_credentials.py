"""I4: two tokens of one kind are refused, not chosen between; `support/bad_input.py` has more of it over HTTP."""

from __future__ import annotations

import pytest
from support.actors import COOKIE, METADATA
from support.stage import staged
from support.wire import call


@pytest.fixture
async def tab(stage):
    return await stage.logged_in()


def bearer(value):
    return ("authorization", f"Bearer {value}")


@pytest.mark.parametrize("second", ["{token}", "x", "", "Basic dXNlcjpwYXNz"])
@pytest.mark.parametrize("order", [1, -1], ids=["last", "first"])
async def test_i4_two_authorization_headers_are_refused(stage, tab, second, order):
    """A proxy may believe the one and the app the other."""
    headers = [bearer(tab.token), ("authorization", second.format(token=tab.token))][::order]
    result = await call(stage.app, "GET", "/me", headers)
    assert (400, "duplicate_credentials") == (result.status, result.code)
    assert 'Bearer error="invalid_request"' == result.get("www-authenticate")


@pytest.mark.parametrize(
    "lines",
    [
        ["{name}={cookie}; {name}={cookie}"],
        ["{name}={cookie}", "{name}={cookie}"],
        ["{name}=planted; a=b; {name}={cookie}"],
        ['{name}="{cookie}"; {name}={cookie}'],
        ["{name}=", "{name}={cookie}"],
        ["a=b; {name}={cookie}", "c=d", "e=f; {name}=x"],
    ],
)
async def test_i4_two_refresh_cookies_are_refused(stage, tab, lines):
    """A subdomain of an attacker can plant a second cookie of the same name."""
    headers = [("cookie", line.format(name=COOKIE, cookie=tab.browser.jar)) for line in lines]
    result = await call(stage.app, "GET", "/me", headers)
    assert (400, "duplicate_credentials") == (result.status, result.code)
    assert [] == result.all("set-cookie")


async def test_i4_with_a_live_access_token_the_cookies_are_not_read(stage, tab):
    cookies = [("cookie", f"{COOKIE}=a; {COOKIE}=b")]
    assert 200 == (await call(stage.app, "GET", "/me", [bearer(tab.token), *cookies])).status


@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_i4_login_and_logout_do_not_choose_either(stage, tab, path):
    """They read the request's tokens by themselves on a public path, and refuse before Redis is asked."""
    before = stage.commands()
    for headers in ([bearer(tab.token)] * 2, [("cookie", f"{COOKIE}={tab.browser.jar}")] * 2):
        result = await call(stage.app, "GET", path, headers)
        assert (400, "duplicate_credentials") == (result.status, result.code)
        assert [] == result.all("set-cookie")
    assert not stage.commands() - before
    assert 200 == (await tab.get()).status


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("blanks", [" ", "    "])
async def test_i4_the_schemes_case_and_the_blanks_after_it_do_not_matter(stage, tab, scheme, blanks):
    assert 200 == (await call(stage.app, "GET", "/me", [("authorization", f"{scheme}{blanks}{tab.token} ")])).status


async def test_i4_a_quoted_cookie_is_read_without_its_quotes(stage, tab):
    assert 200 == (await call(stage.app, "GET", "/me", [("cookie", f'{COOKIE}="{tab.browser.jar}"')])).status


async def test_i4_what_is_named_otherwise_does_not_count(stage, tab):
    cookies = f"{COOKIE.lower()}=a; {COOKIE}2=b; x{COOKIE}=c; {COOKIE}={tab.browser.jar}"
    assert 200 == (await call(stage.app, "GET", "/me", [("cookie", cookies)])).status


async def test_i4_holds_for_an_access_header_of_ones_own(options, clock):
    """And the usual header is then somebody else's: two of it are no concern of ours."""
    async with staged(options, clock, access_header="X-Access-Token") as stage:
        token = (await call(stage.app, "POST", "/login", METADATA["bare"].items())).new_token
        own = ("x-access-token", token)
        assert 200 == (await call(stage.app, "GET", "/me", [own, bearer("a"), bearer("b")])).status
        assert 400 == (await call(stage.app, "GET", "/me", [own, own])).status
        assert "invalid_token" == (await call(stage.app, "GET", "/me", [("x-access-token", f"Bearer {token}")])).code
