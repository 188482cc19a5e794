"""
What a burst of unknown tokens costs this process: 64 cold checks at once, beside 64 naive checks one after the other.

    python benchmarks/cold.py

After a deployment every token is unknown.  This package reads the records of one tick of the event loop in one pipeline; the
naive middleware (PyJWT, then EXISTS) waits for each answer.  What is counted is processor time, of this process (asyncio,
redis-py, the check) and of the server, not waiting; a request's share of both.  "naive at once" asks as many naive checks
concurrently: redis-py opens a connection for each.  The design's target is half of the naive processor time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from _common import ask, bare_app, facts, parser, real_server, scope_of, server_name, show, spread, write
from _contenders import Built, Naive, World, bearer, check, token
from _ours import cold
from redis.asyncio import Redis

AT_ONCE = 64
TARGET = 0.5
SEQUENTIAL, CONCURRENT, COLD = "naive, one after the other", "naive, at once", "asgi_tokenguard, cold, at once"


@dataclass
class Row:
    name: str
    built: Built
    ask_all: Callable[[Any, list[Any]], Awaitable[None]]
    here: list[float] = field(default_factory=list)  # microseconds of this process, a request
    server: list[float] = field(default_factory=list)


async def at_once(app: Any, scopes: list[Any]) -> None:
    await asyncio.gather(*(ask(app, scope) for scope in scopes))


async def one_after_the_other(app: Any, scopes: list[Any]) -> None:
    for scope in scopes:
        await ask(app, scope)


async def main() -> None:
    asked = parser(__doc__, rounds=200, requests=AT_ONCE).parse_args()
    rounds, requests = (4, AT_ONCE) if asked.quick else (asked.rounds, asked.requests)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        client = await stack.enter_async_context(Redis.from_url(url))
        naive = Built(app=Naive(bare_app, client), asked=[bearer(token()) for _ in range(requests)])
        ours = await stack.enter_async_context(contextlib.asynccontextmanager(cold)(World(url=url, requests=requests)))
        rows = [Row(SEQUENTIAL, naive, one_after_the_other), Row(CONCURRENT, naive, at_once), Row(COLD, ours, at_once)]
        for row in rows:
            await check(row.name, row.built)
        await run(rows, client, rounds)
        setting = facts(await server_name(client))
    base = rows[0]
    table = [
        {
            "name": row.name,
            "cpu_us": round(median(row.here), 1),
            "middle_half": spread(row.here),
            "ratio": round(median(a / b for a, b in zip(row.here, base.here, strict=True)), 3),
            "server_us": round(sum(row.server) / len(row.server), 1),
        }
        for row in rows
    ]
    print(f"{setting['server']}, Python {setting['python']}, {rounds} rounds of {requests} requests\n")
    columns = {"cpu_us": "µs of processor", "middle_half": "middle half", "ratio": "ratio", "server_us": "µs in the server"}
    show(table, {"name": "one check"} | columns)
    write({"benchmark": "cold", **setting, "rounds": rounds, "requests": requests, "target": TARGET, "rows": table}, asked.json)


async def run(rows: list[Row], client: Any, rounds: int) -> None:
    order = list(rows)
    for number in range(-1, rounds):  # the first warms up
        random.shuffle(order)
        for row in order:
            if row.built.prepare is not None:
                await row.built.prepare()
            server = await server_cpu(client)
            here = await process_cpu(row)
            if number >= 0:
                row.here.append(here / len(row.built.asked))
                row.server.append((await server_cpu(client) - server) / len(row.built.asked))


async def process_cpu(row: Row) -> float:
    scopes = [scope_of(headers) for headers in row.built.asked]
    gc.collect()  # what others have left; what a row leaves itself is collected in its own time
    began = time.process_time_ns()
    await row.ask_all(row.built.app, scopes)
    return (time.process_time_ns() - began) / 1000


async def server_cpu(client: Any) -> float:
    """Microseconds of processor that the server has used, with the few of this question."""
    used = await client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"]) * 1e6


if __name__ == "__main__":
    random.seed(20261101)  # the same shuffles each time
    asyncio.run(main())
