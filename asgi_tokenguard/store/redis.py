"""The sessions in Redis: each step is one round trip, each change one script on one key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.doubts import ANYONE, UNWATCHED, Doubt, Visit, Watch
from asgi_tokenguard.core.durability import Durability
from asgi_tokenguard.core.endings import ALL, REMEMBERED, Ending, reason_in, unpack_ending
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.limits import Limits, seconds
from asgi_tokenguard.core.records import Record, decode, is_session_id
from asgi_tokenguard.core.rotation import Handout, NewIds, Outcome, Presented, Shown
from asgi_tokenguard.core.sessions import began_at
from asgi_tokenguard.errors import NotConfirmed, RateLimited, StoreUnavailable
from asgi_tokenguard.store import scripts
from asgi_tokenguard.store.answers import Late, Presentation, Whose
from asgi_tokenguard.store.caches import Caches
from asgi_tokenguard.store.counting import Counted, Counting
from asgi_tokenguard.store.durability import Confirmation, Confirmations, Confirmer
from asgi_tokenguard.store.floor import check_alone, check_version
from asgi_tokenguard.store.keyspace import limit_key, place_key, proof_key, session_key, tombstone_key
from asgi_tokenguard.store.lineage import Lineages
from asgi_tokenguard.store.link import Link
from asgi_tokenguard.store.patience import Patience

if TYPE_CHECKING:
    from asgi_tokenguard.store.redis_py import Client

logger = logging.getLogger("asgi_tokenguard")
# What a tombstone keeps of a User-Agent: a part has one byte of length, and this much tells one browser from another.
LONGEST_AGENT: Final = 160
# How often in a row a node may be another one than it was when a script ran: once is a failover, thrice is none that lasts.
PROMOTIONS: Final = 3
# Why a script found no record.
MISSING: Final = {b"gone": Code.SESSION_ENDED, b"expired": Code.SESSION_EXPIRED}
AT_PRIMARY: Final = Durability()


class RedisStore:
    """
    All that is asked of Redis.

    Every method raises `StoreUnavailable` where Redis answers with an error or not at all, and is called under `patience()`.
    """

    def __init__(
        self,
        source: str | Client,
        *,
        namespace: str,
        lifetimes: Lifetimes,
        timeout: float,
        monotonic: Callable[[], float],
        durability: Durability = AT_PRIMARY,
        limits: Limits | None = None,
    ) -> None:
        self._link = Link(source, timeout, monotonic)
        self._confirmer = Confirmer(self._link, timeout)
        self._wanted = Confirmations(durability, timeout)
        self.clock = self._link.clock
        self._caches: Caches | None = None
        self.lineages = Lineages(self._link, namespace, 1000 * lifetimes.absolute)
        self._namespace = namespace
        self._lifetimes = lifetimes
        self._counting = Counting(limits)

    def patience(self) -> Patience:
        """Bounds what one request asks, all together; the methods here do not bound themselves."""
        return self._link.patience()

    async def start(self) -> None:
        """Start an embedded server, where one is meant; not under `patience()`: a start may take longer than a request."""
        await self._link.connector.client()

    async def open(self) -> None:
        """Connect and learn the time; where Redis is away, the first request tries again."""
        await self._link.open()

    async def check_durability(self) -> None:
        """Raise `ConfigurationError` where a server cannot confirm what is to be confirmed."""
        await self._confirmer.check(self._wanted)

    async def check_version(self) -> None:
        """Raise `ConfigurationError` where the server is too old, or a node of a cluster that the client does not know."""
        server = await self._link.server_info()
        check_version(server)
        if not self._link.connector.knows_clusters:
            check_alone(server)

    async def aclose(self) -> None:
        await self._link.aclose()

    def caches(self, staleness: float) -> Caches:
        """Caches of verdicts that hear of every change here."""
        self._caches = Caches(self._link.connector.client, self.clock, namespace=self._namespace, staleness=staleness)
        return self._caches

    def key_of(self, subject: str) -> bytes:
        """The key whose every change concerns the sessions of *subject*."""
        return session_key(self._namespace, subject).encode()

    async def check(self, subject: str, sid: str) -> Record | None:
        """The record as it stands: one plain read, sent with all others of this tick."""
        raw = await self._link.field(session_key(self._namespace, subject), sid)
        return None if raw is None else self._record(sid, raw)

    async def reason(self, subject: str, sid: str) -> Code | None:
        """Why *sid* is over, where a tombstone tells it: one plain read."""
        key = tombstone_key(self._namespace, subject)
        own, of_all = await asyncio.gather(self._link.field(key, sid), self._link.field(key, ALL))
        raw = of_all if own is None else own
        ending = None if raw is None else unpack_ending(sid, raw)
        # Each later tombstone of the user keeps the key for another day.
        if ending is None or ending.at.timestamp() + REMEMBERED <= self.clock.now_ms() / 1000:
            return None
        began_later = own is None and ending.at < began_at(sid)
        return None if began_later else ending.reason

    async def see(self, subject: str, sid: str, *, gen: int, access_jti: bytes) -> bool:
        """Mark the generation of a live access token as seen; False where that token is not live any more."""
        reply = await self._run(scripts.SEE, subject, sid, gen, access_jti, self._lifetimes.idle)
        return bool(reply[1])

    async def login(
        self,
        subject: str,
        sid: str,
        new: NewIds,
        *,
        claims: bytes,
        visit: Visit = ANYONE,
        ends: Iterable[str] = (),
        most: int = 2**31,
    ) -> Record:
        """
        Start session *sid*, and end the sessions *ends* of the same user and those that are more than *most*.

        Raises `RateLimited` where it is one login too many; then nothing has changed.
        """
        lifetimes, replaced = self._lifetimes, "".join(ends)
        login = self._run(
            scripts.LOGIN,
            subject,
            sid,
            replaced,
            new.access,
            new.refresh,
            lifetimes.idle,
            lifetimes.absolute,
            claims,
            visit.address,
            visit.network,
            visit.device,
            most,
            wanted=self._wanted.replacing_login if replaced else self._wanted.login,
            counted=self._counting.login(visit),
        )
        try:
            reply = await login
        except NotConfirmed:
            # Nobody was told of it, so it should be neither listed nor counted.  Else it ends as unused ones do.
            with suppress(StoreUnavailable):
                await self._end(subject, Whose.ONE, sid, Code.REVOKED)
            raise
        if not reply[1]:
            raise RateLimited(seconds(reply[2]))
        return _ours(self._record(sid, reply[1]))

    async def present(
        self,
        subject: str,
        sid: str,
        shown: Shown,
        *,
        caller: Caller,
        new: NewIds,
        visit: Visit = ANYONE,
        watch: Watch = UNWATCHED,
        user_agent: str = "",
    ) -> Presentation | Code:
        """
        Present a genuine refresh token; a *Code* says why there is no session.

        Raises `RateLimited` where it would be served and is one too many.
        """
        lifetimes, wanted = self._lifetimes, self._wanted.presentation(caller)
        reply = await self._run_lineal(
            scripts.PRESENT,
            subject,
            sid,
            shown.gen,
            shown.jti,
            shown.issued,
            caller.value,
            new.access,
            new.refresh,
            lifetimes.access,
            lifetimes.idle,
            lifetimes.grace_ms,
            visit.address,
            visit.network,
            visit.device,
            -1 if visit.held is None else visit.held,
            int(visit.passed),
            int(visit is not ANYONE),
            int(watch.network),
            int(watch.device),
            watch.linger_after_ms,
            watch.linger_generations,
            user_agent.encode("latin-1", "replace")[:LONGEST_AGENT],
            wanted=wanted,
            counted=self._counting.presentation(sid, visit),
        )
        _, presented, outcome, raw, words = reply
        if outcome in MISSING:
            return reason_in(words) or MISSING[outcome]
        if outcome == b"limited":
            logger.info("session %s: its cookie is presented too often", sid)
            raise RateLimited(seconds(words))
        record = self._record(sid, raw) if raw else None
        if raw and record is None:
            return Code.SESSION_ENDED
        reused = outcome == b"reuse"
        if reused and self._wanted.asks_again_for_reuse(wanted):
            # Who is refused was promised nothing, so that the answer stays what it is; the log tells.
            with suppress(StoreUnavailable):
                await self.end(subject, Whose.ONE, sid)
        return Presentation(
            presented=Presented(presented.decode()),
            outcome=Outcome(outcome.decode()),
            record=record,
            doubts=frozenset(Doubt(word.decode()) for word in words.split(b",") if word and not reused),
            reason=reason_in(words) if reused else None,
        )

    async def look(self, subject: str, sid: str, leaving: Handout, *, gen: int, refresh_jti: bytes, age_ms: int = 0) -> Late:
        """What of *leaving*, decided up to *age_ms* ago, may still leave (I15)."""
        cookie = int(leaving.cookie)
        reply = await self._run_lineal(scripts.LOOK, subject, sid, gen, refresh_jti, cookie, self._lifetimes.idle, age_ms)
        return Late(reply[1].decode())

    async def end(self, subject: str, whose: Whose, sid: str = "", reason: Code = Code.REVOKED) -> int:
        """
        End sessions of *subject*; the number of live ones that ended.

        The one place where sessions are ended on demand.  `NotConfirmed` may be answered by asking again, from anywhere.
        """
        return await self._end(subject, whose, sid, reason, self._wanted.revocation)

    async def _end(self, subject: str, whose: Whose, sid: str, reason: Code, wanted: Confirmation | None = None) -> int:
        is_asked = int(wanted is not None)
        idle = self._lifetimes.idle
        reply = await self._run(scripts.END, subject, whose.value, sid, idle, reason.value, is_asked, wanted=wanted)
        return int(reply[1])

    async def sessions(self, subject: str) -> list[tuple[str, Record]]:
        reply = await self._run(scripts.SESSIONS, subject, self._lifetimes.idle)
        found = [(sid.decode("latin-1"), raw) for sid, raw in zip(reply[1::2], reply[2::2], strict=True)]
        records = [(sid, self._record(sid, raw)) for sid, raw in found]
        return [(sid, record) for sid, record in records if record is not None]

    async def describe(self, subject: str, sid: str, *, name: bytes, device: bytes, address: bytes, place: bytes) -> bool:
        """Write what was found out of the device of that *name* and of *address*, where the session still has them."""
        reply = await self._run(scripts.DESCRIBE, subject, sid, name, device, address, place, self._lifetimes.idle)
        return bool(reply[1])

    async def endings(self, subject: str) -> list[Ending]:
        """What is remembered of the sessions of *subject* that have ended, the latest first."""
        reply = await self._run(scripts.EPITAPHS, subject)
        found = (unpack_ending(sid.decode("latin-1"), raw) for sid, raw in zip(reply[1::2], reply[2::2], strict=True))
        return sorted((ending for ending in found if ending is not None), key=lambda ending: ending.at, reverse=True)

    async def get_place(self, slot: int) -> bytes | None:
        key = place_key(self._namespace, slot)
        found: bytes | None = await self._link.read(key, "GET", key)
        return found

    async def put_place(self, slot: int, raw: bytes, seconds: int) -> None:
        key = place_key(self._namespace, slot)
        await self._link.write(key, "SET", key, raw, "EX", seconds)

    async def is_first(self, name: bytes, seconds: int) -> bool:
        """Whether *name* (of a proof of possession) was not said in the last *seconds*; of two at once, one is the first."""
        key = proof_key(self._namespace, name)
        return await self._link.write(key, "SET", key, b"", "NX", "EX", seconds) is not None

    async def update_claims(self, subject: str, sid: str | None, claims: bytes, base: bytes) -> int:
        """Give one session, or all (None), new claims; the number of sessions that have them now."""
        whose = Whose.ALL if sid is None else Whose.ONE
        # It takes rights away, as a revocation does: the access tokens with the old ones are dead.
        wanted, idle = self._wanted.revocation, self._lifetimes.idle
        reply = await self._run(scripts.UPDATE_CLAIMS, subject, whose.value, sid or "", claims, base, idle, wanted=wanted)
        return int(reply[1])

    async def reauthenticated(self, subject: str, sid: str, new: NewIds) -> tuple[Record, Handout] | Code:
        """Renew what is safe after a re-authentication, and what may leave with it."""
        wanted, idle, grace_ms = self._wanted.rotation, self._lifetimes.idle, self._lifetimes.grace_ms
        told = (new.access, new.refresh, idle, grace_ms)
        reply = await self._run_lineal(scripts.REAUTHENTICATED, subject, sid, *told, wanted=wanted)
        _, outcome, raw = reply
        if outcome in MISSING:
            return MISSING[outcome]
        return _ours(self._record(sid, raw)), Handout(cookie=outcome == b"rotate", token=True)

    def _record(self, sid: str, raw: bytes) -> Record | None:
        """The record in *raw*; None, and a line in the log, where that is not one of ours: it counts as no session."""
        record = decode(raw) if is_session_id(sid) else None
        if record is None:
            logger.error("a field in Redis is no session of ours and counts as none: %r", sid[:26])
        return record

    async def _run_lineal(
        self,
        script: scripts.Script,
        subject: str,
        *args: str | bytes | int,
        wanted: Confirmation | None = None,
        counted: Counted = (),
    ) -> list[Any]:
        """Run a script that judges a store which may have lost writes: it is told what is known of the node, and says so."""
        node = self._link.connector.owner(session_key(self._namespace, subject))
        for _ in range(PROMOTIONS):
            reply = await self._run(script, subject, *args, *self.lineages.of(node), wanted=wanted, counted=counted)
            if reply[1] != b"lineage":
                return reply
            await self.lineages.learn(node, reply[2])
        raise StoreUnavailable

    async def _run(
        self,
        script: scripts.Script,
        subject: str,
        *args: str | bytes | int,
        wanted: Confirmation | None = None,
        counted: Counted = (),
    ) -> list[Any]:
        key = session_key(self._namespace, subject)
        keys: tuple[str, ...] = (key, tombstone_key(self._namespace, subject))
        if counted:
            keys += (limit_key(self._namespace, subject),)
        try:
            return await self._confirmer.run(wanted, script, keys, *args, *counted)
        finally:
            # Whatever came back, the script may have run.  Redis will push it; whoever is answered before that must not meet
            # in this process what is past.
            if script.changes and self._caches is not None:
                self._caches.here().changed(key.encode())


def _ours(record: Record | None) -> Record:
    if record is None:  # the script has just written it
        raise StoreUnavailable
    return record
