"""The servers that the collected tests ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.fleet import Fleet, Served


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    callspecs = [getattr(item, "callspec", None) for item in request.session.items if item.module is request.module]
    fleet = Fleet(dict.fromkeys(spec.params["served"] for spec in callspecs if spec is not None))
    yield fleet
    fleet.close()


@pytest.fixture
def served(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Served]:
    served = fleet[request.param]
    yield served
    if served.runs and "Traceback" in served.log:
        pytest.fail(served.log)
