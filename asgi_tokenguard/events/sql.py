"""The sessions as rows of the app's own SQL database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.events.mirror import Read
from asgi_tokenguard.events.rows import as_read, escape, row_of, unescape

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# PostgreSQL cuts names after 63 characters; the index is called ix_..._subject.
TABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,51}")


class SqlMirror:
    """
    A `Mirror` in PostgreSQL or SQLite, for an app that wants to join its users with their sessions.

    *engine_or_url* is an `AsyncEngine`, which stays the app's, or a URL, whose connections are closed by `aclose`.  The table
    is made by `create`, or from `metadata` by the app's own migrations.  Its rows lag behind Redis, and sessions that expire
    keep theirs until the next `reconcile`: ask for `expires_at` above now, and never decide by a row who may do what.

    Of a *subject* each character stands for itself but NUL, which PostgreSQL refuses: it is stored as U+2400, and that one
    and U+241B are stored with a U+241B before them.

    Raises ConfigurationError where SQLAlchemy or the driver is missing, and for a database that is neither of the two.
    """

    def __init__(self, engine_or_url: AsyncEngine | URL | str, *, table: str = "tokenguard_sessions") -> None:
        try:
            import greenlet  # noqa: F401, PLC0415 (SQLAlchemy itself misses it at the first statement only)

            from asgi_tokenguard.events.engines import Engines  # noqa: PLC0415 (SQLAlchemy is optional)
            from asgi_tokenguard.events.statements import Statements  # noqa: PLC0415
        except ImportError:
            remedy = "pip install 'asgi-tokenguard[sql]'"
            raise ConfigurationError("mirror", "SQLAlchemy 2 with asyncio is not installed", remedy) from None
        if not TABLE_NAME.fullmatch(table):
            raise ConfigurationError("mirror", f"{table!r} is no table name", "use up to 52 of letters, digits and _")
        self._engines = Engines(engine_or_url)
        self._statements = Statements(table, self._engines.dialect)

    @property
    def metadata(self) -> MetaData:
        """Holds the one table, for Alembic's `target_metadata`."""
        return self._statements.metadata

    @property
    def table(self) -> Table:
        return self._statements.table

    async def create(self) -> None:
        """Create the table and its index where they are missing; an existing table is left as it is."""
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

        try:
            await self._create()
        except DBAPIError:
            # Another worker of the app has created it between our look and our word.  Anything else fails again.
            await self._create()

    async def sync(self, subject: str, read: Read) -> None:
        """
        Make the rows of *subject* equal to what *read* tells, under the user's lock.

        The read that counts is that of whoever holds the lock last, and it began after every earlier holder had committed:
        no older read can overwrite a newer one.  Raises what *read* raises and SQLAlchemy's errors; the rows are then as
        they were, and the sync is to be done again.
        """
        stored, say = escape(subject), self._statements
        async with self._turn(stored) as connection:
            rows = [row_of(subject, session) for session in await read(subject)]
            found = await connection.execute(say.rows(stored))
            before = {row["id"]: as_read(row) for row in found.mappings()}
            gone = [{"gone": sid} for sid in before.keys() - {row["id"] for row in rows}]
            # Of a user's sessions one changes at a time as a rule.
            changed = [row for row in rows if row != before.get(row["id"])]
            if gone:
                await connection.execute(say.remove(), gone)
            if changed:
                await connection.execute(say.upsert(), changed)

    async def subjects(self) -> AsyncIterator[str]:
        """Every user with rows, once; read by pages, so that no transaction stays open while the caller works."""
        last = ""  # no subject is empty
        while page := await self._page(last):
            for stored in page:
                yield unescape(stored)
            last = page[-1]

    async def aclose(self) -> None:
        """Close the connections of this event loop; an engine that you passed stays open."""
        await self._engines.aclose()

    @asynccontextmanager
    async def _turn(self, stored: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds the user's lock."""
        async with self._connected() as connection, connection.begin():
            for statement in self._statements.lock(stored):
                await connection.execute(statement)
            yield connection

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        local = self._engines.local()
        # SQLite has one lock for all: waiting for it here costs nothing, there a thread polls for it.  And a database in
        # memory has one connection, in which two transactions would be one.
        turn = local.turn if self._engines.dialect == "sqlite" else nullcontext()
        async with turn, local.engine.connect() as connection:
            await connection.execution_options(isolation_level=self._statements.isolation)
            yield connection

    async def _create(self) -> None:
        async with self._connected() as connection, connection.begin():
            await connection.run_sync(self.metadata.create_all)

    async def _page(self, last: str) -> list[Any]:
        async with self._connected() as connection:
            return list(await connection.scalars(self._statements.subjects_after(last)))
