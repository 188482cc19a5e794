"""The command `tokenguard`.  Rule: what a subcommand needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from asgi_tokenguard.errors import TokenGuardError

# As argparse does for a wrong argument: what was asked for cannot be done here.
UNUSABLE: Final = 2
# A URL with a password, given as an argument, is read by everybody who may list processes, and stays in the shell's history.
REDIS_VARIABLE: Final = "REDIS_URL"
LOCAL_REDIS: Final = "redis://localhost:6379/0"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = asked.run
        return run(asked)
    except TokenGuardError as error:
        print(f"tokenguard: {error}", file=sys.stderr)
        return UNUSABLE


def _demo(asked: argparse.Namespace) -> int:
    from asgi_tokenguard.demo import selftest, serve

    serve.check_installed()
    if asked.selftest:
        return selftest.main(redis=asked.redis)
    return serve.main(host=asked.host, port=asked.port, redis=asked.redis, access=asked.access)


def _doctor(asked: argparse.Namespace) -> int:
    from asgi_tokenguard.doctor import report

    return report.main(redis=asked.redis or os.environ.get(REDIS_VARIABLE) or LOCAL_REDIS, as_json=asked.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokenguard", description="Login sessions for any ASGI app.")
    parser.add_argument("--version", action="version", version=f"tokenguard {version('asgi-tokenguard')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="serve a small guarded app to try with curl or a browser")
    demo.set_defaults(run=_demo)
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    demo.add_argument(
        "--port", type=_number(0, 65535), default=8000, help="port to listen on, 0 for any free one (default: %(default)s)"
    )
    demo.add_argument("--redis", default="embedded://", metavar="URL", help="where sessions are kept (default: %(default)s)")
    # Two seconds leave time to use a token by hand; after an hour nobody waits for a rotation any more; for twenty seconds
    # whoever opens the page looks around.
    demo.add_argument(
        "--access", type=_number(2, 3600), default=20, metavar="SECONDS", help="life of an access token (default: %(default)s)"
    )
    demo.add_argument("--selftest", action="store_true", help="drive a server of its own over HTTP, exit 0 or 1")
    _add_doctor(commands)
    return parser


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="tell whether a Redis server is safe for sessions",
        epilog="Exit code: 0 nothing unsafe, 1 something is, 2 the server cannot be asked.",
    )
    doctor.set_defaults(run=_doctor)
    # The variable's name and not what it holds: `--help` is pasted into reports.
    where = f"the server (default: ${REDIS_VARIABLE}, which keeps a password off the command line, or {LOCAL_REDIS})"
    doctor.add_argument("--redis", metavar="URL", help=where)
    doctor.add_argument("--json", action="store_true", help="print JSON")


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return read
