"""A real server for tests, whose clock can travel."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from asgi_tokenguard.store.embedded import find_binary
from support.clock import TravelClock


def faketime_library() -> Path | None:
    """The libfaketime of the wheel of that name (Linux on x86_64 only), or None."""
    spec = find_spec("libfaketime")
    if sys.platform != "linux" or spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0])
    return next(folder.rglob("libfaketime.so.1"), None)


def is_dynamic(binary: Path) -> bool:
    """Whether *binary* asks the C library for the time; one that is linked statically cannot be told another."""
    with binary.open("rb") as file:
        return b"/ld-linux" in file.read(4096)  # the program that links it, which is named behind the headers


class RedisServer:
    """
    A Redis or Valkey server of one test or one test module; `port=True` for a loopback port beside the socket.

    In *more*, `{port}` is that port; with *tls* it is left to those settings.
    """

    def __init__(self, *, port: bool | int = False, travel: bool = True, tls: bool = False, more: Sequence[str] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tgt", dir="/tmp"))
        self.socket = self.folder / "s"
        (self.folder / "clock").write_text("+0\n")
        self.clock = TravelClock(self.folder / "clock", self.nudge)
        self.port = free_port() if port is True else int(port)
        self.tls = tls
        self.more = [word.format(port=self.port) for word in more]
        self.travels = travel and faketime_library() is not None and is_dynamic(find_binary())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket}"

    def start(self) -> RedisServer:
        environment = dict(os.environ)
        if self.travels:
            environment |= {
                # The C library's own memory: Debian's server takes jemalloc, which asks for the time before it can be told.
                "LD_PRELOAD": f"{faketime_library()} libc.so.6",
                "FAKETIME_TIMESTAMP_FILE": str(self.clock.file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        self._process = subprocess.Popen(self._command(), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_for_pong()
        return self

    @property
    def time_machine(self) -> dict[str, str]:
        """Environment variables for a Python process whose monotonic clock is to travel with this server."""
        return {"PYTHONPATH": str(Path(__file__).parent / "travel"), "TRAVEL_CLOCK": str(self.clock.file)}

    def _command(self) -> list[str]:
        return [
            find_binary(), "--port", str(0 if self.tls else self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket),
            "--dir", str(self.folder), "--save", "", "--appendonly", "no", "--loglevel", "warning", *self.more,
        ]  # fmt: skip

    def _wait_for_pong(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(1)
                    client.connect(str(self.socket))
                    client.sendall(b"PING\r\n")
                    if client.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("the test server did not start")

    def nudge(self) -> None:
        """Return once the server lives at the new time."""
        if self._process is None:
            return
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(self.socket))
            for _ in range(2000):
                client.sendall(b"TIME\r\n")
                _, _, seconds, _, microseconds, _ = client.recv(128).split(b"\r\n")
                if abs(int(seconds) + int(microseconds) / 1e6 - self.clock.time()) < 0.05:
                    return
                time.sleep(0.001)
        raise RuntimeError("the server's clock did not move")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
