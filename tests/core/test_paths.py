"""Which paths are open: exactly or by whole segments, and an odd path opens nothing."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.paths import Openness, Paths, Patterns, below_root, is_odd
from asgi_tokenguard.errors import ConfigurationError

PUBLIC, OPTIONAL, REQUIRED = Openness.PUBLIC, Openness.OPTIONAL, Openness.REQUIRED


def paths(*, public=(), optional=(), required=True):
    return Paths(public=Patterns.parse("public", public), optional=Patterns.parse("optional", optional), required=required)


APP = paths(public=["/login", "/static/*", "/ü"], optional=["/", "/blog/*", "/static/private"])

# What a browser sends (raw), and what it meets.
OPEN = [
    ("/login", PUBLIC),
    ("/static/", PUBLIC),
    ("/static/app.js", PUBLIC),
    ("/static/img/logo.png", PUBLIC),
    ("/static/img/", PUBLIC),
    ("/static/a%20b", PUBLIC),
    ("/static/..a", PUBLIC),
    ("/static/.well-known", PUBLIC),
    ("/static/...", PUBLIC),
    ("/static/*", PUBLIC),
    ("/static/private", PUBLIC),  # public comes first
    ("/%6Cogin", PUBLIC),  # it is decoded before it is compared
    ("/%C3%BC", PUBLIC),
    ("/", OPTIONAL),
    ("/blog/", OPTIONAL),
    ("/blog/2026", OPTIONAL),
]
CLOSED = [
    "/login/",
    "/login/x",
    "/loginx",
    "/Login",
    "/login ",
    "/login;x",
    "/login%00",
    "/admin/login",
    "/admin/login-report",
    "/x/login",
    "//login",
    "/./login",
    "/x/../login",
    "login",
    "/login%3Fx",
    "/static",
    "/staticx",
    "/static-internal",
    "/x/static/app.js",
    "/blog",
    "",
    "*",
    "/admin",
    # odd: an app, a proxy and we might read them differently
    "/static/../admin",
    "/static/..",
    "/static/.",
    "/static/./app.js",
    "/static//app.js",
    "/static//",
    "//static/app.js",
    "/static/%2e%2e/admin",
    "/static/%2E%2e/admin",
    "/static/..%2fadmin",
    "/static/..%2Fadmin",
    "/static/x%2fy",
    "/static%2fapp.js",
    "/static%2Fapp.js",
    "/static/..%5cadmin",
    "/static/..\\admin",
    "/static/x\\y",
    "/static/app.js%00.html",
    "/blog/../admin",
    "/blog//2026",
]


def ask(table: Paths, raw: str) -> Openness:
    return table.openness(unquote(raw), raw.encode())


@pytest.mark.parametrize(("raw", "expected"), OPEN)
def test_a_pattern_opens_a_path_exactly_or_by_whole_segments(raw, expected):
    assert expected is ask(APP, raw)


@pytest.mark.parametrize("raw", CLOSED)
def test_p17_nothing_else_is_open(raw):
    assert REQUIRED is ask(APP, raw)


@pytest.mark.parametrize("raw", CLOSED)
def test_p17_nothing_else_is_public_where_nothing_is_required(raw):
    """A path that is not public never skips the look at credentials."""
    assert OPTIONAL is ask(paths(public=["/login", "/static/*"], required=False), raw)


def test_without_patterns_every_path_is_required():
    assert [REQUIRED, REQUIRED] == [ask(paths(), "/"), ask(paths(), "/login")]


def test_a_star_at_the_root_opens_every_normal_path():
    everything = paths(public=["/*"])
    assert [PUBLIC, PUBLIC, REQUIRED] == [ask(everything, "/"), ask(everything, "/a/b"), ask(everything, "/a//b")]


def test_servers_that_tell_no_raw_path_are_served():
    assert PUBLIC is APP.openness("/static/app.js", None)
    assert REQUIRED is APP.openness("/static/../admin", None)


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/app/login", "/app", "/login"),
        ("/app/", "/app", "/"),
        ("/app", "/app", "/"),
        ("/app/app", "/app", "/app"),
        ("/a/b/c", "/a/b", "/c"),
        ("/login", "", "/login"),
        ("/login", "/app", "/login"),  # a server that strips the root itself
        ("/application/login", "/app", "/application/login"),
        ("/abc/login", "/app", "/abc/login"),
        ("/app/login", "/app/", "/app/login"),  # as Starlette reads it
    ],
)
def test_p17_root_path_is_taken_off_by_whole_segments(path, root, expected):
    assert expected == below_root(path, root)


SEGMENT = st.sampled_from(["static", "login", "admin", "", ".", "..", "a\\b", "x\0", "a%2fb", "...", ".a", "ü", "%2e", "*"])


@given(st.lists(SEGMENT, max_size=5))
@settings(deadline=None, database=None, max_examples=500)
def test_i14_an_odd_path_matches_no_opening_pattern(segments):
    """The rule of the design, said once more: no empty segment but the last, no dots, no backslash, NUL or encoded slash."""
    raw = "/" + "/".join(segments)
    odd = (
        "" in segments[:-1]
        or bool({".", "..", "%2e"} & set(segments))
        or any(mark in segment for mark in ("\\", "\0", "%2f") for segment in segments)
    )
    assert odd == is_odd(unquote(raw), raw.encode())
    assert (REQUIRED if odd else PUBLIC) is ask(paths(public=["/*"]), raw)
    assert REQUIRED is ask(APP, raw) or not odd


@given(st.text(), st.none() | st.binary())
@settings(deadline=None, database=None)
def test_i3_no_path_breaks_the_matching(path, raw):
    assert APP.openness(path, raw) in Openness


WRONG = [
    ("login", "slash"),
    ("", "slash"),
    ("*", "slash"),
    (b"/login", "slash"),
    (7, "slash"),
    (None, "slash"),
    ("/login?next=/", "query"),
    ("/login#x", "query"),
    ("/a%20b", "escape"),
    ("/static*", "star"),
    ("/static/*.js", "star"),
    ("/*/login", "star"),
    ("/a**", "star"),
    ("/a/**", "star"),
    ("//login", "empty"),
    ("/a//*", "empty"),
    ("/a/../b", "dotted"),
    ("/./b", "dotted"),
    ("/a\\b", "normal path"),
    ("/a\0", "normal path"),
]


@pytest.mark.parametrize(("pattern", "word"), WRONG)
def test_a_pattern_that_cannot_work_is_refused_at_start_up(pattern, word):
    with pytest.raises(ConfigurationError) as caught:
        Patterns.parse("public", ["/fine", pattern])
    assert "public" == caught.value.option
    assert word in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("patterns", ["/login", 7, None, True])
def test_patterns_are_a_list(patterns):
    """A single string would be taken apart into its letters, of which `/` opens the front page."""
    with pytest.raises(ConfigurationError, match=r"^optional: .*write optional=\["):
        Patterns.parse("optional", patterns)


def test_patterns_come_from_any_iterable():
    assert Patterns.parse("public", ["/a", "/b/*"]) == Patterns.parse("public", (pattern for pattern in ("/a", "/b/*")))


MISPLACED = [
    # Litestar behind Hypercorn or Daphne with a root path: the app serves `/admin/users`.
    ("/static/api/admin/users", b"/static/api/admin/users", "/api"),
    ("/static/x/api", b"/static/x/api", "/api/"),
    # Litestar below a root with a slash at its end: the app serves `/admin`.
    ("/static/admin", b"/static/admin", "/static/"),
    ("/static/x/admin", b"/static/x/admin", "/static/x/"),
    # A router that has rewritten the path for what it has mounted: the app serves `/admin/static/x`.
    ("/static/x", b"/admin/static/x", ""),
    ("/login", b"/api/login", ""),
    ("/api/login", b"/api/api/login", ""),
]


@pytest.mark.parametrize(("path", "raw", "root"), MISPLACED)
def test_i14_a_path_that_frameworks_read_differently_opens_nothing(path, raw, root):
    assert REQUIRED is APP.openness(path, raw, root)


@pytest.mark.parametrize(
    ("path", "raw", "root"),
    [
        ("/login", b"/login", "/api"),
        ("/api/login", b"/api/login", "/api"),
        ("/api/login", b"/login", "/api"),
        ("/static/\xfcber", b"/static/%C3%BCber", ""),
        ("/static/a", b"/static/a?x=/admin", ""),
        ("/static/a", None, "/api"),
    ],
)
def test_i14_a_root_path_in_front_or_nowhere_is_understood(path, raw, root):
    assert PUBLIC is APP.openness(path, raw, root)


@pytest.mark.parametrize("pattern", ["/users/{id}", "/{path}", "/a}"])
def test_templates_are_refused(pattern):
    with pytest.raises(ConfigurationError, match="template"):
        Patterns.parse("public", [pattern])


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/pay", "", True),
        ("/pay/", "", True),  # Litestar serves it as `/pay`
        ("/api/pay/", "/api", True),
        ("/admin", "", True),  # and this one as `/admin/`
        ("/x/../pay", "", True),
        ("/payments", "", False),
        ("/pay/x", "", False),
        ("/administration", "", False),
        ("/", "", False),
    ],
)
def test_a_pattern_that_closes_takes_in_what_any_router_might_serve_as_one_of_it(path, root, expected):
    """As `strict` does: there a reading too many costs one question to Redis, and one too few a stale verdict."""
    assert expected is Patterns.parse("strict", ["/pay", "/admin/*"]).may_match(path, path.encode(), root)
