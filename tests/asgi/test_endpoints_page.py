"""Each line of docs/endpoints.md is pasted into a shell as it stands, against the app of the page on a real server."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support.http import serving
from support.needs import need_command
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"


def the_app() -> object:
    document = Document.parse(str(PAGE), PythonCodeBlockParser())
    for example in document.examples():
        example.evaluate()
    return document.namespace["app"]


def steps() -> list[tuple[str, list[str]]]:
    """Each command, with the words that its output is said to show."""
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("# -> "):
            found[-1][1].extend(line.removeprefix("# -> ").split(" | "))
        elif line and not line.startswith("#"):
            found.append((line, []))
    return found


def test_every_line_of_the_page_does_what_it_says():
    need_command("curl")
    commands = steps()
    assert len(commands) >= 15
    script = "\n".join(f"{command}\necho; echo '=== end'" for command, _ in commands)
    with serving(the_app()) as url:
        environment = os.environ | {"URL": url}
        ran = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "" == ran.stderr
    for (command, words), output in zip(commands, ran.stdout.split("=== end\n"), strict=False):
        for word in words:
            assert word in output, f"{command}\nshould show {word!r}, and shows:\n{output}"


def test_every_operation_is_on_the_page():
    from asgi_tokenguard.asgi.endpoints import OPERATIONS

    text = PAGE.read_text("utf-8")
    for operation in OPERATIONS:
        query = f"?{operation.query}" if operation.query else ""
        line = f"| `{operation.method} /auth{operation.path.replace('{sid}', 'ID')}{query}` |"
        assert line in text
