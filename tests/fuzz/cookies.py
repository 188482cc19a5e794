"""`core/cookie.py`: every value under our name in `Cookie` headers, however they are written."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie

from asgi_tokenguard.core.cookie import RefreshCookie
from fuzz.harness import hold

_COOKIE = RefreshCookie()
# RFC 6265bis section 4.2.1, once more as a pattern: pairs between semicolons, blanks around them are not theirs.
_PAIR = re.compile(r"(?:\A|;)[ \t]*__Host-refresh=([^;]*)")

WORDS = (b"__Host-refresh=", b"__Host-refresh", b"__Host-fresh=", b"; ", b";", b'"', b"=", b"\t", b",", b"abc.def.ghi")
OUTCOMES = ("none", "one", "several")


def check(data: bytes) -> str:
    lines = [line.decode("latin-1") for line in data.split(b"\n")]
    found = _COOKIE.values(lines)
    expected = [_unquoted(value.rstrip(" \t")) for line in lines for value in _PAIR.findall(line)]
    hold(found == expected, "not the pairs", lines, found)
    # What stands in a header cannot hide a cookie behind it or before it, nor can the place of a line end.
    hold(_COOKIE.values([*lines, "__Host-refresh=T"]) == [*found, "T"], "the last was hidden", lines)
    hold(
        _COOKIE.values([f"{line}; __Host-refresh=T" for line in lines])[-1:] == ["T"], "the last in its line was hidden", lines
    )
    hold(_COOKIE.values([f"__Host-refresh=T; {line}" for line in lines])[:1] == ["T"], "the first was hidden", lines)
    hold(_COOKIE.values([";".join(lines)]) == found, "one header or two is a difference", lines, found)
    for value in found:
        _check_writing(value)
    return "none" if not found else "one" if len(found) == 1 else "several"


def _check_writing(value: str) -> None:
    """A value that could be a token is written so that others and we read the same."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", value):
        return
    written = _COOKIE.carry(value, 60)
    hold(SimpleCookie(written)["__Host-refresh"].value == value, "others read something else", written)
    hold(_COOKIE.values([written.partition(";")[0]]) == [value], "we read something else", written)


def _unquoted(value: str) -> str:
    match = re.fullmatch('"(.*)"', value, re.DOTALL)
    return value if match is None else match[1]
