"""The way in: gather facts, ask the core, and say who the request is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from asgi_tokenguard.asgi import credentials
from asgi_tokenguard.asgi.possession import Possession
from asgi_tokenguard.asgi.responses import refusal_for
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.address import packed_client_address, peer_is_trusted
from asgi_tokenguard.core.callers import Caller, caller, provenance
from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims
from asgi_tokenguard.core.decisions import (
    Accept,
    Access,
    Cookie,
    Facts,
    Pass,
    Reject,
    Rotate,
    StepUp,
    conclude,
    decide,
    judged,
)
from asgi_tokenguard.core.devices import device_headers
from asgi_tokenguard.core.paths import Openness, below_root
from asgi_tokenguard.errors import StepUpRequired
from asgi_tokenguard.parcels import Source, identity_in, identity_of
from asgi_tokenguard.store.answers import Whose
from asgi_tokenguard.tokens import Fault

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.core.decisions import Decision
    from asgi_tokenguard.engine import Engine
    from asgi_tokenguard.parcels import Answer, Delivery, Identity
    from asgi_tokenguard.store.answers import Presentation


class Pending(NamedTuple):
    """A cookie that counts once its user has proved who they are; nothing has changed for it yet."""

    reason: str
    claims: RefreshClaims
    source: Source


class Admission(NamedTuple):
    """Who the request is from (None: nobody), what its answer is to carry, and whether its user has to prove who they are."""

    identity: Identity | None = None
    delivery: Delivery | None = None
    pending: Pending | None = None


class Doubted(NamedTuple):
    """What is to be judged before the request goes on."""

    facts: Facts
    claims: RefreshClaims
    source: Source
    found: Presentation


NOBODY = Admission()


def openness(scope: Scope, engine: Engine) -> Openness:
    found = engine.settings.paths.openness(scope["path"], scope.get("raw_path"), scope.get("root_path", ""))
    return engine.settings.paths.fallback if found is not Openness.REQUIRED and credentials.names_root(scope) else found


def is_mounted(scope: Scope, engine: Engine) -> bool:
    """Whether the path lies below the prefix of the mounted endpoints, where the app is never reached."""
    prefix = engine.settings.endpoints
    if prefix is None:
        return False
    path = scope["path"]
    # Whichever root a client names, the path that it asked for is ours (and then opens nothing).
    return below_root(path, scope.get("root_path", "")).startswith(prefix) or (
        path.startswith(prefix) and credentials.names_root(scope)
    )


def takes_pending(scope: Scope, engine: Engine) -> bool:
    """Whether a caller of whom step-up is demanded may reach this path."""
    patterns = engine.settings.reauthentication
    opens = patterns.opens(scope["path"], scope.get("raw_path"), scope.get("root_path", ""))
    return opens and not credentials.names_root(scope) and not is_mounted(scope, engine)


def asks_anew(scope: Scope, engine: Engine) -> bool:
    """Whether the path is one of those that trust no cache."""
    strict = engine.settings.strict
    if strict is None:
        return False
    matches = strict.may_match(scope["path"], scope.get("raw_path"), scope.get("root_path", ""))
    return matches or credentials.names_root(scope)


def source(scope: Scope, engine: Engine, *, held: int | None = None) -> Source:
    """Where a request comes from."""
    trusted = engine.settings.trusted_proxies
    off = credentials.signs(scope, engine.settings).rotation_off
    return Source(
        address=packed_client_address(scope, trusted),
        device=device_headers(scope["headers"]),
        held=held,
        rotation_off=off and not peer_is_trusted(scope, trusted),
    )


def known(scope: Scope, engine: Engine) -> Identity | None:
    """
    Who sends a request whose access token was live within the bound, and whose path leaves nothing else to be asked.

    This is the way of nearly every request.  None sends it the long way, where each question is asked in its turn.
    """
    settings = engine.settings
    wanted, field = settings.access_header, None
    for name, value in scope["headers"]:  # `credentials.access_field`, without a call and an exception
        if name == wanted:
            if field is not None:
                return None  # two: the long way knows whether this path looks at them
            field = value
    identity = None if field is None else engine.liveness.known(field)
    if identity is None or scope["method"] == "OPTIONS":
        return None
    path, root = scope["path"], scope.get("root_path", "")
    if engine.special.match(path) or (root and engine.special.match(below_root(path, root))):
        return None
    return None if settings.strict is not None and asks_anew(scope, engine) else identity


async def admit(scope: Scope, engine: Engine, asks: Openness) -> Admission:
    """
    Judge the credentials of a request whose path *asks* for some, or takes them.

    Raises the `Refusal` that is the answer.  Without a token that verifies, Redis is not asked (I14).
    """
    async with engine.store.patience():  # one for both tokens: the way in takes no longer than `timeout` in all
        found = await _admit(scope, engine, asks)
    if isinstance(found, Admission):
        return found
    # Without patience: looking a place up is not waiting for Redis, and a slow locator is no outage.
    verdict = await engine.weigh(found.claims, found.found, found.source)
    async with engine.store.patience():
        return await _carry_out_judged(judged(found.facts, verdict), found, scope, engine)


async def _admit(scope: Scope, engine: Engine, asks: Openness) -> Admission | Doubted:
    field = credentials.access_field(scope["headers"], engine.settings)
    token = None if field is None else credentials.token_in(field, engine.settings)
    claims = None if token is None else engine.codec.read_access(token)
    possession = Possession(scope, engine)
    if isinstance(claims, AccessClaims) and field is not None and token is not None:
        await possession.of_access(claims, field, token)
        if claims.jkt:
            field = None  # each request proves it anew, so that it is never served from memory
    access = await _judge(claims, engine, field)
    if isinstance(claims, AccessClaims) and access is Access.LIVE:
        return Admission(identity_in(claims))  # the first row of `decide`, taken before the facts are gathered
    refresh = None
    if access is not Access.BAD:  # which is refused whatever the cookie says
        refresh = credentials.refresh_token(scope["headers"], engine.settings)
    shown = None if refresh is None else engine.codec.read_refresh(refresh)
    if isinstance(shown, RefreshClaims) and shown.jkt:
        await possession.of_refresh(shown)
    facts = _facts(scope, engine, access, claims, shown, required=asks is Openness.REQUIRED)
    decision = decide(facts)
    if decision == Reject(code=Code.SESSION_ENDED) and isinstance(claims, AccessClaims):
        decision = Reject(code=await engine.why(claims.sub, claims.sid) or Code.SESSION_ENDED)
    if isinstance(decision, Rotate) and isinstance(shown, RefreshClaims):
        held = claims.gen if isinstance(claims, AccessClaims) and facts.same_session else None
        return await _present(decision.caller, facts, shown, source(scope, engine, held=held), engine)
    return _carry_out(decision)


async def _judge(claims: AccessClaims | Fault | None, engine: Engine, field: bytes | None) -> Access:
    match claims:
        case None:
            return Access.ABSENT
        case Fault.UNKNOWN_KEY:
            return Access.UNKNOWN_KEY
        case Fault.BAD:
            return Access.BAD
        case AccessClaims():
            return await engine.liveness.judge(claims, field)
        case _:
            assert_never(claims)


def _facts(
    scope: Scope,
    engine: Engine,
    access: Access,
    claims: AccessClaims | Fault | None,
    shown: RefreshClaims | Fault | None,
    *,
    required: bool,
) -> Facts:
    signs = credentials.signs(scope, engine.settings)
    where = provenance(signs, engine.settings.trusted_origins)
    same_session = other_subject = False
    if isinstance(claims, AccessClaims) and isinstance(shown, RefreshClaims):
        other_subject = claims.sub != shown.sub
        same_session = claims.sid == shown.sid and not other_subject
    return Facts(
        access=access,
        cookie=_cookie(shown, engine),
        required=required,
        method=signs.method,
        provenance=where,
        caller=caller(signs, where),
        same_session=same_session,
        other_subject=other_subject,
        by_header=credentials.speaks_header(scope["headers"], engine.settings),
    )


def _cookie(shown: RefreshClaims | Fault | None, engine: Engine) -> Cookie:
    if shown is None:
        return Cookie.ABSENT
    if isinstance(shown, Fault):
        return Cookie.BAD
    clock = engine.store.clock
    # Before Redis's first reply we do not know its time; then the cookie counts as not expired, and the script judges.
    return Cookie.EXPIRED if clock.is_synced and clock.now_ms() // 1000 >= shown.exp else Cookie.GENUINE


async def _present(as_caller: Caller, facts: Facts, shown: RefreshClaims, where: Source, engine: Engine) -> Admission | Doubted:
    answer = await engine.present(shown, as_caller, where)
    if answer.found is not None and not facts.other_subject:
        return Doubted(facts, shown, where, answer.found)
    return _end_of(facts, answer)


def _carry_out(decision: Decision) -> Admission:
    match decision:
        case Reject(code=code):
            raise refusal_for(code)
        case Pass():
            return NOBODY
        case Accept() | Rotate():
            # Decided for a token that we have not got.  It cannot happen; if it ever does, nobody is let in by it.
            raise refusal_for(Code.INVALID_TOKEN)
        case _:
            assert_never(decision)


async def _carry_out_judged(
    decision: Rotate | StepUp | Reject | Pass, doubted: Doubted, scope: Scope, engine: Engine
) -> Admission:
    claims = doubted.claims
    match decision:
        case Rotate(caller=as_caller):
            # The table once more, from the start: a judgement takes time, and others go on meanwhile.
            answer = await engine.present(claims, as_caller, doubted.source, passed=True)
            return _end_of(doubted.facts, answer)
        case StepUp(reason=reason):
            if not takes_pending(scope, engine) or doubted.found.record is None:
                raise StepUpRequired(engine.settings.fresh, reason)
            identity = identity_of(claims.sub, claims.sid, doubted.found.record, claims.jkt)
            return Admission(identity, pending=Pending(reason, claims, doubted.source))
        case Reject() | Pass():
            await engine.end(claims.sub, Whose.ONE, claims.sid)
            return _carry_out(decision)
        case _:
            assert_never(decision)


def _end_of(facts: Facts, answer: Answer) -> Admission:
    conclusion = conclude(facts, answer.outcome)
    match conclusion:
        case Accept():
            return Admission(answer.identity, answer.delivery)
        case Reject() | Pass():
            return _carry_out(conclusion)
        case _:
            assert_never(conclusion)
