"""What tests need beside Python and pip: missing, it is a skip with its reason for people and a failure in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def missing(reason: str) -> None:
    # CI must never pass because most of it was skipped.
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def need_command(name: str) -> None:
    if shutil.which(name) is None:
        missing(f"{name} is not installed")
