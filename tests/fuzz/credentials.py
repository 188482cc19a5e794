"""`asgi/credentials.py`: the access header, the headers of native apps, and what tells who is asking."""

from __future__ import annotations

import re
from typing import Any

from asgi_tokenguard.asgi.credentials import access_field, access_token, fresh_token, refresh_token, signs
from asgi_tokenguard.core.callers import CONTRADICTION
from asgi_tokenguard.errors import DuplicateCredentials, NotForPages
from asgi_tokenguard.options import settle
from fuzz.harness import headers, hold, raises

_OPTIONS = {"secret": "a secret of more than thirty-two bytes", "redis": "redis://localhost"}
_PLAIN = settle(_OPTIONS)
_NATIVE = settle({**_OPTIONS, "refresh_header": "X-Refresh-Token", "access_header": "X-Token"})
_SIGNS = {
    b"host": "host",
    b"origin": "origin",
    b"referer": "referrer",
    b"sec-fetch-site": "site",
    b"sec-fetch-mode": "mode",
    b"sec-fetch-dest": "dest",
    b"sec-purpose": "purpose",
}
_NAMES = (
    b"authorization",
    b"x-token",
    b"x-refresh-token",
    b"x-fresh-token",
    b"cookie",
    b"accept",
    b"x-token-rotation",
    *_SIGNS,
)
# RFC 9110 section 11.4, in the form that we take: the scheme, one blank or more, the token.
_BEARER = re.compile(rb" *[Bb][Ee][Aa][Rr][Ee][Rr](?: +(?P<token>.*?))? *", re.DOTALL)

WORDS = (
    b"\0Bearer ",
    b"\0bearer \t",
    b"\0BEARER \xa0",
    b"\0Basic x",
    b" ",
    b"\t",
    b"\xa0",
    b"__Host-refresh=",
    b"__Host-fresh=",
    b"; ",
    b'"',
)
OUTCOMES = ("two", "token", "token with other blanks around it", "another scheme", "none")


def check(data: bytes) -> str:
    found = headers(data, _NAMES)
    _check_signs(found)
    _check_native(found)
    fields = [value for name, value in found if name == b"authorization"]
    if len(fields) > 1:
        hold(raises(DuplicateCredentials, lambda: access_token(found, _PLAIN)), "one of two was chosen", fields)
        return "two"
    token = access_token(found, _PLAIN)
    hold(access_field(found, _PLAIN) == (fields[0] if fields else None), "not the field as it came", fields)
    if not fields:
        hold(token is None, "a token out of nothing", token)
        return "none"
    match = _BEARER.fullmatch(fields[0])
    expected = None if match is None else (match["token"] or b"").decode("latin-1")
    hold(token == expected, "not what the grammar says", fields[0], token, expected)
    if token is None:
        return "another scheme"
    again = [(b"authorization", b"Bearer " + token.encode("latin-1"))]
    hold(access_token(again, _PLAIN) == token, "it does not read its own writing", token)
    return "token" if token == token.strip() else "token with other blanks around it"


def _check_native(found: list[tuple[bytes, bytes]]) -> None:
    """The header that is the token, and the two that stand for cookies."""
    names = [name for name, _ in found]
    two = names.count(b"x-token") > 1
    hold(two == raises(DuplicateCredentials, lambda: access_token(found, _NATIVE)), "two tokens in x-token", found)
    refreshes = names.count(b"x-refresh-token")
    from_page = any(name == b"origin" or name.startswith((b"sec-fetch-", b"sec-purpose")) for name in names)
    try:
        token = refresh_token(found, _NATIVE)
    except NotForPages:
        hold(refreshes and from_page, "refused as of a page", found)
    except DuplicateCredentials:
        hold(len(_cookies(found, b"__Host-refresh")) + refreshes > 1, "two where there is one", found)
    else:
        hold(not (refreshes and from_page), "a page's header was read", found)
        hold(len(_cookies(found, b"__Host-refresh")) + refreshes <= 1, "one of two was chosen", found)
        hold(token is None or isinstance(token, str), "no text", token)
    two = len(_cookies(found, b"__Host-fresh")) + names.count(b"x-fresh-token") > 1
    hold(two == raises(DuplicateCredentials, lambda: fresh_token(found, _PLAIN)), "two freshness tokens", found)


def _cookies(found: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    pattern = re.compile(rb"(?:\A|;)[ \t]*" + re.escape(name) + rb"=[^;]*")
    return [match for header, value in found if header == b"cookie" for match in pattern.findall(value)]


def _check_signs(found: list[tuple[bytes, bytes]]) -> None:
    scope: dict[str, Any] = {"method": "get", "scheme": "http", "headers": found}
    read = signs(scope, _PLAIN)
    for name, sign in _SIGNS.items():
        values = [value.decode("latin-1") for header, value in found if header == name]
        expected = None if not values else values[0] if len(values) == 1 else CONTRADICTION
        hold(getattr(read, sign) == expected, "a sign that was not sent", sign, getattr(read, sign), values)
    hold(read.method == "GET", "the method", read.method)
    hold(not read.over_tls, "nobody trusted told of TLS", found)
