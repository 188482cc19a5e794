"""
Keeps one embedded server running for exactly as long as somebody uses it.

This file is run as a program of its own (`python -I -S embedded_keeper.py ...`), so it imports the standard library
only; `embedded.py` starts it, and takes the names and the lock from here.  Rule: who may start a server, and when it
must end, is decided by two locks in the server's home directory and by nothing else.

users.lock    Every user holds it shared.  The keeper waits for it exclusively and gets it once the last user is
              gone; the kernel lets go of the locks of the dead, so a user that was SIGKILLed counts as gone.
keeper.lock   The keeper holds it for as long as its server may run.
server.sock   Where the server listens, or a symlink to that place where this path would be too long.
server.log    What the server had to say since its last start.

The keeper leaves its parent's session (Ctrl-C at the terminal does not reach it), keeps none of its pipes open, and
is nobody's child: a process that waits for all its children would wait for a keeper that waits for that process.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

USERS_LOCK: Final = "users.lock"
KEEPER_LOCK: Final = "keeper.lock"
SOCKET: Final = "server.sock"
LOG: Final = "server.log"

# What a home is used for, as the keeper's last argument.
PRIVATE: Final = "private"  # of one user; removed at the end
KEPT: Final = "kept"  # shared by whoever names the directory; its data stay

# The keeper's exit code where another one has the home; 75 is EX_TEMPFAIL of sysexits.h.
BUSY: Final = 75

# sun_path holds 108 bytes on Linux and 104 on macOS, a final NUL included.
LONGEST_SOCKET_PATH: Final = 103

# A server needs 60 ms to flush and end; one that still runs after this is stuck (stopped, or on a dead disk).
TERM_SECONDS: Final = 5.0

# A local server answers PING in less than 1 ms, and -LOADING at once while it reads its data.
TALK_SECONDS: Final = 1.0

# From linux/prctl.h.
PR_SET_PDEATHSIG: Final = 1


class FileLock:
    """
    A flock, held until it is released or the process ends.

    It belongs to the open file, not to the process: a forked child shares it.  So `release` tells the kernel (just
    closing would leave the lock with a child that has a copy), and a child calls `abandon`, which just closes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self, *, shared: bool) -> bool:
        """Whether the lock is held now; never waits.  `FileNotFoundError` says that its directory is gone."""
        import fcntl  # noqa: PLC0415 (Windows has none, and importing this file must not fail there)

        self.release()
        descriptor = self._open()
        held = False
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            held = self._is_named(descriptor)
        except BlockingIOError:
            return False
        finally:
            if not held:
                os.close(descriptor)
        self._fd = descriptor
        return True

    def wait_until_alone(self) -> None:
        """Take the lock exclusively, however long that takes."""
        import fcntl  # noqa: PLC0415

        self._fd = self._open()
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def is_held(self) -> bool:
        """Whether we hold it, and what we hold still excludes somebody."""
        return self._fd is not None and self._is_named(self._fd)

    def release(self) -> None:
        import fcntl  # noqa: PLC0415

        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self.abandon()

    def abandon(self) -> None:
        """Close this process's copy of the open file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        # Another local user who could open the file could hold the lock for ever: 0600.
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def _is_named(self, descriptor: int) -> bool:
        # Its directory may have been removed meanwhile, and a lock on a file without a name excludes nobody.
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at *path* exclusively."""
    with FileLock(path) as lock:
        return not lock.take(shared=True)


def talk(place: Path, line: bytes) -> bytes | None:
    """Send one inline command: `None` where nobody listens, else what came back, which may be nothing."""
    if len(os.fsencode(place)) > LONGEST_SOCKET_PATH:
        return None  # nobody can
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TALK_SECONDS)
        try:
            connection.connect(os.fspath(place))
            connection.sendall(line + b"\r\n")
            return connection.recv(512)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError:  # cut off in mid-talk, or no answer in time: somebody is there
            return b""


def end_orphan(place: Path) -> bool:
    """
    End the server that a killed keeper has left, and say whether none is there any more.

    It is asked through its own socket: by now a noted process id may be anybody's.  The socket is put aside first, or
    who joins would take it for the new one.  On Linux it is ending by itself, but unlinks its socket last: hence the wait.
    """
    aside = place.with_name("orphan.sock")
    with suppress(FileNotFoundError):
        place.rename(aside)
    deadline = time.monotonic() + TERM_SECONDS
    while talk(aside, b"SHUTDOWN NOSAVE") is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)  # about half of what ending takes
    aside.unlink(missing_ok=True)
    return True


def place_socket(home: Path, runtime: Path) -> Path:
    """Choose where the server listens: in *home*, or in a short directory in *runtime* that a symlink leads to."""
    place = home / SOCKET
    if len(os.fsencode(place)) <= LONGEST_SOCKET_PATH:
        return place
    if place.is_symlink():
        target = place.readlink()
        if is_ours_alone(target.parent):
            return target  # running users know this path
        place.unlink()
    # The name is random and must be new, so nobody can have laid it out for us; 0700 keeps others out.
    short = runtime / f"tokenguard-socket-{os.urandom(6).hex()}"
    short.mkdir(0o700)
    place.symlink_to(short / SOCKET)
    return short / SOCKET


def place_in(home: Path) -> Path:
    with suppress(OSError):  # it is no symlink, or not there yet
        return (home / SOCKET).readlink()
    return home / SOCKET


def is_ours_alone(directory: Path) -> bool:
    """Whether only we can look into *directory*, and nobody has put something else in its place."""
    try:
        facts = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and stat.S_IMODE(facts.st_mode) == stat.S_IRWXU


def clean_up(home: Path, place: Path, kind: str) -> None:
    """
    Remove what a server leaves in directories for temporary files; only while there is no user.

    A user goes on connecting to its path.  If that vanished from /tmp under it, another local user could put a server
    of his own there, and say who is logged in.
    """
    if kind == PRIVATE:
        shutil.rmtree(home, ignore_errors=True)
    elif place.parent != home:
        (home / SOCKET).unlink(missing_ok=True)
        shutil.rmtree(place.parent, ignore_errors=True)


def server_command(binary: str, home: Path, place: Path, kind: str) -> list[str]:
    options = {
        "port": "0",  # no TCP: every local user could connect to it
        # Seen from the home: a server unlinks its socket as it ends, in the home that it has known, not in a new one there.
        "unixsocket": SOCKET if place.parent == home else str(place),
        "unixsocketperm": "700",
        "dir": str(home),
        "save": "",
        "appendonly": "no" if kind == PRIVATE else "yes",  # written out each second, the server's default
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]


def dying_with_us() -> Callable[[], None] | None:
    """Return what a child must run in order to end even where we are SIGKILLed; only Linux can do that."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes  # noqa: PLC0415 (some small builds of Python have none)
    except ImportError:
        return None
    prctl = ctypes.CDLL(None).prctl
    us = os.getpid()

    def die_with_us() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != us:  # we were killed between fork and prctl
            os._exit(1)

    return die_with_us


def end_with_last_user(users: FileLock, server: subprocess.Popen[bytes], alone: threading.Event) -> None:
    try:
        users.wait_until_alone()
        alone.set()
    finally:  # also where the home has gone or cannot be locked: never stay without an end in sight
        server.terminate()
        time.sleep(TERM_SECONDS)
        server.kill()


def keep(home: Path, binary: str, place: Path, kind: str) -> None:
    """Run a server until it ends by itself or its last user is gone."""
    server = subprocess.Popen(  # noqa: S603 (the binary that the developer chose)
        server_command(binary, home, place, kind),
        cwd=home,
        stdin=subprocess.DEVNULL,
        preexec_fn=dying_with_us(),  # noqa: PLW1509 (there is no other thread yet)
    )
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    users, alone = FileLock(home / USERS_LOCK), threading.Event()
    # No call waits for a lock and for a child at once: two threads.  This one forked, and PDEATHSIG fires when it ends.
    threading.Thread(target=end_with_last_user, args=(users, server, alone), daemon=True).start()
    server.wait()
    if alone.is_set():
        clean_up(home, place, kind)


def main(home: Path, binary: str, runtime: Path, kind: str) -> int | str:
    """Take the home, or say that it is `BUSY`; then stay on in a process of its own."""
    os.umask(0o077)  # a socket is made with the umask's mode before it gets its own: no moment for others
    lock = FileLock(home / KEEPER_LOCK)
    if not lock.take(shared=False):
        return BUSY
    log = os.open(home / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    place = place_socket(home, runtime)
    if not end_orphan(place):
        return f"an earlier server in {home} does not end; end it by hand"
    if os.fork() == 0:  # the lock goes with the child; whoever started us can go on
        keep(home, binary, place, kind)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
