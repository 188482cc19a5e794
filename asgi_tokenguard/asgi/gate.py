"""The way in: gather facts, ask the core, and say who the request is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from asgi_tokenguard.asgi import credentials
from asgi_tokenguard.asgi.responses import refusal_for
from asgi_tokenguard.core.callers import caller, provenance
from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims
from asgi_tokenguard.core.decisions import Accept, Access, Cookie, Facts, Pass, Reject, Rotate, conclude, decide
from asgi_tokenguard.core.paths import Openness
from asgi_tokenguard.core.sessions import pack_address
from asgi_tokenguard.engine import identity_in
from asgi_tokenguard.errors import Code
from asgi_tokenguard.tokens import Fault

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.core.decisions import Decision
    from asgi_tokenguard.engine import Delivery, Engine, Identity


class Admission(NamedTuple):
    """Who the request is from (None: nobody), and what its answer is to carry."""

    identity: Identity | None = None
    delivery: Delivery | None = None


NOBODY = Admission()


def openness(scope: Scope, engine: Engine) -> Openness:
    found = engine.settings.paths.openness(scope["path"], scope.get("raw_path"), scope.get("root_path", ""))
    if found is not Openness.REQUIRED and any(name == b"daphne-root-path" for name, _ in scope["headers"]):
        # Daphne believes this header, whoever sends it: `/admin` with `/admin` as its root would be `/`.
        return engine.settings.paths.fallback
    return found


def peer_address(scope: Scope) -> bytes:
    client = scope.get("client")  # a pair, in some servers a list; None for a unix socket
    return pack_address(str(client[0])) if client else b""


async def admit(scope: Scope, engine: Engine) -> Admission:
    """
    Judge the credentials of a request whose path is not public.

    Raises the `Refusal` that is the answer.  Without a token that verifies, Redis is not asked (I14).
    """
    async with engine.store.patience():  # one for both tokens: the way in takes no longer than `timeout` in all
        return await _admit(scope, engine)


async def _admit(scope: Scope, engine: Engine) -> Admission:
    token = credentials.access_token(scope["headers"], engine.settings)
    claims = None if token is None else engine.codec.read_access(token)
    access = await _judge(claims, engine)
    if isinstance(claims, AccessClaims) and access is Access.LIVE:
        return Admission(identity_in(claims))  # the first row of `decide`, taken before the facts are gathered
    refresh = None
    if access is not Access.BAD:  # which is refused whatever the cookie says
        refresh = credentials.refresh_token(scope["headers"], engine.settings)
    shown = None if refresh is None else engine.codec.read_refresh(refresh)
    facts = _facts(scope, engine, access, claims, shown)
    return await _carry_out(decide(facts), facts, shown, scope, engine)


async def _judge(claims: AccessClaims | Fault | None, engine: Engine) -> Access:
    match claims:
        case None:
            return Access.ABSENT
        case Fault.UNKNOWN_KEY:
            return Access.UNKNOWN_KEY
        case Fault.BAD:
            return Access.BAD
        case AccessClaims():
            return await engine.judge(claims)
        case _:
            assert_never(claims)


def _facts(
    scope: Scope,
    engine: Engine,
    access: Access,
    claims: AccessClaims | Fault | None,
    shown: RefreshClaims | Fault | None,
) -> Facts:
    signs = credentials.signs(scope)
    where = provenance(signs, engine.settings.trusted_origins)
    same_session = other_subject = False
    if isinstance(claims, AccessClaims) and isinstance(shown, RefreshClaims):
        other_subject = claims.sub != shown.sub
        same_session = claims.sid == shown.sid and not other_subject
    return Facts(
        access=access,
        cookie=_cookie(shown, engine),
        required=openness(scope, engine) is Openness.REQUIRED,
        method=signs.method,
        provenance=where,
        caller=caller(signs, where),
        same_session=same_session,
        other_subject=other_subject,
    )


def _cookie(shown: RefreshClaims | Fault | None, engine: Engine) -> Cookie:
    if shown is None:
        return Cookie.ABSENT
    if isinstance(shown, Fault):
        return Cookie.BAD
    clock = engine.store.clock
    # Before Redis's first reply we do not know its time; then the cookie counts as not expired, and the script judges.
    return Cookie.EXPIRED if clock.is_synced and clock.now_ms() // 1000 >= shown.exp else Cookie.GENUINE


async def _carry_out(
    decision: Decision, facts: Facts, shown: RefreshClaims | Fault | None, scope: Scope, engine: Engine
) -> Admission:
    match decision:
        case Rotate(caller=as_caller) if isinstance(shown, RefreshClaims):
            outcome, identity, delivery = await engine.present(shown, as_caller, peer_address(scope))
            return _end_of(conclude(facts, outcome), Admission(identity, delivery))
        case Reject(code=code):
            raise refusal_for(code)
        case Pass():
            return NOBODY
        case Accept() | Rotate():
            # Decided for a token that we have not got.  It cannot happen; if it ever does, nobody is let in by it.
            raise refusal_for(Code.INVALID_TOKEN)
        case _:
            assert_never(decision)


def _end_of(conclusion: Accept | Reject | Pass, admission: Admission) -> Admission:
    match conclusion:
        case Accept():
            return admission
        case Reject(code=code):
            raise refusal_for(code)
        case Pass():
            return NOBODY
        case _:
            assert_never(conclusion)
