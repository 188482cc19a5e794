"""One thing that was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final


class Weight(StrEnum):
    """How much a finding matters."""

    UNSAFE = "unsafe"
    """Sessions may be lost, or come back, or nobody may be able to log in."""
    NOTE = "note"
    """Worth knowing."""
    UNKNOWN = "cannot tell"
    """The server does not say; look yourself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen at *node*, what may come of it, and what mends it."""

    weight: Weight
    code: str  # for programs; never renamed
    what: str
    why: str
    remedy: str
    node: str = ""  # rules leave it to `findings`


unsafe: Final = partial(Finding, Weight.UNSAFE)
note: Final = partial(Finding, Weight.NOTE)
unknown: Final = partial(Finding, Weight.UNKNOWN)
