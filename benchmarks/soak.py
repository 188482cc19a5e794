"""
Whether two processes stay as they are while people come, ask, rotate, hang up and go.

    python benchmarks/soak.py

Two uvicorn processes share a server; each person has a browser's cookie jar and two tabs, which ask either process at random
and on their own, so that rotations cross.  Access tokens live for `--access` seconds instead of fifteen minutes, so that an
hour of rotations fits in a fraction of it.  One request in a hundred is given up before its answer, one in a hundred asks for
the list of sessions, and sessions end by a logout after a minute or so.

The run is cut into windows, each a row: latencies as the asking process sees them, its own waiting included; what was
answered otherwise than it had to be ("wrong": a refusal of a live session, a status that is not 200, a connection that
broke); memory, tasks and open files of the processes, and the server's memory.  "Growth" is how much more memory the last
half of the run holds than the half before it begins: the medians of the last quarter and of the second one, since caches
fill in the first.  A wrong answer, or growth over the bound, fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import sys
from collections import Counter
from statistics import median, quantiles
from typing import Any

from _common import add_common, facts, real_server, server_name, show, write
from _http import connect, uvicorn
from _soak_people import Person, Town, Window
from _tables import COLUMNS
from redis.asyncio import Redis

from asgi_tokenguard.core.lifetimes import ACCESS

TABS = 2
# A tab's connection outlives its pauses; uvicorn's default of 5 s would close some as they are used.
KEEP_ALIVE = ("--timeout-keep-alive", "600")
# The guard's default (s); a quick run may be beside all other benchmarks, and to be slow is no wrong answer there.
TIMEOUT, QUICK_TIMEOUT = 1.0, 30.0
# Between two requests of a tab (s); with 150 people some 300 requests a second, less than half of what two cores hold.
PAUSE = 1.0
# Of the memory of both processes.  Python's allocator keeps what was once needed, in arenas of 1 MiB.
MOST_GROWTH = 0.03


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=12, help="rows (default: %(default)s)")
    parser.add_argument("--people", type=int, default=150, help="each with two tabs (default: %(default)s)")
    parser.add_argument("--access", type=float, default=10, help="seconds that an access token lives (default: %(default)s)")
    add_common(parser)
    asked = parser.parse_args()
    if asked.quick:
        asked.minutes, asked.windows, asked.people, asked.access = 0.2, 4, 20, 2.0
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        timeout = QUICK_TIMEOUT if asked.quick else TIMEOUT
        environment = {"SOAK_REDIS": url, "SOAK_ACCESS": str(asked.access), "SOAK_TIMEOUT": str(timeout)}
        ports = [await stack.enter_async_context(uvicorn("_soak_app:app", environment, *KEEP_ALIVE)) for _ in range(2)]
        client = await stack.enter_async_context(Redis.from_url(url))
        town = Town(ports, PAUSE)
        people = [asyncio.ensure_future(Person(town, f"user-{number}").live(TABS)) for number in range(asked.people)]
        windows = [await window(town, client, asked.minutes * 60 / asked.windows) for _ in range(asked.windows)]
        town.is_open = False
        await asyncio.gather(*people)
        setting = facts(await server_name(client))
    rows = [row(number, len(windows), asked.minutes, *each) for number, each in enumerate(windows)]
    wrong = Counter(line for each, _ in windows for line in each.wrong)
    report = {
        "benchmark": "soak", **setting, "people": asked.people, "minutes": asked.minutes, "access_s": asked.access,
        "hours_of_rotations": round(asked.minutes / 60 * ACCESS / asked.access, 1),
        "growth": {key: growth(rows, key) for key in ("resident_mb", "server_mb")}, "rows": rows,
    }  # fmt: skip
    print(f"{setting['server']}, Python {setting['python']}, {asked.people} people, {asked.minutes:g} minutes\n")
    show(rows, COLUMNS["soak"])
    print(
        f"\ngrowth of both processes {report['growth']['resident_mb']:+.1%}, of the server {report['growth']['server_mb']:+.1%}"
    )
    write(report, asked.json)
    if wrong:
        sys.exit(f"answered otherwise than it had to be: {dict(wrong.most_common(5))}")
    if not asked.quick and report["growth"]["resident_mb"] > MOST_GROWTH:
        sys.exit(f"the processes have grown by more than {MOST_GROWTH:.0%}")


async def window(town: Town, client: Redis, seconds: float) -> tuple[Window, dict[str, Any]]:
    """What was answered in so many seconds, and how everything is at their end."""
    town.window = found = Window()
    await asyncio.sleep(seconds)
    town.window = Window()
    states = [await state(port) for port in town.ports]
    memory, clients = await client.info("memory"), await client.info("clients")
    return found, {
        "seconds": seconds,
        "states": states,
        "server": memory["used_memory"],
        "connections": clients["connected_clients"],
    }


async def state(port: int) -> dict[str, int]:
    connection = await connect(port)
    _, _, body = await connection.fetch("GET", "/state")
    connection.close()
    found: dict[str, int] = json.loads(body)
    return found


def row(number: int, of: int, minutes: float, found: Window, at_end: dict[str, Any]) -> dict[str, Any]:
    first, last = (minutes * part / of for part in (number, number + 1))
    cuts, states = quantiles(found.took, n=100), at_end["states"]
    return {
        "name": f"{first:g} to {last:g} min",
        "requests_per_second": len(found.took) / at_end["seconds"],
        "rotations": found.rotations,
        "logins": found.logins,
        "given_up": found.given_up,
        "wrong": len(found.wrong),
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
        "max_ms": max(found.took),
        "resident_mb": sum(each["resident"] for each in states) / 1e6,
        "tasks": sum(each["tasks"] for each in states),
        "files": sum(each["files"] for each in states),
        "connections": at_end["connections"],
        "server_mb": at_end["server"] / 1e6,
    }


def growth(rows: list[dict[str, Any]], key: str) -> float:
    """How much more the last quarter of the run holds than its second one, as a share."""
    quarter = math.ceil(len(rows) / 4)
    before, after = rows[quarter : 2 * quarter], rows[-quarter:]
    was, now = (median(float(each[key]) for each in part) for part in (before, after))
    return now / was - 1


if __name__ == "__main__":
    asyncio.run(main())
