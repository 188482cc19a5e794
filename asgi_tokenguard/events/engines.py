"""
The SQLAlchemy engine of the running event loop.

Rule: SQLAlchemy is imported here at module level, and this module only inside functions.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.events.statements import ISOLATION
from asgi_tokenguard.loops import PerLoop

OPTION: Final = "mirror"
EXAMPLE: Final = "pass 'postgresql+asyncpg://user:password@host/database' or 'sqlite+aiosqlite:///file.db'"


@dataclass(slots=True)
class Local:
    """What one event loop has: an engine, and a turn that in-process writers of SQLite wait for."""

    engine: AsyncEngine
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Engines:
    """
    Hands out engines.

    One that was passed serves every loop and is never disposed of.  Of a URL each loop gets one of its own, since
    connections belong to the loop that opened them.
    """

    def __init__(self, source: object) -> None:
        self._locals: PerLoop[Local] = PerLoop()
        self._source: AsyncEngine | URL
        if isinstance(source, AsyncEngine):
            self._source = source
            self.dialect = _supported(source.dialect.name)
        elif isinstance(source, str | URL):
            self._source, self.dialect = _checked(source)
            _open(self._source)  # connects to nothing, but misses what is not installed
        else:
            raise ConfigurationError(OPTION, f"a {type(source).__name__} is no AsyncEngine and no URL", EXAMPLE)

    def local(self) -> Local:
        return self._locals.get(self._opened)

    async def aclose(self) -> None:
        """Close what was opened for this loop; a later use opens it again."""
        found = self._locals.pop()
        if found is not None and found.engine is not self._source:
            await found.engine.dispose()

    def _opened(self) -> Local:
        source = self._source
        return Local(source if isinstance(source, AsyncEngine) else _open(source))


def _supported(dialect: str) -> str:
    # Each dialect locks and upserts in its own way; a way that nobody has tried would lose rows silently.
    if dialect not in ISOLATION:
        raise ConfigurationError(OPTION, f"{dialect} is not supported", f"{EXAMPLE}, or write a Mirror of your own")
    return dialect


def _checked(source: str | URL) -> tuple[URL, str]:
    """The URL and its dialect.  No part of it is shown, nor SQLAlchemy's own error, which quotes it: it may hold a password."""
    try:
        url = make_url(source)
        kind = url.get_dialect()
    except (ArgumentError, ValueError):
        raise ConfigurationError(OPTION, "SQLAlchemy does not take the URL", EXAMPLE) from None
    dialect = _supported(kind.name)
    if not kind.get_async_dialect_cls(url).is_async:
        raise ConfigurationError(OPTION, f"the driver {url.get_driver_name()} is not async", EXAMPLE)
    return url, dialect


def _open(url: URL) -> AsyncEngine:
    try:
        # Without `hide_parameters` every error would quote the subject.
        return create_async_engine(url, hide_parameters=True)
    except ImportError as missing:
        name = missing.name or "greenlet"
        raise ConfigurationError(OPTION, f"{name} is not installed", f"pip install {name}") from None
