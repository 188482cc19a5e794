"""A server in a network namespace of its own, and a way there on which packets are lost: real TCP, and its retransmissions."""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from support.needs import missing, need_command
from support.server import RedisServer

# <linux/if_tun.h>
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
HERE, THERE = "10.77.13.1", "10.77.13.2"


class Way:
    """Carries packets between two ends, but for those that are lost."""

    def __init__(self, ends: tuple[int, int]) -> None:
        self.loss = 0.0
        self.lost = 0
        self._ends = ends
        self._dice = random.Random(1)
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        one, other = self._ends
        across = {one: other, other: one}
        while True:
            ready, _, _ = select.select([*self._ends, self._wake], [], [])
            if self._wake in ready:
                return
            for end in ready:
                packet = os.read(end, 65_536)
                if self._dice.random() < self.loss:
                    self.lost += 1
                    continue
                with suppress(OSError):  # the other end is not up yet
                    os.write(across[end], packet)

    def close(self) -> None:
        os.write(self._woken, b"x")
        self._thread.join()
        for file in (self._wake, self._woken, *self._ends):
            os.close(file)


class ServerElsewhere(RedisServer):
    def __init__(self, namespace: str) -> None:
        super().__init__(port=True, travel=False, more=["--protected-mode", "no"])
        self._namespace = namespace

    @property
    def url(self) -> str:
        return f"redis://{THERE}:{self.port}"

    def _command(self) -> list[str]:
        words = [THERE if word == "127.0.0.1" else str(word) for word in super()._command()]
        return ["ip", "netns", "exec", self._namespace, *words]


@contextmanager
def lossy() -> Iterator[tuple[ServerElsewhere, Way]]:
    """The server and the way to it; both ends of the way are ours, each in another namespace."""
    need_command("ip")
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        missing("a network namespace needs root and /dev/net/tun")
    name = f"tgloss{os.getpid()}"
    with ExitStack() as undo:
        ip("netns", "add", name)
        undo.callback(ip, "netns", "del", name)
        ends = end(f"tgh{os.getpid() % 10_000}"), end(f"tgt{os.getpid() % 10_000}")
        way = Way((ends[0][0], ends[1][0]))
        undo.callback(way.close)
        ip("link", "set", ends[1][1], "netns", name)
        for where, address, device in (([], HERE, ends[0][1]), (["-n", name], THERE, ends[1][1])):
            ip(*where, "addr", "add", f"{address}/30", "dev", device)
            ip(*where, "link", "set", device, "up")
        server = ServerElsewhere(name)
        undo.callback(server.close)
        server.start()
        yield server, way


def end(name: str) -> tuple[int, str]:
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return file, name


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
