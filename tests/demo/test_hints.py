"""What the demo prints is pasted into a shell as it stands, and must show what it says."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from support.needs import need_command

from asgi_tokenguard import Lifetimes
from asgi_tokenguard.demo import hints


@pytest.fixture
def demo():
    """The demo on a free port, with access tokens of two seconds; its printed text."""
    command = [sys.executable, "-m", "asgi_tokenguard", "demo", "--port", "0", "--access", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("    rm -f"):
                    break
            yield "".join(lines)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
    assert 0 == process.returncode, "Ctrl-C is how a demo ends, no error"


def printed(text: str) -> list[tuple[str, list[str]]]:
    """Each command of *text*, with the words that it is said to show."""
    commands = []
    for line in text.splitlines():
        if line.startswith("      -> "):
            commands[-1][1].extend(line.removeprefix("      -> ").split(", "))
        elif line.startswith("    "):
            commands.append((line.strip(), []))
    return commands


def test_every_printed_line_does_what_it_says(demo):
    need_command("curl")
    commands = printed(demo)
    assert len(commands) >= 12
    script = "\n".join(f"{command}\necho; echo '=== end'" for command, _ in commands)
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    shown = ran.stdout.split("=== end\n")
    assert "" == ran.stderr
    for (command, words), output in zip(commands, shown, strict=False):
        for word in words:
            assert word in output, f"{command}\nshould show {word!r}, and shows:\n{output}"


@pytest.mark.parametrize(
    ("host", "url", "warns"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", False),
        ("localhost", "http://localhost:8000", False),
        ("::1", "http://[::1]:8000", False),
        ("0.0.0.0", "http://127.0.0.1:8000", False),
        ("::", "http://[::1]:8000", False),
        ("192.0.2.7", "http://192.0.2.7:8000", True),
        ("2001:db8::7", "http://[2001:db8::7]:8000", True),
    ],
)
def test_the_address_is_one_that_can_be_pasted(host, url, warns):
    """Browsers and curl send Secure cookies over plain HTTP to this machine only; elsewhere the text says so."""
    text = hints.text(host, 8000, Lifetimes(access=30, grace=5))
    assert f"URL={url}\n" in text
    assert warns is ("Mind the address" in text)
