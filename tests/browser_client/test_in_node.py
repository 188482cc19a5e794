"""The client's logic, in Node, against a guarded app on a real server; each file of stories has a world of its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.client_world import Elsewhere, world
from support.http import serving
from support.needs import need_command
from support.node import run_stories

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("stories", sorted(Path(__file__).parent.glob("*.test.mjs")), ids=lambda path: path.name)
def test_the_client_in_node(stories):
    with world() as base, serving(Elsewhere()) as elsewhere:
        run_stories(stories, base=base, elsewhere=elsewhere)


def test_the_scripts_of_the_documents_are_scripts(tmp_path):
    need_command("node")
    found = 0
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text("utf-8")
        for script in re.findall(r"^```js\n(.*?)^```|<script type=\"module\">\n(.*?)</script>", text, re.DOTALL | re.MULTILINE):
            (tmp_path / "script.mjs").write_text("".join(script), "utf-8")
            ran = subprocess.run(["node", "--check", "script.mjs"], cwd=tmp_path, capture_output=True, text=True)
            assert 0 == ran.returncode, f"{page.name}: {ran.stderr}"
            found += 1
    assert found >= 7
