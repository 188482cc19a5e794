"""The client as an npm package: its types, and axios and ky around it.  What is installed beside it is pinned."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from support.client_world import world
from support.needs import missing, need_command
from support.node import run_stories

FOLDER = Path(__file__).parent
PACKAGES = ["axios@1.21.1", "ky@1.14.3", "typescript@5.9.3"]

pytestmark = pytest.mark.thorough


def npm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["npm", *arguments, "--loglevel=error", "--ignore-scripts", "--no-audit", "--no-fund"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A front-end project that has installed the package as it would come from npm."""
    need_command("npm")
    folder = tmp_path_factory.mktemp("project")
    packed = npm(folder, "pack", "--json", str(files("asgi_tokenguard.browser")))
    assert 0 == packed.returncode, packed.stderr
    (folder / "package.json").write_text('{"type": "module"}')
    installed = npm(folder, "install", f"./{json.loads(packed.stdout)[0]['filename']}", *PACKAGES)
    if installed.returncode:
        missing(f"npm could not install {PACKAGES}: {installed.stderr.strip()[-200:]}")
    for name in ("tab.mjs", "wrappers.npm.mjs", "usage.npm.ts"):
        shutil.copy(FOLDER / name, folder)
    return folder


def test_the_package_holds_what_it_needs_and_no_more(project):
    installed = project / "node_modules" / "asgi-tokenguard"
    assert {"package.json", "tokenguard.js", "tokenguard.d.ts"} == {path.name for path in installed.iterdir()}
    script = 'import("asgi-tokenguard").then(({ createClient }) => console.log(typeof createClient))'
    ran = subprocess.run(["node", "-e", script], cwd=project, capture_output=True, text=True, check=True)
    assert "function" == ran.stdout.strip()


def test_the_types_allow_what_is_meant_and_refuse_what_is_not(project):
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"]
    command = ["node", "node_modules/typescript/bin/tsc", *options, "usage.npm.ts"]
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=100)
    assert (0, "") == (ran.returncode, ran.stdout)


def test_axios_and_ky_go_round_it(project):
    with world() as base:
        run_stories(project / "wrappers.npm.mjs", base=base, elsewhere="")
