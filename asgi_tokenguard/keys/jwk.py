"""Keys as JSON: JWK and JWK sets (RFC 7517), and the names that are derived from them (RFC 7638)."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt.algorithms import get_default_algorithms

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys.algorithms import Algorithm, Family, algorithm_named
from asgi_tokenguard.keys.pairs import checked, require_cryptography, usual_algorithm

if TYPE_CHECKING:
    from asgi_tokenguard.keys.pairs import PrivateKey, PublicKey

# RFC 7638 section 3.2 and RFC 8037 section 2: what of a public key is the key, and nothing that could change.
_ESSENCE: Final = {Family.RSA: ("e", "kty", "n"), Family.EC: ("crv", "kty", "x", "y"), Family.EDWARDS: ("crv", "kty", "x")}
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Read(NamedTuple):
    """What a JWK says."""

    material: bytes | PrivateKey | PublicKey
    algorithm: Algorithm
    kid: str | None


def read(jwk: object) -> Read:
    """
    The key in *jwk*, an object or its JSON.

    Raises ConfigurationError; its text never holds the key, as those of the libraries below do.
    """
    found = _object(jwk)
    family = _family(found)
    if found.get("use", "sig") != "sig" or not _may_verify(found.get("key_ops")):
        raise ConfigurationError("keys", "a JWK in it is not for signatures", "take keys with use=sig, or without use")
    material: bytes | PrivateKey | PublicKey
    if family is Family.SECRET:
        algorithm, material = algorithm_named(found.get("alg", "HS256")), _secret(found.get("k"))
    else:
        pair = _pair(found, family)
        algorithm, material = algorithm_named(found["alg"]) if "alg" in found else usual_algorithm(pair), pair
    if algorithm.family is not family:
        raise ConfigurationError("keys", f"a JWK of kty {family.value} says alg {algorithm.name}", "correct one of the two")
    return Read(material, algorithm, found.get("kid"))


def read_set(jwks: object) -> list[object]:
    """The JWKs in *jwks*, a JWK set or one JWK, an object or its JSON; raises ConfigurationError."""
    found = _object(jwks)
    if "keys" not in found:
        return [found]
    if not isinstance(found["keys"], list):
        raise ConfigurationError("keys", "the keys of a JWK set are a list", 'write {"keys": [...]}')
    return found["keys"]


def public_jwk(public: PublicKey, algorithm: Algorithm) -> dict[str, str]:
    """*public* as a JWK without a name: what others verify with."""
    whole = get_default_algorithms()[algorithm.name].to_jwk(public, as_dict=True)
    # RFC 7517 section 4.3: `use` and `key_ops` are not to stand side by side, and libraries ask for the first.
    return {name: whole[name] for name in _ESSENCE[algorithm.family]}


def thumbprint(essence: Mapping[str, str]) -> str:
    """The SHA-256 thumbprint of a public JWK (RFC 7638), 43 characters."""
    canonical = json.dumps(dict(essence), separators=(",", ":"), sort_keys=True).encode()
    return urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def _object(jwk: object) -> Mapping[str, Any]:
    if isinstance(jwk, str | bytes):
        try:
            jwk = json.loads(jwk)
        except (ValueError, RecursionError):
            raise ConfigurationError("keys", "it is not JSON", "check that the JWK or JWK set is whole") from None
    if not isinstance(jwk, Mapping):
        raise ConfigurationError("keys", f"a JWK is an object, not a {type(jwk).__name__}", 'write {"kty": ...}')
    return jwk


def _family(jwk: Mapping[str, Any]) -> Family:
    try:
        return Family(jwk.get("kty"))
    except ValueError:
        kinds = ", ".join(family.value for family in Family)
        raise ConfigurationError("keys", "a JWK has no known kty", f"use one of {kinds}") from None


def _may_verify(operations: object) -> bool:
    return operations is None or (isinstance(operations, list) and bool({"sign", "verify"} & set(map(str, operations))))


def _secret(encoded: object) -> bytes:
    if not isinstance(encoded, str) or not _BASE64URL.fullmatch(encoded) or len(encoded) % 4 == 1:
        raise ConfigurationError("keys", "the k of a JWK is not base64url without padding", "encode the secret's bytes so")
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def _pair(jwk: Mapping[str, Any], family: Family) -> PrivateKey | PublicKey:
    require_cryptography()
    # Any algorithm of the family: they read keys alike.
    reader = get_default_algorithms()[{Family.RSA: "RS256", Family.EC: "ES256"}.get(family, "EdDSA")]
    try:
        return checked(reader.from_jwk(dict(jwk)))
    except ConfigurationError:
        raise
    except Exception:  # noqa: BLE001 (PyJWT and cryptography raise five kinds here, some with the key in their text)
        problem = f"a JWK of kty {family.value} cannot be read"
        raise ConfigurationError("keys", problem, "check that its members are whole") from None
