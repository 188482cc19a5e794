"""
What it costs to have a login, a rotation or a revocation confirmed by more than the primary's memory.

    python benchmarks/durability.py

Over loopback, with one replica, so that the network costs next to nothing: what is left is the way through the replica, and
the disk.  Each row has a primary and a replica of its own: without a file for `primary` and `replicated`, with one for
`fsynced`, on the primary's disk alone (`replicas=0`) or on both.  A replica tells once a second what it has on its disk,
however quick that is.  One call after the other; the figures are of all calls, and the ratio is that of the medians to
`primary`.

There is no row for `appendfsync everysec`: Valkey's WAITAOF answers before the disk has the write then, so that it would be the
time of something else (asgi_tokenguard/store/disks.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from _common import CLAIMS, SECRET, facts, parser, server_name, show, write
from _tables import COLUMNS
from redis.asyncio import Redis
from redis.exceptions import RedisError

from asgi_tokenguard import Durability, Lifetimes, TokenGuard, Tokens
from asgi_tokenguard.store.embedded import BINARY_VARIABLE, find_binary

OPERATIONS = ("login", "rotation", "revocation")
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
# Row -> what is asked for, of how many replicas, and how its servers write to the disk.
LEVELS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "primary": ("primary", 1, ()),
    "replicated": ("replicated", 1, ()),
    "own disk": ("fsynced", 0, ALWAYS),
    "both disks": ("fsynced", 1, ALWAYS),
}
# Each call waits for a timer of the server: few of them tell as much.
FEWER = {"both disks": 25}
# The shortest life of an access token: a rotation waits for its end.
ACCESS_SECONDS = 1


class Server:
    def __init__(self, folder: Path, *more: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        folder.mkdir()
        command = [
            find_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--repl-diskless-sync-delay", "0", "--loglevel", "warning", *more,
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.asynccontextmanager
async def pair(more: tuple[str, ...]) -> AsyncIterator[str]:
    """The URL of a primary whose replica has caught up."""
    folder = Path(tempfile.mkdtemp(prefix="tgd", dir="/tmp"))
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        primary = Server(folder / "p", *more)
        undo.callback(primary.stop)
        replica = Server(folder / "r", *more, "--replicaof", f"127.0.0.1 {primary.port}")
        undo.callback(replica.stop)
        async with asyncio.timeout(30), Redis.from_url(primary.url) as client:
            while True:
                with contextlib.suppress(RedisError):
                    if await client.set("x", "y") and await client.execute_command("WAIT", 1, 1000):
                        break
                await asyncio.sleep(0.05)
        yield primary.url


class Contender:
    """One level: its guard, and how long each call of each kind took (ms)."""

    def __init__(self, name: str, guard: TokenGuard, requests: int) -> None:
        self.name, self.guard = name, guard
        self.requests = max(1, requests // FEWER.get(name, 1))
        self.took: dict[str, list[float]] = {operation: [] for operation in OPERATIONS}

    async def timed(self, operation: str, call: Callable[[], Awaitable[Any]], *, keep: bool) -> Any:
        began = time.perf_counter()
        found = await call()
        if keep:
            self.took[operation].append(1000 * (time.perf_counter() - began))
        return found

    async def log_in(self, *, keep: bool) -> list[Tokens]:
        return [
            await self.timed("login", partial(self.guard.login, f"user-{number}", CLAIMS), keep=keep)
            for number in range(self.requests)
        ]

    async def rotate_and_end(self, tokens: list[Tokens], *, keep: bool) -> None:
        for one in tokens:
            rotated = await self.timed("rotation", partial(self.guard.rotate, str(one.refresh_token)), keep=keep)
            if rotated.refresh_token is None:
                raise RuntimeError("a presentation that was to rotate did not")
        for number, one in enumerate(tokens):
            end = partial(self.guard.revoke, f"user-{number}", one.session_id)
            if not await self.timed("revocation", end, keep=keep):
                raise RuntimeError("a session that was to be ended was not there")

    def rows(self, base: Contender) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{operation}, {self.name}",
                "p50_ms": round(statistics.median(took), 3),
                "p99_ms": round(sorted(took)[int(0.99 * (len(took) - 1))], 3),
                "calls": len(took),
                "ratio": round(statistics.median(took) / statistics.median(base.took[operation]), 2),
            }
            for operation, took in self.took.items()
        ]


async def main() -> None:
    asked = parser(__doc__, rounds=12, requests=50).parse_args()
    rounds, requests = (1, 5) if asked.quick else (asked.rounds, asked.requests)
    if asked.server:
        os.environ[BINARY_VARIABLE] = asked.server
    async with contextlib.AsyncExitStack() as stack:
        contenders: list[Contender] = []
        for name, (level, replicas, more) in LEVELS.items():
            url = await stack.enter_async_context(pair(more))
            durability = Durability(login=level, rotation=level, revocation=level, replicas=replicas, timeout=5)
            lifetimes = Lifetimes(access=ACCESS_SECONDS)
            guard = TokenGuard(secret=SECRET, redis=url, timeout=10, durability=durability, lifetimes=lifetimes)
            contenders.append(Contender(name, await stack.enter_async_context(guard), requests))
        client = await stack.enter_async_context(Redis.from_url(url))
        for number in range(-1, rounds):  # the first one is no figure: connections open, scripts are sent
            random.shuffle(order := list(contenders))
            held = [(each, await each.log_in(keep=number >= 0)) for each in order]
            await asyncio.sleep(ACCESS_SECONDS + 1)  # issue times are whole seconds
            for each, tokens in held:
                await each.rotate_and_end(tokens, keep=number >= 0)
        base = contenders[0]
        by_level = [each.rows(base) for each in contenders]
        rows = [row for of_operation in zip(*by_level, strict=True) for row in of_operation]
        report = {"benchmark": "durability", **facts(await server_name(client)), "rounds": rounds, "requests": requests}
    show(rows, COLUMNS["durability"])
    write({**report, "rows": rows}, asked.json)


if __name__ == "__main__":
    asyncio.run(main())
