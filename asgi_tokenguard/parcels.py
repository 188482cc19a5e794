"""What the engine and its callers hand each other: who a request is from, where it comes from, what an answer may carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.claims import AccessClaims, load_claims, scopes
from asgi_tokenguard.core.devices import DeviceHeaders
from asgi_tokenguard.core.records import Record
from asgi_tokenguard.core.rotation import Handout, Outcome
from asgi_tokenguard.store.answers import Presentation

# What Starlette's `@requires` finds for everybody who is signed in; for most it is all, and one object for them all.
SIGNED_IN: Final = ("authenticated",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    Who a request is from: *claims* are the app's, *auth_time* is when the user last proved who they are (seconds).

    *granted* is what Starlette's `@requires` looks among: `SIGNED_IN` and the scopes in the claim `scope`, which is read once
    and not for each request of a known token.
    """

    subject: str
    session_id: str
    claims: Mapping[str, Any] = field(repr=False)
    auth_time: int
    granted: tuple[str, ...]
    jkt: str = ""  # thumbprint of the key to which the session is bound; empty where it is not

    @property
    def scopes(self) -> tuple[str, ...]:
        """What the user may do, as the claim says."""
        return self.granted[len(SIGNED_IN) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Where a request comes from: its packed *address* (or nothing) and what its headers tell of the device (None: no request).

    *held* is the generation of a genuine access token beside the cookie; *rotation_off* says that the caller asks not to be
    rotated and is no trusted proxy.
    """

    address: bytes = b""
    device: DeviceHeaders | None = None
    held: int | None = None
    rotation_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    What an answer may carry: tokens of the generation of *record*, decided at *decided_at* (monotonic seconds).

    *endings* is how often this process had ended sessions by then; see `Engine.leaving`.
    """

    subject: str
    sid: str
    record: Record
    handout: Handout
    decided_at: float
    endings: int
    jkt: str = ""  # what its tokens are bound to


NOWHERE: Final = Source()


class Answer(NamedTuple):
    """What the rotation table says to a presented token; *found* is what there is to judge where it says `JUDGE`."""

    outcome: Outcome | Code
    identity: Identity | None = None
    delivery: Delivery | None = None
    found: Presentation | None = None


def identity_of(subject: str, sid: str, record: Record, jkt: str) -> Identity:
    return _identity(subject, sid, load_claims(record.claims), record.head.auth_time, jkt)


def identity_in(claims: AccessClaims) -> Identity:
    return _identity(claims.sub, claims.sid, claims.claims, claims.auth_time, claims.jkt)


def _identity(subject: str, sid: str, claims: Mapping[str, Any], auth_time: int, jkt: str) -> Identity:
    granted = SIGNED_IN + scopes(claims)
    return Identity(subject=subject, session_id=sid, claims=claims, auth_time=auth_time, granted=granted, jkt=jkt)
