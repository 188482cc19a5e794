"""The people of `soak.py`: each has a browser's cookie jar and some tabs, which ask over connections of their own."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from _http import Connection, connect, header_of

COOKIE = b"__Host-refresh"
# Of all requests: given up before their answer, or for the list of the user's sessions; of all sessions: seconds they last.
HANG_UPS, LISTS, SESSION_SECONDS = 0.01, 0.01, 60.0


@dataclass(slots=True)
class Window:
    """What was answered in a part of the run; milliseconds."""

    took: list[float] = field(default_factory=list)
    given_up: int = 0
    rotations: int = 0
    logins: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Town:
    ports: list[int]
    pause: float
    window: Window = field(default_factory=Window)
    is_open: bool = True


class Person:
    def __init__(self, town: Town, name: str) -> None:
        self._town, self._name = town, name
        self._jar, self._visit, self._leaves = "", 0, 0.0
        self._door = asyncio.Lock()

    async def live(self, tabs: int) -> None:
        await asyncio.sleep(random.random() * self._town.pause)
        await asyncio.gather(*(Tab(self, self._town).live() for _ in range(tabs)))

    @property
    def visit(self) -> int:
        """The number of this login; 0 before the first."""
        return self._visit

    @property
    def cookie(self) -> str:
        return f"cookie: {COOKIE.decode()}={self._jar}"

    def keep(self, visit: int, head: bytes) -> None:
        """Take the cookie of an answer, unless it is one of a visit that is over."""
        if visit == self._visit and (value := header_of(head, b"set-cookie", COOKIE + b"=")):
            self._jar = value.partition(";")[0]

    async def come_or_go(self, tab: Tab) -> None:
        """Log in, or log out where this visit has lasted long enough; one tab does it, and the others wait."""
        async with self._door:
            if self._visit and time.monotonic() >= self._leaves:
                await tab.ask("POST", "/logout", self.cookie, visit=self._visit)
                self._visit, self._jar = -self._visit, ""
            if self._visit <= 0:
                await self._log_in(tab)

    async def _log_in(self, tab: Tab) -> None:
        visit = -self._visit + 1
        head = await tab.ask("POST", f"/login/{self._name}", visit=visit)
        if head is not None and (value := header_of(head, b"set-cookie", COOKIE + b"=")):
            self._jar, self._visit = value.partition(";")[0], visit
            self._leaves = time.monotonic() + random.expovariate(1 / SESSION_SECONDS)
            self._town.window.logins += 1

    def is_due(self) -> bool:
        return self._visit <= 0 or time.monotonic() >= self._leaves


class Tab:
    def __init__(self, person: Person, town: Town) -> None:
        self._person, self._town = person, town
        self._connections: dict[int, Connection] = {}
        self._token, self._visit = "", 0

    async def live(self) -> None:
        while self._town.is_open:
            if self._person.is_due():
                await self._person.come_or_go(self)
            else:
                await self._look()
            await asyncio.sleep(random.expovariate(1 / self._town.pause))
        for connection in self._connections.values():
            connection.close()

    async def _look(self) -> None:
        visit, cookie = self._person.visit, self._person.cookie
        if visit != self._visit:
            self._visit, self._token = visit, ""
        held = [f"authorization: Bearer {self._token}"] if self._token else []
        path = "/sessions" if random.random() < LISTS else "/me"
        head = await self.ask("GET", path, cookie, *held, visit=visit, gives_up=random.random() < HANG_UPS)
        if head is not None and (token := header_of(head, b"x-new-access-token")) and visit == self._visit:
            self._token = token
            self._town.window.rotations += 1

    async def ask(self, method: str, path: str, *headers: str, visit: int, gives_up: bool = False) -> bytes | None:
        """The answer's head; None where it was refused, or not waited for."""
        port, window = random.choice(self._town.ports), self._town.window
        began = time.perf_counter()
        try:
            if port not in self._connections:
                self._connections[port] = await connect(port)
            asked = self._connections[port].ask(method, path, *headers)
            status, head = await asyncio.wait_for(asked, random.random() * 0.002 if gives_up else None)
        except TimeoutError:
            self._connections.pop(port).close()
            window.given_up += 1
            return None
        except (OSError, EOFError) as error:
            self._connections.pop(port, None)
            window.wrong.append(f"{method} {path}: {error!r}")
            return None
        window.took.append((time.perf_counter() - began) * 1000)
        self._person.keep(visit, head)
        # Another tab may have logged out meanwhile; all else that is not served is wrong.
        if status != 200 and not (status == 401 and visit != self._person.visit):
            window.wrong.append(f"{method} {path}: {status}")
        return head if status == 200 else None
