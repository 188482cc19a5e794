"""The rights that docs/redis.md names."""

from __future__ import annotations

import re
from pathlib import Path


def rights(*, namespace: str = "tg") -> list[str]:
    """The rules behind the password, for keys of *namespace* (a pattern)."""
    page = next(path for folder in Path(__file__).parents if (path := folder / "docs" / "redis.md").exists())
    found = re.search(r"^ACL SETUSER tokenguard on >password (.+)$", page.read_text(), flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{page} names no rights")
    return found[1].replace("~tg:*", f"~{namespace}:*").split()
