"""The sub-package's face, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from inspect import iscoroutinefunction

import pytest

from asgi_tokenguard import geo


def loaded(command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{command}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {module.split(".")[0] for module in done.stdout.split()}


def test_importing_it_imports_neither_library():
    assert set() == loaded("import asgi_tokenguard.geo") & {"httpx", "httpx2", "httpcore", "maxminddb"}


def test_a_table_needs_neither_library():
    table = "FixedLocator({'10.0.0.0/8': Place(latitude=1, longitude=1)})"
    command = f"from asgi_tokenguard.geo import FixedLocator; from asgi_tokenguard.core.places import Place; {table}"
    assert set() == loaded(command) & {"httpx", "httpx2", "maxminddb"}


def test_a_provider_is_paid_for_when_the_locator_is_built_and_not_by_the_first_request():
    assert {"httpx"} == loaded("from asgi_tokenguard.geo import HttpLocator; HttpLocator('https://a.example/{address}')") & {
        "httpx",
        "maxminddb",
    }


@pytest.mark.parametrize("name", geo.__all__)
def test_every_name_exists_and_is_documented(name):
    assert getattr(geo, name).__doc__


@pytest.mark.parametrize("name", ["FixedLocator", "HttpLocator", "MaxMindLocator"])
def test_every_locator_has_both_methods(name):
    assert iscoroutinefunction(getattr(geo, name).locate)
    assert iscoroutinefunction(getattr(geo, name).aclose)
