"""
The tables of docs/benchmarks.md.  Rule: a figure there is written by this file from the JSON beside the plots, never by hand.

A table stands between `<!-- overhead -->` and `<!-- end -->`, named for its benchmark.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import _targets
from _common import cell

COLUMNS = {
    "overhead": {
        "name": "",
        "over": "added to",
        "revocable": "revocable",
        "added_us": "µs added",
        "middle_half": "middle half",
        "to_stateless": "to stateless",
        "to_naive": "to naive",
    },
    "cold": {"name": "one check", "cpu_us": "µs of processor", "ratio": "ratio", "server_us": "µs of the server's"},
    "rotation": {"name": "one rotation", "rotation_us": "µs", "to_naive": "ratio", "server_us": "µs in the server"},
    "tokens": {
        "name": "",
        "mint_us": "µs to sign",
        "genuine_us": "to verify",
        "forged_us": "to refuse: forged",
        "unknown_us": "unknown key",
        "ratio": "worst to genuine",
        "longest_us": "longest, to verify",
        "longest_forged_us": "to refuse",
        "ratio_longest": "ratio",
    },
    "memory": {"per_user": "sessions a user", "sessions": "sessions", "bytes": "bytes a session", "target": "target"},
    "propagation": {"name": "", "p50_ms": "median, ms", "p99_ms": "99th percentile, ms", "max_ms": "longest, ms"},
    "outbox": {"name": "sink", "login_us": "µs a login", "ratio": "ratio"},
    "durability": {
        "name": "",
        "p50_ms": "median, ms",
        "p99_ms": "99th percentile, ms",
        "ratio": "to primary",
        "calls": "calls",
    },
    "soak": {
        "name": "",
        "requests_per_second": "requests/s",
        # Each tab is handed the token of its session's rotation, so that there are about twice as many as rotations.
        "rotations": "access tokens handed out",
        "logins": "logins",
        "given_up": "given up",
        "wrong": "wrong",
        "p50_ms": "median, ms",
        "p99_ms": "99th percentile, ms",
        "max_ms": "longest, ms",
        "resident_mb": "MB of both",
        "tasks": "tasks",
        "files": "files",
        "server_mb": "MB of the server",
    },
    "lingering": {"name": "rule", "ordinary": "honest asked", "thieves": "thieves", "asked": "asked", "at_large": "at large"},
    "simulation": {
        "name": "condition",
        "conditions": "stated",
        "sessions": "sessions",
        "logged_out": "logged out",
        "asked": "asked",
        "rotations": "rotations a life",
        "most_rotations": "at most",
    },
    "throughput": {
        "name": "",
        "requests_per_second": "requests/s",
        "ratio": "ratio",
        "p50_ms": "median, ms",
        "p99_ms": "99th percentile, ms",
    },
    "capacity": {
        "sessions": "sessions",
        "check_us": "µs a check",
        "check_ratio": "ratio",
        "rotation_us": "µs a rotation",
        "rotation_ratio": "ratio",
        "bytes_per_session": "bytes a session",
    },
    "primary": {
        "name": "",
        "server_us": "µs of the server",
        "processor_us": "µs of a listener, a push",
        "output_bytes": "bytes sent",
    },
    "model": {
        "name": "",
        "unit": "",
        "predicted": "the model",
        "measured": "measured",
        "error_percent": "error, %",
        "low_percent": "from",
        "high_percent": "to, %",
    },
}

THIEVES = {
    "name": "thief",
    "owner": "owner works",
    "thieves": "thieves",
    "reuse": "ended by reuse",
    "judged": "ended by distance",
    "asked": "asked",
    "at_large": "at large",
    "median_minutes": "caught within, half",
    "ninth_minutes": "nine in ten",
    "served_minutes": "served for, half",
    "proofs": "proofs",
}


def with_tables(document: str, reports: Iterable[dict[str, Any]]) -> str:
    """*document* with the tables of *reports*, and of what they aimed at, in their places."""
    by_name = {report["benchmark"]: report for report in reports}
    tables = {name: table(report) for name, report in by_name.items()} | {"targets": _targets.table(by_name)}
    for name, lines in tables.items():
        document = with_table(document, name, lines)
    return document


def with_table(document: str, name: str, lines: str) -> str:
    """*document* with *lines* in the place of that *name*."""
    before, start, rest = document.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not end:
        raise ValueError(f"the document has no place for the table of {name}")
    return before + start + lines + end + after


def table(report: dict[str, Any]) -> str:
    """A Markdown table and a line that says what its figures depend on."""
    setting = [report["machine"], f"Python {report['python']}", report["server"]]
    setting += [f"{report[key]} {key}" for key in ("rounds", "requests", "sessions") if key in report]
    said = ", ".join(part for part in setting if part != "none")
    return f"{lines_of(report['rows'], COLUMNS[report['benchmark']])}\n{said}.\n\n"


def pieces_of_simulation(report: dict[str, Any]) -> dict[str, str]:
    """The other table of docs/topics/simulation.md, by the name of its place."""
    return {"thieves": lines_of(report["thieves"], THIEVES) + "\n"}


def lines_of(rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> str:
    lines = [list(columns.values()), ["---", *(["---:"] * (len(columns) - 1))]]
    lines += [[cell(row.get(key)) for key in columns] for row in rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
