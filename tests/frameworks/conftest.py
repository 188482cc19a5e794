"""Django is set up before any module of it is imported, and its database goes with the process."""

from __future__ import annotations

import shutil

from support import django_project


def pytest_unconfigure() -> None:
    # Not `atexit`: workers of xdist end without it.
    shutil.rmtree(django_project.FOLDER, ignore_errors=True)
