"""The Lua scripts, by name; each is a file in `lua/` with its signature at its head."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_LUA: Final = files(__package__) / "lua"


def read(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, the SHA-1 under which Redis keeps it, and whether it changes what requests are judged by."""

    text: str
    sha: str
    changes: bool


def script(*names: str, changes: bool = True) -> Script:
    text = "\n".join(read(name) for name in ("record", *names))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), changes)


LOGIN: Final = script("limits", "login")
PRESENT: Final = script("lineage", "limits", "present")
SEE: Final = script("see")
LOOK: Final = script("lineage", "look", changes=False)
END: Final = script("end")
SESSIONS: Final = script("sessions", changes=False)
UPDATE_CLAIMS: Final = script("update_claims")
REAUTHENTICATED: Final = script("lineage", "reauthenticated")
DESCRIBE: Final = script("describe")
EPITAPHS: Final = script("epitaphs", changes=False)
