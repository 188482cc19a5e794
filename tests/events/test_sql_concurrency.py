"""Several processes bring the rows of one user up to date at the same time."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import event, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from support.truth import Truth, rows_in, session

from asgi_tokenguard.events.outbox import Outbox
from asgi_tokenguard.events.sql import SqlMirror

POSTGRESQL = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


@pytest.fixture
def pair(mirror, open_mirror):
    """As two processes would have it: no connection in common."""
    return mirror, open_mirror()


@pytest.fixture
async def engines(url):
    """Two engines of an app, with its own options."""
    opened = []

    def open_two(**options):
        opened.extend(create_async_engine(url, **options) for _ in range(2))
        return opened

    yield open_two
    for engine in opened:
        await engine.dispose()


def version(number: int, subject: str = "user-1"):
    """Three sessions that no other version has."""
    return [session(10 * number + each, subject) for each in range(3)]


async def test_a_read_that_is_slow_never_overwrites_a_newer_one(pair):
    """The slow one reads the old truth; meanwhile the truth changes and the other process is told to mirror it."""
    slow, quick = pair
    truth = Truth(**{"user-1": version(1)})
    truth.slowness = 0.3
    first = asyncio.create_task(slow.sync("user-1", truth.read))
    while not truth.reads:
        await asyncio.sleep(0.01)
    truth.sessions["user-1"] = version(2)
    truth.slowness = 0.0
    second = asyncio.create_task(quick.sync("user-1", truth.read))
    await asyncio.sleep(0.1)
    assert (1, False) == (len(truth.reads), first.done())  # the second has not read yet: it waits for the lock
    await asyncio.gather(first, second)
    assert truth.rows() == await rows_in(quick)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2, 3))])
async def test_whatever_is_read_and_written_at_the_same_time_the_end_is_the_truth_and_no_moment_a_mixture(pair, seed):
    chance = random.Random(seed)
    truth = Truth(**{"user-1": version(0)})
    known = [{each.id for each in version(number)} for number in range(25)]
    is_over = asyncio.Event()

    async def change(number: int) -> None:
        await asyncio.sleep(chance.random() / 10)
        truth.sessions["user-1"] = version(number)
        truth.slowness = chance.random() / 50
        await chance.choice(pair).sync("user-1", truth.read)

    async def watch() -> int:
        looks = 0
        while not is_over.is_set():
            async with pair[0]._connected() as connection:
                seen = set(await connection.scalars(select(pair[0].table.c.id)))
            assert not seen or seen in known
            looks += 1
            await asyncio.sleep(0.002)
        return looks

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(change(number) for number in range(25)))
    is_over.set()
    assert 0 < await watching
    assert truth.rows() == await rows_in(pair[1])


async def test_two_outboxes_mirror_many_users_and_end_at_the_truth(pair):
    chance = random.Random(7)
    truth = Truth()
    boxes = (Outbox(), Outbox())
    for number in range(400):
        subject = f"user-{chance.randrange(20)}"
        truth.sessions[subject] = version(number, subject)[: chance.randrange(4)]
        which = chance.randrange(2)
        boxes[which].put(subject, lambda which=which, subject=subject: pair[which].sync(subject, truth.read))
        if number % 20 == 0:
            await asyncio.sleep(0.005)
    async with asyncio.timeout(60):
        while any(box.pending for box in boxes):
            await asyncio.sleep(0.01)
    assert truth.rows() == await rows_in(pair[0])
    assert [0, 0] == [box.dropped + box.failed for box in boxes]
    for box in boxes:
        await box.aclose()


@POSTGRESQL  # SQLite has one writer at a time
async def test_users_do_not_wait_for_each_other(pair):
    truth = Truth(**{"user-1": version(1), "user-2": version(2, "user-2")})
    truth.slowness = 0.5
    first = asyncio.create_task(pair[0].sync("user-1", truth.read))
    while not truth.reads:
        await asyncio.sleep(0.01)
    truth.slowness = 0.0
    await pair[1].sync("user-2", truth.read)
    assert not first.done()
    await first


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("sqlite", "AUTOCOMMIT"),
        ("sqlite", "SERIALIZABLE"),
        ("postgresql", "AUTOCOMMIT"),
        ("postgresql", "REPEATABLE READ"),
        ("postgresql", "SERIALIZABLE"),
    ],
    indirect=["url"],
)
async def test_the_level_of_isolation_of_the_apps_engine_does_not_matter(mirror, open_mirror, engines, level):
    pair = [open_mirror(engine) for engine in engines(isolation_level=level)]
    truth = Truth(**{"user-1": version(1)})
    truth.slowness = 0.2
    first = asyncio.create_task(pair[0].sync("user-1", truth.read))
    while not truth.reads:
        await asyncio.sleep(0.01)
    truth.sessions["user-1"], truth.slowness = version(2), 0.0
    await asyncio.gather(first, pair[1].sync("user-1", truth.read))
    assert truth.rows() == await rows_in(mirror)
    truth.sessions["user-1"] = version(3)
    pair[0]._statements.upsert = lambda: text("no SQL at all")  # so that it fails after its deletions
    with pytest.raises(Exception):  # noqa: B017
        await pair[0].sync("user-1", truth.read)
    assert {each.id for each in version(2)} == {row["id"] for row in (await rows_in(mirror))["user-1"]}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_an_engine_that_begins_its_transactions_by_hand_serves_too(mirror, open_mirror, engines):
    """As SQLAlchemy's documentation shows for savepoints in SQLite."""
    one, two = engines(connect_args={"timeout": 60})  # seconds to wait for a lock: a busy machine is no failure
    for engine in (one, two):
        event.listen(engine.sync_engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    await end_at_the_truth(open_mirror(one), open_mirror(two))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_write_ahead_logging_serves_too(mirror, open_mirror, engines, url):
    """There one who has read an old state can never write; we write before we read."""
    # It is kept in the file.  Two that switch to it at once may be refused, which is no matter of ours.
    with closing(sqlite3.connect(make_url(url).database)) as file:
        assert ("wal",) == file.execute("PRAGMA journal_mode=WAL").fetchone()
    one, two = engines(connect_args={"timeout": 60})  # seconds to wait for a lock: a busy machine is no failure
    await end_at_the_truth(open_mirror(one), open_mirror(two))


async def end_at_the_truth(one: SqlMirror, two: SqlMirror) -> None:
    truth = Truth(**{"user-1": version(0)})
    for number in range(1, 9):
        truth.sessions["user-1"], truth.slowness = version(number), 0.01 * (9 - number)
        await asyncio.gather(one.sync("user-1", truth.read), two.sync("user-1", truth.read))
    assert truth.rows() == await rows_in(one)


async def test_a_database_in_memory_keeps_transactions_apart():
    """It has one connection, in which two at a time would be one."""
    mirror = SqlMirror("sqlite+aiosqlite://")
    await mirror.create()
    truth = Truth(**{f"user-{number}": version(number, f"user-{number}") for number in range(30)})
    truth.slowness = 0.002

    async def fails(subject: str):
        await truth.read(subject)
        raise OSError

    async def try_to(subject: str) -> None:
        with pytest.raises(OSError):
            await mirror.sync(subject, fails)

    jobs = [mirror.sync(subject, truth.read) for subject in truth.sessions]
    await asyncio.gather(*jobs, *(try_to(subject) for subject in truth.sessions), *(rows_in(mirror) for _ in range(20)))
    assert truth.rows() == await rows_in(mirror)
    await mirror.aclose()


@POSTGRESQL  # SQLite's locks die with their process
async def test_a_holder_that_stands_still_loses_the_lock(mirror, open_mirror, monkeypatch):
    """A frozen process or a vanished host: PostgreSQL ends its connection, and what it would have written is not written."""
    monkeypatch.setattr("asgi_tokenguard.events.statements.PATIENCE", "300")
    truth = Truth(**{"user-1": version(1)})
    truth.slowness = 1.0
    frozen = asyncio.create_task(mirror.sync("user-1", truth.read))
    while not truth.reads:
        await asyncio.sleep(0.01)
    monkeypatch.setattr("asgi_tokenguard.events.statements.PATIENCE", "5000")
    truth.sessions["user-1"], truth.slowness = version(2), 0.0
    other = open_mirror()
    async with asyncio.timeout(0.9):
        await other.sync("user-1", truth.read)
    assert [True] == [isinstance(each, Exception) for each in await asyncio.gather(frozen, return_exceptions=True)]
    assert truth.rows() == await rows_in(other)


@POSTGRESQL  # for SQLite the driver bounds it: five seconds by default
async def test_the_wait_for_a_lock_has_an_end(mirror, open_mirror, monkeypatch):
    truth = Truth(**{"user-1": version(1)})
    truth.slowness = 1.0
    held = asyncio.create_task(mirror.sync("user-1", truth.read))
    while not truth.reads:
        await asyncio.sleep(0.01)
    monkeypatch.setattr("asgi_tokenguard.events.statements.PATIENCE", "100")
    with pytest.raises(Exception, match="lock timeout"):
        await open_mirror().sync("user-1", truth.read)
    await held
