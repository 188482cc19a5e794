"""
What makes a server unsafe, and what mends it.

Rule: each finding says what was seen, what may come of it, and one line that can be pasted.  Of what a server does not answer
nothing is said but that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from asgi_tokenguard.doctor import replication, server
from asgi_tokenguard.doctor.finding import Finding, Weight
from asgi_tokenguard.store.examination import Facts

RULES: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    server.version,
    server.commands,
    server.eviction,
    server.memory,
    server.persistence,
    replication.role,
    replication.replicas,
    replication.deposed,
    replication.cut_off_from_its_cluster,
    replication.unasked,
    server.clock,
    server.unanswered,
)


def findings(facts: Facts) -> list[Finding]:
    """All that is to be said of one server, the worst first."""
    found = [replace(each, node=facts.node) for rule in RULES for each in rule(facts)]
    return sorted(found, key=lambda each: list(Weight).index(each.weight))
