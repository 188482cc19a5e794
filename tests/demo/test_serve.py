"""What the demo relies on when it starts."""

from __future__ import annotations

import time

from asgi_tokenguard import TokenGuard
from asgi_tokenguard.store.embedded import EmbeddedServer


async def test_a_slow_start_of_the_embedded_server_is_no_outage(monkeypatch):
    """`timeout` is what a request waits; the first start on a cold or busy machine takes longer, and is waited for."""
    start = EmbeddedServer.start

    def slowly(self: EmbeddedServer) -> str:
        time.sleep(0.8)
        return start(self)

    monkeypatch.setattr(EmbeddedServer, "start", slowly)
    async with TokenGuard(secret="a secret of more than thirty-two bytes", redis="embedded://", timeout=0.5) as guard:
        assert 0 == await guard.revoke_all("nobody")
