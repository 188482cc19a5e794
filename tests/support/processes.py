"""uvicorn in processes of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asgi_tokenguard
from support.server import free_port

TESTS = Path(__file__).parent.parent


@contextmanager
def served(options: dict[str, Any], *, processes: int = 1) -> Iterator[list[str]]:
    """The plain app under guard in *processes* processes; yields their base URLs."""
    # The package that is tested here, and not another one that happens to be installed.
    path = os.pathsep.join([str(Path(asgi_tokenguard.__file__).parent.parent), str(TESTS)])
    environment = os.environ | {"TOKENGUARD_TEST_OPTIONS": json.dumps(options), "PYTHONPATH": path}
    ports = [free_port() for _ in range(processes)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "support.served_app:app", "--port", str(port), "--log-level", "error"],
            env=environment,
            cwd=TESTS,
        )
        for port in ports
    ]
    try:
        for port in ports:
            _wait_for(port)
        yield [f"http://127.0.0.1:{port}" for port in ports]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(15)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("uvicorn did not start")
