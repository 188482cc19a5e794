"""The database goes away and comes back; the rows end equal to the truth."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text
from support.postgres import PostgresServer
from support.server import free_port
from support.truth import Truth, rows_in, session

from asgi_tokenguard.core.backoff import Backoff
from asgi_tokenguard.events.outbox import Outbox
from asgi_tokenguard.events.sql import SqlMirror


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of our own, that may be stopped."""
    server = PostgresServer()
    yield server.start()
    server.close()


@pytest.fixture
async def outbox() -> AsyncIterator[Outbox]:
    outbox = Outbox(backoff=Backoff(first=0.05, most=0.2))
    yield outbox
    await outbox.aclose()


async def all_done(outbox: Outbox) -> None:
    async with asyncio.timeout(30):
        while outbox.pending:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_postgresql_stops_and_starts(server, outbox, mode, caplog):
    chance = random.Random(mode)
    mirror, truth = SqlMirror(server.url), Truth()
    await mirror.create()

    def change(rounds: int) -> None:
        for _ in range(rounds):
            subject = f"user-secret-{chance.randrange(50)}"
            numbers = chance.sample(range(100), chance.randrange(5))
            truth.sessions[subject] = [session(number, subject, id=f"{subject[-2:]:-<13}{number:0>13}") for number in numbers]
            assert outbox.put(subject, lambda subject=subject: mirror.sync(subject, truth.read))

    change(100)
    await asyncio.sleep(0.05)
    change(20)
    await asyncio.to_thread(server.stop, mode=mode)
    change(100)
    await asyncio.sleep(0.3)
    change(20)
    assert (True, True) == (outbox.pending > 0, outbox.failed > 0)
    await asyncio.to_thread(server.start)
    change(20)
    await all_done(outbox)
    assert truth.rows() == await rows_in(mirror)
    assert 0 == outbox.dropped
    assert "user-secret" not in caplog.text
    await mirror.aclose()


async def test_connections_that_the_server_ends_are_replaced(postgres, outbox, open_mirror):
    mirror, truth = open_mirror(postgres.url), Truth(**{"user-1": [session(1)]})
    await mirror.create()
    await mirror.sync("user-1", truth.read)
    async with open_mirror(postgres.url)._connected() as connection:
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'tests'"
        await connection.execute(text(kill))
    truth.sessions["user-1"] = [session(2)]
    outbox.put("user-1", lambda: mirror.sync("user-1", truth.read))
    await all_done(outbox)
    assert truth.rows() == await rows_in(mirror)


async def test_nobody_listens(outbox):
    mirror, truth = SqlMirror(f"postgresql+asyncpg://tests@127.0.0.1:{free_port()}/postgres"), Truth()
    outbox.put("user-1", lambda: mirror.sync("user-1", truth.read))
    await asyncio.sleep(0.3)
    assert (1, True, []) == (outbox.pending, outbox.failed > 1, truth.reads)
    await mirror.aclose()


async def test_a_sqlite_file_is_away_for_a_while(outbox, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mirror, truth = SqlMirror(f"sqlite+aiosqlite:///{folder}/app.db"), Truth(**{"user-1": [session(1)]})
    await mirror.create()
    await mirror.aclose()
    shutil.move(folder, tmp_path / "elsewhere")
    outbox.put("user-1", lambda: mirror.sync("user-1", truth.read))
    await asyncio.sleep(0.3)
    assert 1 == outbox.pending
    shutil.move(tmp_path / "elsewhere", folder)
    await all_done(outbox)
    assert truth.rows() == await rows_in(mirror)
    await mirror.aclose()


async def test_the_table_is_made_late(outbox, open_mirror, url):
    """An app that deploys before it migrates."""
    mirror, truth = open_mirror(), Truth(**{"user-1": [session(1)]})
    outbox.put("user-1", lambda: mirror.sync("user-1", truth.read))
    await asyncio.sleep(0.2)
    assert 1 == outbox.pending
    await mirror.create()
    await all_done(outbox)
    assert truth.rows() == await rows_in(mirror)
