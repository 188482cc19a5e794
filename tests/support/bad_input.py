"""What should not have been sent, with the exact answer; `<name>` stands for a token of `tokens()`."""

from __future__ import annotations

from typing import Final, NamedTuple

from support.forge import aged, altered, rekeyed
from support.forgeries import FORGERIES, ULID

NO_TOKEN: Final = "401 token_required"
INVALID: Final = "401 invalid_token"
TWO: Final = "400 duplicate_credentials"
CROSS: Final = "403 cross_site_request"


class Row(NamedTuple):
    """One request; *asks* says whether Redis may hear of it: only where a signature is good and time does not decide."""

    name: str
    expected: str
    headers: tuple[tuple[str, str], ...] = ()
    asks: bool = False
    method: str = "GET"
    target: str = "/me"
    host: str = "app.example"


def tokens(live: str, cookie: str, stranger: str, secret: str) -> dict[str, str]:
    """Everything that a row may name; *stranger* is another user's live access token."""
    forged = {f"{name} (access)": forge(live, secret) for name, forge in FORGERIES.items()}
    forged |= {f"{name} (refresh)": forge(cookie, secret) for name, forge in FORGERIES.items()}
    return forged | {
        "live": live,
        "cookie": cookie,
        "stranger": stranger,
        "expired": aged(live, secret, 2_000),
        "superseded": altered(live, secret, jti=ULID),
        "dead": altered(live, secret, sid=ULID),
        "unknown": rekeyed(live),
        "old stranger": aged(stranger, secret, 2_000),
        "old cookie": aged(cookie, secret, 10_000_000),
        "dead cookie": altered(cookie, secret, sid=ULID),
        "nobody's cookie": altered(cookie, secret, sub="a\0b{c}:*"),
        "unknown cookie": rekeyed(cookie),
    }


def bearer(value: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {value}")


def cookie(value: str) -> tuple[str, str]:
    return ("Cookie", f"__Host-refresh={value}")


GOOD = cookie("<cookie>")

ACCESS_TOKENS = [
    *(Row(f"access token: {name}", INVALID, (bearer(f"<{name} (access)>"),)) for name in FORGERIES),
    Row("access token: a refresh token", INVALID, (bearer("<cookie>"),)),
    Row("access token: forged beside a good cookie", INVALID, (bearer("<signature changed (access)>"), GOOD)),
    Row("access token: forged, optional path", INVALID, (bearer("<signature changed (access)>"),), target="/open/x"),
    Row("access token: forged, public path", "200", (bearer("<signature changed (access)>"),), target="/static/x"),
    Row("access token: expired", "401 token_expired", (bearer("<expired>"),)),
    Row("access token: expired, optional path", "200", (bearer("<expired>"),), target="/open/x"),
    Row("access token: superseded", "401 token_expired", (bearer("<superseded>"),), asks=True),
    Row("access token: of no session", "401 session_ended", (bearer("<dead>"),), asks=True),
    Row("access token: unknown kid", NO_TOKEN, (bearer("<unknown>"),)),
    Row("access token: unknown kid beside a good cookie", "200", (bearer("<unknown>"), GOOD), asks=True),
    Row("access token: in the query", NO_TOKEN, target="/me?access_token=<live>&token=<live>"),
    Row("access token: in another header", NO_TOKEN, (("X-Access-Token", "<live>"),)),
    Row("access token: in Proxy-Authorization", NO_TOKEN, (("Proxy-Authorization", "Bearer <live>"),)),
    Row("access token: in a cookie of its own", NO_TOKEN, (("Cookie", "access=<live>; Authorization=Bearer <live>"),)),
]
AUTHORIZATION = [
    Row("scheme in lower case", "200", (("Authorization", "bearer <live>"),), asks=True),
    Row("scheme in upper case, many blanks", "200", (("Authorization", "BEARER    <live>   "),), asks=True),
    Row("header name in upper case", "200", (("AUTHORIZATION", "Bearer <live>"),), asks=True),
    Row("no value", NO_TOKEN, (("Authorization", ""),)),
    Row("the scheme alone", INVALID, (("Authorization", "Bearer"),)),
    Row("the token alone", NO_TOKEN, (("Authorization", "<live>"),)),
    Row("a tab for the blank", NO_TOKEN, (("Authorization", "Bearer\t<live>"),)),
    Row("a no-break space for the blank", NO_TOKEN, (("Authorization", "Bearer\xa0<live>"),)),
    Row("a colon", NO_TOKEN, (("Authorization", "Bearer: <live>"),)),
    Row("an equals sign", NO_TOKEN, (("Authorization", "Bearer=<live>"),)),
    Row("a comma", NO_TOKEN, (("Authorization", "Bearer,<live>"),)),
    Row("scheme Basic", NO_TOKEN, (("Authorization", "Basic dXNlcjpwYXNz"),)),
    Row("scheme Basic, our token", NO_TOKEN, (("Authorization", "Basic <live>"),)),
    Row("scheme Token", NO_TOKEN, (("Authorization", "Token <live>"),)),
    Row("scheme DPoP", NO_TOKEN, (("Authorization", "DPoP <live>"),)),
    Row("a scheme that ends as ours", NO_TOKEN, (("Authorization", "XBearer <live>"),)),
    Row("a scheme that begins as ours", NO_TOKEN, (("Authorization", "BearerX <live>"),)),
    Row("the scheme twice", INVALID, (("Authorization", "Bearer Bearer <live>"),)),
    Row("two tokens in one", INVALID, (bearer("<live> <live>"),)),
    Row("two tokens with a comma", INVALID, (bearer("<live>, <live>"),)),
    Row("two credentials with a comma", INVALID, (bearer("<live>, Bearer <live>"),)),
    Row("a parameter", INVALID, (bearer("<live>;realm=x"),)),
    Row("quoted", INVALID, (bearer('"<live>"'),)),
    Row("another scheme beside a good cookie", "200", (("Authorization", "Basic dXNlcjpwYXNz"), GOOD), asks=True),
    Row("two headers, equal", TWO, (bearer("<live>"), bearer("<live>"))),
    Row("two headers, ours last", TWO, (("Authorization", "Basic dXNlcjpwYXNz"), bearer("<live>"))),
    Row("two headers, ours first", TWO, (bearer("<live>"), ("authorization", "Basic dXNlcjpwYXNz"))),
    Row("two headers, both garbage", TWO, (bearer("x"), bearer("y"))),
    Row("two headers, optional path", TWO, (bearer("<live>"), bearer("<live>")), target="/open/x"),
    Row("two headers, public path", "200", (bearer("<live>"), bearer("<live>")), target="/static/x"),
    Row("two headers at login", TWO, (bearer("x"), bearer("y")), method="POST", target="/login"),
    Row("two headers at logout", TWO, (bearer("x"), bearer("y")), method="GET", target="/logout"),
]
COOKIES = [
    *(Row(f"cookie: {name}", INVALID, (cookie(f"<{name} (refresh)>"),)) for name in FORGERIES),
    Row("cookie: forged, optional path", "200", (cookie("<signature changed (refresh)>"),), target="/open/x"),
    Row("cookie: forged, public path", "200", (cookie("<signature changed (refresh)>"),), target="/static/x"),
    Row("cookie: an access token", INVALID, (cookie("<live>"),)),
    Row("cookie: unknown kid", INVALID, (cookie("<unknown cookie>"),)),
    Row("cookie: past its end", "401 session_expired", (cookie("<old cookie>"),)),
    Row("cookie: past its end, optional path", "200", (cookie("<old cookie>"),), target="/open/x"),
    Row("cookie: of no session", "401 session_ended", (cookie("<dead cookie>"),), asks=True),
    Row("cookie: of no session, optional path", "200", (cookie("<dead cookie>"),), asks=True, target="/open/x"),
    Row("cookie: of a strange subject", "401 session_ended", (cookie("<nobody's cookie>"),), asks=True),
    Row("cookie: name without value", NO_TOKEN, (("Cookie", "__Host-refresh"),)),
    Row("cookie: name in lower case", NO_TOKEN, (("Cookie", "__host-refresh=<cookie>"),)),
    Row("cookie: name with a blank", NO_TOKEN, (("Cookie", "__Host-refresh =<cookie>"),)),
    Row("cookie: name without prefix", NO_TOKEN, (("Cookie", "refresh=<cookie>"),)),
    Row("cookie: name inside another value", NO_TOKEN, (("Cookie", "a=__Host-refresh=<cookie>"),)),
    Row("cookie: after a comma", NO_TOKEN, (("Cookie", "a=b, __Host-refresh=<cookie>"),)),
    Row("cookie: empty header", NO_TOKEN, (("Cookie", ""),)),
    Row("cookie: Latin-1 garbage", NO_TOKEN, (("Cookie", "\xe9=\xff; \x80"),)),
    Row("cookie: among others", "200", (("Cookie", "a=b; __Host-refresh=<cookie>; c=d"),), asks=True),
    Row("cookie: among semicolons", "200", (("Cookie", ";;; ;__Host-refresh=<cookie>;;"),), asks=True),
    Row("cookie: after 8 KB of others", "200", (("Cookie", f"a={'b' * 8000}; __Host-refresh=<cookie>"),), asks=True),
    Row("cookie: quoted", "200", (cookie('"<cookie>"'),), asks=True),
    Row("cookie: half quoted", INVALID, (cookie('"<cookie>'),)),
    Row("cookie: quoted twice", INVALID, (cookie('""<cookie>""'),)),
    Row("cookie: one quote", INVALID, (cookie('"'),)),
    Row("cookie: two in one header", TWO, (("Cookie", "__Host-refresh=<cookie>; __Host-refresh=<cookie>"),)),
    Row("cookie: two in two headers", TWO, (GOOD, GOOD)),
    Row("cookie: a planted one first", TWO, (cookie("x"), GOOD)),
    Row("cookie: a planted one last, empty", TWO, (GOOD, cookie(""))),
    Row("cookie: two, one quoted", TWO, (("Cookie", '__Host-refresh="<cookie>"; __Host-refresh=<cookie>'),)),
    Row("cookie: two, optional path", TWO, (GOOD, GOOD), target="/open/x"),
    Row("cookie: two, public path", "200", (GOOD, GOOD), target="/static/x"),
    Row("cookie: two at login", TWO, (GOOD, GOOD), target="/login"),
    Row("cookie: two at logout", TWO, (GOOD, GOOD), target="/logout"),
    Row("cookie: two beside a live token", "200", (GOOD, GOOD, bearer("<live>")), asks=True),
    Row("cookie: two beside an expired token", TWO, (GOOD, GOOD, bearer("<expired>"))),
    Row("cookie: two beside a forged token", INVALID, (GOOD, GOOD, bearer("x"))),
    Row("cookie: another user's than the token", "401 session_mismatch", (bearer("<old stranger>"), GOOD), asks=True),
]
FORGED_ORIGINS = [
    "null", "", "x", "https://", "//app.example", "app.example", "https://evil.example", "https://app.example:444",
    "https://app.example.evil.example", "https://evil-app.example", "https://app.example@evil.example",
    "https://evil.example/https://app.example", "https://app.example/", "https://app.example?x", "https://app.example:",
    "https://app.example:0443", "https://app.example, https://app.example", "https://[::1", "https://[app.example]",
    "javascript:alert(1)", "file://", "https://\xe4pp.example", "https://app.example\\@evil.example", "https://" + "a" * 5000,
]  # fmt: skip
PROVENANCE = [
    *(Row(f"origin: {origin[:40]!r}", CROSS, (GOOD, ("Origin", origin)), method="POST") for origin in FORGED_ORIGINS),
    Row("origin: own", "200", (GOOD, ("Origin", "https://app.example")), asks=True, method="POST"),
    Row("origin: own in upper case, with port", "200", (GOOD, ("Origin", "HTTPS://APP.EXAMPLE:443")), asks=True, method="POST"),
    Row("origin: twice", CROSS, (GOOD, ("Origin", "https://app.example"), ("Origin", "https://app.example")), method="POST"),
    Row("origin: own, strange host", CROSS, (GOOD, ("Origin", "https://app.example")), method="POST", host="app.example/"),
    Row("origin: none, no metadata", CROSS, (GOOD,), method="POST"),
    *(
        Row(f"site: {site!r}", CROSS, (GOOD, ("Sec-Fetch-Site", site)), method="POST")
        for site in ("cross-site", "same-site", "none", "", "x", "Same-Origin", "same-origin, same-origin", "\xe9")
    ),
    Row("site: same-origin", "200", (GOOD, ("Sec-Fetch-Site", "same-origin")), asks=True, method="POST"),
    Row("site: twice", CROSS, (GOOD, ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")), method="POST"),
    Row("mode without a site", CROSS, (GOOD, ("Origin", "https://app.example"), ("Sec-Fetch-Mode", "cors")), method="POST"),
    Row("purpose without a site", CROSS, (GOOD, ("Origin", "https://app.example"), ("Sec-Purpose", "x")), method="POST"),
    Row("method in lower case", CROSS, (GOOD,), method="post"),
    Row("method of no standard", CROSS, (GOOD,), method="FROB"),
    Row("cookie: bad, cross-site", INVALID, (cookie("x"), ("Origin", "null")), method="POST"),
    Row("login from another site", CROSS, (("Origin", "https://evil.example"),), method="POST", target="/login"),
    Row("login from null", CROSS, (("Origin", "null"),), method="POST", target="/login"),
    Row("login from the same site", CROSS, (("Sec-Fetch-Site", "same-site"),), method="POST", target="/login"),
    Row("login by half metadata", CROSS, (("Sec-Fetch-Dest", "document"),), method="POST", target="/login"),
    Row(
        "login by an image", "403 cannot_receive",
        (("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")), target="/login",
    ),
    Row("login by a renderer", "403 cannot_receive", (("X-Token-Rotation", "off"),), method="POST", target="/login"),
    Row("logout from another site", CROSS, (GOOD, ("Origin", "https://evil.example")), method="POST", target="/logout"),
    Row("logout from null, no cookie", CROSS, (("Origin", "null"),), method="POST", target="/logout"),
    Row("logout with garbage alone", "204", (bearer("x"), cookie("y"), ("Origin", "https://app.example")), method="POST",
        target="/logout"),
    Row("rotation neither on nor off", "200", (GOOD, ("X-Token-Rotation", "\xff")), asks=True),
    Row("preflight with two tokens", "200", (("Origin", "x"), ("Access-Control-Request-Method", "y"), bearer("a"), bearer("b")),
        method="OPTIONS"),
    Row("OPTIONS with a forged token", INVALID, (("Origin", "https://app.example"), bearer("x")), method="OPTIONS"),
]  # fmt: skip
CLOSED_PATHS = [
    "/", "/Login", "/LOGIN", "/login/", "/login/x", "/loginx", "/login%20", "/login%00", "/login%2f", "/login%2Fx", "/login;x",
    "/login%3Fx", "/login%23", "/login.json", "//login", "/./login", "/x/../login", "/static", "/staticx", "/static//x",
    "/static/../me", "/static/%2e%2e/me", "/static/./x", "/static/x/..", "/static/..%2fme", "/static%2Fx", "/static/x%5cy",
    "/static/..%5cme", "/static/x%00", "/static/%252e%252e%2fme", "/me?next=/login", "/me#/login", "/x/static/y", "/%2flogin",
    "/me/login", "/open/../me", "/open//x", "/%ff%fe", "/%C3%BFlogin", "http://app.example/login", "*",
]  # fmt: skip
PATHS = [
    *(Row(f"path: {path}", NO_TOKEN, target=path) for path in CLOSED_PATHS),
    Row("path: below a public one", "200", target="/static/x/y.css"),
    Row("path: the public folder itself", "200", target="/static/"),
    Row("path: a public one with a query", "200", target="/static/x?a=/me&b=%2f..%2f"),
    Row("path: with dots that are no segment", "200", target="/static/..x/y..z"),
    Row("path: escaped twice", "200", target="/static/%252e%252e/x"),
]
ROWS: Final = [*ACCESS_TOKENS, *AUTHORIZATION, *COOKIES, *PROVENANCE, *PATHS]
