"""
What a guarded request costs more than a bare one, beside what else an app could do.

    python benchmarks/overhead.py

The same request, called directly, without HTTP, on one processor.  "added" is what a request takes more than in the app that is
named beside it, unguarded: a bare ASGI callable, or one route of the framework behind whose routing a peer does its work.

Of this package: without its cache (one signature check, one HGET); at the very first use of a token (one more script); cold, a
token that this process has not met (one HGET, then it is kept); and a token that it knows (one look-up in a dictionary, into
which Redis pushes every change).  Cold and first use ask with a token of its own each time, all other rows with one token.
"revocable" says whether a single token can be taken back before it expires; that it can was tried before anything was measured.

Sequential by default: each request waits for its own round trip.  With `--in-flight 32`, 32 tasks ask at the same time.
Peers come with the extra `bench`; one that is not installed has no row.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import _ours  # noqa: F401 (its contenders)
import _peers
from _common import Contender, added, ask, facts, parser, real_server, run_rounds, scope_of, server_name, show, spread, write
from _contenders import CONTENDERS, NAIVE, STATELESS, Built, World, check
from redis.asyncio import Redis

COLUMNS = {
    "name": "",
    "over": "added to",
    "revocable": "revocable",
    "request_us": "µs a request",
    "added_us": "µs added",
    "middle_half": "middle half",
    "to_stateless": "to stateless",
    "to_naive": "to naive",
}


async def main() -> None:
    arguments = parser(__doc__, rounds=60, requests=400)
    arguments.add_argument("--in-flight", type=int, default=1, help="requests at the same time (default: %(default)s)")
    asked = arguments.parse_args()
    rounds, requests, in_flight = (3, 60, asked.in_flight) if asked.quick else (asked.rounds, asked.requests, asked.in_flight)
    requests = requests // in_flight * in_flight
    async with real_server(asked.server) as url, contextlib.AsyncExitStack() as stack:
        contenders, built = [], {}
        for name, entry in CONTENDERS.items():
            if entry.is_missing:
                continue
            found = await stack.enter_async_context(entry.build(World(url=url, requests=requests)))
            await check(name, found)
            built[name] = found
            contenders.append(contender_of(name, found, requests, in_flight))
        client = await stack.enter_async_context(Redis.from_url(url))
        await run_rounds(contenders, rounds=rounds, requests=requests)
        for name, found in built.items():
            await check(name, found)  # still: what was measured were requests that are served
        setting = facts(await server_name(client)) | {"peers": peers()}
    rows = compared(contenders, built)
    skipped = [name for name, entry in CONTENDERS.items() if entry.is_missing]
    print(f"{setting['server']}, Python {setting['python']}, {rounds} rounds of {requests} requests, {in_flight} in flight")
    print(", ".join(f"{name} {number}" for name, number in setting["peers"].items()) + "\n")
    show(rows, COLUMNS)
    for name in skipped:
        print(f"skipped, since {CONTENDERS[name].needs} is not installed (extra `bench`): {name}")
    parameters = {"rounds": rounds, "requests": requests, "in_flight": in_flight, "skipped": skipped}
    write({"benchmark": "overhead", **setting, **parameters, "rows": rows}, asked.json)


def contender_of(name: str, built: Built, requests: int, in_flight: int) -> Contender:
    """A round's requests: those of *built*, in turn."""
    scopes: list[Any] = []

    async def prepare() -> None:
        if built.prepare is not None:
            await built.prepare()
        scopes[:] = [scope_of(headers) for headers in built.asked]

    async def measure() -> None:
        following = itertools.cycle(scopes)

        async def one_after_another() -> None:
            for _ in range(requests // in_flight):
                await ask(built.app, next(following))

        if in_flight == 1:
            await one_after_another()
        else:
            await asyncio.gather(*(one_after_another() for _ in range(in_flight)))

    return Contender(name, measure, prepare)


def compared(contenders: list[Contender], built: dict[str, Built]) -> list[dict[str, Any]]:
    by_name = {contender.name: contender for contender in contenders}
    over = {name: CONTENDERS[name].over for name in by_name}
    extra = {name: added(by_name[name], by_name[base]) for name, base in over.items() if base is not None}
    rows = []
    for name, contender in by_name.items():
        row: dict[str, Any] = {"name": name, "request_us": round(contender.median, 2)}
        if name in extra:
            row |= {
                "over": over[name],
                "added_us": round(median(extra[name]), 2),
                "middle_half": spread(extra[name]),
                "to_stateless": round(median(extra[name]) / median(extra[STATELESS]), 2),
                "to_naive": round(median(extra[name]) / median(extra[NAIVE]), 2),
            }
        if built[name].refused is not None:
            row["revocable"] = "yes" if built[name].revocable else "no"
        rows.append(row)
    return rows


def peers() -> dict[str, str]:
    found = {}
    for name in _peers.PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


if __name__ == "__main__":
    random.seed(20261101)  # the same shuffles each time
    asyncio.run(main())
