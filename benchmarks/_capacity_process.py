"""
What a process of `capacity.py` finds out about itself; prints a line of JSON.

    cached URL TOWN COUNT             memory and time of COUNT verified tokens
    pushes URL TOWN COUNT RATE        what COUNT pushes cost, RATE of them a second (0: as fast as they come)
    change URL TOWN COUNT RATE        change the keys of COUNT users
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import subprocess
import sys
import time
import tracemalloc
from statistics import median
from typing import Any

from _capacity_town import Town, found, packed
from _common import Contender, ask, bare_app, resident, run_rounds, scope_of

from asgi_tokenguard import TokenGuardMiddleware
from asgi_tokenguard.store.keyspace import session_key

# The least of sessions with which a big cache is compared.
FEW = 1_000
# tracemalloc makes everything several times slower.
TRACED = 1_000
AT_ONCE = 100
ROUNDS, REQUESTS = 60, 300
AT_FULL_SPEED = 2_000
# Nobody changes this user, so that what makes its token unknown is the channel alone.
QUIET = 0
PATIENCE = 60.0


def headers_of(town: Town, app: TokenGuardMiddleware, number: int) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {town.access_token(app.guard, number)}")]


async def until_heard(town: Town, app: TokenGuardMiddleware) -> None:
    """Until the channel of changes is trusted: from then on tokens are kept."""
    headers = headers_of(town, app, QUIET)
    async with asyncio.timeout(PATIENCE):
        while app.guard.engine.liveness.known(headers[0][1].encode()) is None:
            await served(app, scope_of(headers))
            await asyncio.sleep(0.02)


async def served(app: TokenGuardMiddleware, scope: dict[str, Any]) -> None:
    if (await ask(app, scope))[0]["status"] != 200:
        raise RuntimeError("a live token is refused: there is nothing to measure")


# --- cached


async def cached(town: Town, count: int) -> dict[str, Any]:
    apps = [TokenGuardMiddleware(bare_app, guard=town.guard()) for _ in range(3)]
    few, many, traced = apps
    async with contextlib.AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(app.guard)
            await until_heard(town, app)
        await fill(town, few, FEW)
        gc.collect()
        before = resident()
        await fill(town, many, count)
        gc.collect()
        after = resident()
        found = {"cached": count, "counted_bytes": round(cache_of(many).size / count), **await warm(town, few, many, count)}
        tracemalloc.start()
        await fill(town, traced, min(TRACED, count))
        gc.collect()
        # The first one is in from before.
        found["traced_bytes"] = round(tracemalloc.get_traced_memory()[0] / (min(TRACED, count) - 1))
    if before is not None and after is not None:
        found["resident_bytes"] = round((after - before) / (count - 1))
    return found


def cache_of(app: TokenGuardMiddleware) -> Any:
    caches = app.guard.engine.liveness._caches
    if caches is None:
        raise RuntimeError("there is no cache")
    return caches.here()


async def fill(town: Town, app: TokenGuardMiddleware, count: int) -> None:
    """Genuine requests, each with a token of its own that nobody holds afterwards."""
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        await asyncio.gather(*(served(app, scope_of(headers_of(town, app, number))) for number in numbers))
    if len(cache_of(app)) != count:
        raise RuntimeError(f"{len(cache_of(app))} of {count} tokens are kept")


async def warm(town: Town, few: TokenGuardMiddleware, many: TokenGuardMiddleware, count: int) -> dict[str, Any]:
    """A request with a known token, beside few others and beside many."""
    contenders = [warm_requests(town, few, FEW), warm_requests(town, many, count)]
    await run_rounds(contenders, rounds=min(ROUNDS, count // 200), requests=REQUESTS)
    one, other = contenders
    ratios = [theirs / mine for mine, theirs in zip(one.rounds, other.rounds, strict=True)]
    return {"warm_us": round(other.median, 2), "warm_ratio": round(median(ratios), 3)}


def warm_requests(town: Town, app: TokenGuardMiddleware, count: int) -> Contender:
    scopes: list[dict[str, Any]] = []

    async def prepare() -> None:
        scopes[:] = [scope_of(headers_of(town, app, random.randrange(count))) for _ in range(REQUESTS)]

    async def measure() -> None:
        for scope in scopes:
            await ask(app, scope)

    return Contender("warm", measure, prepare)


# --- pushes


async def pushes(town: Town, count: int, rate: int) -> dict[str, Any]:
    """One process asks with a known token every few milliseconds, while another changes the keys of others."""
    app = TokenGuardMiddleware(bare_app, guard=town.guard())
    async with app.guard:
        await until_heard(town, app)
        heard = Heard(cache_of(app))
        writer = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "change", town.url, str(town.size), str(count), str(rate), stdout=subprocess.PIPE
        )
        async with asyncio.timeout(PATIENCE):
            await heard.first.wait()
        used = time.process_time()
        asked = Asked()
        async with asyncio.timeout(PATIENCE + (count / rate if rate else 0)):
            while heard.count < count or not asked.times:
                await asked.once(app, scope_of(headers_of(town, app, QUIET)))
                await asyncio.sleep(0.002)
        took, using = heard.last - heard.began, time.process_time() - used
        output, _ = await writer.communicate()
    return {
        "pushes": heard.count,
        "written_per_second": round(count / json.loads(output)["seconds"]),
        "heard_per_second": round(heard.count / took),
        "processor_us": round((using - asked.processor) * 1e6 / heard.count, 2),
        "requests": len(asked.times),
        "warm_share": round(asked.warm / len(asked.times), 3),
        "longest_ms": round(max(asked.times) * 1000, 1),
    }


class Heard:
    """Counts what the channel tells a cache."""

    def __init__(self, cache: Any) -> None:
        self.count = 0
        self.first = asyncio.Event()
        self.began = self.last = 0.0
        self._changed = cache.changed
        cache.changed = self.changed

    def changed(self, key: bytes) -> None:
        self.last = time.perf_counter()
        if not self.count:
            self.began = self.last
        self.count += 1
        self.first.set()
        self._changed(key)


class Asked:
    """Requests meanwhile: how long each took from when it was due, and whether it asked Redis."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.warm = 0
        self.processor = 0.0
        self._due = time.perf_counter()

    async def once(self, app: TokenGuardMiddleware, scope: dict[str, Any]) -> None:
        used = time.process_time()
        field = dict(scope["headers"])[b"authorization"]
        self.warm += app.guard.engine.liveness.known(field) is not None
        await served(app, scope)
        # What this loop did for the channel while the request waited is the channel's.
        self.processor += min(time.process_time() - used, 0.001)
        self.times.append(time.perf_counter() - self._due)
        self._due = time.perf_counter() + 0.002


async def change(town: Town, count: int, rate: int) -> dict[str, Any]:
    """Change the keys of *count* users, each once."""
    at_once = rate // 100 or AT_FULL_SPEED
    commands = [
        packed(b"HSET", session_key("tg", town.subject(number)).encode(), town.sid(number).encode(), town.raw)
        for number in range(1, count + 1)
    ]
    reader, writer = await asyncio.open_unix_connection(town.url.removeprefix("unix://"))
    began = time.perf_counter()
    for first in range(0, count, at_once):
        batch = commands[first : first + at_once]
        writer.write(b"".join(batch))
        await reader.readexactly(len(b":0\r\n") * len(batch))
        if rate:
            await asyncio.sleep(max(0.0, began + (first + at_once) / rate - time.perf_counter()))
    writer.close()
    return {"seconds": time.perf_counter() - began}


async def main() -> None:
    work, url, size, *numbers = sys.argv[1:]
    town = await found(url, int(size))
    todo = {"cached": cached, "pushes": pushes, "change": change}[work]
    print(json.dumps(await todo(town, *(int(number) for number in numbers))))


if __name__ == "__main__":
    random.seed(20261101)
    asyncio.run(main())
