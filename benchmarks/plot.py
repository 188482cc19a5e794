"""
Plots of what the benchmarks wrote, one SVG for each JSON file; and the tables of docs/benchmarks.md, from the same files.

    python benchmarks/overhead.py --json docs/benchmarks/overhead.json
    python benchmarks/plot.py                            (needs matplotlib: the extra `bench`)

A plot is an entry of `PLOTS`: which figures of a row become panels, and what a row is called.  Each bar carries its figure, the
background is transparent and the text of a grey that is as readable on white as on black; a row without a figure says so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _model_report import pieces
from _tables import pieces_of_simulation, table, with_table, with_tables
from _thieves import pieces as thieves

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
FOLDER = DOCUMENT.with_suffix("")
# Pages that show the table of a benchmark as well.
TOPICS = {
    "durability": DOCUMENT.parent / "topics" / "durability.md",
    "lingering": DOCUMENT.parent / "topics" / "threat-model.md",
    "model": DOCUMENT.parent / "topics" / "scale.md",
    "simulation": DOCUMENT.parent / "topics" / "simulation.md",
    "tokens": DOCUMENT.parent / "keys.md",
}
# What else stands on those pages.
PIECES = {"model": pieces, "simulation": pieces_of_simulation}
# 4.5 to 1 against white and 4.6 to 1 against black: WCAG 2 asks for 4.5.
GREY = "#767676"
OTHERS, OURS = "#a3a3a3", "#2f7fd8"
INCHES_A_ROW, INCHES_A_PANEL, INCHES_OF_NAMES = 0.3, 3.4, 2.6


def by_name(row: dict[str, Any]) -> str:
    return str(row["name"])


def always(_: dict[str, Any]) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """*panels* map a figure's name in a row to its heading, with its unit; rows that are *ours* stand out."""

    title: str
    panels: dict[str, str]
    label: Callable[[dict[str, Any]], str] = by_name
    ours: Callable[[dict[str, Any]], bool] = always


PLOTS = {
    "overhead": Plot(
        title="What a guarded request costs more than an unguarded one",
        panels={"added_us": "µs added a request"},
        label=lambda row: row["name"] + (" (not revocable)" if row.get("revocable") == "no" else ""),
        ours=lambda row: row["name"].startswith("asgi_tokenguard"),
    ),
    "cold": Plot(
        title="64 tokens that this process has not met",
        panels={"cpu_us": "µs of processor, a check", "server_us": "µs of the server's processor"},
        ours=lambda row: row["name"].startswith("asgi_tokenguard"),
    ),
    "rotation": Plot(
        title="One rotation",
        panels={"rotation_us": "µs, a rotation", "server_us": "µs in the server"},
        ours=lambda row: row["name"].endswith("script"),
    ),
    "tokens": Plot(
        title="Tokens by the algorithm of their key",
        panels={"mint_us": "µs to sign", "genuine_us": "µs to verify", "forged_us": "µs to refuse a forged one"},
    ),
    "memory": Plot(
        title="A session in Redis",
        panels={"bytes": "bytes a session"},
        label=lambda row: f"{row['per_user']} a user",
    ),
    "propagation": Plot(
        title="A revocation reaches another process",
        panels={"p50_ms": "ms, median", "p99_ms": "ms, 99th percentile"},
    ),
    "outbox": Plot(title="A login with a mirror of sessions", panels={"login_us": "µs a login"}),
    "durability": Plot(
        title="What a confirmation costs, with one replica on loopback",
        panels={"p50_ms": "ms, median", "p99_ms": "ms, 99th percentile"},
        ours=lambda row: not row["name"].endswith("primary"),
    ),
    "soak": Plot(
        title="Two processes while people come and go",
        panels={"p99_ms": "ms, 99th percentile", "resident_mb": "MB of both processes"},
    ),
    "lingering": Plot(
        title="The lingering rule, simulated",
        panels={"asked": "thieves asked for the password", "ordinary": "honest sessions asked"},
    ),
    "simulation": Plot(
        title="Honest sessions of two hours, simulated",
        panels={"logged_out": "logged out", "asked": "asked for the password", "most_rotations": "rotations a life, at most"},
    ),
    "throughput": Plot(
        title="Through a server",
        panels={"requests_per_second": "requests a second", "p99_ms": "ms, 99th percentile"},
        ours=lambda row: bool(row["guarded"]),
    ),
    "capacity": Plot(
        title="From few sessions to many",
        panels={"check_us": "µs a check", "rotation_us": "µs a rotation", "bytes_per_session": "bytes a session"},
        label=lambda row: f"{row['sessions']:,} sessions",
    ),
    "primary": Plot(
        title="What one primary bears",
        panels={"server_us": "µs of the server's processor"},
        ours=lambda row: "listeners" in row,
    ),
    "model": Plot(title="The sizing model, where nothing in it was fitted", panels={"error_percent": "error, %"}),
}


def draw(report: dict[str, Any], file: Path) -> None:
    """Draw *report*, as a benchmark wrote it, into *file*."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    plot, rows = PLOTS[report["benchmark"]], report["rows"]
    style = {
        "svg.fonttype": "none",  # text stays text: to be found, read aloud, and in the reader's own font
        "svg.hashsalt": "asgi_tokenguard",  # the same figures make the same file
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": GREY,
        "axes.labelcolor": GREY,
        "ytick.color": GREY,
    }
    with rc_context(style):
        width = INCHES_OF_NAMES + INCHES_A_PANEL * len(plot.panels)
        figure = Figure(figsize=(width, INCHES_A_ROW * len(rows) + 1.2), layout="constrained")
        figure.suptitle(plot.title, x=0.01, ha="left", weight="bold")
        panels = figure.subplots(1, len(plot.panels), sharey=True, squeeze=False)[0]
        for axes, (key, heading) in zip(panels, plot.panels.items(), strict=True):
            panel(axes, plot, rows, key)
            axes.set_title(heading, loc="left", fontsize=9)
        figure.supxlabel(caption(report, 34 * len(plot.panels) + 36), x=0.01, ha="left", fontsize=7)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Title": plot.title})


def panel(axes: Any, plot: Plot, rows: list[dict[str, Any]], key: str) -> None:
    values = [row.get(key) for row in rows]
    colours = [OURS if plot.ours(row) else OTHERS for row in rows]
    bars = axes.barh(range(len(rows)), [value or 0 for value in values], color=colours, height=0.65)
    axes.bar_label(bars, [text_of(value) for value in values], padding=3)
    axes.set_yticks(range(len(rows)), [plot.label(row) for row in rows])
    axes.margins(x=0.2)  # room for the figure beside the longest bar
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if not axes.yaxis_inverted():  # a shared axis is turned once
        axes.invert_yaxis()


def text_of(value: float | None) -> str:
    """A figure as the tables show it: three digits that count."""
    if value is None:
        return "the unguarded app"
    return f"{value:.2f}" if 0 < abs(value) < 10 else f"{value:,.0f}"


def caption(report: dict[str, Any], width: int) -> str:
    """What the figures depend on, in lines of *width*."""
    import textwrap

    packages = {name: report[name] for name in ("asgi-tokenguard", "redis", "pyjwt", "starlette")} | report.get("peers", {})
    facts = [report["machine"], f"Python {report['python']}"]
    if report["server"] != "none":
        facts.append(report["server"])
    if "rounds" in report:
        facts.append(f"{report['rounds']} rounds")
    return textwrap.fill(", ".join([*facts, *(f"{name} {number}" for name, number in packages.items())]), width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help=f"JSON of benchmarks (default: all in {FOLDER.name}/)")
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder of the plots (default: docs/benchmarks)")
    asked = parser.parse_args()
    for file in asked.files or sorted(FOLDER.glob("*.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        to = asked.to / f"{report['benchmark']}.svg"
        draw(report, to)
        print(to)
    if not asked.files:
        reports = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))]
        DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8"), reports), encoding="utf-8")
        print(DOCUMENT)
        for report in reports:
            if page := TOPICS.get(report["benchmark"]):
                page.write_text(of_topic(page, report), encoding="utf-8")
                print(page)


def of_topic(page: Path, report: dict[str, Any]) -> str:
    """The text of *page* with the table of *report*, or its tables."""
    name = report["benchmark"]
    others = PIECES.get(name)
    # The threat model has of that one only what becomes of the thieves.
    tables = thieves(report) if name == "lingering" else {name: table(report)} | ({} if others is None else others(report))
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        text = with_table(text, name, lines)
    return text


if __name__ == "__main__":
    main()
