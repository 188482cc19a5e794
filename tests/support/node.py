"""Stories that run in Node."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support.needs import missing, need_command

OLDEST = 18  # the first with `fetch` and a test runner; Debian 12 has it


def run_stories(stories: Path, *, base: str, elsewhere: str) -> None:
    """Run the tests of the file *stories*; fails where one does, or where fewer ran than a whole file holds."""
    need_command("node")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST:
        missing(f"Node {OLDEST} or later is needed, and there is {version.strip()}")
    environment = os.environ | {"BASE": base, "ELSEWHERE": elsewhere}
    # `--test` would run the file in one more process; by itself it reports as well.
    command = ["node", "--test-reporter=tap", str(stories)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    noise = re.compile(r"ok |# Subtest|  (---|\.\.\.|duration_ms|type)")
    problems = [line for line in ran.stdout.splitlines() if not noise.match(line)]
    assert 0 == ran.returncode, "\n".join([*problems[-200:], ran.stderr[-2000:]])
    # Node ends without a word where nothing is left to wait for but a promise that nobody keeps.
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped|cancelled|todo) (\d+)$", ran.stdout, re.MULTILINE))
    written = len(re.findall(r"^ *test\(", stories.read_text(), re.MULTILINE))
    assert int(counts["tests"]) >= written >= 1
    assert counts == {"tests": counts["tests"], "pass": counts["tests"]} | dict.fromkeys(
        ["fail", "skipped", "cancelled", "todo"], "0"
    )
