"""The engine over codec and store: what the shell and `TokenGuard` have in common."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, assert_never

from asgi_tokenguard.background import Background
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims, check_subject, dump_claims
from asgi_tokenguard.core.cookie import MAX_COOKIE
from asgi_tokenguard.core.devices import fingerprint
from asgi_tokenguard.core.doubts import ANYONE, UNSET, Visit
from asgi_tokenguard.core.paths import special
from asgi_tokenguard.core.records import Record, is_session_id, new_ulid, ulid_text
from asgi_tokenguard.core.risk import Verdict, network_of
from asgi_tokenguard.core.rotation import NOTHING, Handout, NewIds, Outcome, Presented, Shown, handout
from asgi_tokenguard.core.sessions import Session, session_of
from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.judgement import weigh
from asgi_tokenguard.liveness import Liveness
from asgi_tokenguard.options import Settings
from asgi_tokenguard.parcels import NOWHERE, Answer, Delivery, Identity, Source, identity_of
from asgi_tokenguard.proofs import Nonces
from asgi_tokenguard.signing import Signing
from asgi_tokenguard.store.answers import Late, Presentation, Whose
from asgi_tokenguard.vigil import Vigil

if TYPE_CHECKING:
    from asgi_tokenguard.store.redis import RedisStore

logger = logging.getLogger("asgi_tokenguard")

ENTROPY: Final = 10  # the random bytes of a ULID


class Engine:
    """
    Judges tokens and changes sessions.

    *monotonic* and *entropy* are the only sources of time and randomness; tests replace them.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        from asgi_tokenguard.store.place_cache import RedisPlaceCache  # noqa: PLC0415
        from asgi_tokenguard.store.redis import RedisStore  # noqa: PLC0415 (redis costs 300 ms to import)

        self.settings = settings
        self.special = special(settings.paths, settings.endpoints)
        self.monotonic = monotonic
        self.store: RedisStore = RedisStore(
            settings.redis,
            namespace=settings.namespace,
            lifetimes=settings.lifetimes,
            timeout=settings.timeout,
            monotonic=monotonic,
            durability=settings.durability,
            limits=settings.limits,
        )
        caches = self.store.caches(settings.staleness)
        self.liveness = Liveness(self.store, caches if settings.cache else None, settings.lifetimes, settings.leeway)
        self.signing = Signing(settings, monotonic=monotonic, forget=self.liveness.forget)
        self.codec = self.signing.codec
        self.nonces = Nonces(lambda: self.codec.keys)
        self.vigil = Vigil(self.store, caches, settings.lifetimes, settings.staleness)
        share = getattr(settings.locator, "share", None)
        if share is not None:
            share(RedisPlaceCache(self.store))
        self.background = Background(settings, self.store, self.read_sessions)
        self._watch = settings.watch
        self._entropy = entropy
        # How often this process has ended sessions; see `leaving`.
        self._endings = 0

    async def present(self, claims: RefreshClaims, caller: Caller, source: Source | None, *, passed: bool = False) -> Answer:
        """
        Ask the rotation table; who is served is an identity, and may be handed what the delivery holds.

        A *source* of None is not judged.  *passed* says that it has been, or that its user has proved who they are.
        """
        shown = Shown(gen=claims.gen, jti=claims.jti, issued=claims.iat)
        found = await self.store.present(
            claims.sub,
            claims.sid,
            shown,
            caller=caller,
            new=await self.new_ids(),
            visit=ANYONE if source is None else self._visit(source, passed=passed),
            watch=self._watch,
            user_agent="" if source is None or source.device is None else source.device.user_agent,
        )
        if isinstance(found, Code):
            # Redis drops a key whose sessions are all over, so that the script finds nothing: the token tells why.
            is_over = found is Code.SESSION_ENDED and self.store.clock.now_ms() // 1000 >= claims.exp
            return Answer(Code.SESSION_EXPIRED if is_over else found)
        self._report(found.presented, found.outcome, claims)
        if found.outcome is Outcome.JUDGE:
            return Answer(found.outcome, found=found)
        if found.record is None or found.outcome is Outcome.REFUSE:
            if found.outcome is Outcome.REUSE:
                self.background.changed(claims.sub)
            return Answer(found.reason or found.outcome)
        has_moved = found.outcome is Outcome.ROTATE
        if source is not None and (passed or (has_moved and caller.takes_cookie)):
            self.background.describe(claims.sub, claims.sid, found.record, source.device)
        elif has_moved:
            self.background.changed(claims.sub)
        identity = identity_of(claims.sub, claims.sid, found.record, claims.jkt)
        handed_out = handout(found.outcome, caller)
        delivery = None if handed_out == NOTHING else self.deliver(identity, found.record, handed_out)
        return Answer(found.outcome, identity, delivery)

    async def weigh(self, claims: RefreshClaims, found: Presentation, source: Source) -> Verdict:
        """What the risk policy says to the doubts of *found*; not under `patience()`: locators bound themselves."""
        return await weigh(
            self.settings,
            _known(found.record),
            found,
            sid=claims.sid,
            address=source.address,
            rotation_off=source.rotation_off,
        )

    async def login(
        self,
        subject: str,
        claims: Mapping[str, Any] | None,
        *,
        caller: Caller,
        source: Source = NOWHERE,
        brought: Mapping[str, str] = MappingProxyType({}),
        jkt: str = "",
    ) -> tuple[Identity, Delivery]:
        """
        Start a session, bound to the key of *jkt* where there is one, and end those that the request *brought* (id -> user).

        Raises SubjectError or ClaimsError before Redis is asked, and RateLimited before anything ends: a login that cannot be
        leaves the browser signed in as it was.
        """
        dumped = dump_claims(claims)
        check_subject(subject)
        self.codec.check_room(subject, MAX_COOKIE - len(self.settings.cookie.name), jkt)
        ends = [old for old, owner in brought.items() if owner == subject]
        # A new id whatever the request carried: no session can be planted (fixation).
        new, sid = await self.new_ids(), ulid_text(self._ulid())
        with self._ending(ends):
            record = await self.store.login(
                subject,
                sid,
                new,
                claims=dumped,
                visit=self._visit(source, passed=True),
                ends=ends,
                most=self.settings.max_sessions,
            )
        await self._take_place_of_others(subject, sid, brought)
        self.background.describe(subject, sid, record, source.device)
        leaves = Handout(cookie=caller.takes_cookie, token=caller.takes_token, fresh=caller.takes_cookie)
        identity = identity_of(subject, sid, record, jkt)
        return identity, self.deliver(identity, record, leaves)

    async def _take_place_of_others(self, subject: str, sid: str, brought: Mapping[str, str]) -> None:
        """End the *brought* sessions of other users, which lie in other slots, so that the login's own script cannot."""
        try:
            for old, owner in brought.items():
                if owner != subject:
                    await self.end(owner, Whose.ONE, old, Code.REPLACED)
        except StoreUnavailable:
            with suppress(StoreUnavailable):  # nobody was told of the login
                await self.end(subject, Whose.ONE, sid)
            raise

    async def ended(self, claims: AccessClaims | RefreshClaims) -> Code | None:
        """Why the session of a genuine token is over; None where it lives."""
        record = await self.store.check(claims.sub, claims.sid)
        now = self.store.clock.now_ms() // 1000
        if record is not None and now < record.head.ends_at(self.settings.lifetimes.idle):
            return None
        reason = await self.why(claims.sub, claims.sid)
        if reason is None and isinstance(claims, RefreshClaims) and now >= claims.exp:
            return Code.SESSION_EXPIRED
        return reason or Code.SESSION_ENDED

    async def why(self, subject: str, sid: str) -> Code | None:
        """The reason on the tombstone of a session, where there is one."""
        return await self.store.reason(subject, sid)

    async def end(self, subject: str, whose: Whose, sid: str = "", reason: Code = Code.REVOKED) -> int:
        check_subject(subject)
        if whose is not Whose.ALL and not is_session_id(sid):
            return 0  # before Redis: what a client sent in a path or a body may be anything
        try:
            with self._ending([sid]):
                return await self.store.end(subject, whose, sid, reason)
        finally:
            self.background.changed(subject)  # whatever came back: the script may have run

    async def read_sessions(self, subject: str) -> list[Session]:
        """The truth, for the mirror."""
        async with self.store.patience():
            return await self.sessions(subject)

    @contextmanager
    def _ending(self, sids: Sequence[str]) -> Iterator[None]:
        """Count before and after: an answer that is decided while Redis is asked looks again as well."""
        self._endings += bool(sids)
        try:
            yield
        finally:
            self._endings += bool(sids)

    async def sessions(self, subject: str, *, current: str | None = None) -> list[Session]:
        """The live sessions of *subject*, the one seen last first."""
        check_subject(subject)
        idle = self.settings.lifetimes.idle
        found = [
            session_of(subject, sid, record, idle=idle, current=sid == current)
            for sid, record in await self.store.sessions(subject)
        ]
        return sorted(found, key=lambda session: (session.last_seen_at, session.id), reverse=True)

    async def update_claims(self, subject: str, claims: Mapping[str, Any], sid: str | None) -> int:
        check_subject(subject)
        dumped = dump_claims(claims)
        if sid is not None and not is_session_id(sid):
            return 0
        return await self.store.update_claims(subject, sid, dumped, (await self.new_ids()).access)

    async def leaving(self, delivery: Delivery) -> Handout:
        """
        What of *delivery* may leave now (I15).

        A head that leaves late, or after this process has ended sessions, looks at its record again: a slow endpoint never
        puts an old cookie over a newer one, nor hands out tokens of a session that it has ended itself (I13).
        """
        wanted = delivery.handout
        elapsed = self.monotonic() - delivery.decided_at
        if elapsed <= self.settings.lifetimes.look_again and delivery.endings == self._endings:
            return wanted
        head = delivery.record.head
        try:
            async with self.store.patience():
                late = await self.store.look(
                    delivery.subject,
                    delivery.sid,
                    wanted,
                    gen=head.gen,
                    refresh_jti=head.refresh_jti,
                    # The reply may have been on its way for as long as a request waits.
                    age_ms=int((elapsed + self.settings.timeout) * 1000),
                )
        except StoreUnavailable:
            return NOTHING
        match late:
            case Late.UNSEEN:
                return wanted
            case Late.SEEN:
                return wanted._replace(cookie=False)
            case Late.MOVED:  # a freshness token leaves as long as its session lives
                return NOTHING._replace(fresh=wanted.fresh)
            case Late.GONE:
                return NOTHING
            case _:
                assert_never(late)

    def access_token(self, delivery: Delivery) -> str:
        return self.codec.access_token(delivery.subject, delivery.sid, delivery.record, delivery.jkt)

    def refresh_token(self, delivery: Delivery) -> tuple[str, int]:
        """The refresh token and its age in seconds at which browsers forget it."""
        head = delivery.record.head
        lasts = head.ends_at(self.settings.lifetimes.idle) - head.refresh_issued
        return self.codec.refresh_token(delivery.subject, delivery.sid, delivery.record, delivery.jkt), lasts

    def fresh_token(self, delivery: Delivery) -> str:
        return self.codec.fresh_token(delivery.sid, delivery.record.head.auth_time, self.settings.fresh)

    def _visit(self, source: Source, *, passed: bool) -> Visit:
        return Visit(
            address=source.address,
            network=network_of(source.address, self.settings.risk),
            device=UNSET if source.device is None else fingerprint(source.device),
            held=source.held,
            passed=passed,
        )

    def deliver(self, identity: Identity, record: Record, handed_out: Handout) -> Delivery:
        return Delivery(
            subject=identity.subject,
            sid=identity.session_id,
            jkt=identity.jkt,
            record=record,
            handout=handed_out,
            decided_at=self.monotonic(),
            endings=self._endings,
        )

    def _ulid(self) -> bytes:
        return new_ulid(self.store.clock.now_ms(), self._entropy(ENTROPY))

    async def new_ids(self) -> NewIds:
        if not self.store.clock.is_synced:
            await self.store.open()  # ids carry the time: a new process asks for it once
        return NewIds(access=self._ulid(), refresh=self._ulid())

    def _report(self, presented: Presented, outcome: Outcome, claims: RefreshClaims) -> None:
        # Session ids may be logged, subjects, addresses and tokens may not.
        if outcome is Outcome.REUSE:
            logger.warning("reuse detected: session %s was ended (%s token)", claims.sid, presented.value)
        elif presented in {Presented.TWIN, Presented.AHEAD}:
            logger.warning("the store lost a write: session %s, %s token, %s", claims.sid, presented.value, outcome.value)


def _known(record: Record | None) -> Record:
    if record is None:  # a judgement is of a record
        raise StoreUnavailable
    return record
