"""
How often an honest session ends, and what a thief with one copy of the cookie can do.

    python benchmarks/simulation.py

An event simulation in time over the library's own table, doubts and risk policy, without Redis: honest browsers of two hours
under stated conditions of the network, and thieves by what they try, beside two owners.  `tests/stories/simulation.py` runs
fewer sessions through real servers.  The same seed gives the same figures.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from typing import Any

import _tables
from _common import facts, show, write
from _lingering_thief import Thief
from _lingering_world import HERE, HOUR, LIFETIMES, Life, Server, World
from _simulation_thief import FIRST_HOUR, Copyist, Plan, at_night
from lingering import CONDITIONS, DEFAULT, OWNERS, RULES, THIEVES, chunks, percentile

from asgi_tokenguard import Place
from asgi_tokenguard.core.doubts import Visit

WATCH = RULES[DEFAULT]
ELSEWHERE = Visit(network=b"away", device=HERE.device)
PLANS = {
    "comes every 10 to 20 minutes": Plan(),
    "copies in the evening, comes at night": Plan(comes=at_night, steals=(8 * HOUR - LIFETIMES.access, 8 * HOUR)),
    "other strings": Plan(visit=replace(HERE, device=b"mine")),
    "other network, no locator": Plan(visit=ELSEWHERE),
    "other network, same town": Plan(visit=ELSEWHERE, place=Place(latitude=52.40, longitude=13.06, city="Potsdam")),
    "other network, 81 km": Plan(visit=ELSEWHERE, place=Place(latitude=51.98, longitude=12.60, city="Zahna")),
    "other network, overseas": Plan(visit=ELSEWHERE, place=Place(latitude=40.71, longitude=-74.01, city="New York")),
}
# Those who ask with the superseded token whether the owner has moved on; `lingering.py` has more of them.
POLLERS = {"polls each 25 s": "25 s", "polls, waits for the owner": "patient"}
AT_WORK, DAYS = OWNERS
SHORT = {AT_WORK: "day and night", DAYS: "8 h a day"}


def honest(seed: int, condition: str, numbers: range) -> list[dict[str, Any]]:
    """What became of sessions *numbers* under *condition*, with the library's defaults."""
    found = []
    for number in numbers:
        world = World(Server(WATCH), CONDITIONS[condition], f"{seed} {condition} {number}")
        world.run()
        found.append(
            {
                "logged_out": world.server.head is None,
                "asked": bool(world.owner_asked),
                "rotations": world.server.rotations / (world.life.hours * HOUR / LIFETIMES.access),
            }
        )
    return found


def robbed(seed: int, owner: str, plan: str, numbers: range) -> list[dict[str, Any]]:
    """What became of thieves *numbers*, each with a copy of the cookie of one *owner*."""
    found = []
    for number in numbers:
        place = PLANS[plan].place if plan in PLANS else None
        world = World(Server(replace(WATCH, network=place is not None)), OWNERS[owner], f"{seed} {owner} {plan} {number}")
        thief = (
            Copyist(world, PLANS[plan])
            if plan in PLANS
            else Thief(world, generations=WATCH.linger_generations, **THIEVES[POLLERS[plan]])
        )
        world.after(world.random.uniform(*(PLANS[plan].steals if plan in PLANS else FIRST_HOUR)), thief.steal)
        world.run()
        found.append(told(world, thief))
    return found


def told(world: World, thief: Copyist | Thief) -> dict[str, Any]:
    if isinstance(thief, Thief):
        end, served, proofs = "asked" if thief.is_caught else "at large", None, 0
    else:
        end, proofs = thief.end, thief.proofs
        served = (thief.last_served - thief.began) / 60 if thief.served else 0.0
    if end == "at large" and world.server.head is None:
        end = "reuse"
    return {
        "end": end,
        "minutes": (world.now - thief.began) / 60,
        "served": served,
        "proofs": proofs,
        "owner_asked": bool(world.owner_asked),
    }


def condition_row(name: str, sessions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "conditions": in_words(CONDITIONS[name]),
        "sessions": len(sessions),
        "logged_out": sum(each["logged_out"] for each in sessions),
        "asked": sum(each["asked"] for each in sessions),
        "rotations": round(statistics.mean(each["rotations"] for each in sessions), 2),
        "most_rotations": round(max(each["rotations"] for each in sessions), 2),
    }


def thief_row(plan: str, owner: str, thieves: list[dict[str, Any]]) -> dict[str, Any]:
    caught = [each["minutes"] for each in thieves if each["end"] != "at large"]
    served = [each["served"] for each in thieves if each["served"] is not None]
    ends = {end: sum(each["end"] == end for each in thieves) for end in ("reuse", "judged", "asked")}
    return {
        "name": plan,
        "owner": SHORT[owner],
        "thieves": len(thieves),
        **ends,
        "at_large": len(thieves) - len(caught),
        "median_minutes": percentile(caught, 0.5, len(thieves)),
        "ninth_minutes": percentile(caught, 0.9, len(thieves)),
        "served_minutes": round(statistics.median(served), 1) if served else None,
        "proofs": sum(each["proofs"] for each in thieves),
        "owner_asked": sum(each["owner_asked"] for each in thieves),
    }


def in_words(life: Life) -> str:
    """What a condition states, of all that `Life` knows."""
    words: dict[str, Callable[[Any], str]] = {
        "tabs": lambda value: f"{value} tab{'s' * (value > 1)}",
        "every": lambda value: f"each acts every {value:g} s",
        "reload": lambda value: f"{value:.0%} of acts reload",
        "lost": lambda value: f"{value:.0%} of answers lost",
        "late": lambda value: f"{value:.0%} of trips up to {life.latest:g} s late",
        "slow": lambda value: f"{value:.0%} of handlers take up to {life.slowest:g} s",
        "poll": lambda value: f"long polls of {value:g} s",
    }
    values = {field.name: getattr(life, field.name) for field in fields(life)}
    return ", ".join(say(values[name]) for name, say in words.items() if values[name])


def gather(asked: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All runs; each world has a seed of its own, so that their order does not matter."""
    crimes = [
        (plan, owner)
        for plan in (*PLANS, *POLLERS)
        for owner in OWNERS
        if owner == DAYS or plan not in PLANS or PLANS[plan].comes is not at_night  # the other is never away
    ]
    with ProcessPoolExecutor(max_workers=asked.processes) as pool:
        lives = {name: [pool.submit(honest, asked.seed, name, part) for part in chunks(asked.sessions)] for name in CONDITIONS}
        thefts = {
            key: [pool.submit(robbed, asked.seed, key[1], key[0], part) for part in chunks(asked.thieves)] for key in crimes
        }
        rows = [condition_row(name, [each for part in parts for each in part.result()]) for name, parts in lives.items()]
        thieves = [thief_row(*key, [each for part in parts for each in part.result()]) for key, parts in thefts.items()]
    return rows, thieves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=300, help="honest sessions for each condition (default: %(default)s)")
    parser.add_argument("--thieves", type=int, default=100, help="thieves of each kind, for each owner (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=20261201, help="the same seed gives the same figures (default: %(default)s)"
    )
    parser.add_argument("--processes", type=int, help="how many worlds at once (default: one for each processor)")
    parser.add_argument("--quick", action="store_true", help="a short run that shows that it works; its figures mean little")
    parser.add_argument("--json", metavar="FILE", help="write the JSON there instead of below the table")
    asked = parser.parse_args()
    if asked.quick:
        asked.sessions, asked.thieves = 2, 1
    rows, thieves = gather(asked)
    print("Honest sessions of two hours\n")
    show(rows, _tables.COLUMNS["simulation"])
    print(
        "\nThieves with one copy of the cookie; minutes until half and nine in ten were caught, and how long half were served\n"
    )
    show(thieves, _tables.THIEVES)
    setting = {"each": asked.sessions, "thieves_each": asked.thieves, "seed": asked.seed, "rule": DEFAULT}
    totals = {
        "honest_sessions": sum(row["sessions"] for row in rows),
        "logged_out": sum(row["logged_out"] for row in rows),
        "most_rotations": max(row["most_rotations"] for row in rows),
        "proofs": sum(row["proofs"] for row in thieves),
    }
    write({"benchmark": "simulation", **facts("none"), **setting, **totals, "rows": rows, "thieves": thieves}, asked.json)


if __name__ == "__main__":
    main()
