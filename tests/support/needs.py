"""What tests need beside Python and pip: missing, it is a skip with its reason for people and a failure in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

BROWSERS = {
    "chromium": ("chromium", "google-chrome-stable", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}


def missing(reason: str) -> NoReturn:
    # CI must never pass because most of it was skipped.
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def need_command(name: str) -> None:
    if shutil.which(name) is None:
        missing(f"{name} is not installed")


def need_browser(name: str) -> str:
    """The path of a browser: one of the names under which systems have it."""
    for each in BROWSERS[name]:
        if (found := shutil.which(each)) is not None:
            return found
    missing(f"{name} is not installed")
