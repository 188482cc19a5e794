"""Chromium as Debian packages it, by Playwright; its own builds are never downloaded."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from browser.house import until
from playwright.async_api import Browser, BrowserContext, Playwright
from support.needs import need_browser

# What a browser does for itself, and not for the page, is left out: it would ask the network.
QUIET = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip


def settings() -> dict[str, Any]:
    return {
        "executable_path": need_browser("chromium"),
        "headless": True,
        "chromium_sandbox": False,  # CI is root in a container, where Chromium cannot build one
        # Playwright turns the back-forward cache off, which is what some stories are about.
        "ignore_default_args": ["--disable-back-forward-cache"],
        "args": QUIET,
    }


async def launch(playwright: Playwright) -> Browser:
    return await playwright.chromium.launch(**settings())


class Profile:
    """A user's own Chromium: a profile on disk, in which it is started, closed (by its context) and killed."""

    def __init__(self, playwright: Playwright, folder: Path) -> None:
        self._playwright = playwright
        self._folder = folder

    async def start(self) -> BrowserContext:
        return await self._playwright.chromium.launch_persistent_context(self._folder, **settings())

    async def kill(self) -> None:
        """As a power cut does, with all its processes: nothing more is written."""
        process = self._process()
        if process is None:
            return
        # Playwright starts a browser in a group of its own; ours would take the tests with it.
        group = os.getpgid(process)
        if group == os.getpgrp():
            raise RuntimeError("the browser runs in the group of its tests")
        os.killpg(group, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: not runs(process))
        self._lock.unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        return self._folder / "SingletonLock"

    def _process(self) -> int | None:
        """The browser that has the profile: Chromium's lock is a link to `host-process`."""
        try:
            process = int(str(self._lock.readlink()).rpartition("-")[2])
        except FileNotFoundError:
            return None
        return process if runs(process) else None


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@asynccontextmanager
async def profile(playwright: Playwright, preferences: dict[str, Any] | None = None) -> AsyncIterator[Profile]:
    """A new profile; *preferences* as they stand in its file of that name."""
    with tempfile.TemporaryDirectory(prefix="tgb", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "Default").mkdir()
        (Path(folder) / "Default" / "Preferences").write_text(json.dumps(preferences or {}))
        found = Profile(playwright, Path(folder))
        try:
            yield found
        finally:
            await found.kill()
