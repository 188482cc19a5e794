"""What only a browser does: its own redirects, `Origin` and policies, with the client as it is served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from browser.chromium import QUIET
from browser.firefox import write_preferences
from starlette.responses import HTMLResponse, Response
from support.client_world import Elsewhere, world
from support.http import serving
from support.needs import need_browser

STRICT = {
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self' http://127.0.0.1:*; base-uri 'none'",
    "referrer-policy": "no-referrer",
}
PAGE = '<!doctype html><title>A page</title><script type="module" src="/test/page.js"></script>'
PAGES = {
    "/page": HTMLResponse(PAGE, headers=STRICT),
    "/test/page.js": Response((Path(__file__).parent / "page.js").read_text(), media_type="text/javascript"),
}
ARGUMENTS = {
    "chromium": lambda profile: ["--headless", "--no-sandbox", "--disable-dev-shm-usage", *QUIET, f"--user-data-dir={profile}"],
    "firefox": lambda profile: ["--headless", "--no-remote", "--profile", profile],
}


@contextmanager
def opened(browser: str, url: str) -> Iterator[None]:
    """A page of *browser* at *url*, with a profile of its own and nobody at its controls, until the block ends."""
    command = need_browser(browser)
    profile = tempfile.mkdtemp(prefix="tgc", dir="/tmp")
    write_preferences(Path(profile))
    process = subprocess.Popen(
        [command, *ARGUMENTS[browser](profile), url],
        env=os.environ | {"HOME": profile},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(profile, ignore_errors=True)


def ask(base: str, what: str) -> Any:
    with urlopen(f"{base}/test/{what}", timeout=30) as answer:
        return json.load(answer)


@pytest.mark.thorough
@pytest.mark.parametrize("browser", ARGUMENTS)
def test_a_page_lives_a_session_under_strict_policies(browser):
    other = Elsewhere()
    with world(PAGES) as base, serving(other) as elsewhere, opened(browser, f"{base}/page?elsewhere={elsewhere}"):
        deadline = time.monotonic() + 60
        while not (told := ask(base, "tell")) and time.monotonic() < deadline:
            time.sleep(0.05)
        arrived = {each["query"]: each["headers"] for each in ask(base, "log")}
    (story,) = told
    assert story == {
        "login": 200,
        "me": 200,
        "others": True,
        "away": ["TypeError", "TypeError"],
        "plain": 200,
        "within": 200,
        "rotates": 200,
        "rotations": 1,
        "seen": ["", 0, 0, 0],
        "opened": {"user": "ada", "offered": ["chat.v1"]},
        "after": [False, 401],
    }
    # A header of one's own goes where a redirect leads; the client's did not even leave.
    assert {"plain"} == {each["query"] for each in other.seen}
    assert "a token would be here" in {each["headers"].get("x-token") for each in other.seen}
    # Without the client's referrer policy Firefox says `null` here, as the Fetch standard wants it, and is refused.
    assert base == arrived["over"]["origin"]
    assert "same-origin" == arrived["over"]["sec-fetch-mode"]
    # What the caller says of it is kept.
    assert f"{base}/somewhere" == arrived["from"]["referer"]
