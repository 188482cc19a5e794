"""What a request has brought, once it matters whose it is: its genuine tokens, in any state, and where it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tokenguard.asgi import credentials
from asgi_tokenguard.core.callers import Provenance, Signs, provenance
from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.engine import Engine


def origin(scope: Scope, engine: Engine) -> tuple[Signs, Provenance]:
    signs = credentials.signs(scope, engine.settings)
    return signs, provenance(signs, engine.settings.trusted_origins)


def tokens(scope: Scope, engine: Engine) -> tuple[AccessClaims | None, RefreshClaims | None]:
    """The claims of both, each None where there is none that is genuine."""
    access = credentials.access_token(scope["headers"], engine.settings)
    refresh = credentials.refresh_token(scope["headers"], engine.settings)
    access_claims = None if access is None else engine.codec.read_access(access)
    refresh_claims = None if refresh is None else engine.codec.read_refresh(refresh)
    return (
        access_claims if isinstance(access_claims, AccessClaims) else None,
        refresh_claims if isinstance(refresh_claims, RefreshClaims) else None,
    )


def proves_caller(scope: Scope, engine: Engine) -> bool:
    """I1: whether a signed token in a header shows that no page of another site has made the request."""
    access, refresh = tokens(scope, engine)
    if refresh is not None and credentials.speaks_header(scope["headers"], engine.settings):
        return True
    return access is not None and (refresh is None or access.sid == refresh.sid)


def check(scope: Scope, engine: Engine) -> None:
    """Refuse whoever asks for tokens in the header for native apps and is none, or has a cookie as well."""
    if credentials.speaks_header(scope["headers"], engine.settings):
        credentials.refresh_token(scope["headers"], engine.settings)


def anything(scope: Scope, engine: Engine) -> bool:
    """Whether there is anything in a token's place, genuine or not."""
    headers, settings = scope["headers"], engine.settings
    return (credentials.access_token(headers, settings), credentials.refresh_token(headers, settings)) != (None, None)


def sessions(scope: Scope, engine: Engine) -> dict[str, str]:
    """Session id -> user, for each genuine token."""
    return {claims.sid: claims.sub for claims in tokens(scope, engine) if claims is not None}
