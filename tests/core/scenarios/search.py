"""Breadth first, so that a way found is a shortest one."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

S = TypeVar("S", bound=Hashable)


def breadth_first(
    start: S, steps: Callable[[S], Iterable[tuple[str, S]]], is_wrong: Callable[[S], bool]
) -> tuple[int, list[str] | None, S | None]:
    """The number of states, the shortest way to a wrong one if there is one, and that one."""
    with without_collector():
        came: dict[S, tuple[S, str] | None] = {start: None}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            if is_wrong(state):
                return len(came), way_to(state, came), state
            for label, after in steps(state):
                if after not in came:
                    came[after] = (state, label)
                    queue.append(after)
        return len(came), None, None


@contextmanager
def without_collector() -> Iterator[None]:
    """States are tuples without cycles: looking through all of them again and again takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def way_to(state: S, came: dict[S, tuple[S, str] | None]) -> list[str]:
    way = []
    while (back := came[state]) is not None:
        state, label = back
        way.append(label)
    return way[::-1]
