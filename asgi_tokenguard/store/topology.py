"""What one node of a cluster says of the cluster: `CLUSTER NODES`, as all versions since 6.2 write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

# Fields of a line before its slots: id, address, flags, primary, ping, pong, epoch, link.
_SLOTS_FROM: Final = 8


@dataclass(frozen=True, slots=True)
class View:
    """One node's view; *me* is its own id."""

    me: str
    writers: frozenset[str]  # ids of all that own slots, and of those to which it is handing a slot on
    slots: tuple[range, ...]  # its own that stay where they are


def view_of(text: str) -> View:
    """Read a reply of `CLUSTER NODES`; raises ValueError where it is none."""
    me = ""
    own: tuple[range, ...] = ()
    writers: set[str] = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < _SLOTS_FROM:
            raise ValueError("a line of CLUSTER NODES is short")
        name, slots = words[0], words[_SLOTS_FROM:]
        if any(not slot.startswith("[") for slot in slots):
            writers.add(name)
        if "myself" in words[2].split(","):  # nobody else's line tells of slots that move
            me = name
            own, given = _read(slots)
            writers |= given
    if not me:
        raise ValueError("CLUSTER NODES names no line its own")
    return View(me, frozenset(writers), own)


def _read(slots: list[str]) -> tuple[tuple[range, ...], frozenset[str]]:
    """The slots that stay, and the ids of those who are given one: `0-5460 7000 [7638->-38d5cad1...]`."""
    moving = [word.strip("[]") for word in slots if word.startswith("[")]
    given = dict(word.split("->-") for word in moving if "->-" in word)
    leaving = {int(slot) for slot in given}
    ranges = []
    for word in slots:
        if not word.startswith("["):
            first, _, last = word.partition("-")
            ranges += _without(range(int(first), int(last or first) + 1), leaving)
    return tuple(ranges), frozenset(given.values())


def _without(slots: range, leaving: set[int]) -> list[range]:
    parts, first = [], slots.start
    for slot in sorted(slot for slot in leaving if slot in slots):
        parts.append(range(first, slot))
        first = slot + 1
    return [part for part in (*parts, range(first, slots.stop)) if part]


def tag_in(slots: tuple[range, ...], slot_of: Callable[[bytes], int]) -> str:
    """
    A hash tag whose slot is one of *slots*, which are not empty.

    The first numbers that fit: a node of three finds one at the third try, one with a single slot of the 16,384 after as many.
    """
    return next(tag for tag in map(str, count()) if any(slot_of(tag.encode()) in each for each in slots))
