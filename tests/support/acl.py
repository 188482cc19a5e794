"""The rights that docs/redis.md names."""

from __future__ import annotations

import re
from pathlib import Path


def rights(*, namespace: str = "tg") -> list[str]:
    """The rules behind the password, for keys of *namespace* (a pattern)."""
    return _found(r"^ACL SETUSER tokenguard on >password (.+)$").replace("~tg:*", f"~{namespace}:*").split()


def rights_of_clusters() -> list[str]:
    """What the nodes of a cluster are to allow beside them."""
    return _found(r"^A cluster asks for `(.+)` as well").split()


def _found(pattern: str) -> str:
    page = next(path for folder in Path(__file__).parents if (path := folder / "docs" / "redis.md").exists())
    found = re.search(pattern, page.read_text(), flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{page} does not say {pattern}")
    return found[1]
