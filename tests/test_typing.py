"""What type checkers say of the options, by mypy itself; a line that is to be refused ends in `# refused: ` and why."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

LINES = """
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware
from asgi_tokenguard.starlette import install

app = Starlette()
guard = TokenGuard(secret="x", redis="redis://localhost")
TokenGuardMiddleware(app, guard)
TokenGuardMiddleware(app, guard=guard)
TokenGuardMiddleware(app, secret="x", redis="redis://localhost", public=["/login"], timeout=2)
app.add_middleware(TokenGuardMiddleware, guard=guard)
app.add_middleware(TokenGuardMiddleware, secret="x", redis="redis://localhost", public=["/login"])
Middleware(TokenGuardMiddleware, guard=guard)
install(app, guard)
install(app, guard=guard)
install(app, secret="x", redis="redis://localhost")

TokenGuard(secret="x")  # refused: call-arg
TokenGuardMiddleware(app, secret="x", redis="redis://localhost", acess_header="x")  # refused: call-arg
TokenGuardMiddleware(app, secret="x", redis="redis://localhost", timeout="3")  # refused: arg-type
TokenGuardMiddleware(app, guard="a secret")  # refused: arg-type
app.add_middleware(TokenGuardMiddleware, secret="x", redis="redis://localhost", timout=3)  # refused: call-arg
app.add_middleware(TokenGuardMiddleware, secret="x", redis="redis://localhost", timeout="3")  # refused: arg-type
install(app, guard, timeout=3)  # refused: call-overload
"""


@pytest.mark.timeout(300)
@pytest.mark.thorough
def test_options_are_checked_through_every_door_and_a_guard_needs_none(tmp_path):
    (tmp_path / "app.py").write_text(LINES)
    # Away from the checkout, whose configuration is not a user's.
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "app.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    found = {
        (int(line), code) for line, code in re.findall(r"^app.py:(\d+): error: .*\[([a-z-]+)\]$", said, flags=re.MULTILINE)
    }
    expected = {
        (number, line.rpartition(": ")[2]) for number, line in enumerate(LINES.splitlines(), 1) if "# refused: " in line
    }
    assert expected == found, said
