"""Real servers in processes of their own, all of one test module started side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from servers.client import PATIENCE, Visitor
from support.server import RedisServer, free_port

import asgi_tokenguard

TESTS = Path(__file__).parent.parent
# How long open connections may hold up the end of a server (its own option); a busy machine then has a minute for the rest.
GRACEFUL = 2
END = 60
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How one server is run; `PORT` stands for its port."""

    name: str
    command: str
    workers: int = 1
    http2: bool = False
    cuts: bool = True  # a response that its app leaves unfinished; others let the client wait
    denies: bool = True  # a handshake with status and body; others with a bare 403
    reasons: bool = True  # stand beside a close code
    lives: bool = True  # through a lifespan
    quiet: bool = True  # at its end: Hypercorn cancels what is open, and logs what comes of that

    def __str__(self) -> str:
        return self.name


UVICORN = f"uvicorn servers.app:app --loop asyncio --port PORT --timeout-graceful-shutdown {GRACEFUL}"
HYPERCORN = f"hypercorn servers.app:app --bind 127.0.0.1:PORT --graceful-timeout {GRACEFUL}"
GRANIAN = "granian servers.app:app --interface asgi --port PORT --workers-kill-timeout 10"
KINDS = [
    Kind(name="uvicorn-h11-wsproto", command=f"{UVICORN} --http h11 --ws wsproto"),
    Kind(name="uvicorn-h11-websockets-2", command=f"{UVICORN} --http h11 --ws websockets --workers 2", workers=2),
    Kind(name="uvicorn-httptools-sansio", command=f"{UVICORN} --http httptools --ws websockets-sansio"),
    Kind(
        name="uvicorn-httptools-sansio-2",
        command=f"{UVICORN} --http httptools --ws websockets-sansio --workers 2",
        workers=2,
    ),
    # HTTP/2 in the clear, which a client starts by prior knowledge; its WebSockets come within it.
    Kind(name="hypercorn-http2", command=HYPERCORN, http2=True, cuts=False, quiet=False),
    Kind(name="hypercorn-2", command=f"{HYPERCORN} --workers 2", workers=2, quiet=False),
    Kind(name="granian", command=GRANIAN),
    Kind(name="granian-2", command=f"{GRANIAN} --workers 2", workers=2),
    # It has no workers.
    Kind(name="daphne", command="daphne servers.app:app --port PORT", cuts=False, denies=False, reasons=False, lives=False),
]


class Served:
    """One running server."""

    def __init__(self, kind: Kind, options: dict[str, Any], folder: Path) -> None:
        self.kind = kind
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._ends = folder / f"{kind}.ends"
        self._ends.touch()
        self._log = folder / f"{kind}.log"
        # The package that is tested here, and not another one that happens to be installed.
        path = os.pathsep.join([str(Path(asgi_tokenguard.__file__).parent.parent), str(TESTS)])
        environment = os.environ | {
            "TOKENGUARD_TEST_OPTIONS": json.dumps(options | {"namespace": str(kind)}),
            "TOKENGUARD_TEST_ENDS": str(self._ends),
            "PYTHONPATH": path,
        }
        command = kind.command.replace("PORT", str(self.port)).split()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment, cwd=TESTS, stdout=log, stderr=log
            )

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_until_up(self) -> None:
        def answers() -> bool | None:
            if not self.runs:
                raise RuntimeError(f"{self.kind} did not start: {self.log}")
            with Visitor(self) as visitor:
                return visitor.is_answered() or None

        until(answers)

    def ends(self) -> list[list[Any]]:
        """Of the sockets that are over, and the guard's work for them too: subject, code and reason as the app was told."""
        return [json.loads(line) for line in self._ends.read_text().splitlines()]

    def elsewhere(self, worker: int) -> Visitor:
        """A visitor whose connection another worker than *worker* has taken; with one worker, any."""
        if self.kind.workers == 1:
            return Visitor(self)
        return until(lambda: self._one_of_four(worker))

    def _one_of_four(self, worker: int) -> Visitor | None:
        # Several at once: while one worker naps over the first, the other takes the next.
        visitors = [Visitor(self) for _ in range(4)]
        with ThreadPoolExecutor(len(visitors)) as pool:
            workers = list(pool.map(lambda visitor: visitor.get("/worker").json()["worker"], visitors))
        found = next((visitor for visitor, at in zip(visitors, workers, strict=True) if at != worker), None)
        for visitor in visitors:
            if visitor is not found:
                visitor.close()
        return found

    def stop(self) -> int:
        """Ask it to end, as a process manager does; its exit status."""
        self._process.terminate()
        return self._process.wait(END)

    def kill(self) -> None:
        if self.runs:
            self._process.terminate()
            try:
                self._process.wait(END)
            finally:
                self._process.kill()


class Fleet:
    """The servers of *kinds* and the Redis that they share."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._redis = RedisServer(travel=False).start()
        self._folder = tempfile.TemporaryDirectory(prefix="tgs")
        # A busy machine is no outage.
        self._options = {"secret": "a secret of more than thirty-two bytes", "redis": self._redis.url, "timeout": 10}
        self._served = {kind: self._start(kind) for kind in kinds}
        for served in self._served.values():
            served.wait_until_up()
        self.started = time.monotonic()
        # Logged in before all else: their access tokens are over by the time that somebody asks for them.
        self.early = {kind: Visitor(served).logged_in("early", at="/brief") for kind, served in self._served.items()}

    def _start(self, kind: Kind) -> Served:
        return Served(kind, self._options, Path(self._folder.name))

    def __getitem__(self, kind: Kind) -> Served:
        if not self._served[kind].runs:
            self._served[kind] = self._start(kind)
            self._served[kind].wait_until_up()
        return self._served[kind]

    def close(self) -> None:
        for visitor in self.early.values():
            visitor.close()
        for served in self._served.values():
            served.kill()
        self._redis.close()
        self._folder.cleanup()


def until(look: Callable[[], T | None]) -> T:
    """What *look* finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.02)
    return found
