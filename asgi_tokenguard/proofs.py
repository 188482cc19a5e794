"""
Proofs of possession: their signature, and the nonces that they carry.  What they say is `core/dpop.py`'s to judge.

Rule: nothing of a proof is believed before its signature verifies, and its key is looked at only as far as that needs.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, Final

from asgi_tokenguard.core.dpop import NONCE_LASTS, DPoP, Flaw, Proof, read_proof
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import Key, KeySet
from asgi_tokenguard.tokens import Verifier, bytes_of, is_canonical, text_of

# A proof for an address of 2 KB with a key of P-521, and more than clients have reason to send.
MAX_PROOF: Final = 4096
# Of a private key (RFC 7518 section 6.2.2, RFC 8037 section 2): a client that sends one is broken, and its key no secret.
_PRIVATE: Final = frozenset({"d", "k", "p", "q"})
_PURPOSE: Final = b"asgi_tokenguard dpop nonce\0"


def read(text: str, policy: DPoP, *, jkt: str | None) -> Proof | Flaw:
    """
    The proof in *text*; *jkt* is the thumbprint of the key that it has to be of (None: any, as at a login).

    A key that is not the right one verifies nothing: what the check of a signature costs is then not an attacker's to choose.
    """
    header, _, rest = text.partition(".")
    if len(text) > MAX_PROOF or not is_canonical(rest) or not is_canonical(f"{header}.AA"):
        return Flaw.MALFORMED
    fields = _parsed(header)
    key = _key_in(fields, policy) if isinstance(fields, dict) else None
    if key is None:
        return Flaw.MALFORMED
    if jkt is not None and not hmac.compare_digest(key.kid, jkt):
        return Flaw.KEY
    payload, _, signature = rest.partition(".")
    if not Verifier(key).is_signed(f"{header}.{payload}".encode("ascii"), bytes_of(signature)):
        return Flaw.MALFORMED
    return read_proof(_parsed(payload), key.kid) or Flaw.MALFORMED


def hash_of(access_token: str) -> str:
    """The `ath` of a proof beside *access_token* (RFC 9449 section 4.2)."""
    return text_of(sha256(access_token.encode("latin-1")).digest())


class Nonces:
    """
    What proofs are to carry where a nonce is asked for (RFC 9449 section 8): no memory, the same in all processes.

    Each is an HMAC of its five minutes with a key of *keys*, so that none can be known ahead; it counts for ten at most.
    """

    def __init__(self, keys: Callable[[], KeySet]) -> None:
        self._keys = keys

    def newest(self, now: int) -> str:
        return _nonce(self._keys().signing.derived(_PURPOSE), now // NONCE_LASTS)

    def accepted(self, now: int) -> frozenset[str]:
        """Those of now and of the five minutes before, by all keys that can sign."""
        return frozenset(self._all(now // NONCE_LASTS))

    def _all(self, step: int) -> Iterator[str]:
        for key in self._keys():
            if key.signing is not None:
                derived = key.derived(_PURPOSE)
                yield from (_nonce(derived, step), _nonce(derived, step - 1))


def _nonce(key: bytes, step: int) -> str:
    return text_of(hmac.digest(key, step.to_bytes(8, "big"), "sha256")[:16])


def _key_in(fields: dict[str, Any], policy: DPoP) -> Key | None:
    """The public key that a proof's header names, where the header is one (RFC 9449 section 4.3, steps 4 to 7)."""
    jwk, algorithm = fields.get("jwk"), fields.get("alg")
    if fields.get("typ") != "dpop+jwt" or "crit" in fields or algorithm not in policy.algorithms:
        return None
    if not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
        return None
    try:
        # By its thumbprint alone: a name of its own would stand in its place.
        return Key.from_jwk({name: jwk.get(name) for name in ("kty", "crv", "x", "y") if name in jwk} | {"alg": algorithm})
    except ConfigurationError:
        return None


def _parsed(segment: str) -> object:
    try:
        found: object = json.loads(bytes_of(segment).decode())
    except (ValueError, RecursionError):
        return None
    return found
