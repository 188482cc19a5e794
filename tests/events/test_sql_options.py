"""What the mirror says of databases that it cannot use, before it is used."""

from __future__ import annotations

import subprocess
import sys
from traceback import format_exception

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.events.sql import SqlMirror


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("mysql+aiomysql://app:hidden@host/db", "mysql is not supported"),
        ("postgresql+psycopg2://app:hidden@host/db", "driver psycopg2 is not async"),
        ("sqlite:///hidden.db", "is not async"),
        ("no URL, hidden", "does not take the URL"),
        ("postgresql+nothing://app:hidden@host/db", "does not take the URL"),
        ("postgresql+asyncpg://app:hidden@host:port/db", "does not take the URL"),
        ("", "does not take the URL"),
        (None, "NoneType is no AsyncEngine"),
        (create_engine("sqlite://"), "Engine is no AsyncEngine"),
    ],
)
def test_what_cannot_be_a_mirror_is_refused_and_no_password_is_shown(source, problem):
    with pytest.raises(ConfigurationError, match=problem) as raised:
        SqlMirror(source)
    assert ("mirror", True) == (raised.value.option, "asyncpg" in raised.value.remedy)
    assert "hidden" not in "".join(format_exception(raised.value))


@pytest.mark.parametrize("name", ["", "a b", "1a", "auth.sessions", "x" * 53, "é", 'a"b', "a\n"])
def test_a_table_name_that_cannot_be_is_refused(name):
    with pytest.raises(ConfigurationError, match="no table name"):
        SqlMirror("sqlite+aiosqlite://", table=name)


def test_the_longest_table_name_has_an_index():
    mirror = SqlMirror("postgresql+asyncpg://", table="x" * 52)
    assert [63] == [len(index.name) for index in mirror.table.indexes]


async def test_urls_and_engines_are_taken():
    for url in ("postgresql+asyncpg://app:p%40ss@host/db", make_url("sqlite+aiosqlite:///x.db")):
        mirror = SqlMirror(url)
        assert ["tokenguard_sessions"] == list(mirror.metadata.tables)
        assert mirror.table is mirror.metadata.tables["tokenguard_sessions"]
        await mirror.aclose()
        SqlMirror(create_async_engine(url))


@pytest.mark.parametrize(
    ("library", "said"),
    [
        ("sqlalchemy", "SQLAlchemy 2 with asyncio is not installed; pip install 'asgi-tokenguard[sql]'"),
        ("greenlet", "SQLAlchemy 2 with asyncio is not installed; pip install 'asgi-tokenguard[sql]'"),
        ("asyncpg", "asyncpg is not installed; pip install asyncpg"),
    ],
)
def test_a_missing_library_is_named_with_its_remedy_and_only_when_a_mirror_is_made(library, said):
    code = f"""
import sys
sys.modules[{library!r}] = None
import asgi_tokenguard.events.sql, asgi_tokenguard.events.mirror, asgi_tokenguard.events.outbox
from asgi_tokenguard.errors import ConfigurationError
assert "sqlalchemy.ext.asyncio" not in sys.modules
try:
    asgi_tokenguard.events.sql.SqlMirror("postgresql+asyncpg://host/db")
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert said in done.stdout
