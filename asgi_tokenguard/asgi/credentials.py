"""What a request carries, read from the raw header list; no request object is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.core.address import forwarded_scheme
from asgi_tokenguard.core.callers import CONTRADICTION, Signs
from asgi_tokenguard.errors import DuplicateCredentials, NotForPages

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.options import Settings

RawHeaders = Iterable[tuple[bytes, bytes]]

DPOP: Final = "dpop"
FRESH_HEADER: Final = b"x-fresh-token"
_METADATA: Final = (b"sec-fetch-", b"sec-purpose")

_SIGNS: Final = {
    b"host": "host",
    b"origin": "origin",
    b"referer": "referrer",
    b"sec-fetch-site": "site",
    b"sec-fetch-mode": "mode",
    b"sec-fetch-dest": "dest",
    b"sec-purpose": "purpose",
}


def access_field(headers: RawHeaders, settings: Settings) -> bytes | None:
    """
    The value of the access header as it came; None where there is none.

    Raises `DuplicateCredentials` for two such headers: proxies and frameworks differ in which of the two they believe (I4).
    """
    found: bytes | None = None
    wanted = settings.access_header
    for name, value in headers:
        if name == wanted:
            if found is not None:
                raise DuplicateCredentials
            found = value
    return found


def access_token(headers: RawHeaders, settings: Settings) -> str | None:
    """The token in the access header: None where there is none, possibly garbage; raises `DuplicateCredentials`."""
    field = access_field(headers, settings)
    return None if field is None else token_in(field, settings)


def token_in(field: bytes, settings: Settings) -> str | None:
    """The token in the value of the access header; None where that is of another scheme."""
    text = field.decode("latin-1")
    if settings.access_scheme is None:
        return text.strip(" ")
    # RFC 9110 section 11.1: the scheme's case does not matter.  Another scheme is somebody else's credential.
    scheme, _, token = text.strip(" ").partition(" ")
    if scheme.lower() == settings.access_scheme or (settings.dpop is not None and scheme.lower() == DPOP):
        return token.strip(" ")
    return None


def is_dpop(field: bytes) -> bool:
    """Whether the access token in *field* came as one that is bound to a key (RFC 9449 section 7.1)."""
    return field.strip(b" ").partition(b" ")[0].lower() == DPOP.encode()


def refresh_token(headers: RawHeaders, settings: Settings) -> str | None:
    """
    The refresh token of the cookie, or of the header for native apps.

    Raises `DuplicateCredentials` where there is more than one, in one header or two, and `NotForPages` where a browser has
    sent the header.
    """
    headers = list(headers)
    lines = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
    values = settings.cookie.values(lines)
    carried = [] if settings.refresh_header is None else [value for name, value in headers if name == settings.refresh_header]
    if carried and any(name == b"origin" or name.startswith(_METADATA) for name, _ in headers):
        raise NotForPages
    # An empty header counts: it asks for a token.  In a browser without Fetch Metadata a script that has got into a page can
    # send one, and would read in the answer what HttpOnly keeps from it; but the cookie comes along, and makes two.
    if len(values) + len(carried) > 1:
        raise DuplicateCredentials
    if carried:
        return carried[0].decode("latin-1").strip(" ") or None
    return values[0] if values else None


def speaks_header(headers: RawHeaders, settings: Settings) -> bool:
    """Whether the caller uses the header for native apps, be it empty; whoever acts on it has called `refresh_token`."""
    return settings.refresh_header is not None and any(name == settings.refresh_header for name, _ in headers)


def fresh_token(headers: RawHeaders, settings: Settings) -> str | None:
    """The freshness token, from its cookie or from the header for native apps; raises `DuplicateCredentials` for two."""
    headers = list(headers)
    lines = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
    values = settings.cookie.values(lines, settings.cookie.fresh_name)
    values += [value.decode("latin-1").strip(" ") for name, value in headers if name == FRESH_HEADER]
    if len(values) > 1:
        raise DuplicateCredentials
    return values[0] if values else None


def signs(scope: Scope, settings: Settings) -> Signs:
    """The headers by which the caller is recognised."""
    found: dict[str, Any] = {}
    event_stream = rotation_off = False
    for name, value in scope["headers"]:
        sign = _SIGNS.get(name)
        if sign is not None:
            found[sign] = CONTRADICTION if sign in found else value.decode("latin-1")
        elif name == b"accept":
            event_stream = event_stream or b"text/event-stream" in value.lower()
        elif name == b"x-token-rotation":
            rotation_off = rotation_off or value.strip().lower() == b"off"
    return Signs(
        method=scope["method"].upper(),
        event_stream=event_stream,
        rotation_off=rotation_off,
        over_tls=not {"https", "wss"}.isdisjoint({scope.get("scheme"), forwarded_scheme(scope, settings.trusted_proxies)}),
        **found,
    )


def names_root(scope: Scope) -> bool:
    """Whether a client may have named the root path."""
    # Daphne believes this header, whoever sends it: `/admin` with `/admin` as its root would be `/`.
    return any(name == b"daphne-root-path" for name, _ in scope["headers"])


def is_preflight(scope: Scope) -> bool:
    """Whether this is a CORS preflight, which carries no credentials by its nature (Fetch standard, section 3.3.2)."""
    if scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names
