"""Who would take over, and what a primary does that was replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asgi_tokenguard.doctor.finding import Finding, unknown, unsafe
from asgi_tokenguard.store.examination import Facts

# Seconds.  A primary that is cut off takes leases for so long, on top of `staleness`, and for up to one more: replicas report,
# and are looked at, once a second.  1 is the least there is: of 21,800 writes in four minutes, with a replica on loopback, it
# refused none.  2 is for a way on which reports are late.
BEST_LAG: Final = 1
MOST_LAG: Final = 2


def role(facts: Facts) -> Iterator[Finding]:
    if not facts.stands_by and facts.said.get("role", "master") != "master":
        why = "it takes no writes, and tells late of what was ended"
        yield unsafe("replica", "this is a replica", why, "name the primary in the URL")


def replicas(facts: Facts) -> Iterator[Finding]:
    """Whether somebody would take over, and would have somebody of their own."""
    if facts.info is None or facts.info.get("role") != "master":
        return
    there, wanted = int(facts.info.get("connected_slaves", 0)), _wanted(facts)
    port = facts.info.get("tcp_port", 6379)
    how = f"REPLICAOF <host of this one> {port}"
    if facts.is_clustered:  # where REPLICAOF is refused
        how = f"CLUSTER MEET <host of this one> {port}, CLUSTER REPLICATE <what CLUSTER MYID says here>"
    if not there:
        why = "with this one server all sessions are away, or gone"
        yield unsafe("no_replicas", "no replica is connected", why, f"on a second server: {how}")
    elif there <= wanted:
        yield unsafe(
            "few_replicas",
            f"{there} connected {'replica' if there == 1 else 'replicas'}, where min-replicas-to-write {wanted} belongs",
            f"after the first failover {there - 1} are left, and all logins, rotations and revocations are 503 until the dead"
            " server is back",
            f"have {wanted + 1} at least; on one more server: {how}",
        )


def _wanted(facts: Facts) -> int:
    """How many replicas a primary wants, or should: a cluster's primary that is cut off stops without that."""
    least = 0 if facts.is_clustered else 1
    return max(least, int(facts.setting("min-replicas-to-write") or 0))


def deposed(facts: Facts) -> Iterator[Finding]:
    """Whether a primary that is cut off and replaced goes on."""
    # A cluster's stops by itself, after cluster-node-timeout; and one without replicas would stop at once.
    if facts.is_clustered or not (facts.stands_by or int(facts.said.get("connected_slaves", 0))):
        return
    later = "once this replica is the primary: " if facts.stands_by else ""
    it = f"{later}a primary that was replaced while it is cut off goes on"
    if _takes_writes_alone(facts):
        yield unsafe(
            "no_min_replicas",
            "min-replicas-to-write is off",
            f"{it} to vouch for sessions that were ended elsewhere, and takes logins that will be lost",
            "CONFIG SET min-replicas-to-write 1",
        )
    lag = facts.setting("min-replicas-max-lag")
    if lag is not None and not 0 < int(lag) <= MOST_LAG:
        how_long = f"for {lag} s" if int(lag) else "for ever, since 0 switches min-replicas-to-write off"
        yield unsafe(
            "slow_min_replicas",
            f"min-replicas-max-lag is {lag}",
            f"{it} {how_long}: so much later than `staleness` a revocation may count",
            f"CONFIG SET min-replicas-max-lag {BEST_LAG}",
        )


def _takes_writes_alone(facts: Facts) -> bool:
    if facts.settings is not None:
        return not int(facts.setting("min-replicas-to-write") or 0)
    # A primary says it in INFO, too; of a replica nothing is known then.
    return not facts.stands_by and "min_slaves_good_slaves" not in facts.said


def cut_off_from_its_cluster(facts: Facts) -> Iterator[Finding]:
    if facts.is_clustered and facts.setting("cluster-allow-reads-when-down") == "yes":
        yield unsafe(
            "reads_when_down",
            "cluster-allow-reads-when-down is yes",
            "a primary that is cut off goes on to vouch for sessions that were ended elsewhere",
            "CONFIG SET cluster-allow-reads-when-down no",
        )


def unasked(facts: Facts) -> Iterator[Finding]:
    """Servers that are there, and what they are like is not known."""
    for each in facts.unasked:
        if each.is_stranger:
            yield unsafe(
                "replica_refuses_user",
                f"its replica {each.node} does not take this user and password: {each.why}",
                "rights are not replicated: once it is the primary every request is 503",
                "there, too: ACL SETUSER (or requirepass), then ACL SAVE or CONFIG REWRITE",
            )
        else:
            why = "how it is set up stays unknown, and it may be the next primary"
            remedy = f"where {each.node} can be reached: tokenguard doctor --redis <its URL>"
            yield unknown("replica_unknown", f"its replica {each.node} cannot be asked: {each.why}", why, remedy)
    if (refused := facts.refused.get("cluster")) and not facts.stands_by:
        yield unknown(
            "cluster_unknown",
            "CLUSTER SLOTS is denied" if refused.is_denied else f"CLUSTER SLOTS is not to be had: {refused.words}",
            "the other primaries stay unknown, and a guard with this user cannot find them either",
            "on every node: ACL SETUSER <user> +command +cluster|slots +cluster|nodes +asking",
        )
