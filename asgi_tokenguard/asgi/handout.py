"""How tokens leave: in which header, and in which cookie (I12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tokenguard.asgi import brought, credentials
from asgi_tokenguard.core.callers import Kind, Provenance, kind

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.asgi.responses import Headers
    from asgi_tokenguard.core.rotation import Handout
    from asgi_tokenguard.engine import Engine
    from asgi_tokenguard.parcels import Delivery


def headers(delivery: Delivery, leaving: Handout, scope: Scope, engine: Engine) -> Headers:
    """The headers that carry what of *delivery* is *leaving*."""
    settings, added = engine.settings, []
    signs, where = brought.origin(scope, engine)
    # For programs that keep no cookies.  Never for a page: its scripts, and whoever gets one in, must not read it.
    is_program = where is Provenance.UNSTATED and kind(signs) is Kind.BARE
    in_header = is_program and credentials.speaks_header(scope["headers"], settings)
    if leaving.token:
        name = settings.new_token_header
        added.append((name.lower(), engine.access_token(delivery).encode()))
        added.append((b"access-control-expose-headers", name))
    if leaving.cookie:
        token, max_age = engine.refresh_token(delivery)
        # One or the other: a client that put its cookies in a jar by itself would send both next time, which are two (I4).
        if in_header:
            added.append((b"x-new-refresh-token", token.encode()))
        else:
            added.append((b"set-cookie", settings.cookie.carry(token, max_age).encode()))
    if leaving.fresh:
        proof = engine.fresh_token(delivery)
        if not in_header:
            added.append((b"set-cookie", settings.cookie.carry_fresh(proof, settings.fresh).encode()))
        if is_program:
            added.append((b"x-new-fresh-token", proof.encode()))
    return added
