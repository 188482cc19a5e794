"""
Honest browsers over real HTTP against an app in two processes, while a test does harm to the store behind it.

Each browser has a cookie jar and some tabs that ask on their own; a clerk ends sessions now and then and notes when that was
confirmed.  Everything that is asked and answered goes into a `History`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import jwt

import asgi_tokenguard
from support.actors import COOKIE, METADATA
from support.history import Ending, Exchange, History, Token
from support.server import free_port
from support.wire import Answer

TESTS = Path(__file__).parent.parent
# Each browser rotates every few seconds; faults that are to be survived last less than the grace.
LIFETIMES = {"access": 4, "idle": 600, "absolute": 6000, "grace": 2}
STALENESS = 1.0
TIMEOUT = 0.5
# After a fault all are served again, once breakers have looked.  How much longer a slow machine may take (s).
CALM, PATIENCE = 1.5, 60.0
# Whatever a request asks, it is answered within its timeout; this is for two busy cores, and says "hangs".
HANGS = 15.0


class Process:
    """One uvicorn, and the connections to it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.port = free_port()
        path = os.pathsep.join([str(Path(asgi_tokenguard.__file__).parent.parent), str(TESTS)])
        command = ["uvicorn", "support.faulty_app:app", "--port", str(self.port), "--log-level", "critical", "--no-access-log"]
        self._popen = subprocess.Popen(
            [sys.executable, "-m", *command, "--timeout-keep-alive", "600"],
            cwd=TESTS,
            env=os.environ | {"TOKENGUARD_FAULTY": json.dumps(settings), "PYTHONPATH": path},
        )
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._popen.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("uvicorn did not start")

    def stop(self) -> None:
        self._popen.terminate()
        self._popen.wait(20)

    async def ask(self, path: str, headers: dict[str, str], *, hang_up_after: float = HANGS) -> Answer | None:
        """The answer; None where none came within *hang_up_after* seconds: the client goes then."""
        writer = None
        try:
            async with asyncio.timeout(hang_up_after):
                reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self.port)
                return await self._exchange(reader, writer, path, headers)
        except (OSError, EOFError, TimeoutError):
            if writer is not None:
                writer.close()
            return None

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, headers: dict[str, str]
    ) -> Answer:
        method = "POST" if path.startswith(("/login", "/revoke")) else "GET"
        lines = [f"{method} {path} HTTP/1.1", "host: app.example", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        pairs = [tuple(line.split(b": ", 1)) for line in head[1:-2]]
        body = await reader.readexactly(next(int(value) for name, value in pairs if name.lower() == b"content-length"))
        self._idle.append((reader, writer))
        start = {"type": "http.response.start", "status": int(head[0].split()[1]), "headers": pairs}
        return Answer([start, {"type": "http.response.body", "body": body}])

    async def state(self) -> dict[str, int]:
        answer = await self.ask("/state", {})
        if answer is None:
            raise RuntimeError("the app does not answer")
        found: dict[str, int] = json.loads(answer.body)
        return found

    def hang_up(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


class Browser:
    """One cookie jar and one access token for each tab; when its session is over it logs in again."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self.user = ""
        self.session = ""
        self.jar = ""
        self._logins = 0
        self._door = asyncio.Lock()

    async def live(self, tabs: int) -> None:
        await self.log_in()
        await asyncio.gather(*(self._tab() for _ in range(tabs)))

    async def log_in(self) -> None:
        self._logins += 1
        user = f"{self.name}-{self._logins}"
        while self._world.is_open:
            answer = await self._world.process().ask(f"/login?user={user}", METADATA["fetch"])
            if answer is not None and answer.status == 200 and answer.cookie():
                self.user, self.jar = user, answer.cookie() or ""
                self.session = claims_of(self.jar)["sid"]
                return
            await asyncio.sleep(0.05)

    async def _tab(self) -> None:
        token, of, world = "", "", self._world
        while world.is_open:
            session, jar = self.session, self.jar
            token, of = (token if of == session else ""), session
            held = {"authorization": f"Bearer {token}"} if token else {}
            headers = METADATA["fetch"] | {"cookie": f"{COOKIE}={jar}"} | held
            patience = world.dice.random() * 0.05 if world.dice.random() < world.impatient else HANGS
            started = time.monotonic()
            answer = await world.process().ask("/me", headers, hang_up_after=patience)
            is_over = world.note(self, session, jar, started, answer, hung=patience == HANGS)
            if answer is not None and answer.status == 200 and session == self.session:
                self.jar = answer.cookie() or self.jar
                token = answer.new_token or token
            if is_over:
                world.haunt(self, session, jar, headers)
                async with self._door:
                    if session == self.session:  # the other tab was quicker
                        await self.log_in()
            await asyncio.sleep(world.dice.random() * 2 * world.pause)


class World:
    def __init__(self, processes: list[Process], *, seed: int, pause: float, impatient: float) -> None:
        self.history = History()
        self.processes = processes
        self.dice = random.Random(seed)
        self.pause, self.impatient = pause, impatient
        self.is_open = True
        self.browsers: list[Browser] = []
        self._haunted: set[str] = set()
        self._ghosts: list[asyncio.Future[None]] = []

    def process(self) -> Process:
        return self.dice.choice(self.processes)

    def note(self, browser: Browser, session: str, jar: str, started: float, answer: Answer | None, *, hung: bool) -> bool:
        """Record it; whether the session is over."""
        given, code = None if answer is None else answer.cookie(), ""
        if answer is not None and answer.status != 200:
            with suppress(ValueError):
                code = json.loads(answer.body).get("code", "")
        # An answer for which the client would have waited for ever counts as a wrong one.
        status = (599 if hung and self.is_open else 0) if answer is None else answer.status
        exchange = Exchange(
            browser.name, session, started, time.monotonic(), status, code, token_of(jar), token_of(given) if given else None
        )
        self.history.exchanges.append(exchange)
        return status == 401

    def haunt(self, browser: Browser, session: str, jar: str, headers: dict[str, str]) -> None:
        """Somebody goes on with what the browser had, at each process, until well after the bound."""
        if session not in self._haunted:
            self._haunted.add(session)
            self._ghosts += [
                asyncio.ensure_future(self._ghost(browser, session, jar, headers, each)) for each in self.processes
            ]

    async def _ghost(self, browser: Browser, session: str, jar: str, headers: dict[str, str], process: Process) -> None:
        until = time.monotonic() + 2 * STALENESS
        while self.is_open and time.monotonic() < until:
            await asyncio.sleep(0.2)
            started = time.monotonic()
            self.note(browser, session, jar, started, await process.ask("/me", headers), hung=True)

    async def end_sessions(self, every: float) -> None:
        """Now and then the session of somebody is ended, and the answer says when that is sure."""
        while self.is_open:
            await asyncio.sleep(every)
            browser = self.dice.choice(self.browsers)
            session, user, asked = browser.session, browser.user, time.monotonic()
            if session:
                # From now on it may be over.
                self.history.endings.append(Ending(session, asked, None))
                answer = await self.process().ask(f"/revoke?user={user}&sid={session}", {})
                if answer is not None and answer.status == 200:  # whether or not it was live until then
                    self.history.endings.append(Ending(session, asked, time.monotonic()))

    async def play(self, seconds: float, fault: Callable[[World], Any], *, browsers: int = 8, tabs: int = 2) -> History:
        """Let them live for so long, and *fault* happen meanwhile; on a slow machine longer, until it shows something."""
        self.browsers = [Browser(self, f"user-{number}") for number in range(browsers)]
        lives = [asyncio.ensure_future(browser.live(tabs)) for browser in self.browsers]
        clerk = asyncio.ensure_future(self.end_sessions(every=0.6))
        began = time.monotonic()
        try:
            await fault(self)
            self.history.calm_since = time.monotonic() + CALM
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while not self.history.shows_something():
                        await asyncio.sleep(0.1)
        finally:
            self.is_open = False
            await asyncio.gather(*lives, clerk, *self._ghosts)
        return self.history


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def token_of(refresh: str) -> Token:
    claims = claims_of(refresh)
    return Token(claims["gen"], claims["jti"])


@contextmanager
def processes(settings: dict[str, Any], number: int = 2) -> Iterator[list[Process]]:
    options = {"staleness": STALENESS, "timeout": TIMEOUT} | settings.get("options", {})
    whole = settings | {"lifetimes": LIFETIMES, "options": options}
    running = [Process(whole) for _ in range(number)]
    try:
        for process in running:
            process.wait()
        yield running
    finally:
        for process in running:
            process.stop()


@asynccontextmanager
async def world(
    settings: dict[str, Any], *, seed: int = 1, pause: float = 0.05, impatient: float = 0.0
) -> AsyncIterator[World]:
    with processes(settings) as running:
        made = World(running, seed=seed, pause=pause, impatient=impatient)
        try:
            yield made
        finally:
            for process in running:
                process.hang_up()


def report(name: str, history: History, wrong: Iterable[str]) -> None:
    statuses: dict[int, int] = {}
    for each in history.exchanges:
        statuses[each.status] = statuses.get(each.status, 0) + 1
    told = ", ".join(f"{number} x {status or 'none'}" for status, number in sorted(statuses.items()))
    rotated = sum(each.given is not None for each in history.exchanges)
    print(f"{name}: {told}; {rotated} new cookies; {len(history.endings)} endings; {len(list(wrong))} violations")  # noqa: T201
