"""Where a visitor may be sent: the ways in which a link leaves the site, as browsers, proxies and apps read it."""

from __future__ import annotations

from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.local_urls import MOST, is_local, local_url, next_in, with_next

SITE = "https://app.example/login?next=x"
LOCAL = [
    "/",
    "/me",
    "/me/",
    "/a/b.c/~d-e_f",
    "/a?b=c&d=e+f%20g",
    "/a?",
    "/a?b=https://other.example//x?y",
    "/caf%C3%A9",
    "/@user",
    "/a;b=c/d:e",
    "/a%zz",
    "/%252f%252fevil.example",  # one decoding further it is still a path
    "/" + "a" * (MOST - 1),
]
ELSEWHERE = [
    "",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "/\0/evil.example",
    " //evil.example",
    " /me",
    "/me ",
    "/me\n",
    "/me\r\nSet-Cookie: a=b",
    "/me%0d%0aSet-Cookie:%20a=b",
    "/%09/evil.example",
    "/%2f/evil.example",
    "/%2Fevil.example",
    "/%5cevil.example",
    "/%5Cevil.example",
    "/%00",
    "/%7f",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/%2e%2e//evil.example",
    "/%2e%2e/me",
    "/a//b",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "HTTPS://evil.example",
    "//user@evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "me",
    "?a=b",
    "#a",
    "./me",
    "../me",
    "/me#a",
    "/me?a#b",
    "/é",
    "/\u2028/evil.example",
    "/\u3000/evil.example",
    "/\uff0f/evil.example",
    "\uff0f/evil.example",
    "/\ufeff",
    "/a?\\",
    "/a?b=\n",
    "/a?b= c",
    "/" + "a" * MOST,
]


@pytest.mark.parametrize("url", LOCAL)
def test_a_path_of_this_site_is_one(url):
    assert is_local(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_no_link_leads_elsewhere(url):
    assert not is_local(url)
    assert None is next_in(b"next=" + quote(url, safe="", errors="surrogatepass").encode())


# Texts near the edge: what browsers read generously.
PIECES = ["/", "\\", ".", "..", "evil.example", "@", ":", "%2f", "%5c", "%2e", "\t", "\n", "?", "#", "a", " "]
TRICKY = st.lists(st.sampled_from(PIECES))


@given(TRICKY.map("".join) | st.text(max_size=40))
@example("/\t/evil.example")
@settings(deadline=None, database=None, max_examples=500)
def test_what_counts_as_local_stays_for_a_browser_and_for_one_that_is_generous(text):
    """Browsers take a backslash for a slash and drop tabs and line ends (URL standard, sections 4.1 and 4.4)."""
    if is_local(text):
        generous = text.replace("\\", "/").translate(dict.fromkeys(map(ord, "\t\n\r"))).strip(" ")
        for read in (text, generous):
            assert "app.example" == urlsplit(urljoin(SITE, read)).netloc
            assert not read.startswith("//")
        assert text.isascii()
        assert text.isprintable()


@given(st.text(max_size=40), st.binary(max_size=40))
@example("/a b/ü+?#", b"a=\xff&b[]=\r\nX: y")
@settings(deadline=None, database=None, max_examples=500)
def test_what_is_made_of_a_request_is_local_or_nothing(path, query):
    url = local_url(path, query)
    assert url is None or is_local(url)
    assert next_in(with_next("/login", url).partition("?")[2].encode()) == url


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/", b"", "/"),
        ("/me", b"", "/me"),
        ("/a b", b"c=d e", "/a%20b?c=d%20e"),
        ("/100%", b"a=100%25&b=%zz", "/100%25?a=100%25&b=%zz"),
        ("/why?", b"", "/why%3F"),
        ("/a#b", b"", "/a%23b"),
        ("/ü", b"u=\xc3\xbc", "/%C3%BC?u=%C3%BC"),
        ("/a", b"x[]=1&y={2}", "/a?x%5B%5D=1&y=%7B2%7D"),
        ("/a", b"u=//evil.example", "/a?u=//evil.example"),
        ("/a", b"a=b\r\nSet-Cookie: c=d", "/a?a=b%0D%0ASet-Cookie:%20c=d"),
        ("/\ud800", b"", "/%ED%A0%80"),
        ("//evil.example", b"", None),
        ("/a\r\nSet-Cookie: c=d", b"", None),
        ("/a/../b", b"", None),
        ("/a\\b", b"", None),
        ("http://evil.example/", b"", None),
        ("*", b"", None),
        ("", b"", None),
        ("/a", b"b" * (MOST - 3), "/a?" + "b" * (MOST - 3)),
        ("/a", b"b" * (MOST - 2), None),
        ("/", b'"' * (MOST // 3), None),  # what it is in the end counts
    ],
)
def test_the_url_of_a_request_comes_back_as_it_was(path, query, expected):
    assert expected == local_url(path, query)


def test_next_is_one_field_whatever_stands_in_it():
    assert "/login?next=/a%3Fb%3Dc%26next%3D//evil.example%23" == with_next("/login", "/a?b=c&next=//evil.example#")
    assert "/login" == with_next("/login", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", None),
        (b"next=", None),
        (b"next", None),
        (b"next=/me", "/me"),
        (b"next=%2Fme%3Fa%3Db%2526", "/me?a=b%26"),
        (b"a=b&next=/me&c", "/me"),
        (b"Next=/me", None),
        (b"next=/me&next=/me", None),
        (b"next=/me&next=//evil.example", None),
        (b"next=//evil.example&next=/me", None),
        (b"next=/me&next=", None),
        (b"next=/me\xff", None),
        (b"next=%FF", None),
        (b"next=/a;next=//evil.example", None),  # a semicolon separates nothing, and the path has an empty segment
    ],
)
def test_next_is_read_once_or_not_at_all(query, expected):
    assert expected == next_in(query)
