"""One real server per worker; each test has a namespace of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.actors import Browser
from support.apps import plain_app
from support.clock import TravelClock
from support.needs import missing
from support.server import RedisServer
from support.stage import travelling

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware

SECRET = "a secret of more than thirty-two bytes, for tests only"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    server = RedisServer().start()
    if not server.travels:
        missing("moving the server's clock needs libfaketime: Linux on x86_64")
    yield server
    server.close()


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of this test's own, to be harmed, with a port and the machine's time; `param` are more of its options."""
    server = RedisServer(port=True, travel=False, more=getattr(request, "param", ())).start()
    yield server
    server.close()


@pytest.fixture
def clock(server: RedisServer) -> TravelClock:
    return server.clock


@pytest.fixture
def options(server: RedisServer) -> dict[str, Any]:
    # A busy machine is no outage: what is about the timeout gives one of its own.
    return {"secret": SECRET, "redis": server.url, "namespace": f"t{next(_numbers)}", "timeout": 10}


@pytest.fixture
async def guard(options: dict[str, Any], clock: TravelClock) -> AsyncIterator[TokenGuard]:
    async with travelling(TokenGuard(**options), clock) as guard:
        yield guard


@pytest.fixture
async def app(options: dict[str, Any], clock: TravelClock) -> AsyncIterator[TokenGuardMiddleware]:
    """The plain app under guard: `/login` and `/logout` are public, `/open/*` is optional; access tokens live 15 minutes."""
    guard = travelling(TokenGuard(**options, public=["/login", "/logout"], optional=["/open/*"]), clock)
    async with guard:
        yield TokenGuardMiddleware(plain_app, guard=guard)


@pytest.fixture
async def browser(app: TokenGuardMiddleware) -> Browser:
    """A browser with an empty cookie jar."""
    return Browser(app)
