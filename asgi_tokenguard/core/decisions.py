"""
What a request meets.  Rule: who is let in, and on which credential, is decided by `decide` and `conclude` alone.

The shell gathers facts, asks here, and carries out one of `Accept | Rotate | StepUp | Reject | Pass`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import SAFE_METHODS, Caller, Provenance
from asgi_tokenguard.core.risk import Action, Verdict
from asgi_tokenguard.core.rotation import Outcome


class Access(Enum):
    """The access token of a request."""

    ABSENT = "absent"
    UNKNOWN_KEY = "unknown key"  # names a key that we do not have: it proves nothing, so it counts as absent
    BAD = "bad"  # malformed, forged or of the wrong type
    EXPIRED = "expired"
    SUPERSEDED = "superseded"  # genuine, its session lives on with another one
    ENDED = "ended"  # genuine, its session is over
    LIVE = "live"


class Cookie(Enum):
    """The refresh cookie of a request."""

    ABSENT = "absent"
    BAD = "bad"
    EXPIRED = "expired"
    GENUINE = "genuine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one request shows; *same_session* and *other_subject* compare its two tokens, and are False where one is missing."""

    access: Access
    cookie: Cookie
    required: bool
    method: str
    provenance: Provenance
    caller: Caller
    same_session: bool = False
    other_subject: bool = False
    by_header: bool = False  # the refresh token came in the header for native apps, not in the cookie


@dataclass(frozen=True, slots=True)
class Accept:
    """Served as the user of the token that counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Ask the rotation table, as *caller*; then `conclude`."""

    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """The user has to prove who they are first, for *reason*; where that is done, the request is served as pending."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Refused with *code*."""

    code: Code


@dataclass(frozen=True, slots=True)
class Pass:
    """Served as nobody."""


Decision = Accept | Rotate | Reject | Pass

# What a required path answers when no cookie helps out.
ACCESS_CODES: Final[Mapping[Access, Code]] = {
    Access.ABSENT: Code.TOKEN_REQUIRED,
    Access.UNKNOWN_KEY: Code.TOKEN_REQUIRED,
    Access.EXPIRED: Code.TOKEN_EXPIRED,
    Access.SUPERSEDED: Code.TOKEN_EXPIRED,
    Access.ENDED: Code.SESSION_ENDED,
}
COOKIE_CODES: Final[Mapping[Cookie, Code]] = {
    Cookie.BAD: Code.INVALID_TOKEN,
    Cookie.EXPIRED: Code.SESSION_EXPIRED,
}


def decide(facts: Facts) -> Decision:
    """The request table of the design, from the top."""
    # The access token comes first, and with a live one the cookie is not even read: a cross-site page makes the browser
    # send the cookie but cannot make it send the header, so such a request needs no check of its origin.
    if facts.access is Access.LIVE:
        return Accept()
    # A forged token is an attack or a broken client; going on with the cookie would hide both.
    if facts.access is Access.BAD:
        return Reject(code=Code.INVALID_TOKEN)
    if facts.cookie is Cookie.ABSENT:
        return _unless_optional(facts, ACCESS_CODES[facts.access])
    if facts.cookie is not Cookie.GENUINE:
        # Users cannot mend a bad cookie; where no login is needed it must not lock them out.
        return _unless_optional(facts, COOKIE_CODES[facts.cookie])
    # A cross-site page cannot send the header for native apps, either.
    if not may_ride_on_cookie(facts.method, facts.provenance, proven=facts.same_session or facts.by_header):
        return Reject(code=Code.CROSS_SITE_REQUEST)
    # Two users in one request: the table is asked whether the cookie is live, and nothing is rotated.
    return Rotate(caller=Caller.OTHER if facts.other_subject else facts.caller)


def conclude(facts: Facts, outcome: Outcome | Code) -> Accept | Reject | Pass:
    """The decision after the rotation table, or after a *Code* that says why there was no record to ask it about."""
    if outcome is Outcome.JUDGE and facts.other_subject:
        return Reject(code=Code.SESSION_MISMATCH)
    code = refusal_code(outcome)
    if code is not None:
        return _unless_optional(facts, code)
    return Reject(code=Code.SESSION_MISMATCH) if facts.other_subject else Accept()


def judged(facts: Facts, verdict: Verdict) -> Rotate | StepUp | Reject | Pass:
    """
    The decision after the risk policy.

    Step-up is demanded on optional paths too: as nobody, a thief would be served what the app shows to all, and could not be
    told from one.
    """
    match verdict.action:
        case Action.PROCEED:
            return Rotate(caller=facts.caller)
        case Action.STEP_UP:
            return StepUp(reason=verdict.reason)
        case Action.REVOKE:
            return _unless_optional(facts, Code.REVOKED)
        case _:
            assert_never(verdict.action)


def refusal_code(outcome: Outcome | Code) -> Code | None:
    """Why a presented refresh token is refused after the rotation table; None where it is served."""
    match outcome:
        case Outcome.ROTATE | Outcome.REPEAT | Outcome.REDELIVER | Outcome.STRAGGLER | Outcome.ADOPT:
            return None
        case Outcome.REUSE:
            return Code.REUSE_DETECTED
        case Outcome.REFUSE:
            return Code.SESSION_ENDED
        case Outcome.JUDGE:
            return Code.STEP_UP_REQUIRED
        case Code() as code:
            return code
        case _:
            assert_never(outcome)


def may_ride_on_cookie(method: str, where: Provenance, *, proven: bool) -> bool:
    """
    I1: whether a cookie alone may carry *method* from *where*.

    *proven* is a genuine access token of the same session in the header, expired or not: a cross-site page cannot send it.
    """
    return proven or method in SAFE_METHODS or where in {Provenance.SAME_ORIGIN, Provenance.TRUSTED}


def may_log_in(method: str, where: Provenance) -> bool:
    """
    I1, login CSRF: an attacker's page must not sign its visitor in as the attacker.

    A browser says where an unsafe request comes from, so one that says nothing comes from none.
    """
    return method in SAFE_METHODS or where is not Provenance.FOREIGN


def _unless_optional(facts: Facts, code: Code) -> Reject | Pass:
    return Reject(code=code) if facts.required else Pass()
