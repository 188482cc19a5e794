"""
Ends what outlives its request (WebSockets, streams) when its session ends (I6).

Rule: a guest stays until a moment up to which its session is known to live.  The channel of changes moves that moment on
for all guests together and for nothing; only a guest of whom a change was heard, or every guest where the channel is lost,
is asked about again.  Who cannot be asked about in time has to go: nobody knows whether a revocation was missed.

A change costs what the guests of its user cost, not more: all others are looked through on rounds, a few times within the
bound.  Else whoever logs in again and again would keep busy every process that has many sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.codes import Code
from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.loops import PerLoop

if TYPE_CHECKING:
    from asgi_tokenguard.core.lifetimes import Lifetimes
    from asgi_tokenguard.parcels import Identity
    from asgi_tokenguard.store.cache import VerdictCache
    from asgi_tokenguard.store.caches import Caches
    from asgi_tokenguard.store.redis import RedisStore

logger = logging.getLogger("asgi_tokenguard")

# Guests are asked about in the second half of the time that is left to them, and again after a quarter where that failed.
SOON: Final = 2
# A time-out that comes half as late again as it was set for was held up by the loop itself.
STALL: Final = 1.5
AGAIN: Final = 4


class Farewell(Enum):
    """Why a guest has to go."""

    ENDED = "ended"  # the session is over
    TOO_OLD = "too old"  # `Lifetimes(socket=)`
    UNKNOWN = "unknown"  # Redis could not be asked in time


class Guest:
    """One connection of session *sid*; *leave* is called once, from the event loop, with why and the reason's code."""

    __slots__ = ("ends", "key", "leave", "sid", "subject", "too_old", "until")

    def __init__(
        self, identity: Identity, key: bytes, leave: Callable[[Farewell, Code | None], None], *, until: float, too_old: float
    ) -> None:
        self.subject = identity.subject
        self.sid = identity.session_id
        self.key = key
        self.leave = leave
        # All in monotonic seconds.  Up to *until* its session is known to live; inf: for as long as the channel is trusted.
        self.until = until
        self.ends = inf  # when the session is over if nothing changes
        self.too_old = too_old


class Vigil:
    """The guests of every event loop."""

    def __init__(self, store: RedisStore, caches: Caches, lifetimes: Lifetimes, staleness: float) -> None:
        self._store = store
        self._caches = caches
        self._lifetimes = lifetimes
        self._staleness = staleness
        self._watches: PerLoop[Watch] = PerLoop()

    def attend(self, identity: Identity, leave: Callable[[Farewell, Code | None], None], *, since: float) -> Guest:
        """
        Watch over a connection whose session lived at *since* (monotonic seconds), until `dismiss`.

        *leave* tells it once that it has to go.
        """
        now, key = self._store.clock.monotonic(), self._store.key_of(identity.subject)
        guest = Guest(identity, key, leave, until=since + self._staleness, too_old=now + self._lifetimes.socket)
        self._caches.listen()
        self._watches.get(self._watch).add(guest)
        return guest

    def _watch(self) -> Watch:
        return Watch(self._store, self._caches.here(), self._lifetimes.idle, self._staleness)

    def dismiss(self, guest: Guest) -> None:
        watch = self._watches.found()
        if watch is not None:
            watch.remove(guest)

    async def aclose(self) -> None:
        """Stop to watch, and to listen, in this event loop; who is still there has to go."""
        watch = self._watches.pop()
        if watch is not None:
            await watch.aclose()
        await self._caches.aclose()


class Watch:
    """The guests of one event loop, and the task that looks after them."""

    def __init__(self, store: RedisStore, cache: VerdictCache[Identity], idle: int, staleness: float) -> None:
        self._store = store
        self._clock = store.clock
        self._cache = cache
        self._idle = idle
        self._staleness = staleness
        self._guests: dict[bytes, set[Guest]] = {}
        self._changed: set[Guest] = set()  # since they were last asked about
        self._round = -inf  # when all are to be looked through again (monotonic seconds)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_stalled = False  # in the last look
        cache.listener = self._hear

    def add(self, guest: Guest) -> None:
        # Its session may have ended between the judgement and now, so the first look is at once.
        self._changed.add(guest)
        self._guests.setdefault(guest.key, set()).add(guest)
        self._wake.set()
        if self._task is None or self._task.done():
            # In a context of its own: it outlives the request that opened the first connection, and its spans.
            self._task = asyncio.get_running_loop().create_task(self._run(), name="asgi_tokenguard vigil", context=Context())

    def remove(self, guest: Guest) -> None:
        self._changed.discard(guest)
        guests = self._guests.get(guest.key, set())
        guests.discard(guest)
        if not guests:
            self._guests.pop(guest.key, None)

    async def aclose(self) -> None:
        self._cache.listener = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._give_up()  # a task that is cancelled before its first step does nothing at all

    def _give_up(self) -> None:
        """Nobody stays over whom nobody watches."""
        for guest in self._all():
            self._dismiss(guest, Farewell.UNKNOWN, None)

    def _hear(self, key: bytes | None, trusted_until: float) -> None:
        """Hear that *key* has changed (None: any may have); what is not yet heard of came after the last lease that was."""
        guests = self._all() if key is None else self._guests.get(key, ())
        for guest in guests:
            if guest.until == inf:
                guest.until = trusted_until
        self._changed.update(guests)
        if guests:  # most changes in Redis are of users who have no connection here
            self._wake.set()

    async def _run(self) -> None:
        try:
            while self._guests:
                self._wake.clear()
                is_round = self._clock.monotonic() >= self._round
                guests = self._all() if is_round else list(self._changed)
                in_vain = await self._look([guest for guest in guests if self._is_due(guest)])
                self._bid_farewell(guests, in_vain)
                self._plan(guests, in_vain, is_round=is_round)
                await self._rest()
        except Exception:
            # What we did not think of must not leave open what may have ended.
            logger.exception("the watch over open connections failed, so they are closed")
        finally:
            self._give_up()  # nobody, unless it failed or was cancelled

    def _known_until(self, guest: Guest) -> float:
        return self._cache.trusted_until if guest.until == inf else guest.until

    def _is_due(self, guest: Guest) -> bool:
        soon = self._known_until(guest) - self._staleness / SOON
        return guest in self._changed or self._clock.monotonic() >= min(soon, guest.ends)

    def _plan(self, guests: list[Guest], in_vain: set[Guest], *, is_round: bool) -> None:
        """When the next round is due: for any of *guests*, who have just been looked at, or as it was planned before."""
        now, soon = self._clock.monotonic(), self._staleness / SOON
        again = now + self._staleness / AGAIN
        moments = [
            min(again if guest in in_vain else self._known_until(guest) - soon, guest.ends, guest.too_old)
            for guest in guests
            if self._is_here(guest)
        ]
        self._round = min(moments, default=now) if is_round else min((self._round, *moments))
        if not self._changed <= in_vain:  # a stall kept them from being asked about
            self._wake.set()

    async def _rest(self) -> None:
        """Until something is heard, or the next round."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._round - self._clock.monotonic()):
                await self._wake.wait()

    def _is_here(self, guest: Guest) -> bool:
        return guest in self._guests.get(guest.key, ())

    def _all(self) -> list[Guest]:
        return [guest for guests in self._guests.values() for guest in guests]

    async def _look(self, guests: list[Guest]) -> set[Guest]:
        """Ask about the sessions of *guests*, in one batch, and no longer than half of the bound; who got no answer."""
        in_vain, limit, began = set(guests), self._staleness / SOON, self._clock.monotonic()
        by_session: dict[tuple[bytes, str], list[Guest]] = {}
        for guest in guests:
            by_session.setdefault((guest.key, guest.sid), []).append(guest)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await asyncio.gather(*(self._ask(of_one, in_vain) for of_one in by_session.values()))
        # A loop that stood still meanwhile may have the answers in its sockets, unread: that is no silence of Redis's.  It is
        # believed once: of a loop that lags in every look nobody knows whether Redis is silent as well.
        self._has_stalled = not self._has_stalled and self._clock.monotonic() - began > STALL * limit
        return set() if self._has_stalled else in_vain

    async def _ask(self, guests: list[Guest], in_vain: set[Guest]) -> None:
        """Ask about one session, of which *guests* all are; take them out of *in_vain* where an answer comes."""
        first, asked, was_armed = guests[0], self._clock.monotonic(), self._cache.is_armed
        self._changed.difference_update(guests)  # what is heard of from here on, the answer may not know
        try:
            ends, code = await self._end_of(first)
        except BaseException as error:  # not only an outage: they may have been cancelled since it takes too long
            self._changed.update(guest for guest in guests if self._is_here(guest))
            if isinstance(error, StoreUnavailable):
                return
            raise
        in_vain.difference_update(guests)
        # What was read while nobody listened is known for the bound alone; so it is while a lease is late, since trust that
        # ends sooner than the next look would have everybody asked about again at once.
        hangs_on = was_armed and self._cache.trusted_until - self._staleness / SOON > self._clock.monotonic()
        for guest in guests:
            if code is not None:
                self._dismiss(guest, Farewell.ENDED, code)
            guest.ends = ends
            # Who was marked meanwhile has changed since Redis read the record, so that no lease may prolong the answer.
            guest.until = inf if hangs_on and guest not in self._changed else asked + self._staleness

    async def _end_of(self, guest: Guest) -> tuple[float, Code | None]:
        """When the session is over if nothing changes (monotonic seconds), and why it is where it is over by now."""
        record = await self._store.check(guest.subject, guest.sid)
        if record is None:
            return -inf, await self._store.reason(guest.subject, guest.sid) or Code.SESSION_ENDED
        ends = self._clock.monotonic_at(record.head.ends_at(self._idle) * 1000)
        return ends, Code.SESSION_EXPIRED if ends <= self._clock.monotonic() else None

    def _bid_farewell(self, guests: list[Guest], in_vain: set[Guest]) -> None:
        now = self._clock.monotonic()
        for guest in guests:
            if now >= guest.too_old:
                self._dismiss(guest, Farewell.TOO_OLD, None)
            # After a stall of the loop everybody's time is over: they are asked about first.
            elif guest in in_vain and now >= min(self._known_until(guest), guest.ends):
                self._dismiss(guest, Farewell.UNKNOWN, None)

    def _dismiss(self, guest: Guest, why: Farewell, code: Code | None) -> None:
        if self._is_here(guest):
            self.remove(guest)
            guest.leave(why, code)
