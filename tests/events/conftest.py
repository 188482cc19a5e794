"""An outbox whose time is moved by hand, and databases for mirrors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.postgres import PostgresServer
from support.time import ManualTime

from asgi_tokenguard.events.outbox import Outbox
from asgi_tokenguard.events.sql import SqlMirror

_numbers = itertools.count()


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


@pytest.fixture
async def make(time: ManualTime) -> AsyncIterator[Callable[..., Outbox]]:
    """Makes outboxes whose waits are whole (chance is 1), and sees that none of them leaves a task behind."""
    made: list[Outbox] = []

    def make_one(**options: Any) -> Outbox:
        made.append(Outbox(**{"monotonic": time.monotonic, "sleep": time.sleep, "random": lambda: 1.0} | options))
        return made[-1]

    yield make_one
    for each in made:
        await each.aclose(0)
    assert {asyncio.current_task()} == asyncio.all_tasks()


@pytest.fixture
def outbox(make: Callable[..., Outbox]) -> Outbox:
    return make()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server.start()
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without our table in it."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/app.db"
    return request.getfixturevalue("postgres").url


@pytest.fixture
async def open_mirror(url: str) -> AsyncIterator[Callable[..., SqlMirror]]:
    """Opens mirrors of one table, each with connections of its own as another process would have."""
    opened: list[SqlMirror] = []
    table = f"sessions_{next(_numbers)}"

    def open_one(source: Any = url) -> SqlMirror:
        opened.append(SqlMirror(source, table=table))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.aclose()


@pytest.fixture
async def mirror(open_mirror: Callable[..., SqlMirror]) -> SqlMirror:
    """A mirror whose table is there and empty."""
    mirror = open_mirror()
    await mirror.create()
    return mirror
