"""
Whether what a request costs stays flat from a thousand sessions to a million, and what many sessions cost a process.

    python benchmarks/capacity.py

A server for each size, all at the same time, so that rounds hold each size once; the sessions are copies of a genuine login's
record, one for each user.  Each operation is of a user at random: "check" is the read behind a cold request, "request" the
whole cold request (token verified, Redis asked, nothing kept), "rotation" the script, "rotating request" the whole of it from
the cookie to two new tokens, "list" a user's sessions.  A ratio is the median over rounds of this size's time to the
smallest's.  "µs in the server" are the server's own count of its commands: there a bigger table's misses of the processor's
caches show, which a request hardly notices.

Then, in processes of their own: what a verified token takes in memory (as the resident size grows, as tracemalloc counts, as
the cache counts for its bound), whether a warm request is slower beside many, and what pushes cost: another process changes as
many users' keys as it can, or at a rate, while a request with a known token comes every few milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from _capacity_desk import OPERATIONS, Desk
from _capacity_town import Town, found
from _common import Contender, add_common, facts, real_server, run_rounds, server_name, show, spread, write
from memory import settled
from redis.asyncio import Redis

TARGET = 1.05
SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 1_000_000), (1_000, 5_000)
# How many cached tokens; the cache's own bound is 65,536 entries.
CACHED, QUICK_CACHED = 50_000, 2_000
# How many pushes at which rate a second; 0: as fast as the writer can.
PUSHES, QUICK_PUSHES = ((20_000, 2_000), (50_000, 5_000), (200_000, 0)), ((500, 1_000), (4_000, 0))
# A batch is small, so that the sizes of one are measured within a fraction of a second.
REQUESTS, QUICK_REQUESTS = 60, 10
# How the server names what an operation makes it do.
AT_SERVER = {"check": "cmdstat_hget", "rotation": "cmdstat_evalsha"}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="rounds, each with every size (default: %(default)s)")
    add_common(parser)
    asked = parser.parse_args()
    rounds, requests, sizes = (3, QUICK_REQUESTS, QUICK_SIZES) if asked.quick else (asked.rounds, REQUESTS, SIZES)
    async with contextlib.AsyncExitStack() as stack:
        desks, weights = [], []
        for size in sizes:
            desk, weight = await built(stack, asked.server, size)
            desks.append(desk)
            weights.append(weight)
        contenders = {operation: [desk.contender(operation, requests) for desk in desks] for operation in OPERATIONS}
        await measure(contenders, rounds, requests)
        rows = [row(at, desk.town, weights[at], contenders) for at, desk in enumerate(desks)]
        for at, desk in enumerate(desks):
            for operation, statistic in AT_SERVER.items():
                rows[at][f"{operation}_server_us"] = await at_server(desk, contenders[operation][at], statistic, rounds)
        town = desks[-1].town
        cached = await process("cached", town, QUICK_CACHED if asked.quick else CACHED)
        pushes = [
            {"rate": rate or None} | await process("pushes", town, count, rate)
            for count, rate in (QUICK_PUSHES if asked.quick else PUSHES)
        ]
        setting = facts(await server_name(desks[0].client))
    print(f"{setting['server']}, Python {setting['python']}, {rounds} rounds of {requests} requests\n")
    tables(rows, cached, pushes)
    parameters = {"target": TARGET, "rounds": rounds, "requests": requests}
    write({"benchmark": "capacity", **setting, **parameters, "rows": rows, "cached": cached, "pushes": pushes}, asked.json)


async def built(stack: contextlib.AsyncExitStack, binary: str | None, size: int) -> tuple[Desk, float]:
    """A town of *size* on a server of its own, and the bytes that each session takes there."""
    url = await stack.enter_async_context(real_server(binary))
    client = await stack.enter_async_context(Redis.from_url(url))
    town = await found(url, size)
    before = await settled(client)
    await town.fill()
    weight = (await settled(client) - before) / size
    desk = Desk(town, client)
    for guard in desk.apps:
        await stack.enter_async_context(guard)
    return desk, weight


async def measure(contenders: dict[str, list[Contender]], rounds: int, requests: int) -> None:
    for number in range(rounds + 1):
        # One operation at a time, its sizes directly after one another.
        for operation in random.sample(OPERATIONS, len(OPERATIONS)):
            await run_rounds(contenders[operation], rounds=1, requests=requests, warm_up=False)
        if number == 0:  # connections and scripts
            for contender in (each for of_sizes in contenders.values() for each in of_sizes):
                contender.rounds.clear()


def row(at: int, town: Town, weight: float, contenders: dict[str, list[Contender]]) -> dict[str, Any]:
    found: dict[str, Any] = {"sessions": town.size}
    for operation, of_sizes in contenders.items():
        mine, smallest = of_sizes[at].rounds, of_sizes[0].rounds
        ratios = [ours / theirs for ours, theirs in zip(mine, smallest, strict=True)]
        found |= {f"{operation}_us": round(median(mine), 1), f"{operation}_ratio": round(median(ratios), 3)}
        found[f"{operation}_middle_half"] = spread(ratios)
    return found | {"bytes_per_session": round(weight)}


async def at_server(desk: Desk, contender: Contender, statistic: str, rounds: int) -> float:
    """Microseconds that the server works for an operation, by its own count."""
    await desk.client.config_resetstat()
    for _ in range(rounds):
        await contender.prepare()
        await contender.measure()
    await desk.restore()
    return round(float((await desk.client.info("commandstats"))[statistic]["usec_per_call"]), 2)


async def process(work: str, town: Town, *numbers: int) -> dict[str, Any]:
    """What a process of its own says about itself."""
    script = Path(__file__).with_name("_capacity_process.py")
    command = [str(script), work, town.url, str(town.size), *(str(number) for number in numbers)]
    running = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=subprocess.PIPE)
    output, _ = await running.communicate()
    if running.returncode:
        raise RuntimeError(f"{work}: the process ended with {running.returncode}")
    said: dict[str, Any] = json.loads(output)
    return said


def tables(rows: list[dict[str, Any]], cached: dict[str, Any], pushes: list[dict[str, Any]]) -> None:
    columns = {"sessions": "sessions"}
    for operation in OPERATIONS:
        columns |= {f"{operation}_us": f"{operation.replace('_', ' ')} µs", f"{operation}_ratio": "ratio"}
    show(rows, columns)
    print()
    at_server = {f"{operation}_server_us": f"{operation}, µs in the server" for operation in AT_SERVER}
    show(rows, {"sessions": "sessions", "bytes_per_session": "bytes a session"} | at_server)
    print()
    sizes = {f"{kind}_bytes": f"bytes {kind}" for kind in ("resident", "traced", "counted")}
    show([cached], {"cached": "tokens in a process"} | sizes | {"warm_us": "warm request µs", "warm_ratio": "to one of few"})
    print()
    for each in pushes:
        each["name"] = "as fast as they come" if each["rate"] is None else f"{each['rate']:,} a second"
    columns = {"name": "pushes", "pushes": "heard", "written_per_second": "written/s", "heard_per_second": "heard/s"}
    columns |= {"processor_us": "processor µs a push", "warm_share": "requests served warm", "longest_ms": "longest wait ms"}
    show(pushes, columns)


if __name__ == "__main__":
    random.seed(20261101)  # the same users each time
    asyncio.run(main())
