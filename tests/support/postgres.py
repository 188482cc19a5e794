"""A real PostgreSQL server for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from support.needs import missing

# Debian keeps the server's programs off the PATH.
PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str:
    found = shutil.which(name) or next((str(place / name) for place in PLACES if (place / name).exists()), None)
    if found is None:
        missing(f"{name} is not installed: apt-get install postgresql")
    return str(found)


class PostgresServer:
    """A server on a socket in a directory of its own.  It refuses to run as root, so that it runs as `nobody` there."""

    def __init__(self) -> None:
        self._initdb, self._pg_ctl = program("initdb"), program("pg_ctl")
        self.folder = Path(tempfile.mkdtemp(prefix="tgp", dir="/tmp"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._data = self.folder / "data"
        self._do(self._initdb, "-D", self._data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://tests@/postgres?host={self.folder}"

    def start(self) -> PostgresServer:
        options = f"-c listen_addresses='' -k {self.folder} -c fsync=off -c max_connections=50"
        self._do(self._pg_ctl, "start", "-w", "-D", self._data, "-o", options, "-l", self.folder / "log")
        return self

    def stop(self, *, mode: str = "immediate") -> None:
        """`immediate` is a crash, `fast` a shutdown that ends the connections."""
        self._do(self._pg_ctl, "stop", "-w", "-D", self._data, "-m", mode)

    def close(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _do(self, *command: object) -> None:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,  # not a pipe: the server would inherit it, and its end never come
            stderr=subprocess.DEVNULL,
            check=False,
            **self._as,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed with {done.returncode}")
