"""Somebody whose token a process knows, and how long it goes on to be served."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from asgi_tokenguard import StoreUnavailable, TokenGuard


class Holder:
    """Somebody whose token a process knows."""

    def __init__(self, guard: TokenGuard, token: str) -> None:
        self.liveness = guard.engine.liveness
        self.claims = guard.engine.codec.read_access(token)
        self.field = f"Bearer {token}".encode()

    @property
    def is_served(self) -> bool:
        return self.liveness.known(self.field) is not None

    async def settle(self) -> Holder:
        deadline = time.monotonic() + 10
        while not self.is_served:
            if time.monotonic() > deadline:
                raise RuntimeError("the token never became known")
            await self.ask()
            await asyncio.sleep(0.01)
        return self

    async def ask(self) -> None:
        """What a request with the token does where it is not known; an outage is its 503."""
        with suppress(StoreUnavailable):
            await self.liveness.judge(self.claims, self.field)

    async def served_for(self, since: float, staleness: float) -> float:
        """How long after *since* the token was last served; watched for two bounds."""
        last = since
        while time.monotonic() - since < 2 * staleness + 0.2:
            asked = time.monotonic()
            if self.is_served:
                last = asked
            await asyncio.sleep(0.001)
        return last - since
