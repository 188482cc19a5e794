"""
The measured points of the model, from the JSON of the benchmarks' documented runs.

Rule: a point says which file it comes from and how; what a cost is fitted to is not what the model is checked with
(`_model_check.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from _model import GB, Costs, slots_a_key

FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"
FILES = ("capacity", "memory", "primary", "throughput")
Reports = Mapping[str, Mapping[str, Any]]
# Pointers of eight bytes, in the table of keys and in that of expiries.
SLOT_BYTES = 16


def read_reports(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in FILES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A cost that is *fixed* for each message, or turn of the server's loop, and *each* for what is in it."""

    fixed: float
    each: float

    def of(self, number: float) -> float:
        """The cost of one of *number* that come together."""
        return self.each + self.fixed / number

    def total(self, number: float) -> float:
        return self.fixed + self.each * number


def line(points: Sequence[tuple[float, float]]) -> Line:
    """The straight line nearest to *points*, by least squares."""
    middle_x, middle_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    each = sum((x - middle_x) * (y - middle_y) for x, y in points) / sum((x - middle_x) ** 2 for x, _ in points)
    return Line(fixed=middle_y - each * middle_x, each=each)


def shared_line(points: Sequence[tuple[float, float]]) -> Line:
    """The line through costs *for each* of so many that come together."""
    return line([(number, number * cost) for number, cost in points])


def of_command(reports: Reports, operation: str) -> Line:
    """A command's cost to the server, from one at a time and a hundred together; ten together are left to the check."""
    rows = {row["together"]: row["server_us"] for row in reports["primary"]["rows"] if row.get("operation") == operation}
    return shared_line([(number, rows[number]) for number in (1, 100)])


def of_push(reports: Reports, key: str) -> Line:
    """A change's cost to the server by connections that track, from 4 and 16; more are left to the check."""
    rows = {row["connections"]: row[key] for row in reports["primary"]["rows"] if "connections" in row}
    return line([(number, rows[number]) for number in (4, 16)])


def of_hearing(reports: Reports) -> Line:
    """A push's cost to a process that sleeps, from one key a message and all at once; ten a message are left to the check."""
    rows = {row["together"]: row for row in reports["primary"]["merged"] if not row["busy"]}
    return shared_line([(rows[number]["keys_a_message"], rows[number]["processor_us"]) for number in (1, 1_000)])


def of_hearing_at_work(reports: Reports) -> float:
    """A push's cost to a process that is half busy, one key a message; twice as many pushes are left to the check."""
    return min((row["rate"], row["processor_us"]) for row in reports["primary"]["merged"] if row["busy"])[1]


def of_session(reports: Reports) -> float:
    """Bytes of a session without slots, from 10,000 and 100,000; fewer and more are left to the check."""
    rows = {row["sessions"]: row["bytes_per_session"] for row in reports["capacity"]["rows"]}
    return fmean(rows[number] - SLOT_BYTES * slots_a_key(number) for number in (10_000, 100_000))


def of_key(reports: Reports) -> float:
    """Bytes that three sessions of a user share and three users have one each of."""
    rows = {row["per_user"]: row["bytes"] for row in reports["memory"]["rows"]}
    return float((rows[1] - rows[3]) / (1 - 1 / 3))


def of_saving(reports: Reports) -> Line:
    """Bytes copied by a snapshot for each record written meanwhile, from none and the lower rate."""
    rows = {row["rate"]: row for row in reports["primary"]["saves"]}
    return line([(rows[rate]["written"], rows[rate]["copied_bytes"]) for rate in sorted(rows)[:2]])


def of_view(reports: Reports) -> Line:
    """Microseconds to read a lease's answer by nodes of the cluster, from 6 and 60; more are left to the check."""
    rows = {row["nodes"]: row["view_us"] for row in reports["primary"]["views"]}
    return line([(nodes, rows[nodes]) for nodes in (6, 60)])


def costs_of(reports: Reports) -> Costs:
    capacity, primary = reports["capacity"], reports["primary"]
    largest, still = capacity["rows"][-1], primary["saves"][0]
    one_listening = next(row for row in primary["rows"] if row.get("listeners") == 1)
    unguarded, guarded = [row for row in reports["throughput"]["rows"] if row["users"] > 1]
    return Costs(
        session_bytes=of_session(reports),
        key_bytes=of_key(reports),
        slot_bytes=SLOT_BYTES,
        tombstone_bytes=reports["memory"]["tombstone_bytes"],
        token_bytes=capacity["cached"]["counted_bytes"],
        check_us=of_command(reports, "check").of(1),
        script_us=of_command(reports, "rotation").of(1),
        lease_us=of_command(reports, "lease").of(1),
        push_us=of_push(reports, "server_us").each,
        save_seconds_a_gb=still["seconds"] / still["used_bytes"] * GB,
        copied_bytes=of_saving(reports).each,
        push_bytes=of_push(reports, "output_bytes").each,
        guard_us=guarded["processor_us"] - unguarded["processor_us"],
        cold_us=largest["request_us"],
        rotating_us=largest["rotating_request_us"],
        heard_us=of_hearing_at_work(reports),
        idle_us=one_listening["idle_us_a_second"],
        view_us=of_view(reports).each,
    )


# Where each cost comes from, in words; `docs/topics/scale.md` shows them.
SOURCES = {
    "session_bytes": ("bytes of a session, without slots of tables", "capacity.json, 10,000 and 100,000 sessions"),
    "key_bytes": ("of which sessions of one user share", "memory.json, one and three of a user"),
    "slot_bytes": ("bytes of a slot in Redis's two tables", "eight for each pointer"),
    "tombstone_bytes": ("bytes of a session that was ended, for a day", "memory.json"),
    "token_bytes": ("bytes of a known token in a process", "capacity.json"),
    "check_us": ("µs of the server for a check", "primary.json, one at a time"),
    "script_us": ("µs of the server for a rotation", "primary.json, one at a time"),
    "lease_us": ("µs of the server for a lease", "primary.json, one at a time"),
    "push_us": ("µs of the server for one push", "primary.json, 4 and 16 connections"),
    "push_bytes": ("bytes of one push", "primary.json, 4 and 16 connections"),
    "save_seconds_a_gb": ("seconds of a snapshot of a GB", "primary.json"),
    "copied_bytes": ("bytes copied for a record that changes meanwhile", "primary.json, at the lower rate"),
    "guard_us": ("µs of a process that a known token adds to a request", "throughput.json, many users"),
    "cold_us": ("µs that an unknown one adds, waiting included", "capacity.json, a million sessions"),
    "rotating_us": ("µs that a rotating one adds, waiting included", "capacity.json, a million sessions"),
    "heard_us": ("µs of a process for one push", "primary.json, a half busy process"),
    "idle_us": ("µs a second of a process for an idle channel, with its leases", "primary.json"),
    "view_us": ("µs more for each node of a cluster, a lease", "primary.json, 6 and 60 nodes"),
}
