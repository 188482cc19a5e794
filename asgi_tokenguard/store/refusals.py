"""What Redis says where it answers and refuses, and what an operator does about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from redis.exceptions import AuthenticationError, ResponseError


class Scope(Enum):
    """What is refused."""

    WRITES = "writes"
    """All that writes; reads are answered as ever, scripts that happen to write nothing too."""
    ALL = "all"
    ONE = "one"
    """This command, or this slot."""


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str  # Redis's word for it; empty where we know none
    text: str
    scope: Scope = Scope.ONE
    remedy: str = ""


# By what its answer says.  Scripts quote it somewhere in theirs (Redis 6.2), so it is looked for everywhere.
_KNOWN: Final = {
    "NOREPLICAS": (Scope.WRITES, "bring its replicas back (min-replicas-to-write)"),
    "OOM": (Scope.WRITES, "give it more memory (maxmemory)"),
    "READONLY": (Scope.WRITES, "name the primary, or pass a client of Sentinel"),
    "MISCONF": (Scope.WRITES, "it cannot write to its disk: see its own log"),
    "WRONGPASS": (Scope.ALL, "check user and password of `redis`"),
    "NOAUTH": (Scope.ALL, "give `redis` a password"),
    "LOADING": (Scope.ALL, "it reads its file; wait"),
    "MASTERDOWN": (Scope.ALL, "name the primary"),
    "max number of clients reached": (Scope.ALL, "raise its maxclients"),
    "NOPERM": (Scope.ONE, "give its user the rights of docs/redis.md"),
    "MOVED": (Scope.ONE, "it is a node of a cluster: pass a RedisCluster client"),
    "CLUSTERDOWN": (Scope.ONE, "see CLUSTER INFO: slots without a primary"),
}  # fmt: skip


def refusal_in(error: BaseException) -> Refusal | None:
    """What *error* tells of a server that answers; None where it tells of none that does."""
    # redis-py takes the first word off the text of those for which it has a class.
    text = f"{getattr(error, 'status_code', None) or ''} {error}".strip().rstrip(".")
    for code, (scope, remedy) in _KNOWN.items():
        if code in text:
            return Refusal(code, text, scope, remedy)
    if isinstance(error, AuthenticationError):
        scope, remedy = _KNOWN["WRONGPASS"]
        return Refusal("", text, scope, remedy)
    return Refusal("", text) if isinstance(error, ResponseError) else None
