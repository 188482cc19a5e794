"""Every parser's harness over what earlier searches have found, and a few seconds of search for more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.needs import missing

import asgi_tokenguard
from fuzz.harness import CORPUS, NAMES, harness

TESTS = Path(__file__).parent.parent
SECONDS = 5


def test_every_harness_has_a_corpus():
    assert sorted(NAMES) == sorted(folder.name for folder in CORPUS.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_i3_what_was_found_before_breaks_no_promise(name):
    found = harness(name)
    outcomes = {found.check(data) for data in found.saved()}
    assert set() == found.outcomes - outcomes, "the corpus does not reach these"


@pytest.mark.parametrize("name", NAMES)
def test_i3_nor_does_it_cut_off_or_twice(name):
    """What a search does first with its corpus, so that there is some without it as well."""
    found = harness(name)
    for data in found.saved():
        for changed in (data[: len(data) // 2], data[1:], data + data, data[::-1], data.upper()):
            found.check(changed)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_i3_a_few_seconds_of_search_break_no_promise(name):
    if find_spec("atheris") is None:
        missing("atheris is not installed: it has wheels for Linux on x86_64 and Python 3.11 to 3.13")
    # The package that is tested here, and not another one that happens to be installed.
    path = os.pathsep.join([str(Path(asgi_tokenguard.__file__).parent.parent), str(TESTS)])
    search = subprocess.run(
        [sys.executable, "-m", "fuzz", name, "--seconds", str(SECONDS)],
        cwd=TESTS, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert 0 == search.returncode, search.stderr[-4_000:] + search.stdout
    runs = re.search(r"number_of_executed_units: (\d+)", search.stderr)
    assert runs is not None
    assert 100 < int(runs[1]), "a search of a handful of inputs is none"
