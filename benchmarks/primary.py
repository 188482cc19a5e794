"""
What one primary bears, and a process that listens to it: the points on which `capacity.py --model` rests, and some that it has
to meet.

    python benchmarks/primary.py --server /usr/bin/redis-server

Counted is the processor time that the server says it has used (`INFO cpu`), less what it uses while idle.  A check, a
rotation and a lease come one at a time, which costs the server a turn of its loop for each, then ten and a hundred together.
A change is pushed to connections that only read, which is what the server pays for, and to processes that each have a
guard of this package, which tell the processor time that they have used.  `flood` is a server that never has nothing to
do.  Last, a snapshot while records change: the memory that the system copies meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from _capacity_desk import Desk
from _capacity_town import Town, found
from _common import add_common, facts, real_server, server_name, show, write
from _primary_fan import Fan, used_by
from _primary_load import AS_FAST, checks, flood, leases, records, rotations, send, shuffled
from redis.asyncio import Redis

from asgi_tokenguard.store.topology import view_of

TOGETHER = (1, 10, 100)
# Connections that only read, all in one process: what they cost the server, not what they cost the cores that it shares.
CONNECTIONS, QUICK_CONNECTIONS = (0, 4, 16, 64), (0, 4, 16)
PROCESSES, QUICK_PROCESSES = (1, 2, 4), (1, 2)
USERS, QUICK_USERS = 1_000_000, 3_000
SAVE_RATES = (0, 1_000, 4_000)
# Together from each of four connections: with fewer the sender would be the slower one.
FLOOD = 50
VIEWS = (6, 60, 200)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each with every row (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=2_000, help="commands of a row in a round (default: %(default)s)")
    add_common(parser)
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.requests = 1, 300
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        client = await stack.enter_async_context(Redis.from_url(url))
        town = await found(url, QUICK_USERS if asked.quick else USERS)
        await town.fill()
        await asyncio.sleep(2)  # the rotator takes access tokens of more than a second for over, and only then rotates
        desk = Desk(town, client)
        await stack.enter_async_context(desk.rotator)
        commands = Commands(desk, asked.requests, asked.rounds)
        rows, flooded = await commands.measured()
        fan = Fan(town, client, asked.requests, asked.rounds)
        pushed = await fan.pushed(QUICK_CONNECTIONS if asked.quick else CONNECTIONS)
        merged, heard = await fan.heard(QUICK_PROCESSES if asked.quick else PROCESSES)
        saves = [await saved(town, client, rate) for rate in SAVE_RATES]
        setting = facts(await server_name(client)) | {"allocator": (await client.info("memory"))["mem_allocator"]}
    report = {"benchmark": "primary", **setting, "rounds": asked.rounds, "requests": asked.requests, "sessions": town.size}
    report |= {
        "rows": rows + pushed + heard,
        "flood": flooded,
        "merged": merged,
        "saves": saves,
        "views": [viewed(n) for n in VIEWS],
    }
    tables(report)
    write(report, asked.json)


class Commands:
    """What a check, a rotation and a lease cost the server, one at a time and together."""

    def __init__(self, desk: Desk, count: int, rounds: int) -> None:
        self.desk, self.town, self.client = desk, desk.town, desk.client
        self.count, self.rounds = count, rounds

    async def measured(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        for step in await self.desk.steps("rotation", 1):
            await step()  # loads the script
        self.numbers = shuffled(1, min(self.count, self.town.size - 1))
        packed = {
            "check": checks(self.town, self.numbers),
            "rotation": await rotations(self.town, self.desk.rotator, self.numbers),
            "lease": leases(self.count),
        }
        order = [(name, together) for name in packed for together in TOGETHER]
        times: dict[tuple[str, int], list[float]] = {each: [] for each in order}
        busy = {"check": packed["check"] * AS_FAST, "rotation": packed["rotation"]}
        floods: dict[str, list[float]] = {name: [] for name in busy}
        for _ in range(self.rounds):
            for name, together in random.sample(order, len(order)):
                times[name, together].append(await self.one(packed[name], together))
            for name, commands in busy.items():
                floods[name].append(await asyncio.to_thread(flood, self.town, commands, together=FLOOD))
                await self.town.restore(self.client, self.numbers)
        rows = [
            {"name": f"{name}, {'one at a time' if together == 1 else f'{together} together'}", "together": together}
            | {"operation": name, "server_us": round(median(found), 2)}
            for (name, together), found in times.items()
        ]
        return rows, [{"name": name, "together": FLOOD, "a_second": round(median(found))} for name, found in floods.items()]

    async def one(self, commands: Sequence[bytes], together: int) -> float:
        """Microseconds that the server works for one of *commands*."""
        before = await used_by(self.client)
        await asyncio.to_thread(send, self.town, commands, together=together)
        used = await used_by(self.client) - before
        await self.town.restore(self.client, self.numbers)
        return used * 1e6 / len(commands)


async def saved(town: Town, client: Any, rate: int) -> dict[str, Any]:
    """What a snapshot takes while *rate* records a second are written."""
    await client.bgsave()
    began, written = time.perf_counter(), 0
    while True:
        commands = records(town, random.sample(range(town.size), min(town.size, max(10, rate // 10))))
        if rate:
            await asyncio.to_thread(send, town, commands, together=10, rate=rate)
            written += len(commands)
        else:
            await asyncio.sleep(0.05)
        said = await client.info("persistence")
        if not said["rdb_bgsave_in_progress"]:
            break
    return {
        "rate": rate,
        "seconds": round(time.perf_counter() - began, 2),
        "written": written,
        "copied_bytes": said["rdb_last_cow_size"],
        "used_bytes": (await client.info("memory"))["used_memory"],
    }


def viewed(nodes: int) -> dict[str, Any]:
    """Microseconds that a process reads one answer of a cluster of *nodes*, half of them replicas, to a lease."""
    lines = [
        f"{at:040x} 10.0.{at // 250}.{at % 250}:6379@16379 {'myself,' * (at == 0)}{'slave' if at % 2 else 'master'} "
        f"{f'{at - 1:040x}' if at % 2 else '-'} 0 1700000000000 {at} connected {'' if at % 2 else f'{at * 80}-{at * 80 + 79}'}"
        for at in range(nodes)
    ]
    text, times = "\n".join(lines), []
    for _ in range(2_000):
        began = time.perf_counter_ns()
        view_of(text)
        times.append((time.perf_counter_ns() - began) / 1000)
    return {"nodes": nodes, "bytes": len(text), "view_us": round(median(times), 2)}


def tables(report: dict[str, Any]) -> None:
    print(f"{report['server']} ({report['allocator']}), {report['sessions']:,} sessions\n")
    columns = {"name": "", "server_us": "µs of the server's processor", "processor_us": "µs of a listener's, a push"}
    show(report["rows"], columns | {"output_bytes": "bytes sent", "idle_us_a_second": "µs a second of an idle listener's"})
    print()
    show(report["flood"], {"name": "flood", "together": "together", "a_second": "a second"})
    print()
    show(report["merged"], {"name": "changes", "keys_a_message": "keys a message", "processor_us": "µs a push"})
    print()
    columns = {"rate": "records/s", "seconds": "seconds of a snapshot", "written": "written", "copied_bytes": "bytes copied"}
    show(report["saves"], columns)
    print()
    show(report["views"], {"nodes": "nodes of a cluster", "bytes": "bytes of an answer", "view_us": "µs to read it"})


if __name__ == "__main__":
    random.seed(20261101)  # the same users each time
    asyncio.run(main())
