"""What each benchmark aimed at and what came out, for docs/benchmarks.md: an aim that is missed says so there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from _common import cell

Report = dict[str, Any]


@dataclass(frozen=True)
class Target:
    aim: str
    bound: float
    benchmark: str
    found: Callable[[Report], float]
    at_least: bool = False

    def row(self, report: Report) -> list[str]:
        value = self.found(report)
        met = value >= self.bound if self.at_least else value <= self.bound
        bound = f"at {'least' if self.at_least else 'most'} {self.bound:g}"
        return [self.aim, bound, cell(value), "met" if met else "**missed**"]


def _ours(report: Report, key: str, name: str = "asgi_tokenguard") -> float:
    value: float = next(row[key] for row in report["rows"] if row["name"] == name)
    return value


def _through(server: str) -> Callable[[Report], float]:
    return lambda report: _ours(report, "ratio", f"{server}, guarded")


def _last(key: str) -> Callable[[Report], float]:
    def found(report: Report) -> float:
        value: float = report["rows"][-1][key]
        return value

    return found


def _worst(key: str) -> Callable[[Report], float]:
    def found(report: Report) -> float:
        return max(row[key] for row in report["rows"])

    return found


TARGETS = [
    Target("a known token, of a stateless check", 0.10, "overhead", lambda report: _ours(report, "to_stateless")),
    Target("a known token, of a naive check", 1 / 40, "overhead", lambda report: _ours(report, "to_naive")),
    Target("64 unknown tokens at once, of as many naive checks", 0.5, "cold", _last("ratio")),
    Target("a forged token, of a genuine one, for any algorithm", 2, "tokens", _worst("ratio")),
    Target("ms to a revocation's refusal under load, 99th percentile", 5, "propagation", _last("p99_ms")),
    Target("a check beside a million sessions, of one beside a thousand", 1.05, "capacity", _last("check_ratio")),
    Target("a rotation beside a million sessions, of one beside a thousand", 1.05, "capacity", _last("rotation_ratio")),
    *[
        Target(f"throughput of the unguarded app, {server}", 0.97, "throughput", _through(server), at_least=True)
        for server in (
            "uvicorn (h11), FastAPI",
            "uvicorn (httptools), FastAPI",
            "uvicorn (h11)",
            "uvicorn (httptools)",
            "uvicorn (httptools), bare app",
        )
    ],
]


def table(reports: Mapping[str, Report]) -> str:
    """A Markdown table of all targets; *reports* are by their benchmarks' names."""
    lines = [["aimed at", "bound", "came out", ""], ["---", "---", "---:", "---"]]
    lines += [target.row(reports[target.benchmark]) for target in TARGETS if target.benchmark in reports]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
