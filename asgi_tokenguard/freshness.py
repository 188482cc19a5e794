"""
I16: who has proved lately that they are the user.

Rule: freshness travels in a token of its own, which only a login or a re-authentication hands out.  The attacker has a copy
of the refresh cookie, taken before or after: nothing that it yields is fresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.claims import FreshClaims
from asgi_tokenguard.core.rotation import Handout
from asgi_tokenguard.errors import NotAuthenticated
from asgi_tokenguard.parcels import identity_of

if TYPE_CHECKING:
    from asgi_tokenguard.core.callers import Caller
    from asgi_tokenguard.engine import Engine
    from asgi_tokenguard.parcels import Delivery, Identity


async def renew(engine: Engine, identity: Identity, caller: Caller, earlier: Delivery | None) -> tuple[Identity, Delivery]:
    """
    Renew what is safe after the user has proved who they are; *earlier* is what this answer was to carry before (I16).

    Raises `NotAuthenticated` where the session has ended meanwhile.
    """
    subject, sid = identity.subject, identity.session_id
    found = await engine.store.reauthenticated(subject, sid, await engine.new_ids())
    if isinstance(found, Code):
        raise NotAuthenticated(await engine.why(subject, sid) or found)
    record, safe = found
    head = record.head
    # The cookie of a rotation on this request's way in leaves with the new access token: both are of one generation.  Not where
    # it has come back meanwhile, from another tab that was handed it as well (I15): it could cross its successor on the wire.
    rotated = earlier is not None and earlier.handout.cookie and earlier.record.head.refresh_jti == head.refresh_jti
    cookie = safe.cookie or (rotated and not head.seen)
    # An access token of an unseen head never leaves without its cookie (I15).
    token = safe.token and (cookie or head.seen)
    leaves = Handout(cookie=cookie and caller.takes_cookie, token=token and caller.takes_token, fresh=caller.takes_cookie)
    engine.background.changed(subject)
    renewed = identity_of(subject, sid, record, identity.jkt)
    return renewed, engine.deliver(renewed, record, leaves)


async def is_fresh(engine: Engine, identity: Identity, token: str | None, max_age: float) -> bool:
    """
    Whether the freshness *token* proves that the user was there within *max_age* seconds; asks Redis (I16).

    Raises `NotAuthenticated` where the session has ended.
    """
    await require_live(engine, identity)
    claims = None if token is None else engine.codec.read_fresh(token)
    if not isinstance(claims, FreshClaims) or claims.sid != identity.session_id:
        return False
    now = engine.store.clock.now_ms() // 1000
    return now < claims.exp and now - claims.iat <= max_age


async def require_live(engine: Engine, identity: Identity) -> None:
    record = await engine.store.check(identity.subject, identity.session_id)
    now = engine.store.clock.now_ms() // 1000
    if record is None or now >= record.head.ends_at(engine.settings.lifetimes.idle):
        raise NotAuthenticated(await engine.why(identity.subject, identity.session_id) or Code.SESSION_ENDED)
