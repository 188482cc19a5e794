"""One key: a secret, or a pair."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import jwk as jwks
from asgi_tokenguard.keys import pairs
from asgi_tokenguard.keys.algorithms import Algorithm, Family, algorithm_named

if TYPE_CHECKING:
    from asgi_tokenguard.keys.pairs import PrivateKey, PublicKey

# Key files (PEM, OpenSSH, JWK) hold a public half as often as not, and whoever knows that could sign.
_KEY_FILE: Final = re.compile(rb'ssh-|ecdsa-sha2-|.*----[- ]BEGIN |\s*\{.*"kty"', re.DOTALL)


class Key:
    """
    One key that signs and verifies, or verifies only.

    *secret* is, for HS256, HS384 and HS512, text or bytes at least as long as the hash; for all other algorithms (RS, PS, ES
    with 256, 384 or 512, EdDSA) a key in PEM, opened with *password* where it is encrypted.  A public key verifies only:
    that is for one which has been replaced.  *kid* names the key in the header of its tokens; by default it is derived from
    the key by SHA-256 (of pairs the thumbprint of RFC 7638), so that all processes agree.

    Raises `ConfigurationError`.  Pairs need `pip install 'asgi-tokenguard[keys]'`.
    """

    __slots__ = ("algorithm", "kid", "signing", "verifying")

    def __init__(
        self,
        secret: str | bytes,
        *,
        algorithm: str = "HS256",
        kid: str | None = None,
        password: str | bytes | None = None,
    ) -> None:
        named = algorithm_named(algorithm)
        raw = _bytes(secret)
        opened = password.encode() if isinstance(password, str) else password
        self._take(_checked_secret(raw, named) if named.family is Family.SECRET else pairs.read_pem(raw, opened), named, kid)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any] | str | bytes) -> Self:
        """The key in a *jwk* (RFC 7517), an object or its JSON; its `alg` and `kid` count.  Raises `ConfigurationError`."""
        found = jwks.read(jwk)
        if isinstance(found.material, bytes):
            return cls(found.material, algorithm=found.algorithm.name, kid=found.kid)
        return cls._of(found.material, found.algorithm, found.kid)

    @classmethod
    def from_pem(cls, pem: str | bytes, *, password: str | bytes | None = None, kid: str | None = None) -> Self:
        """The key in *pem* with the usual algorithm of its kind (RSA: RS256); raises `ConfigurationError`."""
        found = pairs.read_pem(_bytes(pem), password.encode() if isinstance(password, str) else password)
        return cls._of(found, pairs.usual_algorithm(found), kid)

    @classmethod
    def _of(cls, material: PrivateKey | PublicKey, algorithm: Algorithm, kid: str | None) -> Self:
        key = cls.__new__(cls)
        key._take(material, algorithm, kid)  # noqa: SLF001 (our own, not yet built)
        return key

    def _take(self, material: bytes | PrivateKey | PublicKey, algorithm: Algorithm, kid: str | None) -> None:
        self.algorithm = algorithm.name
        self.signing: bytes | PrivateKey | None
        self.verifying: bytes | PublicKey
        if isinstance(material, bytes):
            self.signing = self.verifying = material
            derived = _kid_of_a_secret(material)
        else:
            if not pairs.suits(material, algorithm):
                problem = f"its kind of key is not for {algorithm.name}"
                usual = pairs.usual_algorithm(material).name
                raise ConfigurationError("keys", problem, f"give algorithm={usual!r}, or another key")
            self.signing = material if pairs.is_private(material) else None  # type: ignore[assignment]
            self.verifying = pairs.public_half(material)
            derived = jwks.thumbprint(jwks.public_jwk(self.verifying, algorithm))
        self.kid = derived if kid is None else _checked_kid(kid)

    def __repr__(self) -> str:
        # Never the secret: reprs end in logs.
        return f"Key(kid={self.kid!r}, algorithm={self.algorithm!r})"

    def derived(self, purpose: bytes) -> bytes:
        """32 bytes for *purpose* that only those know who can sign with this key; raises ValueError for a public one."""
        if self.signing is None:
            raise ValueError("a public key keeps no secret")
        raw = self.signing if isinstance(self.signing, bytes) else pairs.private_bytes(self.signing)
        return hmac.digest(raw, purpose, "sha256")

    def public_jwk(self) -> dict[str, str] | None:
        """What other services verify with (RFC 7517), or None: a secret has no public half."""
        if isinstance(self.verifying, bytes):
            return None
        essence = jwks.public_jwk(self.verifying, algorithm_named(self.algorithm))
        return {**essence, "use": "sig", "alg": self.algorithm, "kid": self.kid}


def _bytes(secret: object) -> bytes:
    # Environments hold bytes that are no Unicode text; an error of encoding them would carry the secret.
    raw = secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret
    if not isinstance(raw, bytes):
        raise ConfigurationError("secret", "it is neither text nor bytes", "pass the secret itself")
    return raw


def _checked_secret(raw: bytes, algorithm: Algorithm) -> bytes:
    if _KEY_FILE.match(raw):
        remedy = "pass a random secret, or the key with its algorithm: keys=KeySet([Key(pem, algorithm='ES256')])"
        raise ConfigurationError("secret", "it is a key or certificate of a key pair", remedy)
    if len(raw) < algorithm.least_bytes:
        raise ConfigurationError(
            "secret",
            f"it has {len(raw)} bytes, fewer than the {algorithm.least_bytes} that {algorithm.name} needs",
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(64))'",
        )
    return raw


def _checked_kid(kid: object) -> str:
    if not isinstance(kid, str) or not kid or len(kid) > 64 or not kid.isascii() or not kid.isprintable():  # noqa: PLR2004
        raise ConfigurationError("keys", f"kid {kid!r} is not a short printable name", "use up to 64 ASCII characters")
    return kid


def _kid_of_a_secret(secret: bytes) -> str:
    # 48 bits tell the keys of one app apart.  Whoever holds a token can test guesses of a secret against its signature
    # anyway, so that a digest of the secret in its header gives nothing away.
    return urlsafe_b64encode(hashlib.sha256(b"asgi_tokenguard kid\0" + secret).digest()[:6]).decode()
