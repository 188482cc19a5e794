"""One file in MaxMind's format: opened, read, and opened again when it was replaced.  The only importer of maxminddb."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.geo.addresses import Address
from asgi_tokenguard.geo.records import place_of

if TYPE_CHECKING:
    from maxminddb import Reader

logger = logging.getLogger("asgi_tokenguard")

_Identity = tuple[int, int, int, int]
_NEVER: Final = (-1, -1, -1, -1)


class _Opened(NamedTuple):
    reader: Reader
    ip_version: int


class Database:
    """
    The file at *path*, mapped into memory.

    Replace it by a rename on the same file system, as download tools do: the old file then lives on for as long as it is
    mapped.  Whoever writes into the file in place may crash every process that reads it (SIGBUS), as with any mapped file.
    """

    __slots__ = ("_complained_of", "_identity", "_opened", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complained_of: _Identity | None = _NEVER
        # Before the file is opened: one that is replaced in between is opened again at the next look, and not missed.
        self._identity = _identity(path)
        self._opened = _open(path)

    @property
    def ip_version(self) -> int:
        """4, or 6 for a file that may know addresses of both."""
        return self._opened.ip_version

    def record(self, address: Address) -> object:
        """The record of the address, of any shape, or None."""
        opened = self._opened
        if address.version > opened.ip_version:  # the reader would raise ValueError
            return None
        try:
            return opened.reader.get(address)
        except Exception:  # noqa: BLE001 (a file that opened may be broken inside, and readers have no one error for that)
            self._complain(self._identity, "has a broken record")
            return None

    def refresh(self) -> None:
        """
        Open the file again if another one is at its path; a bad one leaves us with what we have, and a line in the log.

        The old reader is not closed but let go, since another thread may be reading it.
        """
        identity = _identity(self._path)
        if identity == self._identity:
            return
        try:
            self._opened = _open(self._path)
        except ConfigurationError as error:
            self._complain(identity, f"was replaced and cannot be used: {error.problem}")
        else:
            self._identity = identity

    def _complain(self, identity: _Identity | None, problem: str) -> None:
        if identity != self._complained_of:
            self._complained_of = identity
            logger.error("locator: %s %s", self._path, problem)


def _identity(path: Path) -> _Identity | None:
    """What tells one file from the next at the same path, or None where there is none; microseconds on a local disk."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size


def _open(path: Path) -> _Opened:
    """
    Open the file by mmap, which takes 0.1 to 2 ms whatever its size; `ConfigurationError` says what to do.

    By the reader in Python, although the one in C takes 5 us a look-up and not 50: with maxminddb 3.2.0 one wrong byte among
    the records ends the whole process in 13 cases of 1,000 (SIGSEGV, where the key of a map is no text), and a half-written
    download must not.  Both are small beside the round trip to Redis that a look-up comes with.
    """
    try:
        import maxminddb  # noqa: PLC0415 (an optional dependency)
    except ModuleNotFoundError:
        remedy = 'install it with: pip install "asgi-tokenguard[geo]"'
        raise ConfigurationError("locator", "maxminddb, which reads such files, is not installed", remedy) from None
    remedy = "give the path of an .mmdb file with cities"
    try:
        reader = maxminddb.open_database(os.fspath(path), maxminddb.MODE_MMAP)
        facts = reader.metadata()
    except OSError as error:
        raise ConfigurationError("locator", f"{path} cannot be read ({error.strerror or 'OSError'})", remedy) from error
    except Exception as error:  # as in `record`
        raise ConfigurationError("locator", f"{path} is no whole file in MaxMind's format", remedy) from error
    if facts.ip_version not in {4, 6}:
        raise ConfigurationError("locator", f"{path} is for neither IPv4 nor IPv6", remedy)
    kind = str(facts.database_type).lower()
    if "city" not in kind and ("country" in kind or "asn" in kind):
        # Every user would be unknown, so that every change of network would ask for a password.
        raise ConfigurationError("locator", f"{path} has no cities ({facts.database_type})", remedy)
    return _Opened(reader, facts.ip_version)


def place_in(record: object, language: str) -> Place | None:
    """
    Read a record of either layout (FACTS 3): nested, as MaxMind and DB-IP write it, or flat, as @ip-location-db does.

    The city's name is in *language* where the file has it, else in English, else in any: that there is a city at all is what
    makes it a place.
    """
    if not isinstance(record, dict):
        return None
    location = record.get("location")
    if not isinstance(location, dict):
        return place_of(
            latitude=record.get("latitude"),
            longitude=record.get("longitude"),
            city=record.get("city"),
            country=record.get("country_code"),
            accuracy=record.get("accuracy_radius"),
        )
    return place_of(
        latitude=location.get("latitude"),
        longitude=location.get("longitude"),
        city=_name(_inner(record, "city", "names"), language),
        country=_inner(record, "country", "iso_code"),
        accuracy=location.get("accuracy_radius"),
    )


def _inner(record: dict[str, object], outer: str, inner: str) -> object:
    value = record.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def _name(names: object, language: str) -> object:
    if not isinstance(names, dict):
        return None
    return names.get(language) or names.get("en") or next(iter(names.values()), None)
