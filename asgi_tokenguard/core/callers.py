"""
Who is asking, and what can that caller receive?  Rule: both are decided by the two tables here and nowhere else.

A token that is handed to somebody who cannot take it is lost (I12): an image cannot keep an access token, a prefetch may
be thrown away whole.  Browsers say what they are doing in Fetch Metadata (https://www.w3.org/TR/fetch-metadata/) and
`Origin`.  A page can forge neither.  A program outside a browser can forge both and gains nothing: it reads every header
anyway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 section 9.2.1
# How a WebSocket is opened over HTTP/2 (RFC 8441 section 4), and here in general: no safe method, and no answer from which a
# page could take a token or, over HTTP/1.1 in every browser, a cookie.
HANDSHAKE: Final = "CONNECT"
READS: Final = frozenset({"GET", "HEAD"})
# `empty`: a service worker has passed the navigation on, `respondWith(fetch(event.request))`, which forgets the destination
# (https://fetch.spec.whatwg.org/#dom-request copies none), or a link with `download` was clicked (Chromium 156, which keeps the
# cookies of downloads).  No script can set this mode.  It may be a frame's: its cookie goes to the same jar, and where that
# takes none, the old one is answered as after any lost answer.
NAVIGATED: Final = frozenset({"document", "empty"})
# What stands for a header that was sent twice, or for metadata of which a part is missing: no reading of it is friendly.
CONTRADICTION: Final = "(contradiction)"
DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
ORIGIN: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


class Provenance(Enum):
    """Where a request was made, as far as its headers tell."""

    SAME_ORIGIN = "same-origin"
    TRUSTED = "trusted"  # an origin that the app named
    USER = "user"  # typed, bookmarked, from another program
    FOREIGN = "foreign"  # another origin, be it of the same site
    UNSTATED = "unstated"  # not a browser, or an old one


class Kind(Enum):
    """What a request is for."""

    PAGE = "page"  # a navigation by GET or HEAD
    FORM = "form"  # a navigation by another method
    FETCH = "fetch"  # a script that can read the answer's headers
    BARE = "bare"  # no Fetch Metadata at all
    INERT = "inert"  # images, frames, module scripts, prefetches, event streams, WebSockets, half-sent metadata


class Caller(Enum):
    """What can be handed to the caller."""

    SCRIPT = "script"  # access token and cookie
    DOCUMENT = "document"  # the cookie
    OTHER = "other"  # nothing

    @property
    def takes_token(self) -> bool:
        return self is Caller.SCRIPT

    @property
    def takes_cookie(self) -> bool:
        return self is not Caller.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """The headers by which a caller is recognised; None where absent, `CONTRADICTION` where doubled."""

    method: str
    host: str | None = None
    origin: str | None = None
    referrer: str | None = None
    site: str | None = None
    mode: str | None = None
    dest: str | None = None
    purpose: str | None = None
    event_stream: bool = False
    rotation_off: bool = False
    over_tls: bool = False  # for certain; behind a proxy we often cannot know

    @property
    def has_metadata(self) -> bool:
        return not (self.site is None and self.mode is None and self.dest is None and self.purpose is None)


class _Origin(Enum):
    ABSENT = "absent"
    OWN = "own"
    TRUSTED = "trusted"
    FOREIGN = "foreign"


_SITES: Final = (None, "same-origin", "same-site", "cross-site", "none")
# (origin, Sec-Fetch-Site) -> provenance.  Whatever is not here is foreign: a foreign origin beside `same-origin`, the own
# one beside `cross-site`, values that no browser sends.  A trusted origin is on another site: no contradiction.
PROVENANCE: Final = {
    (_Origin.ABSENT, None): Provenance.UNSTATED,
    (_Origin.ABSENT, "same-origin"): Provenance.SAME_ORIGIN,
    (_Origin.ABSENT, "none"): Provenance.USER,
    (_Origin.OWN, None): Provenance.SAME_ORIGIN,
    (_Origin.OWN, "same-origin"): Provenance.SAME_ORIGIN,
    (_Origin.OWN, "none"): Provenance.USER,
    **{(_Origin.TRUSTED, site): Provenance.TRUSTED for site in _SITES},
}

# (kind, provenance) -> caller.  Whatever is not here can receive nothing.
CALLERS: Final = {
    **{(Kind.PAGE, provenance): Caller.DOCUMENT for provenance in Provenance},
    (Kind.FORM, Provenance.SAME_ORIGIN): Caller.DOCUMENT,
    (Kind.FORM, Provenance.USER): Caller.DOCUMENT,
    (Kind.FETCH, Provenance.SAME_ORIGIN): Caller.SCRIPT,
    (Kind.FETCH, Provenance.TRUSTED): Caller.SCRIPT,
    (Kind.BARE, Provenance.SAME_ORIGIN): Caller.SCRIPT,
    (Kind.BARE, Provenance.TRUSTED): Caller.SCRIPT,
    (Kind.BARE, Provenance.UNSTATED): Caller.SCRIPT,
}


def provenance(signs: Signs, trusted: frozenset[str]) -> Provenance:
    """Where the request of *signs* was made; *trusted* holds the normal forms of the trusted origins."""
    site = signs.site
    if site is None and signs.has_metadata:
        site = CONTRADICTION  # browsers send the site with the rest or nothing
    return PROVENANCE.get((_classify(signs, trusted), site), Provenance.FOREIGN)


def caller(signs: Signs, where: Provenance) -> Caller:
    if signs.rotation_off:
        return Caller.OTHER
    return CALLERS.get((kind(signs), where), Caller.OTHER)


def login_caller(signs: Signs, where: Provenance) -> Caller:
    """What a login can hand out: a document gets its cookie also from a POST of an identity provider's page."""
    found = caller(signs, where)
    if found is not Caller.OTHER or signs.rotation_off:
        return found
    what = kind(signs)
    # No page of others can send the second: it is such a POST, passed on by a service worker in Firefox.
    is_page = what in {Kind.PAGE, Kind.FORM} or (what is Kind.FETCH and signs.mode == "same-origin")
    return Caller.DOCUMENT if is_page else Caller.OTHER


def kind(signs: Signs) -> Kind:
    if signs.method == HANDSHAKE:
        return Kind.INERT
    if not signs.has_metadata:
        return Kind.BARE
    if signs.site is None or signs.purpose is not None:
        return Kind.INERT
    if signs.mode == "navigate" and signs.dest in NAVIGATED:
        return Kind.PAGE if signs.method in READS else Kind.FORM
    if signs.mode in {"cors", "same-origin"} and signs.dest == "empty" and not signs.event_stream:
        return Kind.FETCH
    return Kind.INERT


def normal_origin(text: str) -> str | None:
    """The normal form of an origin (RFC 6454: lower case, no default port), or None for `null` and what is none."""
    match = ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match["scheme"], match["host"], match["port"]
    if port is None or port == DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


def _classify(signs: Signs, trusted: frozenset[str]) -> _Origin:
    if signs.origin is None:
        return _Origin.ABSENT
    origin = normal_origin(signs.origin)
    if origin is None:  # `null`: a sandboxed frame, a redirect across sites, a local file
        return _Origin.FOREIGN
    if origin in trusted:
        return _Origin.TRUSTED
    # Behind a proxy the request's own scheme is often not known, so host and port decide, as in Go's CrossOriginProtection.
    # Where it is, a page that came by plain http is foreign: an attacker on the network can serve one under our name.  Where
    # it is not, such a page passes in a browser without Fetch Metadata, and HSTS is what closes that.
    scheme = origin.partition("://")[0]
    if scheme not in DEFAULT_PORTS or (signs.over_tls and scheme == "http"):
        return _Origin.FOREIGN
    own = signs.host is not None and normal_origin(f"{scheme}://{signs.host}") == origin
    return _Origin.OWN if own and not _is_passed_on(signs, origin, trusted) else _Origin.FOREIGN


def _is_passed_on(signs: Signs, origin: str, trusted: frozenset[str]) -> bool:
    """
    Whether a service worker of ours has put its own *origin* on the form of a page of others.

    Firefox (153) lets it: `respondWith(fetch(event.request))` says `same-origin` in every header but the referrer, which stays
    the attacker's page.  A page that withholds that has its `Origin` made `null`, which is foreign in any case.
    """
    if signs.method in SAFE_METHODS or signs.referrer is None:
        return False
    page = normal_origin("/".join(signs.referrer.split("/", 3)[:3]))
    return page != origin and page not in trusted
