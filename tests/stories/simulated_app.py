"""
The app of `simulation.py`, for uvicorn in a process of its own; what it needs comes in the environment.

Its guard reads the time that the Redis server lives in.  `/slow` answers once the simulation lets it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import defaultdict
from typing import Any

from asgi_tokenguard import RiskPolicy, TokenGuard, TokenGuardMiddleware, get_auth


class SharedClock:
    """The offset of the server's clock, read each time: the simulation sets it many times within a tick of file times."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY)

    def monotonic(self) -> float:
        return time.monotonic() + float(os.pread(self._file, 64, 0))


class Slow:
    """A handler that has begun, and may end."""

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()


slow: defaultdict[str, Slow] = defaultdict(Slow)


async def simulated(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/login?user`, `/slow?ticket`, its remote control `/begun?ticket` and `/end?ticket`; all else answers at once."""
    argument = scope["query_string"].decode()
    match scope["path"]:
        case "/login":
            await get_auth(scope).login(argument)
        case "/slow":
            slow[argument].begun.set()
            await slow[argument].may_end.wait()
            del slow[argument]
        case "/begun":
            await slow[argument].begun.wait()
        case "/end":
            slow[argument].may_end.set()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def build(settings: dict[str, str]) -> TokenGuardMiddleware:
    guard = TokenGuard(
        secret="a secret of more than thirty-two bytes, for tests only",
        redis=settings["redis"],
        namespace=settings["namespace"],
        public=["/login", "/begun", "/end"],
        # What is simulated is the rotation table; benchmarks/lingering.py has the rule that watches it.
        risk=RiskPolicy(linger_generations=0),
    )
    clock = SharedClock(settings["clock"])
    guard.engine.monotonic = guard.engine.store.clock.monotonic = clock.monotonic
    return TokenGuardMiddleware(simulated, guard=guard)


logging.getLogger("asgi_tokenguard").setLevel(logging.CRITICAL)  # three hundred thieves are caught
app = build(json.loads(os.environ["TOKENGUARD_SIMULATION"])) if "TOKENGUARD_SIMULATION" in os.environ else None
