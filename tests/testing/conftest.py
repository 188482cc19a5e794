"""A server that lives in the present, beside the one of all tests whose clock travels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.server import RedisServer


@pytest.fixture(scope="module")
def still() -> Iterator[RedisServer]:
    server = RedisServer(travel=False).start()
    yield server
    server.close()
