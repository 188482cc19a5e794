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
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/app.py"))
# As a shell finds `python` and `uvicorn` where the environment is active.
ACTIVE = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
ACTIVE.pop("TOKENGUARD_SECRET", None)


def docstring(name: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / "examples" / name / "app.py").read_text()))


class Visitor:
    """A program that keeps its token and its cookies, and fills in what the example *name* asks for."""

    def __init__(self, name: str, client: httpx.Client) -> None:
        self.client = client
        self.body = "json" if "curl -si --json" in docstring(name) else "data"
        self.token: str | None = None
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, *, token: bool = True, cookie: bool = True, **more: object) -> httpx.Response:
        headers = {}
        if token and self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if cookie and self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.client.request(method, path, headers=headers, **more)
        self.token = answer.headers.get("x-new-access-token", self.token)
        self.cookies |= re.findall(r"(__Host-[a-z]+)=([^;]*);", ", ".join(answer.headers.get_list("set-cookie")))
        return answer

    def fill_in(self, path: str, password: str, user: str = "ada") -> httpx.Response:
        return self.ask("POST", path, **{self.body: {"user": user, "password": password}})


@pytest.fixture(params=EXAMPLES)
def visitor(request, server):
    command = re.search(r"^ +(TOKENGUARD_SECRET=.* uvicorn .*)$", docstring(request.param), flags=re.MULTILINE)[1]
    port = free_port()
    command = f"exec env {command} --port {port} --log-level warning"
    environment = ACTIVE | {"REDIS_URL": server.url, "PYTHONWARNINGS": "default"} | server.time_machine
    with subprocess.Popen(["sh", "-c", command], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            # No connection is kept: a leap of time is the end of its idle time.
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=30, limits=httpx.Limits(max_keepalive_connections=0)
            ) as client:
                wait_for(client, process)
                yield Visitor(request.param, client)
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            sys.stderr.write(errors)  # for the report of a test that has failed
    # Neither errors nor what a next release ends.
    assert [] == re.findall(r"Traceback.*|.*Warning: .*", errors)


def wait_for(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/me")
        except httpx.ConnectError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the example did not start")


ADA = {"user": "ada", "role": "admin"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer in our words; the framework's own have no code."""
    assert "application/json" == answer.headers["content-type"]
    assert {"detail", "code"} == set(answer.json())
    return answer.status_code, answer.json()["code"]


def test_an_example_logs_in_serves_lists_rotates_asks_once_more_and_logs_out(visitor, clock):
    assert (401, "token_required") == refusal(visitor.ask("GET", "/me"))
    assert 401 == visitor.fill_in("/login", "babbage").status_code

    login = visitor.fill_in("/login", "lovelace")
    assert (200, {"ok": True}) == (login.status_code, login.json())
    first = visitor.token
    assert {"__Host-refresh", "__Host-fresh"} == set(visitor.cookies)
    assert ADA == visitor.ask("GET", "/me", cookie=False).json()
    assert ADA == visitor.ask("GET", "/me", token=False).json()
    assert [True] == [each["current"] for each in visitor.ask("GET", "/sessions").json() if each["current"]]
    assert 204 == visitor.ask("POST", "/email").status_code

    clock.advance(901)  # past the access token, and past what counts as fresh
    cookie = visitor.cookies["__Host-refresh"]
    assert ADA == visitor.ask("GET", "/me").json()
    assert first != visitor.token
    assert cookie != visitor.cookies["__Host-refresh"]
    assert 200 == visitor.ask("GET", "/me", cookie=False).status_code

    stale = visitor.ask("POST", "/email")
    assert (401, "step_up_required") == refusal(stale)
    assert 'error="insufficient_user_authentication"' in stale.headers["www-authenticate"]
    assert 'max_age="300"' in stale.headers["www-authenticate"]
    assert 403 == visitor.fill_in("/confirm", "babbage").status_code
    assert (403, "subject_mismatch") == refusal(visitor.fill_in("/confirm", "turing", user="alan"))
    assert (401, "step_up_required") == refusal(visitor.ask("POST", "/email"))
    assert 204 == visitor.fill_in("/confirm", "lovelace").status_code
    assert 204 == visitor.ask("POST", "/email").status_code

    clock.advance(301)
    assert (401, "step_up_required") == refusal(visitor.ask("POST", "/email"))
    assert 200 == visitor.fill_in("/login", "lovelace").status_code
    assert 204 == visitor.ask("POST", "/email").status_code

    last = visitor.cookies["__Host-refresh"]
    assert 204 == visitor.ask("POST", "/logout").status_code
    assert "" == visitor.cookies["__Host-refresh"]
    visitor.cookies = {"__Host-refresh": last}
    assert (401, "logged_out") == refusal(visitor.ask("GET", "/me", cookie=False))
    assert (401, "logged_out") == refusal(visitor.ask("GET", "/me", token=False))


@pytest.mark.parametrize("name", EXAMPLES)
def test_without_a_secret_an_example_says_what_to_set(name):
    ran = subprocess.run(
        [sys.executable, ROOT / "examples" / name / "app.py"], env=ACTIVE, capture_output=True, text=True, timeout=60
    )
    assert 1 == ran.returncode
    assert ran.stderr.startswith("set TOKENGUARD_SECRET")
    assert 1 == ran.stderr.count("\n")
