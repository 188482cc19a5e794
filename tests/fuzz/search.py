"""One search in a process of its own: `python -m fuzz.search NAME FOLDER SECONDS`; what reaches new code goes to FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

# Above the 4 KB of claims and of forwarded headers that are read; longer input is a test's to make, not a search's.
LONGEST = 5_000
# No input may keep a server busy: each takes well under a millisecond.
HANG = 5


def main(name: str, folder: Path, seconds: int) -> None:
    import atheris

    # What `startswith` and `endswith` compare leads the search too.  Not what patterns do: its hook fails at cryptography's.
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["asgi_tokenguard"]):
        from fuzz.harness import harness

        found = harness(name)
    words = folder / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in found.words))
    new = folder / "new"
    new.mkdir()
    flags = [
        f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={HANG}", f"-dict={words}",
        f"-artifact_prefix={folder}/broken-", "-print_final_stats=1", "-rss_limit_mb=1024",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *flags, str(new), str(found.corpus)], found.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
