"""The pytest plugin in the project of somebody else: the pages' own examples, and what nobody should pay for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import asgi_tokenguard
from asgi_tokenguard import testing

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parent.parent.parent
PLUGIN = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
# Each block of the page comes after the name of its file.
PAGE = dict(re.findall(r"`(\w+\.py)`[^`]*?:\n\n```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL))


class Project:
    """A folder with a shop and its tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("shop.py", PAGE["shop.py"])

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def test(self, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # As an installed package has it; where this one is not installed as it is now, its plugin is named.
        installed = {each.value for each in entry_points(group="pytest11")} >= set(PLUGIN.values())
        named = [] if installed else [f"-p{module}" for module in PLUGIN.values()]
        unset = ["-oasyncio_default_fixture_loop_scope=function"]  # pytest-asyncio warns without it
        options = ["-q", "-Werror", "-pno:cacheprovider", "-pno:xdist", "-pno:valkey", *unset, *named, *more]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TOKENGUARD"))}
        path = os.pathsep.join([str(self.folder), str(Path(asgi_tokenguard.__file__).parent.parent)])
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=self.folder,
            env=inherited | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def passes(self, number: int, *more: str, **environment: str) -> None:
        done = self.test(*more, **environment)
        assert re.search(rf"^{number} passed in", done.stdout, re.MULTILINE), done.stdout + done.stderr
        assert 0 == done.returncode


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_the_page_tests_a_shop_as_it_says(project):
    assert {"shop.py", "test_shop.py", "test_thefts.py", "test_tabs.py"} == set(PAGE)
    for name, text in PAGE.items():
        project.write(name, text)
    last = (ROOT / "docs" / "testing.md").read_text().split("```python\n")[-1].split("```")[0]
    project.write("test_plain.py", "def test_without_fixtures():\n" + "".join(f"    {line}\n" for line in last.splitlines()))
    # A test that is wrong has to fail here: all others could pass because nothing is looked at.
    wrong = PAGE["test_shop.py"].replace("client.access_token != first", "client.access_token == first")
    project.write("test_wrong.py", wrong.replace("def test_", "def test_wrong_"))
    done = project.test()
    assert re.search(r"^1 failed, 8 passed in", done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert "FAILED test_wrong.py::test_wrong_" in done.stdout


@pytest.mark.parametrize("name", testing.__all__)
def test_every_public_name_is_on_the_page_and_says_what_it_is(name):
    assert f"{name}(" in (ROOT / "docs" / "testing.md").read_text()
    assert getattr(testing, name).__doc__


def test_the_first_example_is_ten_lines_at_most():
    assert 10 >= len([line for line in PAGE["test_shop.py"].splitlines() if line])


FRUGAL = """
import sys

def test_nothing_was_imported():
    assert not {"asgi_tokenguard", "redis", "starlette", "jwt"} & set(sys.modules)
"""


def test_who_asks_for_no_fixture_imports_nothing(project):
    project.write("test_frugal.py", FRUGAL)
    project.passes(1)


APART = """
import pytest
from shop import app

servers = set()

@pytest.mark.parametrize("turn", range(3))
def test_each_test_begins_with_nobody(tokenguard_client, tokenguard_redis, tokenguard_clock, turn):
    client = tokenguard_client(app)
    assert client is tokenguard_client(app)
    assert 0 == len(client.call(client.guard.sessions, "ada"))
    client.post("/login")
    assert 1 == len(client.call(client.guard.sessions, "ada"))
    assert 0 == tokenguard_clock.ahead_ms
    tokenguard_clock.advance(days=3)
    servers.add(tokenguard_redis)

def test_all_had_one_server(tokenguard_redis):
    assert {tokenguard_redis} == servers

def test_options_that_come_too_late_are_refused(tokenguard_app):
    behind = tokenguard_app(app)
    assert behind is tokenguard_app(app) is tokenguard_app(behind)
    with pytest.raises(ValueError, match="required: too late"):
        tokenguard_app(app, required=False)
"""


NAMED = """
import os
from shop import app

def test_it_is_that_one(tokenguard_client, tokenguard_redis):
    assert os.environ["EXPECTED"] == tokenguard_redis
    assert 200 == tokenguard_client(app).post("/login").status_code
"""
FIXTURE = """
import os
import pytest

@pytest.fixture(scope="session")
def tokenguard_redis():
    return os.environ["EXPECTED"]
"""
BARE = """
from starlette.responses import JSONResponse
from asgi_tokenguard import get_auth

async def app(scope, receive, send):
    await JSONResponse({"user": get_auth(scope).subject})(scope, receive, send)

def test_an_app_without_a_guard(tokenguard_app, tokenguard_client):
    behind = tokenguard_app(app, required=False)
    client = tokenguard_client(behind)
    assert client is tokenguard_client(behind)
    assert {"user": None} == client.get("/").json()
"""


def test_tests_are_kept_apart_on_one_server_that_a_variable_names(project, still):
    project.write("test_apart.py", APART)
    project.write("test_bare.py", BARE)
    project.write("test_named.py", NAMED)
    project.passes(7, EXPECTED=still.url, TOKENGUARD_TEST_REDIS=still.url)


def test_a_fixture_of_the_project_may_name_the_server(project, still):
    project.write("test_named.py", NAMED)
    project.write("conftest.py", FIXTURE)
    project.passes(1, EXPECTED=still.url)


FRAMEWORK = """
import pytest
from NAME_shop import app

ADA = {"user": "ada", "password": "lovelace"}

@pytest.fixture
def client(tokenguard_client):
    client = tokenguard_client(app, base_url="https://localhost")  # Django's example answers to no other name
    assert 200 == client.post("/login", **{BODY: ADA}).status_code
    return client

def test_a_session_lives_through_its_day(client, tokenguard_clock):
    first, me = client.access_token, {"user": "ada", "role": "admin"}
    assert me == client.get("/me").json()
    assert 204 == client.post("/email").status_code
    tokenguard_clock.advance(minutes=16)
    assert me == client.tab().get("/me").json()
    assert me == client.get("/me").json()
    assert first != client.access_token
    stale = client.post("/email")
    assert (401, "step_up_required") == (stale.status_code, stale.json()["code"])
    assert 204 == client.post("/confirm", **{BODY: ADA}).status_code
    assert 204 == client.post("/email").status_code
    assert 1 == len(client.get("/sessions").json())
    assert 204 == client.post("/logout").status_code
    assert "logged_out" == client.get("/me").json()["code"]
"""


def test_the_apps_of_all_frameworks_are_tested_as_they_are(project):
    names = ["django", "fastapi", "litestar", "quart"]
    for name in names:
        example = (ROOT / "examples" / name / "app.py").read_text()
        project.write(f"{name}_shop.py", example)
        body = "json" if "curl -si --json" in example else "data"
        project.write(f"test_{name}.py", FRAMEWORK.replace("NAME", name).replace("BODY", f'"{body}"'))
    project.passes(len(names), TOKENGUARD_SECRET="s" * 32)


def test_the_plugin_is_where_the_package_says():
    assert {"tokenguard": "_tokenguard_pytest"} == PLUGIN
    assert (Path(asgi_tokenguard.__file__).parent.parent / "_tokenguard_pytest.py").is_file()
