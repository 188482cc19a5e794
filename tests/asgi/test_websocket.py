"""WebSockets fail closed: a socket would outlive the session that opened it."""

from __future__ import annotations

import pytest
from support.actors import COOKIE, OWN
from support.stage import staged
from support.wire import scope_of

REFUSED = [{"type": "websocket.close", "code": 1008, "reason": "this path is guarded"}]


@pytest.fixture
def sockets(stage):
    """Opens a socket; what the app was called with and what the server was sent."""

    async def open_socket(path, headers=(), stage=stage, **more):
        served, sent = [], []

        async def app(scope, receive, send):
            served.append((scope, receive, send))

        async def send(message):
            sent.append(message)

        stage.app.app = app
        scope = scope_of("GET", path, headers) | {"type": "websocket", "scheme": "wss", "subprotocols": []} | more
        scope.pop("method")
        before = stage.commands()
        await stage.app(scope, receive := object(), send)
        assert not stage.commands() - before
        assert served in ([], [(scope, receive, send)])
        return bool(served), sent

    return open_socket


@pytest.mark.parametrize("path", ["/ws", "/", "/login/", "/login/ws", "/open/x", "//login"])
async def test_a_socket_is_refused_before_it_is_accepted(sockets, path):
    assert (False, REFUSED) == await sockets(path)


async def test_no_token_opens_a_socket_yet(stage, sockets):
    tab = await stage.logged_in()
    headers = [("authorization", f"Bearer {tab.token}"), ("cookie", f"{COOKIE}={tab.browser.jar}"), ("origin", OWN)]
    assert (False, REFUSED) == await sockets("/ws", headers)
    assert (False, REFUSED) == await sockets(f"/ws?token={tab.token}")
    assert (False, REFUSED) == await sockets("/ws", [], subprotocols=["tokenguard", tab.token])


async def test_a_socket_on_a_public_path_is_the_apps_own(sockets):
    assert (True, []) == await sockets("/login")
    assert (True, []) == await sockets("/login", [("authorization", "Bearer forged"), ("cookie", f"{COOKIE}=a; {COOKIE}=b")])


async def test_where_nothing_is_required_sockets_are_refused_all_the_same(sockets, options, clock):
    """A socket that may be anybody's is for a public path."""
    async with staged(options, clock, required=False, optional=[]) as stage:
        assert (False, REFUSED) == await sockets("/ws", stage=stage)
        assert (True, []) == await sockets("/login", stage=stage)


@pytest.mark.parametrize("kind", ["webtransport", "tcp", "", "HTTP", None])
async def test_an_unknown_protocol_is_refused(stage, kind):
    """It cannot be judged, so it is not let through."""
    with pytest.raises(RuntimeError, match="does not know the ASGI scope type"):
        await stage.app({"type": kind, "path": "/login", "headers": []}, None, None)
    assert not stage.handlers.calls
