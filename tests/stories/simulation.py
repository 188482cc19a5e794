"""
Simulation in time of the library's own code, over real HTTP against two uvicorn processes and a real server.

    PYTHONPATH=tests python tests/stories/simulation.py              ten seeds of each network, then 300 thieves; some minutes
    PYTHONPATH=tests python tests/stories/simulation.py 100          a hundred seeds

Two hours pass within seconds: what is to happen lies in a queue by its moment, and before it happens the clock of the Redis
server, which the guards read as well, is set to that moment.  Answers are late, lost and swapped because they wait in that
queue, slow handlers because they wait in the app until the queue lets them end.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from support.actors import COOKIE, METADATA, OWN
from support.clock import TravelClock
from support.server import RedisServer, free_port
from support.wire import Answer

from asgi_tokenguard import Lifetimes

TESTS = Path(__file__).parent.parent
LIFETIMES = Lifetimes()  # the app's are the defaults
_numbers = itertools.count()


# Two processes, and a client that is fast since it reads only what the app writes.


class Process:
    """One uvicorn, and the connections to it."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.port = free_port()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._popen = subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", "stories.simulated_app:app", "--port", str(self.port), "--lifespan", "off",
                "--log-level", "critical", "--no-access-log", "--timeout-keep-alive", "600",
            ],
            cwd=TESTS,
            env=os.environ | {"TOKENGUARD_SIMULATION": json.dumps(settings), "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    def wait(self) -> None:
        for _ in range(1000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._popen.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError("uvicorn did not start")

    def stop(self) -> None:
        self._popen.kill()
        self._popen.wait()

    async def ask(self, path: str, headers: dict[str, str], method: str = "GET") -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "host: app.example", *(f"{name}: {value}" for name, value in headers.items())]
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self.port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        pairs = [tuple(line.split(b": ", 1)) for line in head[1:-2]]
        length = next(int(value) for name, value in pairs if name.lower() == b"content-length")
        body = await reader.readexactly(length)
        self._idle.append((reader, writer))
        status = int(head[0].split()[1])
        return Answer(
            [
                {"type": "http.response.start", "status": status, "headers": pairs},
                {"type": "http.response.body", "body": body},
            ]
        )

    def hang_up(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


class Site(NamedTuple):
    """What the simulation runs against."""

    server: RedisServer
    processes: list[Process]


@contextmanager
def site(server: RedisServer, namespace: str, *, processes: int = 2) -> Iterator[Site]:
    settings = {"redis": server.url, "namespace": namespace, "clock": str(server.clock.file)}
    running = [Process(settings) for _ in range(processes)]
    try:
        for process in running:
            process.wait()
        yield Site(server, running)
    finally:
        for process in running:
            process.stop()


# Time.


class Timeline:
    """What is to happen, in order; the server's clock follows where the server is asked."""

    def __init__(self, server: RedisServer) -> None:
        self._clock = TravelClock(server.clock.file)
        self._redis = Redis(unix_socket_path=str(server.socket))
        self._start = self._clock.time() + 1
        self._queue: list[tuple[float, int, Callable[[], Awaitable[None] | None]]] = []
        self.now = 0.0

    def at(self, moment: float, happens: Callable[[], Awaitable[None] | None]) -> None:
        """Let *happens* happen; it returns an awaitable where it asks the server."""
        heapq.heappush(self._queue, (moment, next(_numbers), happens))

    async def run(self, until: float, *, together: float = 0.0) -> None:
        """Let all happen until the moment *until*; what lies within *together* seconds happens at once."""
        while self._queue and self._queue[0][0] <= until:
            self.now = max(self.now, self._queue[0][0] + together)
            batch = []
            while self._queue and self._queue[0][0] <= self.now:
                asking = heapq.heappop(self._queue)[2]()
                if asking is not None:
                    batch.append(asking)
            if batch:
                self._set_clock()
                await asyncio.gather(*batch)

    def close(self) -> None:
        self._redis.close()

    def _set_clock(self) -> None:
        # Real time passes as well while requests are served; the clock never goes back.
        moment = self._start + self.now
        missing = moment - self._clock.time()
        if missing > 0.01:
            self._clock.advance(missing)
            while _seconds(self._redis.time()) < moment - 0.01:  # it may live in the past for a moment
                pass


def _seconds(reply: tuple[int, int]) -> float:
    return reply[0] + reply[1] / 1e6


# An owner whose network is bad.


@dataclass(frozen=True, kw_only=True)
class World:
    """Times in seconds, shares of one."""

    tabs: int = 3
    hours: float = 2
    every: float = 20  # each tab asks so often
    bursts: tuple[int, ...] = (1, 1, 3)  # and sends so many requests
    reload: float = 0.05
    wire: float = 0.15
    late: float = 0.02
    latest: float = 9
    lost: float = 0.02
    slow: float = 0.0
    slowest: float = 60


WORLDS = {
    "normal": World(),
    "reloads": World(reload=0.5, every=12, late=0.1),
    "30 % of answers lost": World(lost=0.3),
    "slow handlers": World(slow=0.1),
    "handlers slower than an access lifetime": World(slow=0.1, slowest=2500, lost=0.1),
    "one tab, seldom": World(tabs=1, every=150, bursts=(1,), lost=0.3, late=0.2, latest=27),
    "ten tabs": World(tabs=10, every=60),
    # A request and its answer are each on the wire for less than the grace, less the second of I15.
    "late": World(late=0.2, latest=27),
    "everything": World(lost=0.2, slow=0.05, reload=0.3, every=15, late=0.1, latest=27),
    "a train: 60 % lost": World(lost=0.6, late=0.3, latest=25, slow=0.05),
}


@dataclass
class Outcome:
    """What came of one run."""

    requests: int = 0
    refused: str | None = None
    handed: Counter[str] = field(default_factory=Counter)
    issued: dict[int, int] = field(default_factory=dict)  # when each generation was

    def note(self, answer: Answer) -> None:
        self.requests += 1
        if answer.status != 200:
            self.refused = self.refused or f"{answer.status} {answer.code}"
        cookie, token = answer.cookie(), answer.new_token
        self.handed["cookie" if cookie else "access token" if token else "nothing"] += 1
        if cookie:
            claims = payload(cookie)
            self.issued[claims["gen"]] = claims["iat"]

    @property
    def rotations(self) -> int:
        return max(self.issued)

    @property
    def shortest(self) -> int:
        """The shortest time between two rotations."""
        times = [self.issued[gen] for gen in sorted(self.issued)]
        return min((later - earlier for earlier, later in itertools.pairwise(times)), default=LIFETIMES.access)


class Owner:
    """One cookie jar and some tabs."""

    def __init__(self, site: Site, timeline: Timeline, world: World, seed: int) -> None:
        self.site, self.timeline, self.world = site, timeline, world
        self.random = random.Random(seed)
        self.outcome = Outcome()
        self.jar = ""
        self.tabs: list[str | None] = [None] * world.tabs
        self.over = False

    async def log_in(self, user: str) -> None:
        answer = await self.site.processes[0].ask(f"/login?{user}", METADATA["fetch"] | {"origin": OWN}, "POST")
        self.outcome.note(answer)
        self.jar, self.tabs[0] = answer.cookie(), answer.new_token
        for tab in range(self.world.tabs):
            self.timeline.at(self.timeline.now + self.random.random() * self.world.every, lambda tab=tab: self.act(tab))

    def act(self, tab: int) -> None:
        """The tab sends with what it has now; all else comes later."""
        if self.over:
            return
        world, now = self.world, self.timeline.now
        if self.random.random() < world.reload:
            self.tabs[tab] = None
        sent = METADATA["fetch"] | {"cookie": f"{COOKIE}={self.jar}"}
        if self.tabs[tab]:
            sent["authorization"] = f"Bearer {self.tabs[tab]}"
        together = self.on_the_wire() if self.random.random() < 0.5 else None
        for _ in range(self.random.choice(world.bursts)):
            arrives = now + (self.on_the_wire() if together is None else together)  # some bursts come in at once
            self.timeline.at(arrives, lambda: self.come_in(tab, sent))
        self.timeline.at(now + self.random.expovariate(1 / world.every), lambda: self.act(tab))

    async def come_in(self, tab: int, sent: dict[str, str]) -> None:
        process = self.random.choice(self.site.processes)
        if self.random.random() >= self.world.slow:
            self.leave(tab, await process.ask("/me", sent))
            return
        ticket = next(_numbers)
        slow = asyncio.ensure_future(process.ask(f"/slow?{ticket}", sent))
        begun = asyncio.ensure_future(process.ask(f"/begun?{ticket}", {}))
        await asyncio.wait((slow, begun), return_when=asyncio.FIRST_COMPLETED)
        if slow.done():  # refused, so that it will never begin
            await process.ask(f"/end?{ticket}", {})
            await begun
            self.leave(tab, slow.result())
            return

        async def end() -> None:
            await process.ask(f"/end?{ticket}", {})
            self.leave(tab, await slow)

        self.timeline.at(self.timeline.now + self.random.random() * self.world.slowest, end)

    def leave(self, tab: int, answer: Answer) -> None:
        self.outcome.note(answer)
        if answer.status != 200:
            self.over = True
        elif self.random.random() >= self.world.lost:
            self.timeline.at(self.timeline.now + self.on_the_wire(), lambda: self.arrive(tab, answer))

    def arrive(self, tab: int, answer: Answer) -> None:
        self.jar = answer.cookie() or self.jar
        self.tabs[tab] = answer.new_token or self.tabs[tab]

    def on_the_wire(self) -> float:
        late = self.random.random() < self.world.late
        return self.random.random() * (self.world.latest if late else self.world.wire)


def leave(site: Site, timeline: Timeline) -> None:
    timeline.close()
    for process in site.processes:
        process.hang_up()


async def work(site: Site, world: World, seed: int) -> Outcome:
    """An honest owner, for some hours."""
    timeline = Timeline(site.server)
    owner = Owner(site, timeline, world, seed)
    await owner.log_in(f"owner-{next(_numbers)}")
    await timeline.run(world.hours * 3600)
    owner.over = True
    await timeline.run(float("inf"))  # what is still on its way
    leave(site, timeline)
    return owner.outcome


# A thief with a copy of the cookie, while the owner works.


class Thief:
    """Copies the jar once, comes back at random with the newest that he has, and takes what he is handed."""

    def __init__(self, owner: Owner) -> None:
        self.owner, self.timeline, self.random = owner, owner.timeline, owner.random
        self.stolen_at = 0.0
        self.caught_after: float | None = None
        self.served = 0
        self.jar, self.token = "", None

    def steal(self) -> None:
        self.jar, self.stolen_at = self.owner.jar, self.timeline.now
        self.timeline.at(self.timeline.now + self.random.random() * 900, self.come_back)

    async def come_back(self) -> None:
        if self.owner.over:  # he finds a session that is over: the owner's next request has ended it
            self.is_caught()
            return
        sent = {"cookie": f"{COOKIE}={self.jar}"} | ({"authorization": f"Bearer {self.token}"} if self.token else {})
        answer = await self.random.choice(self.owner.site.processes).ask("/me", sent)
        if answer.status != 200:
            self.is_caught()
            return
        self.served += 1
        self.jar, self.token = answer.cookie() or self.jar, answer.new_token or self.token
        self.timeline.at(self.timeline.now + self.random.uniform(600, 1200), self.come_back)

    def is_caught(self) -> None:
        self.caught_after = self.timeline.now - self.stolen_at
        self.owner.over = True


async def hunt(site: Site, number: int, seed: int, *, hours: float = 48) -> list[Thief]:
    """So many owners at once, each with a thief; it ends when all are caught, or after some days."""
    timeline = Timeline(site.server)
    world = World(tabs=1, every=100, bursts=(1,), late=0, lost=0, hours=hours)
    thieves = []
    for user in range(number):
        owner = Owner(site, timeline, world, seed + user)
        await owner.log_in(f"victim-{seed}-{user}")
        thief = Thief(owner)
        timeline.at(owner.random.random() * 1800, thief.steal)
        thieves.append(thief)
    await timeline.run(hours * 3600, together=2.0)
    leave(site, timeline)
    return thieves


def payload(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def say(name: str, outcomes: list[Outcome], seconds: float) -> None:
    """A line of what happened, for people."""
    handed = sum((outcome.handed for outcome in outcomes), Counter())
    refused = [outcome.refused for outcome in outcomes if outcome.refused]
    print(  # noqa: T201
        f"{name}: {len(outcomes)} sessions, {handed.total()} requests that were handed {dict(handed)}, "
        f"{sum(outcome.rotations for outcome in outcomes)} rotations, no two within "
        f"{min(outcome.shortest for outcome in outcomes)} s; logouts: {refused or 'none'} ({seconds:.0f} s)",
        flush=True,
    )


def say_caught(thieves: list[Thief], seconds: float) -> None:
    caught = [thief.caught_after / 60 for thief in thieves if thief.caught_after is not None]
    print(  # noqa: T201
        f"{len(caught)} of {len(thieves)} thieves are caught, half of them within {statistics.median(caught):.0f} minutes, "
        f"the last after {max(caught):.0f} ({seconds:.0f} s)",
        flush=True,
    )


async def main(seeds: int) -> int:
    server = RedisServer().start()
    wrong = 0
    try:
        with site(server, "simulation") as place:
            for name, world in WORLDS.items():
                began = time.perf_counter()
                outcomes = [await work(place, world, seed) for seed in range(seeds)]
                wrong += sum(outcome.refused is not None or outcome.shortest < LIFETIMES.access for outcome in outcomes)
                say(name, outcomes, time.perf_counter() - began)
            began = time.perf_counter()
            thieves = await hunt(place, 300, seed=0)
            wrong += sum(thief.caught_after is None for thief in thieves)
            say_caught(thieves, time.perf_counter() - began)
    finally:
        server.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)))
