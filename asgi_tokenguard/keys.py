"""The keys that sign tokens, from oldest to newest."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from asgi_tokenguard.errors import ConfigurationError

# RFC 7518 section 3.2: a key of the same size as the hash output or larger.
MINIMUM_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
# Key files (PEM, OpenSSH) hold a public half as often as not, and whoever knows that could sign.
_KEY_FILE: Final = re.compile(rb"ssh-|ecdsa-sha2-|.*----[- ]BEGIN ", re.DOTALL)


class Key:
    """
    One secret.

    *secret* is text or bytes, at least as long as the hash of *algorithm* (HS256, HS384 or HS512).  *kid* names the key in
    the header of its tokens; by default it is derived from the secret by SHA-256, so that all processes agree.

    Raises `ConfigurationError`.
    """

    __slots__ = ("algorithm", "kid", "secret")

    def __init__(self, secret: str | bytes, *, algorithm: str = "HS256", kid: str | None = None) -> None:
        self.algorithm = _checked_algorithm(algorithm)
        self.secret = _checked_secret(secret, algorithm)
        self.kid = _derived_kid(self.secret) if kid is None else _checked_kid(kid)

    def __repr__(self) -> str:
        # Never the secret: reprs end in logs.
        return f"Key(kid={self.kid!r}, algorithm={self.algorithm!r})"


class KeySet:
    """
    Keys from oldest to newest: the newest signs, all verify.

    To exchange a secret, append the new one, deploy, and take the old one out once its last token is dead.  Raises
    `ConfigurationError` for an empty set and for two keys of one name.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys) if isinstance(keys, Iterable) else ()
        if not self._keys or not all(isinstance(key, Key) for key in self._keys):
            raise ConfigurationError("keys", "a KeySet needs at least one Key", "write KeySet([Key(secret)])")
        if len({key.kid for key in self._keys}) < len(self._keys):
            raise ConfigurationError("keys", "two keys have the same kid", "give each secret once, each kid once")

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __repr__(self) -> str:
        return f"KeySet({list(self._keys)!r})"

    @property
    def signing(self) -> Key:
        return self._keys[-1]


def _checked_algorithm(algorithm: object) -> str:
    if not isinstance(algorithm, str) or algorithm not in MINIMUM_BYTES:
        raise ConfigurationError("keys", f"algorithm {algorithm!r} is not supported", f"use one of {', '.join(MINIMUM_BYTES)}")
    return algorithm


def _checked_secret(secret: object, algorithm: str) -> bytes:
    # Environments hold bytes that are no Unicode text; an error of encoding them would carry the secret.
    raw = secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret
    if not isinstance(raw, bytes):
        raise ConfigurationError("secret", "it is neither text nor bytes", "pass the secret itself")
    if _KEY_FILE.match(raw):
        raise ConfigurationError("secret", "it is a key or certificate of a key pair", "pass a random secret")
    if len(raw) < MINIMUM_BYTES[algorithm]:
        raise ConfigurationError(
            "secret",
            f"it has {len(raw)} bytes, fewer than the {MINIMUM_BYTES[algorithm]} that {algorithm} needs",
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(64))'",
        )
    return raw


def _checked_kid(kid: object) -> str:
    if not isinstance(kid, str) or not kid or len(kid) > 64 or not kid.isascii() or not kid.isprintable():  # noqa: PLR2004
        raise ConfigurationError("keys", f"kid {kid!r} is not a short printable name", "use up to 64 ASCII characters")
    return kid


def _derived_kid(secret: bytes) -> str:
    # 48 bits tell the keys of one app apart.  Whoever holds a token can test guesses of a secret against its signature
    # anyway, so that a digest of the secret in its header gives nothing away.
    return urlsafe_b64encode(hashlib.sha256(b"asgi_tokenguard kid\0" + secret).digest()[:6]).decode()
