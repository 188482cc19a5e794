"""The self-test passes on the package as it is, and fails on one that breaks a promise."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from asgi_tokenguard.demo.stories import STORIES

RUN = "import sys; from asgi_tokenguard.cli import main; sys.exit(main(['demo', '--selftest']))"
PATCH_LUA = """
import hashlib
from dataclasses import replace
from asgi_tokenguard.store import scripts
def patch(old, new):
    assert old in scripts.PRESENT.text
    text = scripts.PRESENT.text.replace(old, new)
    scripts.PRESENT = replace(scripts.PRESENT, text=text, sha=hashlib.sha1(text.encode()).hexdigest())
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
from asgi_tokenguard.liveness import Liveness
async def judge(self, claims, field=None):
    return Access.EXPIRED if self._clock.now_ms() // 1000 >= claims.exp else Access.LIVE
Liveness.judge = judge
""",
        {
            "revocation is seen at once",
            "a lost device is ended from another one",
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


pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def runs():
    """Two variants at a time: a run mostly waits, but each has thirteen stories that count seconds."""

    def run(breakage):
        command = [sys.executable, "-c", f"{breakage}\n{RUN}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout, done.stderr, done.returncode

    with ThreadPoolExecutor(2) as pool:
        results = pool.map(run, [breakage for breakage, _ in VARIANTS.values()])
        return dict(zip(VARIANTS, results, strict=True))


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
