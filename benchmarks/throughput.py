"""
Requests per second and latency of a server, guarded and unguarded, driven from outside.

    python benchmarks/throughput.py            (needs wrk; and fastapi, granian, httptools, uvloop: the extra `bench`)

The same app in one worker process of each server, once as it is and once under `TokenGuardMiddleware`, both asked by wrk for
the same path with the same headers: a live access token, which the guarded one knows from its first sight on and the unguarded
one does not look at.  All processes are started once; a round drives guarded and unguarded one directly after the other, in
random order, and the ratio is the median over the rounds' ratios.  "many users" sends the tokens of a thousand users in turn.

"processor µs" is what the server's process used for a request, which other programs on the machine hardly change; "asked" is
how many of a row's requests asked Redis: there is nothing to compare where that is more than a few.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from _common import add_common, facts, real_server, server_name, show, spread, write
from _http import Connection, connect, header_of, process, processor_seconds
from _throughput_app import STRANGER
from redis.asyncio import Redis

TARGET = 0.97
LOAD = Path(__file__).with_name("_throughput.lua")
# Enough that the server never waits for the load, few enough that latency is not all queueing.
CONNECTIONS = 16
MANY = 1_000
WARM_SECONDS = 60.0
# What a process does in the background after a login (device, place) changes the user's key once more.
SETTLED_SECONDS = 1.0

UVICORN = ("uvicorn", "--no-access-log", "--log-level", "error")
H11 = (*UVICORN, "--http", "h11", "--loop", "asyncio")
HTTPTOOLS = (*UVICORN, "--http", "httptools", "--loop", "asyncio")
UVLOOP = (*UVICORN, "--http", "httptools", "--loop", "uvloop")
GRANIAN = ("granian", "--interface", "asgi", "--no-ws", "--workers", "1", "--loop", "asyncio", "--log-level", "error")


@dataclass(frozen=True)
class Setup:
    """What is compared guarded and unguarded."""

    server: str
    command: tuple[str, ...]
    note: str = ""
    app: str = "starlette"
    many: bool = False
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.server}, {self.note}" if self.note else self.server

    def user(self, number: int) -> str:
        """Users of its own: what another setup's session changes would be pushed to this one's process too."""
        return f"setup{SETUPS.index(self)}-{number:04}"


SETUPS = [
    Setup("uvicorn (h11)", H11, note="FastAPI", app="fastapi", needs=("h11",)),
    Setup("uvicorn (httptools)", HTTPTOOLS, note="FastAPI", app="fastapi", needs=("httptools",)),
    Setup("uvicorn (h11)", H11, needs=("h11",)),
    Setup("uvicorn (httptools)", HTTPTOOLS, needs=("httptools",)),
    Setup("uvicorn (httptools)", HTTPTOOLS, note="many users", many=True, needs=("httptools",)),
    Setup("uvicorn (httptools)", HTTPTOOLS, note="bare app", app="bare", needs=("httptools",)),
    Setup("uvicorn (httptools, uvloop)", UVLOOP, needs=("httptools", "uvloop")),
    Setup("granian", GRANIAN, needs=("granian",)),
]


@dataclass
class Side:
    """One process of a setup, and what its rounds have shown."""

    setup: Setup
    guarded: bool
    port: int
    session: int
    tokens: list[str] = field(default_factory=list)
    rounds: list[dict[str, float]] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    asked: int = 0

    @property
    def name(self) -> str:
        return f"{self.setup.name}, {'guarded' if self.guarded else 'unguarded'}"

    def median(self, key: str) -> float:
        return median(found[key] for found in self.rounds)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="rounds, each with every process (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=1, help="of load in a round on a process (default: %(default)s)")
    add_common(parser)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("throughput.py needs the load generator wrk (Debian: apt-get install wrk)")
    rounds, seconds, many = (1, 1, 50) if asked.quick else (asked.rounds, asked.seconds, MANY)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        client = await stack.enter_async_context(Redis.from_url(url))
        pairs = await started(stack, url, client, many)
        with tempfile.TemporaryDirectory(prefix="tgbench") as folder:
            files = write_tokens(pairs, Path(folder))
            for _ in range(rounds):
                await one_round(pairs, client, seconds, files, at_once=asked.quick)
        setting = facts(await server_name(client))
    rows = [row for pair in pairs for row in compared(*pair)]
    print(f"{setting['server']}, Python {setting['python']}, {rounds} rounds of {seconds} s, {CONNECTIONS} connections\n")
    columns = {"requests_per_second": "requests/s", "ratio": "ratio", "middle_half": "middle half", "p50_ms": "p50 ms"}
    show(rows, {"name": ""} | columns | {"p99_ms": "p99 ms", "processor_us": "processor µs", "asked": "asked"})
    parameters = {"target": TARGET, "rounds": rounds, "seconds": seconds, "connections": CONNECTIONS}
    write({"benchmark": "throughput", **setting, **parameters, "rows": rows}, asked.json)


def write_tokens(pairs: list[tuple[Side, Side]], folder: Path) -> dict[str, Path]:
    """A file for each process, for wrk to read."""
    files = {side.name: folder / str(number) for number, side in enumerate(side for pair in pairs for side in pair)}
    for side in (side for pair in pairs for side in pair):
        files[side.name].write_text("\n".join(side.tokens))
    return files


async def one_round(
    pairs: list[tuple[Side, Side]], client: Any, seconds: int, files: dict[str, Path], *, at_once: bool
) -> None:
    """Load on every process: one after the other, or, where the figures need mean nothing, *at_once*."""
    order = [side for pair in random.sample(pairs, len(pairs)) for side in random.sample(pair, 2)]
    work = [drive(side, client, seconds, files[side.name]) for side in order]
    if at_once:
        await asyncio.gather(*work)
    else:
        for each in work:
            await each


async def started(stack: contextlib.AsyncExitStack, url: str, client: Any, many: int) -> list[tuple[Side, Side]]:
    """Unguarded and guarded process of each setup, the guarded ones warm."""
    setups = []
    for setup in SETUPS:
        missing = [name for name in setup.needs if find_spec(name) is None]
        if missing:
            print(f"left out: {setup.name} (not installed: {', '.join(missing)})", file=sys.stderr)
        else:
            setups.append(setup)
    kinds = {(setup.command, setup.app, there): None for setup in setups for there in ("", url)}
    at_once = await asyncio.gather(*(stack.enter_async_context(served(*kind)) for kind in kinds))
    running = dict(zip(kinds, at_once, strict=True))
    pairs = []
    for setup in setups:
        unguarded, guarded = [Side(setup, bool(there), *running[setup.command, setup.app, there]) for there in ("", url)]
        pairs.append((unguarded, guarded))
    for unguarded, guarded in pairs:
        unguarded.tokens = guarded.tokens = await log_in(guarded, many if guarded.setup.many else 1)
    await asyncio.sleep(SETTLED_SECONDS)
    for unguarded, guarded in pairs:
        await warm(guarded, client)
        await make_sure(unguarded, guarded)
    return pairs


@contextlib.asynccontextmanager
async def served(command: tuple[str, ...], app: str, redis: str) -> AsyncIterator[tuple[int, int]]:
    def at(port: int) -> list[str]:
        return [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port), f"_throughput_app:{app}"]

    async with process(at, {"THROUGHPUT_REDIS": redis}) as found:
        yield found


async def log_in(side: Side, users: int) -> list[str]:
    connection, tokens = await connect(side.port), []
    for number in range(users):
        status, head = await connection.ask("POST", f"/login/{side.setup.user(number)}")
        token = header_of(head, b"x-new-access-token")
        if status != 200 or not token:
            raise RuntimeError(f"{side.name}: a login is answered {status}, the token {token!r}")
        tokens.append(token)
    connection.close()
    return tokens


async def warm(side: Side, client: Any) -> None:
    """Show the tokens until the process knows all: a pass asks Redis nothing then."""
    connection = await connect(side.port)
    deadline = time.monotonic() + WARM_SECONDS
    while True:
        before = await reads(client)
        for token in side.tokens:
            await expect(connection, token, 200)
        if await reads(client) == before:
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"{side.name}: Redis is asked again and again, there is nothing to compare")
    connection.close()


async def make_sure(unguarded: Side, guarded: Side) -> None:
    """Who is asked answers as he should: else a figure would be of something else."""
    bare, ours = await connect(unguarded.port), await connect(guarded.port)
    token = guarded.tokens[-1]
    forged = token[:-20] + token[-20:].swapcase()
    size = len(await expect(bare, token, 200, STRANGER))
    if len(await expect(ours, token, 200, guarded.setup.user(len(guarded.tokens) - 1))) != size:
        raise RuntimeError(f"{guarded.name}: its answers have another size")
    await expect(bare, forged, 200, STRANGER)
    await expect(ours, forged, 401)
    bare.close()
    ours.close()


async def expect(connection: Connection, token: str, status: int, name: str = "") -> bytes:
    found, _, body = await connection.fetch("GET", "/me", f"authorization: Bearer {token}")
    if found != status or name.encode() not in body:
        raise RuntimeError(f"answered {found} {body!r} where {status} {name!r} was to come")
    return body


async def reads(client: Any) -> int:
    statistics = await client.info("commandstats")
    return int(statistics.get("cmdstat_hget", {"calls": 0})["calls"])


async def drive(side: Side, client: Any, seconds: int, file: Path) -> None:
    """One round of load."""
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "-s", str(LOAD)]
    more = []
    if not side.setup.many:
        options += ["-H", f"Authorization: Bearer {side.tokens[0]}"]
    else:
        more = ["--", str(file)]
    before, used = await reads(client), processor_seconds(side.session)
    load = await asyncio.create_subprocess_exec(
        "wrk", *options, f"http://127.0.0.1:{side.port}/me", *more, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await load.communicate()
    using = processor_seconds(side.session)
    found = json.loads(output.decode().strip().rpartition("\n")[2])
    if load.returncode or found["refused"] or found["failed"] or not found["requests"]:
        raise RuntimeError(f"{side.name}: {found}")
    side.asked += await reads(client) - before
    side.rounds.append(found | {"rate": found["requests"] / found["seconds"]})
    if used is not None and using is not None:
        side.processor.append((using - used) * 1e6 / found["requests"])


def compared(unguarded: Side, guarded: Side) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for side in (unguarded, guarded):
        setup = side.setup
        row = {"name": side.name, "server": setup.server, "app": setup.app, "users": len(side.tokens), "guarded": side.guarded}
        row["requests_per_second"] = round(side.median("rate"))
        row |= {key: round(side.median(key), 3) for key in ("p50_ms", "p99_ms")}
        row["processor_us"] = round(median(side.processor), 1) if side.processor else None
        rows.append(row)
    ratios = [mine["rate"] / theirs["rate"] for mine, theirs in zip(guarded.rounds, unguarded.rounds, strict=True)]
    rows[1] |= {"ratio": round(median(ratios), 3), "asked": guarded.asked}
    if len(ratios) > 1:
        rows[1]["middle_half"] = spread(ratios)
    return rows


if __name__ == "__main__":
    random.seed(20261101)  # the same shuffles each time
    asyncio.run(main())
