"""
The pytest plugin of asgi_tokenguard: `tokenguard_app`, `tokenguard_client`, `tokenguard_clock`, `tokenguard_redis`.

It stands beside the package, as Hypothesis's does: pytest imports it in every run on a machine where the package is
installed, and importing the package takes some tenths of a second.  Whoever asks for no fixture pays for this file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from asgi_tokenguard.testing import AuthClient, Clock


@pytest.fixture(scope="session")
def tokenguard_redis() -> Iterator[str]:
    """
    The URL of the Redis of all tests of this run (of each worker under pytest-xdist).

    It is the one named in `TOKENGUARD_TEST_REDIS`, or an embedded server.  A fixture of yours of this name replaces it.
    """
    from asgi_tokenguard.testing import redis_for_tests

    with redis_for_tests() as url:
        yield url


@pytest.fixture
def tokenguard_clock() -> Clock:
    """The clock of this test: `tokenguard_clock.advance(minutes=16)`."""
    from asgi_tokenguard.testing import Clock

    return Clock()


@pytest.fixture
def tokenguard_app(tokenguard_redis: str, tokenguard_clock: Clock) -> Iterator[Callable[..., ASGIApp]]:
    """
    Puts an app on this test's part of Redis, at the time of its clock: `tokenguard_app(app)`.

    See `asgi_tokenguard.testing.guarded`, which takes the same options.  Called twice with one app it gives the same.
    """
    from asgi_tokenguard.testing import guarded

    with ExitStack() as guards:
        yield _once(guards, lambda app, **options: guarded(app, redis=tokenguard_redis, clock=tokenguard_clock, **options))


@pytest.fixture
def tokenguard_client(tokenguard_app: Callable[..., ASGIApp]) -> Iterator[Callable[..., AuthClient]]:
    """
    Opens a browser before an app, and closes it after the test.

    `client = tokenguard_client(app)`; for another browser or another tab ask the client.
    """
    from asgi_tokenguard.testing import AuthClient

    with ExitStack() as clients:
        yield _once(clients, lambda app, **options: AuthClient(tokenguard_app(app), **options))


def _once(block: ExitStack, enter: Callable[..., AbstractContextManager[Any]]) -> Callable[..., Any]:
    """A function that enters what *enter* makes of an app, once for each; what came out of it is given back as it is."""
    known: dict[int, tuple[object, Any]] = {}  # by identity: an app need not be hashable

    def give(app: ASGIApp, **options: Any) -> Any:
        if id(app) in known:
            if options:
                raise ValueError(f"{', '.join(options)}: too late, the fixture was given this app before")
            return known[id(app)][1]
        made = block.enter_context(enter(app, **options))
        known[id(app)] = app, made
        known[id(made)] = made, made
        return made

    return give
