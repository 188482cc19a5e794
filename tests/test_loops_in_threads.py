"""One guard in several event loops of one process, at the same time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from support.actors import Browser
from support.apps import plain_app
from support.sockets import PATIENCE

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware

THREADS = 4


def test_loops_in_threads_serve_side_by_side_and_hear_of_each_others_revocations(options):
    """Each loop has connections, memory and a channel of its own; what one of them revokes, none serves after the bound."""
    guard = TokenGuard(**options | {"timeout": 10}, public=["/login"])
    app = TokenGuardMiddleware(plain_app, guard=guard)
    together = threading.Barrier(THREADS, timeout=PATIENCE)

    async def visit(number):
        try:
            tab = Browser(app).tab()
            await tab.post(f"/login?user=user-{number}")
            async with asyncio.timeout(PATIENCE):
                while guard.engine.liveness.known(f"Bearer {tab.token}".encode()) is None:  # until it is served from memory
                    assert 200 == (await tab.get()).status
            await asyncio.to_thread(together.wait)
            await guard.revoke_all(f"user-{(number + 1) % THREADS}")
            await asyncio.to_thread(together.wait)
            await asyncio.sleep(guard.engine.settings.staleness)
            return (await tab.get()).code
        finally:
            await guard.aclose()  # what belongs to this loop

    with ThreadPoolExecutor(THREADS) as pool:
        assert ["revoked"] * THREADS == list(pool.map(lambda number: asyncio.run(visit(number)), range(THREADS)))
