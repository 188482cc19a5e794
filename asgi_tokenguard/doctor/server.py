"""What one server is, by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asgi_tokenguard.doctor.finding import Finding, note, unknown, unsafe
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.store.examination import OPTIONAL, Facts
from asgi_tokenguard.store.floor import check_version

# Tokens count whole seconds: what is less than one is seen by nobody.
MOST_SKEW: Final = 1.0
# Of `maxmemory`.  What is left has to do until somebody has read this.
MOST_MEMORY: Final = 0.9
BACK: Final = "take its rename-command line out of redis.conf"


def version(facts: Facts) -> Iterator[Finding]:
    try:
        check_version(facts.said)
    except ConfigurationError as error:
        why = "the guard refuses to start on it: commands that are needed may be missing"
        yield unsafe("too_old", error.problem, why, error.remedy)


def commands(facts: Facts) -> Iterator[Finding]:
    missing = facts.missing or frozenset()
    if needed := sorted(missing.difference(OPTIONAL)):
        yield unsafe(
            "missing_commands",
            f"the server does not know: {' '.join(needed)}",
            "logins, rotations and revocations cannot be carried out",
            "take their rename-command lines out of redis.conf",
        )
    if "client" in missing:
        yield note("no_client", "no CLIENT", "nothing is kept in memory: every request asks Redis", BACK)
    if "wait" in missing:
        yield note("no_wait", "no WAIT", "durability='replicated' cannot be had", "use a server that has it")
    elif "waitaof" in missing:
        remedy = "for 'fsynced', upgrade to Redis 7.2 or Valkey 8.0"
        yield note("no_waitaof", "no WAITAOF", "durability='fsynced' cannot be had", remedy)


def eviction(facts: Facts) -> Iterator[Finding]:
    policy = _memory_setting(facts, "maxmemory-policy")
    if int(_memory_setting(facts, "maxmemory") or 0) and policy != "noeviction":
        yield unsafe(
            "eviction",
            f"maxmemory is set and maxmemory-policy is {policy}",
            "when memory is full the server drops sessions, of which each key has an expiry: users are signed out",
            "CONFIG SET maxmemory-policy noeviction",
        )


def memory(facts: Facts) -> Iterator[Finding]:
    most, used = int(_memory_setting(facts, "maxmemory") or 0), int(facts.said.get("used_memory", 0))
    if used > MOST_MEMORY * most > 0:
        yield unsafe(
            "memory",
            f"{used / most:.0%} of maxmemory are used",
            "when it is full the server takes no writes: nobody can log in, and nothing can be revoked",
            f"CONFIG SET maxmemory {2 * most}",
        )


def _memory_setting(facts: Facts, name: str) -> str:
    # INFO says these two as well, where CONFIG is denied.
    found = facts.setting(name) if facts.settings else facts.said.get(name.replace("-", "_"))
    return "" if found is None else str(found)


def persistence(facts: Facts) -> Iterator[Finding]:
    if facts.settings is None:
        return
    if facts.setting("appendonly") == "yes":
        if facts.setting("appendfsync") == "no":
            yield unsafe(
                "no_fsync",
                "appendfsync is no",
                "after a power cut half a minute of logins is gone, and of revocations too",
                "CONFIG SET appendfsync everysec",
            )
    elif not facts.setting("save"):
        yield unsafe(
            "no_persistence",
            "neither an append-only file nor snapshots are written",
            "a restart signs everybody out",
            "CONFIG SET appendonly yes",
        )
    else:
        yield unsafe(
            "snapshots_only",
            "snapshots are written, and no append-only file",
            "a restart brings back what was ended since the last snapshot, and forgets who has signed in since",
            "CONFIG SET appendonly yes",
        )


def clock(facts: Facts) -> Iterator[Finding]:
    if facts.skew is not None and abs(facts.skew) > MOST_SKEW:
        way = "ahead of" if facts.skew > 0 else "behind"
        yield unsafe(
            "clock_skew",
            f"its clock is {abs(facts.skew):.1f} s {way} this computer's",
            "sessions and tokens end by the server's clock: another one that takes over ends them early or late",
            "on both: timedatectl set-ntp true",
        )


_LOOK: Final = "look where the server is set up for: appendonly yes, min-replicas-to-write 1, min-replicas-max-lag 1"
UNANSWERED: Final = {
    # command: code, why it matters, the right that is missing, what else can be done
    "CONFIG GET": (
        "config_unknown",
        "whether sessions are written to the disk, and when a primary that is cut off stops, stays unknown",
        f"give +config|get, or {_LOOK}",
        _LOOK,
    ),
    "INFO": (
        "info_unknown",
        "version, replicas and memory stay unknown; to a guard with this user, too, whether a failover has lost writes",
        "give +info",
        BACK,
    ),
    "COMMAND INFO": (
        "commands_unknown",
        "a command that is needed may be missing",
        "give +command|info",
        "look into redis.conf for rename-command",
    ),
    "TIME": ("clock_unknown", "no guard starts without it; whether the clocks agree stays unknown", "give +time", BACK),
}


def unanswered(facts: Facts) -> Iterator[Finding]:
    """What the server keeps to itself; a right is told of only where it is a right that is missing."""
    for command, (code, why, right, otherwise) in UNANSWERED.items():
        if refused := facts.refused.get(command.split(maxsplit=1)[0].lower()):
            # Its words up to the arguments that it repeats.
            said = "is denied" if refused.is_denied else f"is not to be had ({refused.words.partition(',')[0]})"
            yield unknown(code, f"{command} {said}", why, right if refused.is_denied else otherwise)
