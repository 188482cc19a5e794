"""Keys in files, which may change while the app runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys.key import Key
from asgi_tokenguard.keys.key_set import KeySet, read_keys

logger = logging.getLogger("asgi_tokenguard")

# Seconds between two looks, as long as a revocation takes at most by default; a look costs two microseconds.
LOOK_EVERY: Final = 1.0
# A key set of a hundred 4096-bit pairs has 330 KB.
MOST_BYTES: Final = 2**20


class KeyFile:
    """
    Keys in one or more files, from oldest to newest: a JWK set, a JWK, PEM (one after the other) or a secret in each.

    The files are looked at when a token is signed or verified for the first time, once a second at most, and at once where a
    token names a key that is not known: a change counts without a restart.  One that cannot be read is logged, and the keys
    stay as they were.  Replace a file by renaming another to its name, so that nobody reads half of it.

    Raises `ConfigurationError` where they cannot be read at the start.
    """

    def __init__(self, *paths: str | os.PathLike[str], password: str | bytes | None = None) -> None:
        if not paths:
            raise ConfigurationError("keys", "no file is named", "write KeyFile('/run/secrets/keys.json')")
        self._paths = [Path(path) for path in paths]
        self._password = password
        self._stamp = self._stamp_now()
        self.keys = self.read()

    def __repr__(self) -> str:
        return f"KeyFile({', '.join(repr(str(path)) for path in self._paths)})"

    def read(self) -> KeySet:
        """What the files hold now; raises `ConfigurationError` that names the file."""
        return KeySet([key for path in self._paths for key in self._keys_in(path)])

    def look(self) -> KeySet:
        """The keys, read again where a file has changed and all of them can be read."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp  # also where it cannot be read: one line in the log for each change
            try:
                self.keys = self.read()
            except ConfigurationError as error:
                # The error says all; a trace would only show where files are read.
                logger.error("the keys stay as they were: %s", error)  # noqa: TRY400
            else:
                logger.info("new keys: %r", self.keys)
        return self.keys

    def _keys_in(self, path: Path) -> list[Key]:
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ConfigurationError("keys", f"{path} cannot be read: {error.strerror}", "check its name and rights") from None
        if len(text) > MOST_BYTES:
            raise ConfigurationError("keys", f"{path} has {len(text)} bytes", "name a file of keys")
        try:
            return read_keys(text, self._password)
        except ConfigurationError as error:
            raise ConfigurationError("keys", f"{path}: {error.problem}", error.remedy) from None

    def _stamp_now(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs once a file is written or another has been renamed to its name; links are followed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class Watch:
    """Looks at *file*, which others may look at as well, now and then."""

    def __init__(self, file: KeyFile, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._monotonic = monotonic
        self._next = monotonic() + LOOK_EVERY
        self._known = file.keys

    def look(self, *, now: bool = False) -> KeySet | None:
        """The new keys where there are some, else None; *now*: without waiting for the next turn."""
        moment = self._monotonic()
        if not now and moment < self._next:
            return None
        self._next = moment + LOOK_EVERY
        found = self._file.look()
        if found is self._known:
            return None
        self._known = found
        return found
