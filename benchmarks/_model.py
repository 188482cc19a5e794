"""
What so many sessions need: pure arithmetic over measured costs.

Rule: nothing here is measured, and no figure of a machine stands here.  A cost comes from a JSON file (`_model_points.py`), an
assumption about the app from the caller, and what is neither is a constant of the package or of Redis, named as such.

    rotations/s   active sessions / life of an access token (each rotates once in it)
    changes/s     rotations and logins, each with the writes that come of it; every one is pushed to every process that listens
    checks/s      requests whose token this process does not know: once for each process that a token meets, and once more,
                  since the verdict that makes it seen is not kept
    cell          a share of the users with processes and primaries of their own, under a namespace or on servers of its own:
                  nobody else's changes are pushed there
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, Final

from asgi_tokenguard.core.lifetimes import ACCESS
from asgi_tokenguard.options import STALENESS
from asgi_tokenguard.store.cache import MOST_BYTES, MOST_ENTRIES
from asgi_tokenguard.store.connect import POOL
from asgi_tokenguard.store.tracking import LEASES

DAY: Final = 86_400
GB: Final = 10**9
MILLION: Final = 10**6
# Redis's tables have a power of two of slots, at least as many as keys: right after they have grown, two for each.
MOST_SLOTS_A_KEY: Final = 2
# More cells than this is no sizing but a mistake in an assumption.
MOST_CELLS: Final = 100_000


def _told(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the model is told of an app; every default is an assumption, and a flag of `capacity.py --model`."""

    sessions: float = _told(1_000_000, "live sessions in Redis")
    per_user: float = _told(1, "sessions of one user")
    active: float = _told(0.05, "share of the sessions that are used within one access lifetime, at the busiest time")
    requests: float = _told(0.1, "requests a second of an active session")
    access: float = _told(ACCESS, "seconds that an access token lives")
    life: float = _told(10, "days from a login to the session's end, in the mean")
    peak: float = _told(3, "logins at the busiest time, over the mean")
    ended: float = _told(0.5, "share of the sessions that somebody ends; the others expire")
    rotation_changes: float = _told(2, "writes that come of a rotation: itself, and the first use")
    login_changes: float = _told(4, "writes that come of a login: itself, the first use, the device, and its end")
    handler: float = _told(1_000, "µs of processor that a request takes unguarded, its server included")
    busy: float = _told(0.5, "share of a processor that requests may take, of a process and of a primary")
    reach: float = _told(0, "processes that the requests of one session are spread over; 0: all")
    processes: float = _told(0, "app processes; 0: as many as the requests need")
    replicas: int = _told(1, "replicas of each primary")
    primary_gb: float = _told(16, "GB of data that one primary may hold")
    spare: float = _told(0.2, "memory on top, for fragmentation, buffers and tables that grow")
    cache: int = _told(
        1,
        "1: tokens are kept in memory; 0: every request asks Redis (`cache=False`), and nobody listens, there being no streams",
    )
    staleness: float = _told(STALENESS, "seconds of the option `staleness`")
    clients: int = _told(10_000, "connections that a primary takes (`maxclients`)")
    limit: float = _told(0.05, "share of a process that its channel may take, and of a primary that leases may")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was measured; the server's and the processes' microseconds are of one processor."""

    session_bytes: float  # the only session of its user, without slots of tables
    key_bytes: float  # of which sessions of one user share so much
    slot_bytes: float  # a slot for each key, in the tables of keys and of expiries
    tombstone_bytes: float
    token_bytes: float  # a verified token in a process
    check_us: float  # the server's, as the next four
    script_us: float
    lease_us: float
    push_us: float
    save_seconds_a_gb: float
    copied_bytes: float  # by the system, for each record that changes during a snapshot
    push_bytes: float
    guard_us: float  # a process's: a warm request, as the next five
    cold_us: float  # more than that, of a token that it does not know
    rotating_us: float
    heard_us: float  # a push
    idle_us: float  # a second of a channel with one primary, with its leases
    view_us: float  # reading what a lease in a cluster is answered, for each node


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What a plan needs; shares are of one processor."""

    sessions: float
    data_gb: float  # records and tombstones, of all primaries
    memory_gb: float  # with replicas, spare, and what snapshots copy
    rotations: float  # a second, as all rates
    logins: float
    requests: float
    checks: float
    cold: float  # share of the requests
    changes: float
    processes: int
    tokens: float  # known to each process
    heard: float  # share of a process that its channel takes: pushes and leases
    primaries: int
    pushes: float  # of all primaries together
    push_share: float  # of a primary that pushes take
    output_mb: float  # a second, of pushes, from each primary
    leases: float  # share of a primary that they take
    connections: int  # of each primary

    def fits(self, plan: Plan) -> bool:
        return max(self.heard, self.leases) <= plan.limit and self.connections <= plan.clients


def size(plan: Plan, costs: Costs) -> Sizing:
    """What *plan* needs in one piece, whether that can be built or not (`Sizing.fits`)."""
    active = plan.sessions * plan.active
    requests, rotations = active * plan.requests, active / plan.access
    logins = plan.sessions / (plan.life * DAY) * plan.peak
    changes = rotations * plan.rotation_changes + logins * plan.login_changes
    processes = _processes(plan, costs, active, requests, rotations)
    listening = processes if plan.cache else 0
    cold, tokens = _cold(plan, costs, active, processes)
    checks, pushes = requests * cold, changes * listening
    data = plan.sessions * session_bytes(plan, costs) + _tombstones(plan) * costs.tombstone_bytes
    work = changes * costs.script_us + checks * costs.check_us + pushes * costs.push_us
    primaries = max(ceil(work / (plan.busy * MILLION)), ceil(data / (plan.primary_gb * GB)))
    return Sizing(
        sessions=plan.sessions,
        data_gb=data / GB,
        memory_gb=_memory(plan, costs, data, changes, primaries) / GB,
        rotations=rotations,
        logins=logins,
        requests=requests,
        checks=checks,
        cold=cold,
        changes=changes,
        processes=processes,
        tokens=tokens,
        heard=_heard(plan, costs, changes, primaries) if listening else 0.0,
        primaries=primaries,
        pushes=pushes,
        push_share=pushes * costs.push_us / MILLION / primaries,
        output_mb=pushes * costs.push_bytes / MILLION / primaries,
        leases=listening * LEASES / plan.staleness * costs.lease_us / MILLION,
        connections=processes * POOL + listening,
    )


def split(plan: Plan, costs: Costs) -> tuple[int, Sizing]:
    """The fewest cells into which *plan* has to be split, and what one of them needs."""
    for cells in range(1, MOST_CELLS):
        found = size(cell_of(plan, cells), costs)
        if found.fits(plan):
            return cells, found
    raise ValueError("no number of cells is enough: a process takes more than the limit by itself")


def cell_of(plan: Plan, cells: int) -> Plan:
    return replace(plan, sessions=plan.sessions / cells, processes=plan.processes / cells)


def most_changes(plan: Plan, costs: Costs) -> float:
    """Changes a second under one namespace from which on pushes take more than the limit of every process."""
    return plan.limit * MILLION / costs.heard_us


def session_bytes(plan: Plan, costs: Costs, slots_a_key: float = MOST_SLOTS_A_KEY) -> float:
    """Bytes of a session, whose user has others beside it."""
    shared = costs.key_bytes + costs.slot_bytes * slots_a_key
    return costs.session_bytes - costs.key_bytes + shared / plan.per_user


def slots_a_key(keys: int) -> float:
    """Slots in a table of *keys*, for each of them."""
    return float(2 ** (keys - 1).bit_length() / keys)


def _tombstones(plan: Plan) -> float:
    """Those of the last day; a peak is too short to count."""
    return plan.sessions / plan.life * plan.ended


def _processes(plan: Plan, costs: Costs, active: float, requests: float, rotations: float) -> int:
    if plan.processes:
        return max(1, ceil(plan.processes))
    if not requests:
        return 1
    each = plan.handler + costs.guard_us + rotations / requests * costs.rotating_us
    # More processes make more requests cold, which asks for more processes.  The first step counts all as cold, which is too
    # many; the second is still on that side.
    most = ceil(requests * (each + costs.cold_us) / (plan.busy * MILLION))
    cold, _ = _cold(plan, costs, active, max(1, most))
    return max(1, ceil(requests * (each + cold * costs.cold_us) / (plan.busy * MILLION)))


def _heard(plan: Plan, costs: Costs, changes: float, primaries: int) -> float:
    # A cluster's lease is answered with a line for each node, and every primary has one.
    nodes = primaries * (1 + plan.replicas) if primaries > 1 else 0
    idle = (costs.idle_us + LEASES * nodes * costs.view_us) / plan.staleness * primaries
    return (changes * costs.heard_us + idle) / MILLION


def _cold(plan: Plan, costs: Costs, active: float, processes: int) -> tuple[float, float]:
    """The share of requests whose token their process does not know, and how many tokens each process knows."""
    asked = plan.requests * plan.access  # requests of one token
    if not asked or not plan.cache:
        return 1.0, 0.0
    spread = min(processes, plan.reach) if plan.reach else processes
    # Each request goes to any of them: how many have been met after so many.
    met = spread * (1 - (1 - 1 / spread) ** asked) if spread > 1 else 1.0
    tokens = active * met / processes
    room = min(MOST_ENTRIES, MOST_BYTES / costs.token_bytes)
    cold = min(asked, met + 1)
    # What there is no room for is forgotten before it comes again, the oldest first.
    forgotten = max(0.0, 1 - room / tokens) if tokens else 0.0
    return min(1.0, (cold + (asked - cold) * forgotten) / asked), min(tokens, room)


def _memory(plan: Plan, costs: Costs, data: float, changes: float, primaries: int) -> float:
    """Of all servers; while a snapshot is written, the system keeps a second copy of every page that changes."""
    seconds = data / primaries / GB * costs.save_seconds_a_gb
    copied = min(data, changes * seconds * costs.copied_bytes)
    return (data * (1 + plan.spare) + copied) * (1 + plan.replicas)
