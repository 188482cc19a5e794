"""What `capacity.py --model` prints and writes, and the tables of docs/topics/scale.md."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from _common import cell, show, write
from _model import Costs, Plan, Sizing, most_changes, size, split
from _model_check import checks
from _model_points import SOURCES, Reports, costs_of, read_reports
from _tables import COLUMNS as OF_BENCHMARKS

SIZES = (1_000_000, 100_000_000, 1_000_000_000)
# Where the balancer sends a session's requests: to one process, to a few, to any; and to any, where nobody keeps tokens.
# Shares of a process that its channel may take: the default, and what somebody may find worth it.
SHARES = (0.05, 0.1, 0.2)
ROUTES: dict[str, dict[str, Any]] = {
    "one": {"reach": 1},
    "four": {"reach": 4},
    "any": {"reach": 0},
    "any, `cache=False`": {"reach": 0, "cache": 0},
}
HEADINGS = {
    "whole": "In one piece",
    "cells": "Split",
    "limits": "By what is given to the channel",
    "routing": "By where requests go",
}
FACTS = ("python", "machine", "server", "asgi-tokenguard", "redis", "pyjwt", "starlette")
# What a table shows of a sizing, and how.
WHOLE = {
    "sessions": "sessions",
    "memory": "memory, GB",
    "requests": "requests/s",
    "rotations": "rotations/s",
    "changes": "changes/s",
    "checks": "checks/s",
    "processes": "app processes",
    "primaries": "primaries",
    "heard": "its channel, of a process",
    "leases": "leases, of a primary",
    "connections": "connections to one",
    "fits": "within limits",
}
LIMITS = {
    "limit": "its channel, of a process",
    "most": "changes/s",
    "cell_sessions": "sessions of a cell",
    "processes": "its app processes",
    "cells": "cells",
}
CELLS = {
    "sessions": "sessions",
    "cells": "cells",
    "cell_sessions": "sessions of one",
    "processes": "its app processes",
    "primaries": "its primaries",
    "memory": "its memory, GB",
    "changes": "its changes/s",
    "heard": "its channel, of a process",
    "pushes": "pushes/s of a primary",
    "push_share": "pushes, of a primary",
    "output_mb": "MB/s of pushes",
}
ROUTING = {
    "reach": "processes a session meets",
    "cold": "requests that ask Redis",
    "checks": "checks/s",
    "tokens": "tokens a process knows",
    "processes": "app processes",
    "primaries": "primaries",
    "fits": "within limits",
}
POINTS = {"text": "", "value": "measured", "source": "from"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", action="store_true", help="measure nothing: sizes from the documented runs' JSON")
    group = parser.add_argument_group("assumptions of --model")
    for each in fields(Plan):
        kind = int if isinstance(each.default, int) and each.name != "sessions" else float
        standard = "1 M, 100 M and 1 B" if each.name == "sessions" else "%(default)s"
        default = None if each.name == "sessions" else each.default
        text = f"{each.metadata['help']} (default: {standard})"
        group.add_argument(f"--{each.name.replace('_', '-')}", type=kind, default=default, metavar="N", help=text)


def plans_of(asked: argparse.Namespace) -> list[Plan]:
    told = {each.name: getattr(asked, each.name) for each in fields(Plan) if each.name != "sessions"}
    sizes = SIZES if asked.sessions is None else (asked.sessions,)
    return [Plan(sessions=number, **told) for number in sizes]


def model(asked: argparse.Namespace) -> None:
    report = report_of(read_reports(), plans_of(asked))
    for name, heading in HEADINGS.items():
        print(f"{heading}\n")
        show(report[name], COLUMNS[name])
        print()
    show(report["points"], POINTS)
    print()
    show(report["rows"], OF_BENCHMARKS["model"])
    write(report, asked.json)


def report_of(reports: Reports, plans: Sequence[Plan]) -> dict[str, Any]:
    costs = costs_of(reports)
    first = plans[0]
    middle = plans[len(plans) // 2]
    return {
        "benchmark": "model",
        # It measures nothing itself: what its figures depend on is what the measured ones do.
        **{key: reports["primary"][key] for key in FACTS},
        "assumptions": [
            {"name": each.name, "value": getattr(first, each.name), "text": each.metadata["help"]}
            for each in fields(Plan)
            if each.name != "sessions"
        ],
        "points": [
            {"text": text, "value": round(getattr(costs, key), 2), "source": source} for key, (text, source) in SOURCES.items()
        ],
        "limits": [limited(replace(middle, limit=share), costs) for share in SHARES],
        "whole": [whole(plan, costs) for plan in plans],
        "cells": [celled(plan, costs) for plan in plans],
        "routing_sessions": middle.sessions,
        "routing": [whole(replace(middle, **route), costs) | {"reach": name} for name, route in ROUTES.items()],
        "rows": checks(reports),
    }


def whole(plan: Plan, costs: Costs) -> dict[str, Any]:
    found = size(plan, costs)
    return shown(found) | {"fits": "yes" if found.fits(plan) else "no"}


def celled(plan: Plan, costs: Costs) -> dict[str, Any]:
    cells, found = split(plan, costs)
    row = shown(found) | {"cells": count(cells), "cell_sessions": count(found.sessions), "sessions": count(plan.sessions)}
    return row | {"pushes": count(found.pushes / found.primaries)}


def limited(plan: Plan, costs: Costs) -> dict[str, Any]:
    cells, found = split(plan, costs)
    row = {"limit": cell_of_share(plan.limit), "most": count(most_changes(plan, costs)), "cells": count(cells)}
    return row | {"cell_sessions": count(found.sessions), "processes": count(found.processes)}


def shown(found: Sizing) -> dict[str, Any]:
    """A sizing as tables write it: no more digits than a model is good for."""
    numbers = asdict(found)
    shares = {"cold", "heard", "push_share", "leases"}
    written = {key: cell_of_share(value) if key in shares else count(value) for key, value in numbers.items()}
    return written | {"memory": count(found.memory_gb), "numbers": {key: round(value, 4) for key, value in numbers.items()}}


def count(value: float) -> str:
    """Two digits that count; the rest would be pretence."""
    if value < 10:
        return f"{value:.2g}"
    digits = len(str(int(value))) - 2
    return f"{round(value / 10**digits) * 10**digits:,}"


def cell_of_share(share: float) -> str:
    if share > 1:
        return "over 100 %"
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


COLUMNS = {"whole": WHOLE, "cells": CELLS, "limits": LIMITS, "routing": ROUTING, "points": POINTS}


def pieces(report: Mapping[str, Any]) -> dict[str, str]:
    """The Markdown tables of docs/topics/scale.md, by the names of their places."""
    assumptions = [{"flag": f"`--{row['name'].replace('_', '-')}`", **row} for row in report["assumptions"]]
    return {
        "whole": markdown(report["whole"], WHOLE),
        "cells": markdown(report["cells"], CELLS),
        "routing": markdown(report["routing"], ROUTING),
        "points": markdown(report["points"], POINTS),
        "assumptions": markdown(assumptions, {"flag": "", "text": "", "value": "default"}),
        "limits": markdown(report["limits"], LIMITS),
    }


def markdown(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    figures = [not re.search("[A-Za-z]", str(rows[0].get(key))) for key in columns]
    lines = [list(columns.values()), ["---:" if is_figure else "---" for is_figure in figures]]
    lines += [[cell(row.get(key)) for key in columns] for row in rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
