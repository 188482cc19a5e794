"""Sessions of a user without Redis: what a mirror is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from asgi_tokenguard.core.devices import Device
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.core.records import new_ulid, ulid_text
from asgi_tokenguard.core.sessions import Session
from asgi_tokenguard.events.rows import as_read, row_of, unescape
from asgi_tokenguard.events.sql import SqlMirror

LOGIN = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def session(number: int, subject: str = "user-1", **fields) -> Session:
    moment = LOGIN + timedelta(minutes=number)
    values = {
        "id": ulid_text(new_ulid(int(moment.timestamp() * 1000), number.to_bytes(10, "big"))),
        "subject": subject,
        "created_at": moment,
        "last_seen_at": moment + timedelta(seconds=1),
        "expires_at": moment + timedelta(days=15),
        "ip_address": "192.0.2.7",
        "device": Device(browser="Firefox 140", system="Windows", kind="desktop"),
        "location": Place(latitude=48.20849, longitude=-16.37208, city="Zürich 東京 🗼", country="CH"),
    }
    return Session(**values | fields)


class Truth:
    """What Redis would tell; *reads* are the users who were asked for, *slowness* is between a look and its answer."""

    def __init__(self, **sessions: Sequence[Session]) -> None:
        self.sessions: dict[str, Sequence[Session]] = dict(sessions)
        self.reads: list[str] = []
        self.slowness = 0.0
        self.error: Exception | None = None

    async def read(self, subject: str) -> Sequence[Session]:
        self.reads.append(subject)
        if self.error is not None:
            raise self.error
        found = self.sessions.get(subject, [])
        if self.slowness:
            await asyncio.sleep(self.slowness)
        return found

    def rows(self) -> dict[str, list[dict]]:
        return {
            subject: sorted((row_of(subject, each) for each in sessions), key=lambda row: row["id"])
            for subject, sessions in self.sessions.items()
            if sessions
        }


async def rows_in(mirror: SqlMirror) -> dict[str, list[dict]]:
    """The whole table by user."""
    from sqlalchemy import select

    found: dict[str, list[dict]] = {}
    async with mirror._connected() as connection:
        for row in (await connection.execute(select(mirror.table).order_by(mirror.table.c.id))).mappings():
            found.setdefault(unescape(row["subject"]), []).append(as_read(row))
    return found
