"""WebSockets: fail closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asgi_tokenguard.asgi import gate
from asgi_tokenguard.core.paths import Openness

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_tokenguard.engine import Engine

POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1


async def websocket(app: ASGIApp, engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
    """
    Let sockets on public paths through and refuse all others before they are accepted (servers answer 403).

    A socket outlives its handshake, so authenticating that alone would let it outlive its session.
    """
    if gate.openness(scope, engine) is Openness.PUBLIC and not gate.is_mounted(scope, engine):
        await app(scope, receive, send)
        return
    await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "this path is guarded"})
