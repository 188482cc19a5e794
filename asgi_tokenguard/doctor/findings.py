"""
What makes a server unsafe, and what mends it.

Rule: each finding says what was seen, what may come of it, and one line that can be pasted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.store.floor import check_version

if TYPE_CHECKING:
    from asgi_tokenguard.store.examination import Facts

# Tokens count whole seconds: what is less than one is seen by nobody.
MOST_SKEW: Final = 1.0


class Weight(StrEnum):
    """How much a finding matters."""

    UNSAFE = "unsafe"
    """Sessions may be lost, or come back."""
    NOTE = "note"
    """Worth knowing."""
    UNKNOWN = "cannot tell"
    """The server does not say; look yourself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about one server."""

    node: str
    code: str  # for programs; never renamed
    weight: Weight
    what: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Said:
    """A finding before it is known of which server."""

    code: str
    weight: Weight
    what: str
    why: str
    remedy: str


def findings(facts: Facts) -> list[Finding]:
    """All that is to be said of one server, the worst first."""
    said = [each for rule in RULES for each in rule(facts)]
    said.sort(key=lambda each: list(Weight).index(each.weight))
    return [
        Finding(node=facts.node, code=each.code, weight=each.weight, what=each.what, why=each.why, remedy=each.remedy)
        for each in said
    ]


def _version(facts: Facts) -> Iterator[Said]:
    try:
        check_version(facts.info or {})
    except ConfigurationError as error:
        why = "the guard refuses to start on it: commands that are needed may be missing"
        yield Said("too_old", Weight.UNSAFE, error.problem, why, error.remedy)


def _commands(facts: Facts) -> Iterator[Said]:
    if facts.missing is None:
        yield Said(
            "commands_unknown", Weight.UNKNOWN, "COMMAND INFO is denied", "a command may be missing", "give +command|info"
        )
        return
    needed = sorted(facts.missing - {"wait", "waitaof"})
    if needed:
        names = " ".join(needed)
        yield Said(
            "missing_commands",
            Weight.UNSAFE,
            f"the server does not know: {names}",
            "logins, rotations and revocations cannot be carried out",
            "take their rename-command lines out of redis.conf",
        )
    if "wait" in facts.missing:
        yield Said("no_wait", Weight.NOTE, "no WAIT", "durability='replicated' cannot be had", "use a server that has it")
    elif "waitaof" in facts.missing:
        remedy = "for 'fsynced', upgrade to Redis 7.2 or Valkey 8.0"
        yield Said("no_waitaof", Weight.NOTE, "no WAITAOF", "durability='fsynced' cannot be had", remedy)


def _eviction(facts: Facts) -> Iterator[Said]:
    # INFO says it too, where CONFIG is denied.
    known = facts.settings or {name.replace("_", "-"): value for name, value in (facts.info or {}).items()}
    policy = str(known.get("maxmemory-policy", ""))
    if int(known.get("maxmemory", 0)) and policy != "noeviction":
        yield Said(
            "eviction",
            Weight.UNSAFE,
            f"maxmemory is set and maxmemory-policy is {policy}",
            "when memory is full the server drops sessions, of which each key has an expiry: users are signed out",
            "CONFIG SET maxmemory-policy noeviction",
        )


def _persistence(facts: Facts) -> Iterator[Said]:
    settings = facts.settings
    if settings is None or settings.get("appendonly") == "yes":
        if settings is not None and settings.get("appendfsync") == "no":
            yield Said(
                "no_fsync",
                Weight.UNSAFE,
                "appendfsync is no",
                "after a power cut half a minute of logins is gone, and of revocations too",
                "CONFIG SET appendfsync everysec",
            )
        return
    if not settings.get("save"):
        yield Said(
            "no_persistence",
            Weight.UNSAFE,
            "neither an append-only file nor snapshots are written",
            "a restart signs everybody out",
            "CONFIG SET appendonly yes",
        )
    else:
        yield Said(
            "snapshots_only",
            Weight.UNSAFE,
            "snapshots are written, and no append-only file",
            "a restart brings back what was ended since the last snapshot, and forgets who has signed in since",
            "CONFIG SET appendonly yes",
        )


def _replication(facts: Facts) -> Iterator[Said]:
    info = facts.info
    if info is None:
        yield Said("info_unknown", Weight.UNKNOWN, "INFO is denied", "version and replicas stay unknown", "give +info")
        return
    if info.get("role") != "master":
        yield Said(
            "replica",
            Weight.UNSAFE,
            "this is a replica",
            "it takes no writes, and tells late of what was ended",
            "name the primary in the URL",
        )
        return
    if not int(info.get("connected_slaves", 0)):
        yield Said(
            "no_replicas",
            Weight.UNSAFE,
            "no replica is connected",
            "with this one server all sessions are away, or gone",
            f"on a second server: REPLICAOF <host of this one> {info.get('tcp_port', 6379)}",
        )
    # A cluster's primary that is cut off stops by itself, after cluster-node-timeout.
    elif not info.get("cluster_enabled") and "min_slaves_good_slaves" not in info:
        yield Said(
            "no_min_replicas",
            Weight.UNSAFE,
            "min-replicas-to-write is 0",
            "a primary that was replaced while it is cut off goes on to vouch for sessions that were ended elsewhere, and takes"
            " logins that will be lost",
            "CONFIG SET min-replicas-to-write 1",
        )


def _clock(facts: Facts) -> Iterator[Said]:
    if abs(facts.skew) > MOST_SKEW:
        way = "ahead of" if facts.skew > 0 else "behind"
        yield Said(
            "clock_skew",
            Weight.UNSAFE,
            f"its clock is {abs(facts.skew):.1f} s {way} this computer's",
            "sessions and tokens end by the server's clock: another one that takes over ends them early or late",
            "on both: timedatectl set-ntp true",
        )


def _settings(facts: Facts) -> Iterator[Said]:
    if facts.settings is None:
        yield Said(
            "config_unknown",
            Weight.UNKNOWN,
            "CONFIG GET is denied",
            "whether and how sessions are written to the disk stays unknown",
            "give +config|get, or look into redis.conf for: appendonly yes",
        )


RULES: Final[tuple[Callable[[Facts], Iterator[Said]], ...]] = (
    _version,
    _commands,
    _eviction,
    _persistence,
    _replication,
    _clock,
    _settings,
)
