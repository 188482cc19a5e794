"""The README's pictures are made by a script of the repository, from the demo as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import need_browser

DOCS = Path(__file__).parents[3] / "docs"
# What a README's reader on a phone's network waits for without noticing.
MOST_BYTES = 150_000

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]


def test_the_script_makes_the_pictures_that_are_kept_beside_it(tmp_path):
    from PIL import Image

    need_browser("chromium")
    command = [sys.executable, str(DOCS / "screenshots.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert 0 == ran.returncode, ran.stderr
    kept = {path.name for path in (DOCS / "images").glob("*.png")}
    assert kept == {path.name for path in tmp_path.iterdir()}
    assert "demo.png" in kept
    for path in [*tmp_path.iterdir(), *(DOCS / "images").glob("*.png")]:
        assert path.stat().st_size < MOST_BYTES, path
        with Image.open(path) as picture:
            assert 1120 == picture.width
            assert 900 < picture.height < 1400
            assert len(picture.getcolors(256)) > 50, "an empty page has two"
