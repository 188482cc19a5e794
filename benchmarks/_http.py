"""Servers in processes of their own, and one connection to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

# A start takes a second; beside other benchmarks on a small machine, many.
START_SECONDS = 60.0


class Connection:
    """One HTTP/1.1 connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, method: str, path: str, *headers: str) -> tuple[int, bytes]:
        """The answer's status and head."""
        status, head, _ = await self.fetch(method, path, *headers)
        return status, head

    async def fetch(self, method: str, path: str, *headers: str) -> tuple[int, bytes, bytes]:
        """The answer's status, head and body."""
        lines = [f"{method} {path} HTTP/1.1", "host: app.example", "origin: http://app.example", *headers, "", ""]
        self._writer.write("\r\n".join(lines).encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return int(head[9:12]), head, await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


def header_of(head: bytes, name: bytes, start: bytes = b"") -> str:
    """The value of the first header *name* that begins with *start*, without it; empty where there is none."""
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b": ")
        if key.lower() == name and value.startswith(start):
            return value.removeprefix(start).decode()
    return ""


async def connect(port: int) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port))


@contextlib.asynccontextmanager
async def process(command: Callable[[int], Sequence[str]], environment: dict[str, str]) -> AsyncIterator[tuple[int, int]]:
    """What *command* (of a port) starts, once it answers, in a process session of its own; port and session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = await asyncio.create_subprocess_exec(
        *command(port), cwd=Path(__file__).parent, env=os.environ | environment, start_new_session=True
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                if running.returncode is not None:
                    raise RuntimeError(f"a server ended with {running.returncode} before it answered")
                with contextlib.suppress(OSError):
                    (await connect(port)).close()
                    break
                await asyncio.sleep(0.02)
        yield port, running.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        try:
            await asyncio.wait_for(running.wait(), 10)
        finally:
            with contextlib.suppress(ProcessLookupError):  # a master that was killed leaves its worker behind
                os.killpg(running.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def uvicorn(app: str, environment: dict[str, str], *options: str) -> AsyncIterator[int]:
    """A uvicorn with *app*; its port."""

    def command(port: int) -> list[str]:
        quiet = ["--no-access-log", "--log-level", "error"]
        return [sys.executable, "-m", "uvicorn", app, "--port", str(port), *quiet, *options]

    async with process(command, environment) as (port, _):
        yield port


def processor_seconds(session: int) -> float | None:
    """What the processes of *session* have used so far; None where there is no /proc to tell."""
    ticks, seen = 0, False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(") ")[2].split()
            if int(fields[3]) == session:
                ticks, seen = ticks + int(fields[11]) + int(fields[12]), True
    return ticks / os.sysconf("SC_CLK_TCK") if seen else None
