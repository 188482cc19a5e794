"""The command: see `fuzz/__init__.py`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.corpus import keep
from fuzz.harness import NAMES, Harness, harness


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Search for input that breaks a parser.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("files", nargs="*", type=Path, help="check these and search nothing")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--save", action="store_true", help="keep in corpus/ what reached new code")
    arguments = parser.parse_args()
    chosen, say = harness(arguments.name), sys.stdout.write
    for file in arguments.files:
        say(f"{file}: {chosen.check(file.read_bytes())}\n")
    if arguments.files:
        return 0
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{arguments.name}-"))
    command = [sys.executable, "-m", "fuzz.search", arguments.name, str(folder), str(arguments.seconds)]
    status = subprocess.run(command, cwd=Path(__file__).parent.parent, check=False).returncode
    broken = list(folder.glob("broken-*"))
    for file in broken:
        say(f"a promise was broken; once more: python -m fuzz {arguments.name} {file}\n")
    if arguments.save:
        say(f"{save(chosen, folder / 'new')} files in {chosen.corpus}\n")
    if not broken:
        shutil.rmtree(folder)
    return status


def save(chosen: Harness, new: Path) -> int:
    """Keep what is worth it of the corpus and of *new*, and whatever is named `always-`; how many files that is."""
    kept = keep(chosen, [*chosen.saved(), *(file.read_bytes() for file in new.iterdir())])
    for file in chosen.corpus.iterdir():
        if not file.name.startswith("always-"):
            file.unlink()
    for name, data in kept.items():
        (chosen.corpus / name).write_bytes(data)
    return len(kept)


if __name__ == "__main__":
    sys.exit(main())
