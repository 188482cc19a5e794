"""
Whether a request to the demo was meant for it.

Where the demo listens on this computer only, a page of the web reaches it all the same by DNS rebinding: its own name, looked
up once more, is 127.0.0.1 now, and to the browser (and by `Origin` and `Sec-Fetch-Site` to the guard) it is the same origin.
The visitor's cookies stay out of its reach, since they belong to another name; but it could log in, as everybody knows the
passwords, and end the sessions of whoever is being shown the demo.  What gives it away is its name, in `Host`.

An app of yours on a public address has nothing to fear of that: the name that TLS has proved is not the attacker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketClose

from asgi_tokenguard.core.callers import normal_origin
from asgi_tokenguard.demo.hints import LOCAL

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SORRY: Final = "This demo is for this computer: open it as http://localhost or http://127.0.0.1, with its port.\n"


class Doorman:
    """Lets through to *app* what calls this computer by one of its own names."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _is_for_us(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)  # before it is accepted: a 403
        else:
            await PlainTextResponse(SORRY, 421)(scope, receive, send)  # RFC 9110 section 15.5.20: Misdirected Request


def _is_for_us(scope: Scope) -> bool:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    origin = normal_origin(f"http://{hosts[0]}") if len(hosts) == 1 else None
    if origin is None:
        return False
    host = origin.removeprefix("http://")
    # A port stands after the last colon, but for those within the brackets of an IPv6 address.
    return (host if host.endswith("]") else host.rpartition(":")[0] or host).strip("[]") in LOCAL
