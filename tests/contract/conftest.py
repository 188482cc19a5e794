"""
The contract runs on each topology and each server; `python -m support.matrix` in `tests/` runs it on all of them.

TOKENGUARD_TEST_TOPOLOGY  a name of support.topologies (default: unix-socket)
TOKENGUARD_REDIS_SERVER   the server's program
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.clock import TravelClock
from support.needs import missing
from support.server import faketime_library
from support.topologies import TOPOLOGIES, Reached

SECRET = "a secret of more than thirty-two bytes, for tests only"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def reached() -> Iterator[Reached]:
    with TOPOLOGIES[os.environ.get("TOKENGUARD_TEST_TOPOLOGY", "unix-socket")]() as reached:
        yield reached


class StandingClock(TravelClock):
    """Of a server that cannot be told another time; who needs one is skipped."""

    def set(self, offset: float) -> None:
        pytest.skip("this server's program is linked statically: its clock cannot be moved")


@pytest.fixture
def clock(reached: Reached) -> TravelClock:
    if faketime_library() is None:
        missing("moving the server's clock needs libfaketime: Linux on x86_64")
    return reached.clock if reached.travels else StandingClock(reached.clock.file)


@pytest.fixture
async def options(reached: Reached) -> AsyncIterator[dict[str, Any]]:
    # A busy machine is no outage: what is about the timeout gives one of its own.
    async with reached.source() as source:
        yield {"secret": SECRET, "redis": source, "namespace": f"t{next(_numbers)}", "timeout": 10}


@pytest.fixture
async def redis(reached: Reached) -> AsyncIterator[Any]:
    async with reached.direct() as client:
        yield client
