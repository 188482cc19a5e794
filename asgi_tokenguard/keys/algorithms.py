"""
What keys may be for.  Rule: the algorithm is the key's, never the token's (RFC 8725 section 3.1).

`none` is not here, nor is what nobody needs: ES256K, RSA1_5, symmetric keys below the size of their hash.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from asgi_tokenguard.errors import ConfigurationError


class Family(Enum):
    """The `kty` of a JWK (RFC 7518 section 6.1, RFC 8037 section 2)."""

    SECRET = "oct"  # noqa: S105 (a kind of key, not one)
    RSA = "RSA"
    EC = "EC"
    EDWARDS = "OKP"


class Algorithm(NamedTuple):
    name: str
    family: Family
    # RFC 7518 section 3.2: a secret of the same size as the hash output or larger.
    least_bytes: int = 0
    # RFC 7518 section 3.4: one curve each; RFC 8037 section 3.1 leaves two.
    curves: tuple[str, ...] = ()


ALGORITHMS: Final = {
    each.name: each
    for each in (
        Algorithm("HS256", Family.SECRET, least_bytes=32),
        Algorithm("HS384", Family.SECRET, least_bytes=48),
        Algorithm("HS512", Family.SECRET, least_bytes=64),
        Algorithm("RS256", Family.RSA),
        Algorithm("RS384", Family.RSA),
        Algorithm("RS512", Family.RSA),
        Algorithm("PS256", Family.RSA),
        Algorithm("PS384", Family.RSA),
        Algorithm("PS512", Family.RSA),
        Algorithm("ES256", Family.EC, curves=("P-256",)),
        Algorithm("ES384", Family.EC, curves=("P-384",)),
        Algorithm("ES512", Family.EC, curves=("P-521",)),
        Algorithm("EdDSA", Family.EDWARDS, curves=("Ed25519", "Ed448")),
    )
}
# RFC 7518 section 3.3, and NIST SP 800-131A's floor until 2030.
LEAST_RSA_BITS: Final = 2048
# FIPS 186-5 section 5.4; small exponents are what forgeries of RSA signatures were made with (Bleichenbacher, 2006).
LEAST_RSA_EXPONENT: Final = 65537


def algorithm_named(name: object) -> Algorithm:
    """The algorithm of that *name*; raises ConfigurationError."""
    found = ALGORITHMS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ConfigurationError("keys", f"algorithm {name!r} is not supported", f"use one of {', '.join(ALGORITHMS)}")
    return found
