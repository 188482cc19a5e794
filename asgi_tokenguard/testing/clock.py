"""Time that a test moves."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from asgi_tokenguard.testing.server import Keyspace


class Clock:
    """
    Moves time on for all that was given to it: guards, their keys in Redis, the cookies of clients.

    It runs as any clock does; `advance` is a leap.  Nothing else is moved: neither `time.time()` nor asyncio's timers.
    """

    def __init__(self) -> None:
        self._ahead_ms = 0
        self._keyspaces: set[Keyspace] = set()
        self._jars: WeakSet[CookieJar] = WeakSet()

    @property
    def ahead_ms(self) -> int:
        """How far it is ahead of the machine's clock, in milliseconds."""
        return self._ahead_ms

    def monotonic(self) -> float:
        """What a guard takes for `time.monotonic`."""
        return time.monotonic() + self._ahead_ms / 1000

    def time(self) -> float:
        """What `time.time` would say, for code of your own that takes a clock."""
        return time.time() + self._ahead_ms / 1000

    def advance(self, seconds: float | timedelta = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """
        Let that much time pass, all together; whole milliseconds count.

        Raises `ValueError` for a negative time: what Redis has dropped does not come back.
        """
        more = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        ms = round((more + timedelta(minutes=minutes, hours=hours, days=days)) / timedelta(milliseconds=1))
        if ms < 0:
            raise ValueError("time goes forward only")
        # A leap of the server's clock by so much and a life that is shorter by so much are the same for a key, and for a
        # cookie.  Records and tokens are not touched: they hold moments, and those are the clock's.
        for keyspace in self._keyspaces:
            keyspace.age(ms, self._ahead_ms + ms)
        for jar in self._jars:
            for cookie in jar:
                if cookie.expires is not None:
                    cookie.expires -= ms // 1000  # a cookie's moments are whole seconds
            jar.clear_expired_cookies()
        self._ahead_ms += ms

    def take(self, keyspace: Keyspace) -> None:
        """Move the keys of *keyspace* from now on; whatever is in there was written at this clock's time."""
        self._keyspaces.add(keyspace)

    def drop(self, keyspace: Keyspace) -> None:
        """Move the keys of *keyspace* no more."""
        self._keyspaces.discard(keyspace)

    def move_cookies(self, jar: CookieJar) -> None:
        """Let what is in *jar* expire with this clock."""
        self._jars.add(jar)
