"""How safe a change has to be before it is confirmed to a client."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from asgi_tokenguard.errors import ConfigurationError

# Redis's own: no primary has more replicas than a few, and each must answer before a login does.
MOST_REPLICAS: Final = 64
# Redis and Valkey tell what is on a replica's disk in `replicationCron`, once a second; the rest is for a busy machine.
FSYNCED_TAKES: Final = 1.5
# What an error tells to write, for one and for the other: above the half second that was added, and twice that for the request.
FSYNCED_WAIT: Final = 2.0
# Redis counts milliseconds, and takes 0 for "wait for ever"; the most is that of the option `timeout`.
LEAST_SECONDS: Final = 0.001
MOST_SECONDS: Final = 60.0

_AS_THE_FIRST: Final[Any] = object()


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

    The first argument is the level of all that are not named: `"primary"`, `"replicated"` or `"fsynced"`.  *replicas* is how
    many have to acknowledge, *timeout* the seconds that are waited for them (default: half of the option `timeout`).  Where
    fewer do in time the answer is 503, `not_confirmed`.
    """

    login: Level
    rotation: Level
    revocation: Level
    replicas: int
    timeout: float | None

    def __init__(
        self,
        level: str = "primary",
        /,
        *,
        login: str = _AS_THE_FIRST,
        rotation: str = _AS_THE_FIRST,
        revocation: str = _AS_THE_FIRST,
        replicas: int = 1,
        timeout: float | None = None,
    ) -> None:
        for_all = _level("", level)
        for name, each in {"login": login, "rotation": rotation, "revocation": revocation}.items():
            object.__setattr__(self, name, for_all if each is _AS_THE_FIRST else _level(f"{name}=", each))
        object.__setattr__(self, "replicas", _replicas(replicas))
        object.__setattr__(self, "timeout", None if timeout is None else _seconds(timeout))
        if self.replicas == 0 and Level.REPLICATED in self.levels:
            raise ConfigurationError("durability", "no replica is to acknowledge what is 'replicated'", "give replicas=1")
        if self.replicas > 1 and self.levels == {Level.PRIMARY}:
            # Whoever writes that believes to be safer than they are.
            problem = f"replicas={self.replicas} waits for nobody while all three levels are 'primary'"
            raise ConfigurationError("durability", problem, f"write Durability('replicated', replicas={self.replicas})")

    @classmethod
    def everywhere(cls, level: str) -> Durability:
        """One *level* for all three."""
        return cls(level)

    @property
    def waits_for_disks_of_replicas(self) -> bool:
        return Level.FSYNCED in self.levels and self.replicas > 0

    def check_time(self, timeout: float) -> None:
        """Raise `ConfigurationError` where a request, which takes *timeout* seconds at most, is over before the answer."""
        wait = timeout / 2 if self.timeout is None else self.timeout
        if self.waits_for_disks_of_replicas and wait < FSYNCED_TAKES:
            problem = f"replicas tell once a second what is on their disks, and {wait:g} s are waited for it"
            alone = "Durability(..., replicas=0) for the primary's disk alone"
            raise ConfigurationError("durability", problem, f"write {self._longer(timeout)}, or {alone}")
        if wait >= timeout:
            # The request would be over before the answer, and its connection with it.
            problem = f"Durability(timeout={wait:g}) is not below TokenGuard(timeout={timeout:g}), which a request waits in all"
            raise ConfigurationError("durability", problem, f"write {self._fitting(wait, timeout)}")

    def _longer(self, timeout: float) -> str:
        whole = f"TokenGuard(timeout={2 * FSYNCED_WAIT:g})"
        if self.timeout is None:
            return whole
        own = f"Durability(..., timeout={FSYNCED_WAIT:g})"
        return own if timeout > FSYNCED_WAIT else f"{own} and {whole}"

    def _fitting(self, wait: float, timeout: float) -> str:
        least = FSYNCED_TAKES if self.waits_for_disks_of_replicas else LEAST_SECONDS
        ways = [f"TokenGuard(timeout={wait + 1:g})"] if wait + 1 <= MOST_SECONDS else []
        ways += [f"Durability(..., timeout={timeout / 2:g})"] if timeout / 2 >= least else []
        return " or ".join(ways) or self._longer(timeout)

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
        raise ConfigurationError("durability", f"{name}{value!r} is none of its words", f"write one of {known}")
    return Level(value)


def _replicas(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_REPLICAS:
        remedy = f"give a whole number up to {MOST_REPLICAS}; 0 with 'fsynced' means the primary's disk alone"
        raise ConfigurationError("durability", f"replicas={value!r} is out of range", remedy)
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST_SECONDS <= value <= MOST_SECONDS:
        raise ConfigurationError("durability", f"timeout={value!r} is out of range", "give seconds from 0.001 up to 60")
    return float(value)
