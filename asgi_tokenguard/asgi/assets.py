"""The browser client as an HTTP answer: its type, how long it may be kept, and whether the caller has it already."""

from __future__ import annotations

import re
from typing import Final

from asgi_tokenguard import browser
from asgi_tokenguard.asgi.responses import Answered, Headers

JAVASCRIPT: Final = "text/javascript; charset=utf-8"  # RFC 9239 section 6
_ETAG: Final = f'"{browser.VERSION}"'.encode()
_NAMED: Final = f"v={browser.VERSION}".encode()
# RFC 8246 section 2, and a year as its example.  Asked for by its hash it is this file or none.
_FOR_EVER: Final = b"public, max-age=31536000, immutable"
# Kept, and never used without asking: after an upgrade of the server the next page has the client that belongs to it.  So it is
# for a hash of another version, too: an answer to that, kept for ever, would be the wrong file under that name.
_ASK: Final = b"no-cache"
# RFC 9110 section 8.8.3.
_ETAGS: Final = re.compile(rb'(?:W/)?("[^"]*")')


def client(query: bytes, etags: bytes) -> Answered:
    """The client, or a 304 to whom *etags* (the value of `If-None-Match`) shows to have it; *query* is that of the address."""
    kept: Headers = [(b"etag", _ETAG), (b"cache-control", _FOR_EVER if query == _NAMED else _ASK)]
    # Weak comparison (RFC 9110 section 13.1.2): a proxy that compresses makes a weak tag of ours.
    if etags.strip() == b"*" or _ETAG in _ETAGS.findall(etags):
        return Answered(304, kept, b"")
    described = [(b"content-type", JAVASCRIPT.encode()), (b"content-length", str(len(browser.SCRIPT)).encode())]
    return Answered(200, [*described, *kept, (b"x-content-type-options", b"nosniff")], browser.SCRIPT)
