"""The refresh cookie: what it is made of, how it is read, and what browsers would refuse to store."""

from __future__ import annotations

import warnings
from http.cookies import SimpleCookie

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.cookie import InsecureCookieWarning, RefreshCookie
from asgi_tokenguard.errors import ConfigurationError

COOKIE = RefreshCookie()


def test_p34_the_default_is_as_safe_as_cookies_get():
    assert "__Host-refresh=T; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax" == COOKIE.carry("T", 60)


def test_clearing_has_the_same_attributes_since_browsers_compare_them():
    assert "__Host-refresh=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax" == COOKIE.clear()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"same_site": "strict"}, "__Host-refresh=T; Max-Age=1; Path=/; Secure; HttpOnly; SameSite=Strict"),
        ({"same_site": "none"}, "__Host-refresh=T; Max-Age=1; Path=/; Secure; HttpOnly; SameSite=None"),
        ({"name": "__Secure-r", "path": "/app"}, "__Secure-r=T; Max-Age=1; Path=/app; Secure; HttpOnly; SameSite=Lax"),
        (
            {"name": "r", "domain": "example.org"},
            "r=T; Max-Age=1; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
        ),
    ],
)
def test_each_attribute_is_written_as_its_option_says(options, expected):
    assert expected == RefreshCookie(**options).carry("T", 1)


def test_p34_plain_http_has_an_unsafe_name_and_warns_at_the_line_that_asks_for_it():
    with pytest.warns(InsecureCookieWarning, match="without Secure") as caught:
        cookie = RefreshCookie("refresh", unsafe_plain_http=True)
    assert __file__ == caught[0].filename
    assert "refresh=T; Max-Age=1; Path=/; HttpOnly; SameSite=Lax" == cookie.carry("T", 1)


def test_no_other_cookie_warns():
    with warnings.catch_warnings(record=True) as caught:
        RefreshCookie("refresh", path="/app", domain="example.org", same_site="none")
    assert [] == caught


WRONG = [
    ({"name": ""}, "cookie name"),
    ({"name": "a b"}, "cookie name"),
    ({"name": "a=b"}, "cookie name"),
    ({"name": "a;b"}, "cookie name"),
    ({"name": "a\nb"}, "cookie name"),
    ({"name": "refresh\n"}, "cookie name"),
    ({"name": "réfresh"}, "cookie name"),
    ({"name": None}, "cookie name"),
    ({"name": 7}, "cookie name"),
    ({"name": b"refresh"}, "cookie name"),
    ({"same_site": "Lax"}, "use 'lax'"),
    ({"same_site": "no"}, "use 'lax'"),
    ({"same_site": None}, "use 'lax'"),
    ({"same_site": ["lax"]}, "use 'lax'"),
    ({"name": "r", "path": ""}, "use a path"),
    ({"name": "r", "path": "app"}, "use a path"),
    ({"name": "r", "path": "/a;Domain=x"}, "use a path"),
    ({"name": "r", "path": "/a b"}, "use a path"),
    ({"name": "r", "path": "/a\n"}, "use a path"),
    ({"name": "r", "path": "/é"}, "use a path"),
    ({"name": "r", "path": None}, "use a path"),
    ({"name": "r", "domain": ""}, "lower-case domain"),
    ({"name": "r", "domain": "org"}, "lower-case domain"),
    ({"name": "r", "domain": ".example.org"}, "lower-case domain"),
    ({"name": "r", "domain": "Example.org"}, "lower-case domain"),
    ({"name": "r", "domain": "example.org; Path=/x"}, "lower-case domain"),
    ({"name": "r", "domain": "https://example.org"}, "lower-case domain"),
    ({"name": "r", "domain": 7}, "lower-case domain"),
    ({"name": "r", "unsafe_plain_http": "false"}, "True or False"),
    ({"name": "r", "unsafe_plain_http": None}, "True or False"),
    ({"path": "/app"}, "without the prefix"),
    ({"domain": "example.org"}, "without the prefix"),
    ({"name": "__HOST-refresh", "path": "/app"}, "without the prefix"),
    ({"unsafe_plain_http": True}, "drop unsafe_plain_http"),
    ({"name": "__host-r", "unsafe_plain_http": True}, "drop unsafe_plain_http"),
    ({"name": "__Secure-r", "unsafe_plain_http": True}, "drop unsafe_plain_http"),
    ({"name": "r", "same_site": "none", "unsafe_plain_http": True}, "drop unsafe_plain_http"),
]


@pytest.mark.parametrize(("options", "remedy"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_a_cookie_that_browsers_would_refuse_is_refused_at_start_up(options, remedy):
    with pytest.raises(ConfigurationError) as caught:
        RefreshCookie(**options)
    assert "cookie" == caught.value.option
    assert remedy in str(caught.value)


READ = [
    # Cookie headers, the values under our name
    ([], []),
    ([""], []),
    (["__Host-refresh=T"], ["T"]),
    (["a=b; __Host-refresh=T; c=d"], ["T"]),
    (["a=b;__Host-refresh=T;c=d"], ["T"]),
    (["a=b;\t __Host-refresh=T \t;c=d"], ["T"]),
    (["__Host-refresh=T;"], ["T"]),
    (["; ;;__Host-refresh=T"], ["T"]),
    (['__Host-refresh="T"'], ["T"]),
    (['__Host-refresh=""'], [""]),
    (['__Host-refresh="'], ['"']),
    (['__Host-refresh="T'], ['"T']),
    (['__Host-refresh=T"'], ['T"']),
    (["__Host-refresh="], [""]),
    (["__Host-refresh=a=b"], ["a=b"]),
    (["__Host-refresh"], []),
    (["__host-refresh=T"], []),
    (["__Host-refresh =T"], []),
    (["x__Host-refresh=T"], []),
    (["__Host-refresh2=T"], []),
    (["=__Host-refresh=T"], []),
    (["a=__Host-refresh=T"], []),
    (['a="; __Host-refresh=T; b="'], ["T"]),  # quotes do not protect a semicolon: RFC 6265bis section 5.7
    (["__Host-refresh=T, __Host-refresh=U"], ["T, __Host-refresh=U"]),
]
DOUBLED = [
    (["__Host-refresh=T; __Host-refresh=U"], ["T", "U"]),
    (["__Host-refresh=T; __Host-refresh=T"], ["T", "T"]),
    (["__Host-refresh=T", "__Host-refresh=U"], ["T", "U"]),
    (["a=b", "__Host-refresh=; __Host-refresh=T"], ["", "T"]),
]


@pytest.mark.parametrize(("headers", "expected"), READ)
def test_i3_cookie_headers_are_read_as_browsers_write_them(headers, expected):
    assert expected == COOKIE.values(headers)


@pytest.mark.parametrize(("headers", "expected"), DOUBLED)
def test_i4_every_value_is_found_so_that_two_can_be_refused(headers, expected):
    assert expected == COOKIE.values(headers)


LATIN_1 = st.text(alphabet=st.characters(max_codepoint=255))


@given(st.lists(LATIN_1 | st.just("__Host-refresh=T"), max_size=4), st.sampled_from([";", "; ", ";  "]))
@settings(deadline=None, database=None, max_examples=300)
def test_i3_no_header_breaks_the_reading_and_none_hides_a_cookie(parts, separator):
    found = COOKIE.values([separator.join(parts)])
    assert parts.count("__Host-refresh=T") <= len(found)
    assert all(isinstance(value, str) for value in found)


TOKENS = st.from_regex(r"[A-Za-z0-9_-]{1,40}(\.[A-Za-z0-9_-]{1,40}){2}", fullmatch=True)


@given(TOKENS, st.integers(0, 2**31))
@settings(deadline=None, database=None)
def test_what_is_written_is_read_by_others_and_by_us(token, max_age):
    written = COOKIE.carry(token, max_age)
    other = SimpleCookie(written)["__Host-refresh"]
    assert (token, str(max_age), "/", True, True) == (
        other.value,
        other["max-age"],
        other["path"],
        other["secure"],
        other["httponly"],
    )
    assert [token] == COOKIE.values([written.partition(";")[0]])
