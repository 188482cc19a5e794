"""
Whether what a request costs stays flat from a thousand sessions to a million, and what many sessions cost a process.

    python benchmarks/capacity.py

A server for each size, all at the same time, which take turns at every single request; the sessions are copies of a genuine
login's record, one for each user.  Each operation is of a user at random: "check" is the read behind a cold request,
"request" the whole cold request (token verified, Redis asked, nothing kept), "rotation" the script, "rotating request" the
whole of it from the cookie to two new tokens, "list" a user's sessions.  A ratio is the median over rounds of this size's
time to the smallest's.  "µs in the server" are the server's own count of its
commands; `--server` names another one.  The wheel's is built on the C library's malloc, whose free memory lies scattered over
all that was ever filled, so that its scripts slow down as it grows; those of distributions are built on jemalloc.

Then, in processes of their own: what a verified token takes in memory (as the resident size grows, as tracemalloc counts, as
the cache counts for its bound), whether a warm request is slower beside many, and what pushes cost: another process changes as
many users' keys as it can, or at a rate, while a request with a known token comes every few milliseconds.

    python benchmarks/capacity.py --model [--sessions N]

measures nothing: it tells what so many sessions need, by arithmetic over the figures of the documented runs, and how far that
arithmetic is off where something else was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from _capacity_desk import OPERATIONS, Desk
from _capacity_town import Town, found
from _common import add_common, facts, real_server, server_name, show, spread, write
from _model_report import add_flags, model
from memory import settled
from redis.asyncio import Redis

TARGET = 1.05
SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 1_000_000), (1_000, 5_000)
# How many cached tokens; the cache's own bound is 65,536 entries.
CACHED, QUICK_CACHED = 50_000, 2_000
# How many pushes at which rate a second; 0: as fast as the writer can.
PUSHES, QUICK_PUSHES = ((20_000, 2_000), (50_000, 5_000), (200_000, 0)), ((500, 1_000), (4_000, 0))
REQUESTS, QUICK_REQUESTS = 60, 10
# How the server names what an operation makes it do.
AT_SERVER = {"check": "cmdstat_hget", "rotation": "cmdstat_evalsha"}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="rounds, each with every size (default: %(default)s)")
    add_common(parser)
    add_flags(parser)
    asked = parser.parse_args()
    if asked.model:
        model(asked)
        return
    rounds, requests, sizes = (3, QUICK_REQUESTS, QUICK_SIZES) if asked.quick else (asked.rounds, REQUESTS, SIZES)
    async with contextlib.AsyncExitStack() as stack:
        desks, weights = [], []
        for size in sizes:
            desk, weight = await built(stack, asked.server, size)
            desks.append(desk)
            weights.append(weight)
        times: dict[str, list[list[float]]] = {operation: [] for operation in OPERATIONS}
        for number in range(-1, rounds):
            for operation in random.sample(OPERATIONS, len(OPERATIONS)):
                found_out = await timed(desks, operation, requests)
                if number >= 0:  # the first opens connections and loads scripts
                    times[operation].append(found_out)
        rows = [row(at, desk.town, weights[at], times) for at, desk in enumerate(desks)]
        for each, desk in zip(rows, desks, strict=True):
            for operation in AT_SERVER:
                each[f"{operation}_server_us"] = await at_server(desk, operation, rounds)
        town = desks[-1].town
        cached = await process("cached", town, QUICK_CACHED if asked.quick else CACHED)
        pushes = [
            {"rate": rate or None} | await process("pushes", town, count, rate)
            for count, rate in (QUICK_PUSHES if asked.quick else PUSHES)
        ]
        allocator = (await desks[0].client.info("memory"))["mem_allocator"]
        setting = facts(await server_name(desks[0].client)) | {"allocator": allocator}
    print(f"{setting['server']} ({allocator}), Python {setting['python']}, {rounds} rounds of {requests} requests\n")
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


async def timed(desks: list[Desk], operation: str, requests: int) -> list[float]:
    """
    The median time of *operation* for each size, in microseconds.

    The sizes take turns at every single request, so that whatever else the machine does meets all of them.
    """
    steps = [await desk.steps(operation, requests) for desk in desks]
    times: list[list[int]] = [[] for _ in desks]
    gc.collect()
    gc.disable()
    try:
        for number in range(requests):
            for at in random.sample(range(len(desks)), len(desks)):
                began = time.perf_counter_ns()
                await steps[at][number]()
                times[at].append(time.perf_counter_ns() - began)
    finally:
        gc.enable()
    return [median(of_size) / 1000 for of_size in times]


def row(at: int, town: Town, weight: float, times: dict[str, list[list[float]]]) -> dict[str, Any]:
    found: dict[str, Any] = {"sessions": town.size}
    for operation, rounds in times.items():
        ratios = [of_sizes[at] / of_sizes[0] for of_sizes in rounds]
        found[f"{operation}_us"] = round(median(of_sizes[at] for of_sizes in rounds), 1)
        found |= {f"{operation}_ratio": round(median(ratios), 3), f"{operation}_middle_half": spread(ratios)}
    return found | {"bytes_per_session": round(weight)}


async def at_server(desk: Desk, operation: str, rounds: int) -> float:
    """Microseconds that the server works for *operation*, by its own count."""
    await desk.client.config_resetstat()
    for _ in range(rounds):
        for step in await desk.steps(operation, QUICK_REQUESTS):
            await step()
    await desk.restore()
    return round(float((await desk.client.info("commandstats"))[AT_SERVER[operation]]["usec_per_call"]), 2)


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
