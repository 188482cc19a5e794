"""Django is set up before any module of it is imported."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from support import django_project


@pytest.fixture(scope="session", autouse=True)
def _no_database_stays() -> Iterator[None]:
    yield
    shutil.rmtree(django_project.FOLDER, ignore_errors=True)
