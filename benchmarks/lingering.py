"""
Whom the lingering rule asks: thieves who poll, and honest users on bad networks.

    python benchmarks/lingering.py

An event simulation in time over the library's own table and doubts (`core/rotation.py`, `core/doubts.py`), without Redis:
honest browsers under a dozen conditions, and thieves of six kinds with a copy of the cookie on the owner's network with the
owner's strings.  For each setting of the rule it counts the honest sessions that are asked at least once, the thieves
that are asked or end with the session, and the time that they had.  The same seed gives the same figures.

The default, three generations after 5 s, comes from its tables: two generations ask five times as many honest users, four let
thieves go on for longer.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

from _common import facts, show, write
from _lingering_thief import Thief
from _lingering_world import HOUR, LIFETIMES, UNWATCHED, Life, Server, Watch, World

from asgi_tokenguard import RiskPolicy

OFF = "off"
RULES = {OFF: UNWATCHED} | {
    f"{seconds} s x {generations}": Watch(linger_after_ms=seconds * 1000, linger_generations=generations)
    for seconds, generations in product((2, 5, 10), (2, 3, 4, 5))
}
DEFAULT = f"{RiskPolicy().linger_after:g} s x {RiskPolicy().linger_generations}"

# Sessions of two hours; what is not said is as `Life` says.
ORDINARY = {
    "1 tab": Life(tabs=1),
    "3 tabs": Life(),
    "10 tabs": Life(tabs=10),
    "reloads": Life(reload=0.5, every=4, late=0.1),
    "30 % lost": Life(lost=0.3),
    "60 % lost": Life(lost=0.6),
    "slow": Life(slow=0.05),
    "long poll": Life(poll=25),
    "late 25 s": Life(late=0.1, latest=25),
    "all": Life(lost=0.2, slow=0.05, reload=0.3, every=6, late=0.1),
}
BAD = {
    "all, 25 s": Life(lost=0.2, slow=0.05, reload=0.3, every=6, late=0.1, latest=25),
    "train": Life(lost=0.6, late=0.3, latest=20),
}
CONDITIONS = ORDINARY | BAD
OWNERS = {
    "three tabs, each 20 s, day and night, 24 hours": Life(hours=24, lost=0, late=0),
    "one tab, each 120 s, 8 h a day, three days": Life(hours=72, tabs=1, every=120, nights=True, lost=0, late=0),
}
THIEVES: dict[str, dict[str, Any]] = {
    "2 s": {"every": 2},
    "10 s": {"every": 10},
    "25 s": {"every": 25},
    "stubborn": {"every": 25, "stubborn": True},
    "skips the last": {"every": 25, "waits": lambda taken, generations: taken % generations == generations - 1},
    "patient": {"every": 25, "waits": lambda _taken, _generations: True},
}
CHUNK = 25  # worlds in one task of the pool


def honest(seed: int, condition: str, numbers: range) -> dict[str, Any]:
    """Sessions *numbers* under *condition*: how many each rule asks, and how many end, without any rule or with the default."""
    asked, ended, most = dict.fromkeys(RULES, 0), {OFF: 0, DEFAULT: 0}, 0
    for number in numbers:
        name = f"{seed} {condition} {number}"
        world = World(Server(shadows=tuple(RULES.values())[1:]), CONDITIONS[condition], name)
        world.run()
        for rule, watch in RULES.items():
            asked[rule] += watch in world.server.first_asked
        ended[OFF] += world.server.head is None
        most = max(most, world.server.rotations)
        # Who is not asked has lived the same life as without the rule.
        if RULES[DEFAULT] in world.server.first_asked:
            world = World(Server(RULES[DEFAULT]), CONDITIONS[condition], name)
            world.run()
        ended[DEFAULT] += world.server.head is None
    return {"asked": asked, "ended": ended, "most_rotations": most}


def robbed(seed: int, owner: str, thief: str, rule: str, numbers: range) -> list[tuple[str, float]]:
    """What becomes of thieves *numbers*: "asked", "ended" or "at large", with "owner" where the owner was asked; minutes."""
    found = []
    for number in numbers:
        world = World(Server(RULES[rule]), OWNERS[owner], f"{seed} {owner} {thief} {number}")
        actor = Thief(world, generations=RULES[rule].linger_generations or 3, **THIEVES[thief])
        world.after(600 + world.random.random() * HOUR, actor.steal)
        world.run()
        end = "asked" if actor.is_caught else "ended" if world.server.head is None else "at large"
        found.append((end + " owner" * bool(world.owner_asked), (world.now - actor.began) / 60))
    return found


def percentile(minutes: Sequence[float], share: float, of: int) -> float | None:
    """The minutes within which *share* of all *of* thieves were caught; None where fewer were."""
    at = math.ceil(share * of) - 1
    return round(sorted(minutes)[at], 1) if at < len(minutes) else None


def about_thieves(runs: list[tuple[str, float]]) -> dict[str, Any]:
    caught = [minutes for end, minutes in runs if not end.startswith("at large")]
    return {
        "caught": len(caught),
        "asked": sum(end.startswith("asked") for end, _ in runs),
        "median": percentile(caught, 0.5, len(runs)),
        "ninth": percentile(caught, 0.9, len(runs)),
        "owner_asked": sum(end.endswith("owner") for end, _ in runs),
    }


def cell(found: dict[str, Any]) -> str:
    minutes = ["-" if found[key] is None else f"{found[key]:.0f}" for key in ("median", "ninth")]
    return f"{found['caught']}: {' '.join(minutes)}"


def chunks(count: int) -> list[range]:
    return [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def gather(asked: argparse.Namespace) -> tuple[dict[str, list[dict[str, Any]]], dict[tuple[str, str, str], list[Any]]]:
    """All runs, on all processors; each world has a seed of its own, so that their order does not matter."""
    lives, crimes = {}, {}
    with ProcessPoolExecutor() as pool:
        for key in product(OWNERS, THIEVES, RULES):
            crimes[key] = [pool.submit(robbed, asked.seed, *key, numbers) for numbers in chunks(asked.thieves)]
        for condition in CONDITIONS:
            lives[condition] = [pool.submit(honest, asked.seed, condition, numbers) for numbers in chunks(asked.sessions)]
        return (
            {key: [each.result() for each in tasks] for key, tasks in lives.items()},
            {key: [run for each in tasks for run in each.result()] for key, tasks in crimes.items()},
        )


def row_of(rule: str, lives: dict[str, list[dict[str, Any]]], crimes: dict[tuple[str, str, str], list[Any]]) -> dict[str, Any]:
    honest_asked = {name: sum(part["asked"][rule] for part in parts) for name, parts in lives.items()}
    found = {owner: {thief: about_thieves(crimes[owner, thief, rule]) for thief in THIEVES} for owner in OWNERS}
    every = [each for of_owner in found.values() for each in of_owner.values()]
    thieves = sum(len(runs) for (_, _, of), runs in crimes.items() if of == rule)
    caught, by_asking = sum(each["caught"] for each in every), sum(each["asked"] for each in every)
    return {
        "name": rule,
        "honest": honest_asked,
        "ordinary": sum(honest_asked[name] for name in ORDINARY),
        "thieves": thieves,
        "asked": by_asking,
        "ended": caught - by_asking,
        "at_large": thieves - caught,
        "owner_asked": sum(each["owner_asked"] for each in every),
        "by_owner": found,
    }


def report_tables(rows: list[dict[str, Any]], asked: argparse.Namespace) -> None:
    print(f"Honest sessions of two hours, of {asked.sessions} each: asked at least once\n")
    table = [{"name": row["name"], **row["honest"], "sum": row["ordinary"]} for row in rows]
    show(
        table,
        {"name": "rule"}
        | {name: name for name in ORDINARY}
        | {"sum": f"of {len(ORDINARY) * asked.sessions}"}
        | dict(zip(BAD, BAD, strict=True)),
    )
    for owner in OWNERS:
        print(
            f"\nThieves, of {asked.thieves} each: caught, and minutes until half and nine in ten of all were; owner: {owner}\n"
        )
        table = [{"name": row["name"]} | {thief: cell(row["by_owner"][owner][thief]) for thief in THIEVES} for row in rows]
        show(table, {"name": "rule"} | {thief: thief for thief in THIEVES})
    print("\nAll thieves together\n")
    columns = {"name": "rule", "thieves": "thieves", "asked": "asked", "ended": "session ended", "at_large": "at large"}
    show(rows, columns | {"owner_asked": "owner asked"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=300, help="honest sessions for each condition (default: %(default)s)")
    parser.add_argument("--thieves", type=int, default=40, help="thieves of each kind, for each owner (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=20261101, help="the same seed gives the same figures (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a short run that shows that it works; its figures mean little")
    parser.add_argument("--json", metavar="FILE", help="write the JSON there instead of below the table")
    asked = parser.parse_args()
    if asked.quick:
        asked.sessions, asked.thieves = 1, 1
    lives, crimes = gather(asked)
    rows = [row_of(rule, lives, crimes) for rule in RULES]
    report_tables(rows, asked)
    parts = [part for of_condition in lives.values() for part in of_condition]
    ended = {rule: sum(part["ended"][rule] for part in parts) for rule in (OFF, DEFAULT)}
    sessions = asked.sessions * len(CONDITIONS)
    most = max(part["most_rotations"] for part in parts) / (2 * HOUR / LIFETIMES.access)
    print(
        f"\nHonest sessions that were logged out, of {sessions}: {ended[OFF]} without the rule, {ended[DEFAULT]} with {DEFAULT}"
    )
    print(f"Rotations in a life of an access token, at most: {most:.2f}")
    setting = {"sessions": asked.sessions, "thieves": asked.thieves, "seed": asked.seed, "default": DEFAULT}
    totals = {"logged_out": ended, "honest_sessions": sessions, "most_rotations_a_life": round(most, 2)}
    write({"benchmark": "lingering", **facts("none"), **setting, **totals, "rows": rows}, asked.json)


if __name__ == "__main__":
    main()
