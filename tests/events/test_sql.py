"""The mirror in real databases: what it holds is what Redis told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from support.truth import LOGIN, Truth, rows_in, session

from asgi_tokenguard.core.claims import check_subject
from asgi_tokenguard.core.devices import Device
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.events.mirror import reconcile
from asgi_tokenguard.events.sql import SqlMirror

SUBJECTS = {
    "plain": "user-1",
    "unicode": "Zoë 東京 🗼 \N{COMBINING ACUTE ACCENT}",
    "quotes": """';DROP TABLE "x" -- %s :name \\ ?""",
    "one kilobyte": "x" * 1024,
    "one kilobyte of four bytes each": "🗼" * 256,
    "NUL": "a\0b",
    "what NUL becomes": "a␀b",
    "marks": "␛␀␛␛\0␀",
    "many NULs": "\0" * 204 + "x" * 820,
    "many marks": "␛" * 341,
    "spaces": " a ",
    "line breaks": "a\r\nb\t\x7f\x01",
}


async def sync(mirror: SqlMirror, truth: Truth) -> None:
    for subject in truth.sessions:
        await mirror.sync(subject, truth.read)


# --- Equality


async def test_the_rows_of_a_user_are_the_sessions(mirror):
    truth = Truth(**{"user-1": [session(1), session(2)], "user-2": [session(3, "user-2")]})
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)
    first = (await rows_in(mirror))["user-1"][0]
    assert {
        "id": session(1).id,
        "subject": "user-1",
        "created_at": LOGIN + timedelta(minutes=1),
        "last_seen_at": LOGIN + timedelta(minutes=1, seconds=1),
        "expires_at": LOGIN + timedelta(days=15, minutes=1),
        "ip_address": "192.0.2.7",
        "browser": "Firefox 140",
        "system": "Windows",
        "kind": "desktop",
        "city": "Zürich 東京 🗼",
        "country": "CH",
        "latitude": 48.20849,
        "longitude": -16.37208,
    } == first


async def test_times_are_aware_in_postgresql_and_utc_in_both(mirror, url):
    await sync(mirror, Truth(**{"user-1": [session(0)]}))
    async with mirror._connected() as connection:
        created = await connection.scalar(select(mirror.table.c.created_at))
    assert LOGIN == (created.astimezone(UTC) if url.startswith("postgresql") else created.replace(tzinfo=UTC))


async def test_what_is_not_known_is_null(mirror):
    truth = Truth(**{"user-1": [session(1, ip_address=None, device=None, location=None), session(2, device=Device())]})
    await sync(mirror, truth)
    first, second = (await rows_in(mirror))["user-1"]
    unknown = ("ip_address", "browser", "system", "kind", "city", "country", "latitude", "longitude")
    assert [None] * 8 == [first[name] for name in unknown]
    assert (None, "unknown") == (second["browser"], second["kind"])


async def test_sessions_that_are_gone_lose_their_rows_and_only_they(mirror):
    truth = Truth(**{"user-1": [session(1), session(2)], "user-2": [session(3, "user-2")]})
    await sync(mirror, truth)
    truth.sessions["user-1"] = [session(2), session(4)]
    await mirror.sync("user-1", truth.read)
    assert truth.rows() == await rows_in(mirror)
    truth.sessions["user-1"] = []
    await mirror.sync("user-1", truth.read)
    assert ["user-2"] == list(await rows_in(mirror))


async def test_sessions_that_changed_change_their_rows(mirror):
    truth = Truth(**{"user-1": [session(1), session(2)]})
    await sync(mirror, truth)
    moved = {"ip_address": "2001:db8::ffff:1234:5678:9abc", "last_seen_at": LOGIN + timedelta(days=3, microseconds=7)}
    truth.sessions["user-1"] = [session(1), replace(session(2), **moved, location=Place(latitude=-1.5, longitude=180))]
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)


async def test_a_thousand_sessions(mirror):
    truth = Truth(**{"user-1": [session(number) for number in range(1_000)]})
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)
    truth.sessions["user-1"] = [session(number) for number in range(999, 2_000)]
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)


async def test_what_has_not_changed_is_not_written(mirror, url):
    """Else each rotation would rewrite every session of its user."""
    truth = Truth(**{"user-1": [session(1), session(2)]})
    await sync(mirror, truth)
    said = []
    execute = mirror._statements.upsert
    mirror._statements.upsert = lambda: said.append("upsert") or execute()
    await sync(mirror, truth)
    assert [] == said


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
async def test_every_subject_of_a_token_has_its_rows_and_no_others(mirror, subject):
    check_subject(subject)
    truth = Truth(**{subject: [session(1, subject)], subject[:-1] + "?": [session(2)]})
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)
    assert set(truth.sessions) == {each async for each in mirror.subjects()}
    truth.sessions[subject] = []
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)


async def test_ordinary_subjects_are_stored_as_they_are_so_that_an_app_can_join_on_them(mirror):
    for subject in ("DOMAIN\\user", "Zoë", "a'b", "%"):
        await mirror.sync(subject, Truth(**{subject: [session(len(subject), subject)]}).read)
        async with mirror._connected() as connection:
            found = await connection.scalar(
                text(f"SELECT count(*) FROM {mirror.table.name} WHERE subject = :s"), {"s": subject}
            )
        assert 1 == found


async def test_odd_words_of_headers_and_locators_keep_no_row_from_being_written(mirror):
    device = Device(browser="x" * 5_000, system="\0\ud800", kind="odd")
    odd = session(1, device=device, location=Place(latitude=0, longitude=0, city="a\udfffb", country="no ISO code at all"))
    truth = Truth(**{"user-1": [odd, session(2)]})
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)
    assert ["␀?", "a?b"] == [(await rows_in(mirror))["user-1"][0][name] for name in ("system", "city")]


# --- Failure


async def test_where_the_truth_cannot_be_read_the_rows_stay(mirror):
    truth = Truth(**{"user-1": [session(1)]})
    await sync(mirror, truth)
    truth.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await mirror.sync("user-1", truth.read)
    truth.error = None
    assert truth.rows() == await rows_in(mirror)


async def test_a_sync_that_fails_half_way_changes_nothing(mirror):
    truth = Truth(**{"user-1": [session(1)]})
    await sync(mirror, truth)
    wrong = Truth(**{"user-1": [session(2), replace(session(3), expires_at=None)]})  # type: ignore[arg-type]
    with pytest.raises(Exception):  # noqa: B017 (whatever it is)
        await mirror.sync("user-1", wrong.read)
    broken = mirror._statements.upsert
    mirror._statements.upsert = lambda: text("no SQL at all")
    with pytest.raises(Exception):  # noqa: B017
        await mirror.sync("user-1", Truth(**{"user-1": [session(2)]}).read)
    mirror._statements.upsert = broken
    assert truth.rows() == await rows_in(mirror)


async def test_a_cancelled_sync_changes_nothing_and_frees_the_lock(mirror):
    truth = Truth(**{"user-1": [session(1)]})
    truth.slowness = 60
    held = asyncio.create_task(mirror.sync("user-1", truth.read))
    while not truth.reads:
        await asyncio.sleep(0.01)
    held.cancel()
    assert [True] == [isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(held, return_exceptions=True)]
    truth.slowness = 0
    async with asyncio.timeout(5):
        await mirror.sync("user-1", truth.read)
    assert truth.rows() == await rows_in(mirror)


async def test_no_error_of_our_own_engine_quotes_a_subject(open_mirror):
    mirror = open_mirror()  # whose table is not there
    with pytest.raises(Exception, match="parameters hidden") as raised:
        await mirror._page("user-secret")
    assert "user-secret" not in str(raised.value)


# --- The table


async def test_many_workers_create_the_table_at_once(open_mirror):
    await asyncio.gather(*(open_mirror().create() for _ in range(5)))
    mirror = open_mirror()
    await mirror.create()
    assert {} == await rows_in(mirror)


async def test_create_says_why_it_cannot(open_mirror, url):
    mirror = open_mirror(url.replace("app.db", "no/such/folder/app.db").replace("/postgres?", "/nowhere?"))
    with pytest.raises(Exception, match=r"unable to open|does not exist"):
        await mirror.create()
    # Nobody waits for the thread of a connection that failed to open, which tells its loop of its end: the loop must be there.
    await asyncio.sleep(0.05)


async def test_subjects_are_looked_up_by_an_index(mirror):
    def indexes(connection):
        return inspect(connection).get_indexes(mirror.table.name)

    async with mirror._connected() as connection:
        assert [["subject"]] == [index["column_names"] for index in await connection.run_sync(indexes)]


async def test_subjects_are_told_page_by_page(mirror, monkeypatch):
    monkeypatch.setattr("asgi_tokenguard.events.statements.PAGE", 3)
    subjects = [f"user-{number}" for number in range(10)]
    truth = Truth(**{each: [session(number, each), session(100 + number, each)] for number, each in enumerate(subjects)})
    await sync(mirror, truth)
    assert subjects == sorted([each async for each in mirror.subjects()])


async def test_an_engine_of_the_app_serves_and_stays_open(open_mirror, url):
    engine = create_async_engine(url)
    mirror = open_mirror(engine)
    await mirror.create()
    truth = Truth(**{"user-1": [session(1)]})
    await sync(mirror, truth)
    pool = engine.pool
    await mirror.aclose()
    assert pool is engine.pool  # `dispose` would have made a new one
    assert truth.rows() == await rows_in(mirror)
    await engine.dispose()


async def test_after_it_is_closed_a_mirror_opens_again(mirror):
    await mirror.aclose()
    await mirror.aclose()
    truth = Truth(**{"user-1": [session(1)]})
    await sync(mirror, truth)
    assert truth.rows() == await rows_in(mirror)


def test_each_event_loop_has_connections_of_its_own(url):
    mirror = SqlMirror(url, table="loops")
    truth = Truth(**{"user-1": [session(1)]})

    async def use() -> None:
        await mirror.create()
        await sync(mirror, truth)
        await mirror.aclose()

    for _ in range(2):
        asyncio.run(use())
    assert [] == mirror._engines._locals.everywhere()


def test_event_loops_that_ended_are_forgotten(url):
    mirror = SqlMirror(url)

    async def use() -> None:
        mirror._engines.local()

    for _ in range(3):
        asyncio.run(use())
    assert 1 == len(mirror._engines._locals._things)


# --- Reconciliation


async def test_rows_of_sessions_that_ended_without_a_word_go(mirror):
    truth = Truth(**{f"user-{number}": [session(number), session(100 + number)] for number in range(20)})
    await sync(mirror, truth)
    for number in range(5):
        truth.sessions[f"user-{number}"] = []
    truth.sessions["user-7"] = [session(7)]
    assert 20 == await reconcile(mirror, truth.read)
    assert truth.rows() == await rows_in(mirror)
    assert 15 == await reconcile(mirror, truth.read)
