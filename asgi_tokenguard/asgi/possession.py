"""
Whether who sends a token that is bound to a key holds that key (RFC 9449).

Rule: a bound token without its proof is nobody's, whatever path or guard it comes to.  Nothing here asks Redis before token and
proof are both known to be genuine (I14); then one command remembers that the proof is used.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from asgi_tokenguard import proofs
from asgi_tokenguard.asgi import credentials
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.dpop import Asked, DPoP, Flaw, Proof, flaw_of, sent_path
from asgi_tokenguard.errors import DuplicateCredentials, ProofRefused

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims
    from asgi_tokenguard.engine import Engine

HEADER = b"dpop"


class Possession:
    """The proof of one request: looked at where a token of it is bound, and used up once, whichever of the two that is."""

    __slots__ = ("_engine", "_proven", "_scope")

    def __init__(self, scope: Scope, engine: Engine) -> None:
        self._scope = scope
        self._engine = engine
        self._proven = ""  # the thumbprint of the key that was shown to be held

    async def of_access(self, claims: AccessClaims, field: bytes, token: str) -> None:
        """Raise `ProofRefused` where *claims* are bound and this is not their holder; *field* is how the token was sent."""
        settings = self._engine.settings
        if claims.jkt and settings.access_scheme is not None and not credentials.is_dpop(field):
            # RFC 9449 section 7.2: who may present it as Bearer need not prove anything.
            raise _refused(Flaw.SCHEME, settings.dpop)
        if claims.jkt:
            await self._prove(claims.jkt, token)
        elif credentials.is_dpop(field):
            raise _refused(Flaw.KEY, settings.dpop)

    async def of_refresh(self, claims: RefreshClaims) -> None:
        """As `of_access`."""
        if claims.jkt and claims.jkt != self._proven:
            if self._proven:
                raise _refused(Flaw.KEY, self._engine.settings.dpop)
            await self._prove(claims.jkt, None)

    async def at_login(self) -> str:
        """The thumbprint of the key to which a new session is to be bound; empty where it is to be free."""
        policy = self._engine.settings.dpop
        if policy is None or not (policy.required or _values(self._scope)):
            return ""
        await self._prove(None, None)
        return self._proven

    async def _prove(self, jkt: str | None, token: str | None) -> None:
        engine, policy = self._engine, self._engine.settings.dpop
        values = _values(self._scope)
        if policy is None or not values:
            raise self._refused(Flaw.MISSING, policy)
        if len(values) > 1:
            raise DuplicateCredentials  # section 4.3, step 1
        proof = proofs.read(values[0], policy, jkt=jkt)
        if isinstance(proof, Flaw):
            raise self._refused(proof, policy)
        if not engine.store.clock.is_synced:
            await engine.store.open()
        flaw = flaw_of(proof, self._asked(token), policy)
        if flaw is not None:
            raise self._refused(flaw, policy)
        if not await engine.store.is_first(_name(proof), policy.lasts):
            raise self._refused(Flaw.REPLAYED, policy)
        self._proven = proof.jkt

    def _asked(self, token: str | None) -> Asked:
        now = self._now()
        return Asked(
            method=self._scope.get("method", "GET"),  # a handshake is a GET (RFC 6455 section 4.1)
            path=sent_path(self._scope),
            now=now,
            ath=None if token is None else proofs.hash_of(token),
            nonces=self._engine.nonces.accepted(now),
        )

    def _now(self) -> int:
        return self._engine.store.clock.now_ms() // 1000

    def _refused(self, flaw: Flaw, policy: DPoP | None) -> ProofRefused:
        wants = policy is not None and policy.nonce and self._engine.store.clock.is_synced
        return _refused(flaw, policy, self._engine.nonces.newest(self._now()) if wants else None)


def _refused(flaw: Flaw, policy: DPoP | None, nonce: str | None = None) -> ProofRefused:
    code = Code.USE_DPOP_NONCE if flaw is Flaw.NONCE else Code.INVALID_DPOP_PROOF
    return ProofRefused(code, flaw.value, algorithms=() if policy is None else policy.algorithms, nonce=nonce)


def _values(scope: Scope) -> list[str]:
    return [value.decode("latin-1").strip(" ") for name, value in scope["headers"] if name == HEADER]


def _name(proof: Proof) -> bytes:
    """128 bits for one proof of one key: who makes proofs makes no two of one name but by using one twice."""
    return hashlib.blake2b(f"{proof.jkt} {proof.jti}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
