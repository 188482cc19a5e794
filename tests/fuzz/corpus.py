"""Which files of a corpus are worth keeping: the shortest that reach, together, all that any of them reaches."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from fuzz.harness import Harness

# An outcome of the harness, or a step from one line to the next in a file of the package and about how often it was made.
Feature = str | tuple[str, int, int, int]


def keep(harness: Harness, inputs: Iterable[bytes]) -> dict[str, bytes]:
    """The inputs worth keeping, by file name."""
    seen: set[Feature] = set()
    kept = {}
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        reached = reach(harness.check, data)
        if not reached <= seen:
            seen |= reached
            kept[hashlib.sha256(data).hexdigest()[:16]] = data
    return kept


def reach(check: Callable[[bytes], str], data: bytes) -> set[Feature]:
    steps: Counter[tuple[str, int, int]] = Counter()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if "asgi_tokenguard" not in frame.f_code.co_filename:
            return None
        steps[frame.f_code.co_filename, last.get(frame, 0), frame.f_lineno] += 1
        last[frame] = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outcome = check(data)
    finally:
        sys.settrace(before)
    # Once, twice, up to four times, up to eight: a loop that runs ten times is no other than one that runs nine times.
    return {outcome, *((*step, (count - 1).bit_length()) for step, count in steps.items())}
