"""How safe a change has to be before it is confirmed to a client."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from asgi_tokenguard.errors import ConfigurationError

# Redis's own: no primary has more replicas than a few, and each must answer before a login does.
MOST_REPLICAS: Final = 64


class Level(StrEnum):
    """What has to have taken a change, the weakest first."""

    PRIMARY = "primary"
    """The primary, in memory: what Redis itself confirms.  A failover may lose the last writes."""
    REPLICATED = "replicated"
    """So many replicas as well, in memory (`WAIT`)."""
    FSYNCED = "fsynced"
    """The disks of the primary and of so many replicas (`WAITAOF`)."""

    @property
    def strength(self) -> int:
        return list(Level).index(self)


@dataclass(frozen=True, slots=True, init=False)
class Durability:
    """
    How safe logins, rotations and revocations have to be before they are confirmed.

    Each is `"primary"`, `"replicated"` or `"fsynced"`; *replicas* is how many have to acknowledge, *timeout* the seconds that
    are waited for them (default: half of the option `timeout`).  Where fewer do in time the answer is 503, `not_confirmed`.
    """

    login: Level
    rotation: Level
    revocation: Level
    replicas: int
    timeout: float | None

    def __init__(
        self,
        *,
        login: str = "primary",
        rotation: str = "primary",
        revocation: str = "primary",
        replicas: int = 1,
        timeout: float | None = None,
    ) -> None:
        for name, level in {"login": login, "rotation": rotation, "revocation": revocation}.items():
            object.__setattr__(self, name, _level(name, level))
        object.__setattr__(self, "replicas", _replicas(replicas))
        object.__setattr__(self, "timeout", None if timeout is None else _seconds(timeout))
        if self.replicas == 0 and Level.REPLICATED in self.levels:
            raise ConfigurationError("durability", "no replica is to acknowledge what is 'replicated'", "give replicas=1")

    @classmethod
    def everywhere(cls, level: str) -> Durability:
        """One *level* for all three."""
        return cls(login=level, rotation=level, revocation=level)

    @property
    def levels(self) -> frozenset[Level]:
        return frozenset({self.login, self.rotation, self.revocation})

    def __repr__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        shown = (f"{name}={str(value) if isinstance(value, Level) else value}" for name, value in values.items())
        return f"Durability({', '.join(shown)})"


def _level(name: str, value: Any) -> Level:
    if value not in list(Level):
        known = ", ".join(repr(str(level)) for level in Level)
        raise ConfigurationError("durability", f"{name}={value!r} is none of its words", f"write one of {known}")
    return Level(value)


def _replicas(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_REPLICAS:
        remedy = f"give a whole number up to {MOST_REPLICAS}; 0 with 'fsynced' means the primary's disk alone"
        raise ConfigurationError("durability", f"replicas={value!r} is out of range", remedy)
    return value


def _seconds(value: Any) -> float:
    # Redis counts milliseconds, and takes 0 for "wait for ever".
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.001 <= value <= 60:  # noqa: PLR2004
        raise ConfigurationError("durability", f"timeout={value!r} is out of range", "give seconds from 0.001 up to 60")
    return float(value)
