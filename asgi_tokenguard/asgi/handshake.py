"""
What a WebSocket's handshake carries: a token in the access header, in the pair of subprotocols, or the cookie.

A browser lets a page set no header of a handshake but `Sec-WebSocket-Protocol`.  The query string, which every proxy logs, is
never read.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.callers import HANDSHAKE

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.options import Settings

# The pair is `tokenguard, <token>`: the name first, so that it can be chosen, then the token as if it were a name.
SUBPROTOCOL: Final = "tokenguard"
_HEADER: Final = b"sec-websocket-protocol"


def offers_pair(scope: Scope) -> bool:
    """Whether the client offers the name of the pair, so that it may be chosen."""
    return SUBPROTOCOL in _offered(scope)


def _offered(scope: Scope) -> list[str]:
    # Uvicorn's websockets-sansio before 0.50.1 hands on each line of the header as one name; a name has no comma in it.
    return [name.strip() for line in scope.get("subprotocols", ()) for name in line.split(",")]


def without_pair(scope: Scope) -> Scope:
    """*scope* as the app gets it: a token has no business in the logs of an app."""
    offered = _offered(scope)
    while SUBPROTOCOL in offered:
        at = offered.index(SUBPROTOCOL)
        del offered[at : at + 2]
    value = ", ".join(offered).encode("latin-1", "replace")
    headers = [(name, kept) for name, kept in scope["headers"] if name != _HEADER]
    if offered:
        headers.append((_HEADER, value))
    return {**scope, "subprotocols": offered, "headers": headers}


def as_request(scope: Scope, settings: Settings) -> Scope:
    """
    The handshake as the request that it is, with the token of the pair where a request has it.

    Two tokens become two headers, which whoever reads them refuses (I4).
    """
    offered = _offered(scope)
    tokens = [token for name, token in pairwise(offered) if name == SUBPROTOCOL]
    scheme = "" if settings.access_scheme is None else f"{settings.access_scheme} "
    headers = [(settings.access_header, f"{scheme}{token}".encode("latin-1", "replace")) for token in tokens]
    return {**scope, "method": HANDSHAKE, "headers": [*scope["headers"], *headers]}
