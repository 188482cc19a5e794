"""The command `tokenguard`.  Rule: what a subcommand needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from asgi_tokenguard.errors import TokenGuardError

# As argparse does for a wrong argument: what was asked for cannot be done here.
UNUSABLE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return _demo(asked)
    except TokenGuardError as error:
        print(f"tokenguard: {error}", file=sys.stderr)
        return UNUSABLE


def _demo(asked: argparse.Namespace) -> int:
    from asgi_tokenguard.demo import selftest, serve

    if asked.selftest:
        return selftest.main(redis=asked.redis)
    return serve.main(host=asked.host, port=asked.port, redis=asked.redis, access=asked.access)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokenguard", description="Login sessions for any ASGI app.")
    parser.add_argument("--version", action="version", version=f"tokenguard {version('asgi-tokenguard')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="serve a small guarded app to try with curl or a browser")
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    demo.add_argument("--port", type=_port, default=8000, help="port to listen on, 0 for any free one (default: %(default)s)")
    demo.add_argument("--redis", default="embedded://", metavar="URL", help="where sessions are kept (default: %(default)s)")
    demo.add_argument(
        "--access", type=_lifetime, default=30, metavar="SECONDS", help="life of an access token (default: %(default)s)"
    )
    demo.add_argument("--selftest", action="store_true", help="drive a server of its own over HTTP, exit 0 or 1")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:  # noqa: PLR2004 (RFC 793: sixteen bits)
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _lifetime(text: str) -> int:
    seconds = int(text)
    # Two seconds leave time to use a token by hand; an hour is no demo of rotation any more.
    if not 2 <= seconds <= 3600:  # noqa: PLR2004
        raise argparse.ArgumentTypeError("choose 2 to 3600 seconds")
    return seconds
