"""The self-test passes on the package as it is, and fails on one that breaks a promise."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from asgi_tokenguard.demo.stories import STORIES

RUN = "import sys; from asgi_tokenguard.cli import main; sys.exit(main(['demo', '--selftest']))"
PATCH_LUA = """
import hashlib
from asgi_tokenguard.store import scripts
def patch(old, new):
    assert old in scripts.PRESENT.text
    text = scripts.PRESENT.text.replace(old, new)
    scripts.PRESENT = scripts.Script(text, hashlib.sha1(text.encode()).hexdigest())
"""
# What is broken, how, and the stories that notice.
VARIANTS = {
    "nothing": ("", set()),
    "no guard at all": (
        """
from asgi_tokenguard import TokenGuard
from asgi_tokenguard.demo import app
class PassThrough:
    def __init__(self, app, **options):
        self.app, self.guard = app, TokenGuard(**options)
    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)
app.TokenGuardMiddleware = PassThrough
""",
        {story.promise for story in STORIES},
    ),
    "no grace": (
        PATCH_LUA + "patch('return r.gen == 0 or now_ms >= r.mark + (r.seen and 1 or 2) * grace_ms', 'return true')",
        {"20 parallel requests with one expired token: one rotation"},
    ),
    "every presentation rotates": (
        PATCH_LUA + "patch(\"elseif not r.seen then outcome = 'redeliver'\", \"elseif not r.seen then outcome = 'rotate'\")",
        {"20 parallel requests with one expired token: one rotation", "a lost answer heals"},
    ),
    "no reuse detection": (
        PATCH_LUA + "patch(\"outcome = settled and 'reuse' or 'straggler'\", \"outcome = 'straggler'\")",
        {"reuse of a stolen copy ends the session"},
    ),
    "access tokens without Redis": (
        """
from asgi_tokenguard.core.decisions import Access
from asgi_tokenguard.engine import Engine
async def judge(self, claims):
    return Access.EXPIRED if self.store.clock.now_ms() // 1000 >= claims.exp else Access.LIVE
Engine.judge = judge
""",
        {
            "revocation is seen at once",
            "log out",
            # Nobody writes down that a generation was seen, so a superseded token counts as a lost answer's for ever.
            "20 parallel requests with one expired token: one rotation",
            "reuse of a stolen copy ends the session",
        },
    ),
    "cookies carry posts across sites": (
        "from asgi_tokenguard.core import decisions; decisions.may_ride_on_cookie = lambda *_, **__: True",
        {"a cookie alone carries no post across sites"},
    ),
}


@pytest.fixture(scope="module")
def runs():
    """All variants side by side: a run mostly waits, but for its start, so they do not start all at once."""
    processes = {}
    try:
        for name, (breakage, _) in VARIANTS.items():
            command = [sys.executable, "-c", f"{breakage}\n{RUN}"]
            processes[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(1.5)
        yield {name: (*process.communicate(timeout=60), process.returncode) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def failed(output: str) -> set[str]:
    return set(re.findall(r"^[ \d]\d FAILED  (.*)$", output, flags=re.MULTILINE))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_promise_fails_its_own_step_and_no_other(name, runs):
    output, errors, code = runs[name]
    expected = VARIANTS[name][1]
    assert expected == failed(output), output + errors
    assert bool(expected) is bool(code)
    assert f"{len(STORIES) - len(expected)} of {len(STORIES)} steps ok" in output


def test_a_failing_step_says_what_was_expected_and_what_came(runs):
    output, _, code = runs["no reuse detection"]
    assert 1 == code
    assert "the thief's copy: expected 401 reuse_detected, came 200" in output


def test_no_token_is_printed(runs):
    """Output of a self-test ends in bug reports."""
    for output, errors, _ in runs.values():
        assert "eyJ" not in output + errors


def test_it_is_over_within_20_seconds_and_ends_in_peace(runs):
    output, errors, _ = runs["nothing"]
    assert 20 > float(re.search(r"steps ok in ([\d.]+) s", output)[1])
    assert "Traceback" not in errors
