"""
Where a visitor may be sent.  Rule: to a path of this site and nowhere else, whatever a link says.

The attacker writes links to our own sign-in page: `/login?next=//evil.example` shows the victim our page, and after the
password his (CWE-601, open redirect).  Browsers help him: a backslash is a slash to them, tabs and line ends are dropped, and
two slashes begin a host.  So what counts is a short list of characters, and a path that nobody could read differently.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from asgi_tokenguard.core.paths import is_odd

NEXT: Final = "next"
# Percent-encoded once more it takes three times as much, and the shortest limit in use, that of IE, was 2,083 for a whole URL.
MOST: Final = 1024
# RFC 3986 section 3.3 and 3.4, without the fragment, which no server gets.
_PATH_MARKS: Final = "!$&'()*+,;=:@/"
_LOCAL: Final = re.compile(
    rf"/[A-Za-z0-9._~%{re.escape(_PATH_MARKS)}-]*(\?[A-Za-z0-9._~%?{re.escape(_PATH_MARKS)}-]*)?", re.ASCII
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def is_local(url: str) -> bool:
    """Whether *url* is a path of this site, perhaps with a query, for every browser, proxy and app that may read it."""
    if len(url) > MOST or not _LOCAL.fullmatch(url):
        return False
    raw = url.partition("?")[0]
    path = unquote(raw)
    # An empty segment is one of the odd things: `//evil.example` has one.
    return not is_odd(path, raw.encode()) and not _CONTROL.search(path)


def local_url(path: str, query: bytes) -> str | None:
    """The URL of a decoded *path* with its *query* as it came; None where it is not one to come back to."""
    url = quote(path, safe=_PATH_MARKS, errors="surrogatepass")
    if query:
        url += "?" + quote(query, safe=f"{_PATH_MARKS}?%")
    # Too long is left out whole: half a query is another request.
    return url if is_local(url) else None


def with_next(page: str, url: str | None) -> str:
    """The address of *page*, from which its visitor goes on to *url*."""
    return page if url is None else f"{page}?{NEXT}={quote(url, safe='/')}"


def next_in(query: bytes) -> str | None:
    """Where to go on to after the page with this *query*; None where it does not say, or not so that it is safe."""
    try:
        found = [value for name, value in parse_qsl(query.decode("ascii"), keep_blank_values=True) if name == NEXT]
    except ValueError:  # no ASCII, or more fields than `parse_qsl` takes
        return None
    # Two of them: what checks one and what uses it might differ in which they take.
    return found[0] if len(found) == 1 and is_local(found[0]) else None
