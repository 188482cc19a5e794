"""
What the benchmarks share: a server, requests without HTTP, interleaved rounds, a table and JSON.

Rule: what is compared is measured in one run, in rounds that hold each contender once, in an order that is shuffled for
every round; a figure is a median over rounds.  A machine that is slower for a while is then slower for all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asgi_tokenguard.store.embedded import BINARY_VARIABLE, EmbeddedServer

SECRET = "a secret of more than thirty-two bytes, for benchmarks only"
# As of an app with a name, a role, some scopes and a tenant: 120 bytes of JSON.
CLAIMS = {
    "name": "Ada Lovelace",
    "role": "administrator",
    "scope": "read write report",
    "tenant": "analytical-engine",
    "locale": "en-GB",
}


def parser(doc: str | None, *, rounds: int, requests: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds, each with every contender (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=requests, help="requests in a round (default: %(default)s)")
    add_common(parser)
    return parser


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="a short run that shows that it works; its figures mean little")
    parser.add_argument("--json", metavar="FILE", help="write the JSON there instead of below the table")
    parser.add_argument("--server", metavar="BINARY", help="run this redis-server or valkey-server instead of the embedded one")


@contextlib.asynccontextmanager
async def real_server(binary: str | None) -> AsyncIterator[str]:
    """A private server of *binary*, or of the extra `embedded`; its URL (a unix socket)."""
    if binary:
        os.environ[BINARY_VARIABLE] = binary
    server = EmbeddedServer()
    path = await asyncio.to_thread(server.start)
    try:
        yield f"unix://{path}"
    finally:
        await asyncio.to_thread(server.stop)


async def server_name(client: Any) -> str:
    info = await client.info("server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"


def facts(server: str) -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "server": server,
        **{name: version(name) for name in ("asgi-tokenguard", "redis", "pyjwt", "starlette")},
    }


def resident() -> int | None:
    """Bytes of memory of this process; None where there is no /proc to tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else None


# --- requests without HTTP


def scope_of(headers: Iterable[tuple[str, str]], *, path: str = "/me", method: str = "GET") -> dict[str, Any]:
    """The scope of a browser's request, as a server would pass it."""
    browser = {
        "host": "app.example",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "accept": "application/json",
        "accept-language": "en-GB,en;q=0.5",
        "accept-encoding": "gzip, deflate, br, zstd",
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
    }
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in [*browser.items(), *headers]],
        "client": ("192.0.2.7", 50000),
        "server": ("app.example", 443),
        "state": {},
    }


async def bare_app(scope: Any, receive: Any, send: Any) -> None:
    """The app under all contenders: it answers, and does nothing else."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"ok": true}'})


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ask(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """One request; what was sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    # Each request has a scope of its own, since apps and middleware write in it.
    await app({**scope, "state": {}}, receive, send)
    return sent


def header(sent: list[dict[str, Any]], name: bytes) -> str:
    return next(value.decode() for key, value in sent[0]["headers"] if key == name)


# --- rounds


@dataclass
class Contender:
    """
    One row of a table.

    *measure* does a round's work, `requests` times, and is timed as a whole; *prepare* runs before each round, untimed.
    """

    name: str
    measure: Callable[[], Awaitable[None]]
    prepare: Callable[[], Awaitable[None]] | None = None
    rounds: list[float] = field(default_factory=list)  # microseconds a request

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


async def run_rounds(contenders: Sequence[Contender], *, rounds: int, requests: int, warm_up: bool = True) -> None:
    """Fill the contenders' rounds."""
    order = list(contenders)
    for number in range(-1 if warm_up else 0, rounds):
        random.shuffle(order)
        for contender in order:
            if contender.prepare is not None:
                await contender.prepare()
            gc.collect()  # what others have left; what a contender leaves itself is collected in its own time, and on it
            began = time.perf_counter_ns()
            await contender.measure()
            took = time.perf_counter_ns() - began
            if number >= 0:
                contender.rounds.append(took / 1000 / requests)


def added(contender: Contender, base: Contender) -> list[float]:
    """What *contender* takes more than *base*, round by round."""
    return [mine - theirs for mine, theirs in zip(contender.rounds, base.rounds, strict=True)]


def spread(values: Sequence[float]) -> list[float]:
    """The middle half of *values*: how far the median can be trusted."""
    low, _, high = statistics.quantiles(values, n=4)
    return [round(low, 2), round(high, 2)]


# --- output


def show(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> None:
    """A table of *columns*: key in a row -> heading."""
    cells = [[cell(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(heading), *(len(line[at]) for line in cells)) for at, heading in enumerate(columns.values())]
    for first, *rest in [list(columns.values()), *cells]:
        padded = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *padded]))


def cell(value: Any) -> str:
    """How tables show *value*."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(cell(part) for part in value)
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
    return str(value)


def write(report: dict[str, Any], file: str | None) -> None:
    text = json.dumps(report, indent=2)
    if file is None:
        print(f"\n{text}")
    else:
        Path(file).write_text(f"{text}\n", encoding="utf-8")
