"""The demo as its command starts it, in real time, and a visitor who has opened its page."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
import pytest_asyncio
from browser.demo.visit import ACCESS, LISTEN, log_in
from browser.house import PATIENCE


class Demo:
    """The command, which can be stopped and started again at the same address."""

    def __init__(self):
        self.url = "http://127.0.0.1:0"
        self.start()

    def start(self):
        port = self.url.rpartition(":")[2]
        command = [sys.executable, "-m", "asgi_tokenguard", "demo", "--port", port, "--access", str(ACCESS)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = re.search(r"http://127\.0\.0\.1:\d+", self.process.stdout.readline())[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def demo():
    demo = Demo()
    yield demo
    demo.stop()


@pytest.fixture
def url(demo):
    return demo.url


@pytest_asyncio.fixture(loop_scope="session")
async def page(context, url):
    """The page, before anybody has logged in; nothing in it breaks, and its policy is never offended."""
    context.set_default_timeout(1000 * PATIENCE)
    await context.add_init_script(LISTEN)
    page = await context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(url)
    yield page
    assert [] == errors
    for frame in page.frames:
        assert [] == await frame.evaluate("window.violations")


@pytest_asyncio.fixture(loop_scope="session")
async def signed_in(page):
    await log_in(page)
    return page
