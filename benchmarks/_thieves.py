"""The table of docs/topics/threat-model.md: what becomes of thieves with a copy of the cookie, from `lingering.json`."""

from __future__ import annotations

from typing import Any

OFF = "off"
# How an owner of the simulation is called in the table.
OWNERS = {
    "three tabs, each 20 s, day and night, 24 hours": "at work day and night",
    "one tab, each 120 s, 8 h a day, three days": "8 hours a day",
}


def pieces(report: dict[str, Any]) -> dict[str, str]:
    """The table by the name of its place."""
    rows = {row["name"]: row for row in report["rows"]}
    off, default = rows[OFF], rows[report["default"]]
    head = ["owner", "thief", "caught without lingering", "minutes", f"caught with it ({report['default']})", "minutes"]
    lines = [head, ["---", "---", *["---:"] * 4]]
    for owner, kinds in off["by_owner"].items():
        for kind in kinds:
            cells = [cell for row in (off, default) for cell in of(row["by_owner"][owner][kind], report["thieves"])]
            lines.append([OWNERS[owner], kind, *cells])
    ends = [cell for row in (off, default) for cell in (f"{row['thieves'] - row['at_large']} of {row['thieves']}", "")]
    lines.append(["all", "", *ends])
    said = f"{report['machine']}, Python {report['python']}, seed {report['seed']}"
    honest = f"Honest sessions that were logged out, of {report['honest_sessions']}: {sum(report['logged_out'].values())}"
    return {"thieves": "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{honest}. {said}.\n\n"}


def of(found: dict[str, Any], thieves: int) -> tuple[str, str]:
    return f"{found['caught']} of {thieves}", "-" if found["median"] is None else f"{found['median']:.0f}"
