"""
An app for uvicorn in a process of its own, whose store fails; what it needs comes in the environment.

*broken* takes one of the package's rules away, so that the checker of histories can show that it would notice.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import os
import re
import time
from dataclasses import replace
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import time_machine
from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from asgi_tokenguard import Lifetimes, StoreUnavailable, TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.store import scripts
from asgi_tokenguard.store.tracking import Channel
from support.sentinel import NAME

SECRET = "a secret of more than thirty-two bytes, for tests only"


def break_the_compare() -> None:
    """Whatever is presented is rotated, as by a script that was told so by somebody who had read the record before."""
    rows = re.compile(r"^local presented\n.*?^else presented = 'older' end$", re.MULTILINE | re.DOTALL)
    broken, times = rows.subn("local presented = 'head'", scripts.PRESENT.text)
    if times != 1:
        raise RuntimeError("present.lua has another shape now")
    broken = broken.replace("if outcome == 'rotate' and lost_within", "if false and lost_within")
    broken = broken.replace("local settled = is_settled(r, grace_ms)", "local settled = true")
    broken = broken.replace("local over = now >= r.access_issued + access", "local over = true")
    sha = hashlib.sha1(broken.encode(), usedforsecurity=False).hexdigest()
    scripts.PRESENT = replace(scripts.PRESENT, text=broken, sha=sha)


def break_the_lease() -> None:
    """What is known is trusted for ever, and what is pushed is not heard: a cache with a time to live and no channel."""
    Channel._pushed = _deaf
    Channel.until = property(lambda channel: inf, lambda channel, value: None)


async def _deaf(self: Channel, message: Any) -> None:
    pass


def break_the_memory() -> None:
    """What every request brought is kept."""
    kept, call = [], TokenGuardMiddleware.__call__

    async def keeping(self: TokenGuardMiddleware, scope: dict[str, Any], receive: Any, send: Any) -> None:
        kept.append(scope)
        await call(self, scope, receive, send)

    TokenGuardMiddleware.__call__ = keeping


BROKEN = {"": lambda: None, "compare": break_the_compare, "lease": break_the_lease, "memory": break_the_memory}


def follow(clock: Path) -> None:
    """
    This process's wall clock leaps by what *clock* holds (s); its monotonic clock and its event loop's go on.

    Not by libfaketime: it also stretches the five milliseconds for which a thread waits for Python's lock, so that all stood
    still while one computed.
    """
    with time_machine.travel(time.time(), tick=True) as here:
        while True:
            here.move_to(time_machine.escape_hatch.time.time() + float(clock.read_text()))
            time.sleep(0.02)


def source(settings: dict[str, Any]) -> Any:
    once = Retry(NoBackoff(), 0)
    if "sentinel" in settings:
        return Sentinel([("127.0.0.1", settings["sentinel"])], socket_timeout=1).master_for(NAME, retry=once)
    if "cluster" in settings:
        return RedisCluster("127.0.0.1", settings["cluster"], retry=once)
    return settings["redis"]


def build(settings: dict[str, Any]) -> TokenGuardMiddleware:
    BROKEN[settings.get("broken", "")]()
    if "wall_clock" in settings:
        Thread(target=follow, args=[Path(settings["wall_clock"])], daemon=True).start()
    guard = TokenGuard(
        secret=SECRET,
        redis=source(settings),
        lifetimes=Lifetimes(**settings["lifetimes"]),
        public=["/login", "/state", "/revoke"],
        **settings.get("options", {}),
    )

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        """`/login?user`, `/revoke?user&sid`, `/state`; all else says who asks."""
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        status, body = 200, {}
        match scope["path"]:
            case "/login":
                await get_auth(scope).login(query["user"])
            case "/revoke":
                try:
                    body = {"ended": await guard.revoke(query["user"], query["sid"])}
                except StoreUnavailable as error:
                    status, body = 503, {"code": error.code}
            case "/state":
                gc.collect()
                body = {
                    "tasks": len(asyncio.all_tasks()),
                    "files": files(),
                    "objects": len(gc.get_objects()),
                    "clock": int(time.time()),
                }
            case _:
                body = {"session": get_auth(scope).session_id}
        raw = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": raw})

    async def with_lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await app(scope, receive, send)

    return TokenGuardMiddleware(with_lifespan, guard=guard)


def files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


logging.getLogger("asgi_tokenguard").setLevel(logging.CRITICAL)
app = build(json.loads(os.environ["TOKENGUARD_FAULTY"])) if "TOKENGUARD_FAULTY" in os.environ else None
