"""Whether access tokens are live: asked of Redis once, then known for as long as nobody could have changed it unheard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tokenguard.core.decisions import Access
from asgi_tokenguard.parcels import Identity, identity_in
from asgi_tokenguard.store.answers import Tracking
from asgi_tokenguard.store.cache import size_of

if TYPE_CHECKING:
    from asgi_tokenguard.core.claims import AccessClaims
    from asgi_tokenguard.core.lifetimes import Lifetimes
    from asgi_tokenguard.store.cache import Reading
    from asgi_tokenguard.store.caches import Caches
    from asgi_tokenguard.store.redis import RedisStore


class Liveness:
    """
    Judges access tokens whose signature is verified.

    *caches* is None where every request is to ask Redis; *leeway* is for how many seconds a token that is over still counts.
    """

    def __init__(self, store: RedisStore, caches: Caches | None, lifetimes: Lifetimes, leeway: int = 0) -> None:
        self._store = store
        self._clock = store.clock
        self._caches = caches
        self._idle = lifetimes.idle
        self._leeway = leeway

    def known(self, field: bytes) -> Identity | None:
        """Whose the token in *field* is, where it was live within the bound; None where it has to be verified and asked."""
        if self._caches is None:
            return None
        cache = self._caches.latest()
        if cache is None:
            cache = self._caches.here()
        found: Identity | None = cache.get(field, self._clock.monotonic())
        return found

    async def judge(self, claims: AccessClaims, field: bytes | None = None) -> Access:
        """
        Whether a genuine access token is live, and if not, why; a live one makes its generation seen.

        Asks Redis.  What it finds out is kept for *field*, the value of the header in which the token came.
        """
        clock = self._clock
        # What is over is not worth a round trip; where our clock has drifted, the rotation script still has the last word.
        if clock.is_synced and clock.now_ms() // 1000 >= claims.exp + self._leeway:
            return Access.EXPIRED
        cache = None if self._caches is None or field is None else self._caches.here()
        reading = None if cache is None else cache.begin(self._store.key_of(claims.sub))
        try:
            return await self._ask(claims, field, reading)
        finally:
            if cache is not None and reading is not None:
                cache.end(reading)

    async def _ask(self, claims: AccessClaims, field: bytes | None, reading: Reading | None) -> Access:
        record = await self._store.check(claims.sub, claims.sid)
        now = self._clock.now_ms() // 1000
        if now >= claims.exp + self._leeway:
            return Access.EXPIRED
        if record is None or now >= record.head.ends_at(self._idle):
            return Access.ENDED
        head = record.head
        if (head.gen, head.access_jti) != (claims.gen, claims.jti):
            return Access.SUPERSEDED
        if head.seen:
            self._keep(claims, field, reading, min(claims.exp + self._leeway, head.ends_at(self._idle)))
            return Access.LIVE
        # This verdict is not kept: the mark is a change of the user's key, of which the channel tells.
        if await self._store.see(claims.sub, claims.sid, gen=claims.gen, access_jti=claims.jti):
            return Access.LIVE
        return Access.SUPERSEDED

    def forget(self) -> None:
        """Whatever is known has to be verified and asked again."""
        if self._caches is not None:
            self._caches.forget()

    def _keep(self, claims: AccessClaims, field: bytes | None, reading: Reading | None, ends: int) -> None:
        if self._caches is None or field is None:
            return
        if reading is None:  # nobody listened when the question was asked; from now on somebody does
            self._caches.listen()
            return
        deadline = self._clock.monotonic_at(ends * 1000)
        identity = identity_in(claims)
        size = size_of(identity.claims) + size_of(identity.scopes)
        self._caches.here().put(reading, field, identity, deadline, size)

    @property
    def tracking(self) -> Tracking:
        """How the running event loop hears of changes."""
        return Tracking.OFF if self._caches is None else self._caches.state
