"""Examples as their docstrings say to run them: in a shell, as processes of their own."""

from __future__ import annotations

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.server import RedisServer, free_port

ROOT = Path(__file__).parent.parent.parent


def command_of(module: str, of: str) -> str:
    """The command in the docstring of *of* that runs the app of *module*; both are paths below `examples`."""
    text = ast.get_docstring(ast.parse((ROOT / "examples" / of).read_text())) or ""
    dotted = re.escape("examples." + module.removesuffix(".py").replace("/", "."))
    found = re.search(rf"^ +(.* uvicorn {dotted}:app.*)$", text, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{of} does not say how to run {module}")
    return found[1]


@contextmanager
def running(command: str, server: RedisServer, **environment: str) -> Iterator[str]:
    """Run *command*, a uvicorn, on a port of its own until the block ends; yields its URL.  Errors in its log fail."""
    port = free_port()
    for name, value in environment.items():  # the block's word counts before the command's
        command = re.sub(rf"\b{name}=\S+", f"{name}={value}", command)
    command = re.sub(r" --port \d+", "", command) + f" --port {port} --log-level warning"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = os.environ | {"PATH": path, "REDIS_URL": server.url, "PYTHONWARNINGS": "default"} | server.time_machine
    with subprocess.Popen(["sh", "-c", f"exec env {command}"], cwd=ROOT, env=own, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            sys.stderr.write(errors)  # for the report of a test that has failed
    complaints = re.findall(r"Traceback.*|.*Warning: .*", errors)
    if complaints:
        raise RuntimeError(f"{command}: {complaints}")


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the example did not start")
