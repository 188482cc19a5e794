"""Each example runs by the command in its own docstring, and its app does what its docstring says, over real HTTP."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from support.server import free_port

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
# As a shell finds `python` and `uvicorn` where the environment is active.
ACTIVE = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
ACTIVE.pop("TOKENGUARD_SECRET", None)


def documented(name: str) -> str:
    """The command in the docstring of the example *name*."""
    docstring = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text()))
    return re.search(r"^ +(TOKENGUARD_SECRET=.* uvicorn .*)$", docstring, flags=re.MULTILINE)[1]


@pytest.fixture(params=EXAMPLES)
def client(request, server):
    port = free_port()
    command = f"exec env {documented(request.param)} --port {port} --log-level warning"
    environment = ACTIVE | {"REDIS_URL": server.url}
    with subprocess.Popen(["sh", "-c", command], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                wait_for(client, process)
                yield client
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def wait_for(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/me")
        except httpx.ConnectError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the example did not start")


def log_in(client: httpx.Client, password: str) -> httpx.Response:
    credentials = {"user": "ada", "password": password}
    answer = client.post("/login", data=credentials)
    return client.post("/login", json=credentials) if answer.status_code == 422 else answer


def test_an_example_logs_in_serves_lists_and_logs_out(client):
    assert 401 == client.get("/me").status_code
    assert 401 == log_in(client, "babbage").status_code

    login = log_in(client, "lovelace")
    assert 200 == login.status_code
    assert "__Host-refresh=" in login.headers["set-cookie"]
    with_token = {"Authorization": f"Bearer {login.headers['x-new-access-token']}"}
    with_cookie = {"Cookie": login.headers["set-cookie"].partition(";")[0]}

    assert {"user": "ada", "role": "admin"} == client.get("/me", headers=with_token).json()
    assert {"user": "ada", "role": "admin"} == client.get("/me", headers=with_cookie).json()
    assert [True] == [
        session["current"] for session in client.get("/sessions", headers=with_token).json() if session["current"]
    ]

    assert 204 == client.post("/logout", headers=with_token).status_code
    assert "logged_out" == client.get("/me", headers=with_token).json()["code"]
    assert "logged_out" == client.get("/me", headers=with_cookie).json()["code"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_without_a_secret_an_example_says_what_to_set(name):
    ran = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py"], env=ACTIVE, capture_output=True, text=True, timeout=30
    )
    assert 1 == ran.returncode
    assert ran.stderr.startswith("set TOKENGUARD_SECRET")
    assert 1 == ran.stderr.count("\n")
