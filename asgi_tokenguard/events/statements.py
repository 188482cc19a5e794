"""
The SQL of the mirror, in two dialects.

Rule: SQLAlchemy is imported here at module level, and this module only inside functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Delete,
    Double,
    Index,
    Insert,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    delete,
    false,
    func,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import Executable

# What serves here: on PostgreSQL each statement after the lock sees what its last holder committed, which the snapshot of
# a stricter level, taken before the lock, would hide.  Both also undo an engine-wide AUTOCOMMIT, which knows no transactions.
ISOLATION: Final = {"postgresql": "READ COMMITTED", "sqlite": "SERIALIZABLE"}
# Milliseconds that a statement waits for a user's lock, and that a holder may be silent before the server ends its
# connection and frees the lock: a host that vanished or a frozen process would else keep it for hours (TCP keepalive).  A
# read of Redis between the two takes milliseconds, and is bounded by the guard's `timeout`, one second by default.
PATIENCE: Final = "10000"
# As many users as one page of `subjects` asks for: at most 1 MB of the longest subjects.
PAGE: Final = 1_000

TEXT: Final = ("browser", "system", "kind", "city", "country")


def sessions_table(metadata: MetaData, name: str) -> Table:
    """
    The mirror's table in *metadata*, for Alembic say; the times are in UTC.

    What comes from headers and locators has no length: PostgreSQL refuses what is longer, and a row would be lost.
    """
    return Table(
        name,
        metadata,
        Column("id", String(26), primary_key=True),
        Column("subject", String(1024), nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("last_seen_at", DateTime(timezone=True), nullable=False),
        Column("expires_at", DateTime(timezone=True), nullable=False),
        Column("ip_address", String(45)),
        *(Column(column, String()) for column in TEXT),
        Column("latitude", Double()),
        Column("longitude", Double()),
        Index(f"ix_{name}_subject", "subject"),
    )


class Statements:
    """All that is said to the database, about one table in one dialect."""

    def __init__(self, name: str, dialect: str) -> None:
        self.metadata = MetaData()
        self.table = sessions_table(self.metadata, name)
        self.isolation = ISOLATION[dialect]
        self._dialect = dialect

    def lock(self, subject: str) -> Sequence[Executable]:
        """
        What a transaction says first, so that no other one of this user comes between its read and its commit.

        PostgreSQL has locks for names; a row to lock might not be there yet.  SQLite has one writer at a time, and whoever
        begins with a write, be it of nothing, is that writer before it reads: one that reads first may find it has read an
        old state when it wants to write.
        """
        if self._dialect == "sqlite":
            return [delete(self.table).where(false())]
        settings = ("lock_timeout", "idle_in_transaction_session_timeout")
        digest = hashlib.sha256(f"{self.table.name}\0{subject}".encode()).digest()
        # 64 bits: two users who share a number would only wait for each other.
        number = int.from_bytes(digest[:8], "big", signed=True)
        return [
            select(*(func.set_config(setting, PATIENCE, true()) for setting in settings)),
            select(func.pg_advisory_xact_lock(bindparam("number", number, BigInteger()))),
        ]

    def rows(self, subject: str) -> Select[Any]:
        return select(self.table).where(self.table.c.subject == subject)

    def remove(self) -> Delete:
        """Takes one parameter, `gone`; one statement for many ids would meet the limit of parameters."""
        return delete(self.table).where(self.table.c.id == bindparam("gone"))

    def upsert(self) -> Insert:
        insert = postgresql.insert(self.table) if self._dialect == "postgresql" else sqlite.insert(self.table)
        columns = {column.name: insert.excluded[column.name] for column in self.table.c if not column.primary_key}
        return insert.on_conflict_do_update(index_elements=[self.table.c.id], set_=columns)

    def subjects_after(self, subject: str) -> Select[Any]:
        column = self.table.c.subject
        return select(column).distinct().where(column > subject).order_by(column).limit(PAGE)
