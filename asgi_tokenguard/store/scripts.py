"""The Lua scripts, by name; each is a file in `lua/` with its signature at its head."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, TypeAlias

from asgi_tokenguard.core.callers import Caller

_LUA: Final = files(__package__) / "lua"


def read(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text(encoding="utf-8")


# Arguments and reply -> whether the reply proves that the server takes writes: most scripts may find nothing to write.
Wrote: TypeAlias = Callable[[Sequence[Any], list[Any]], bool]


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, the SHA-1 under which Redis keeps it, and whether it changes what requests are judged by."""

    name: str
    text: str
    sha: str
    changes: bool
    wrote: Wrote


def script(*names: str, changes: bool = True, wrote: Wrote = lambda *_: False) -> Script:
    text = "\n".join(read(name) for name in ("record", *names))
    return Script(names[-1], text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), changes, wrote)


def _something(_: Sequence[Any], reply: list[Any]) -> bool:
    return bool(reply[1])


def _presented(args: Sequence[Any], reply: list[Any]) -> bool:
    return reply[2] == b"reuse" or (args[4] != Caller.OTHER.value and reply[2] in {b"rotate", b"redeliver", b"adopt"})


LOGIN: Final = script("limits", "login", wrote=_something)
PRESENT: Final = script("lineage", "limits", "present", wrote=_presented)
SEE: Final = script("see")
LOOK: Final = script("lineage", "look", changes=False)
END: Final = script("end", wrote=_something)
SESSIONS: Final = script("sessions", changes=False)
UPDATE_CLAIMS: Final = script("update_claims", wrote=_something)
REAUTHENTICATED: Final = script("lineage", "reauthenticated")
DESCRIBE: Final = script("describe", wrote=_something)
EPITAPHS: Final = script("epitaphs", changes=False)
