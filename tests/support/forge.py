"""Tokens as an attacker, another service or an old process would write them."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def header_of(token: str) -> dict[str, Any]:
    return json.loads(unb64(token.split(".", maxsplit=1)[0]))


def claims_of(token: str) -> dict[str, Any]:
    return json.loads(unb64(token.split(".")[1]))


def sign(
    header: dict[str, Any] | bytes | str, payload: dict[str, Any] | bytes, secret: str, *, algorithm: str = "HS256"
) -> str:
    """
    A token with a good signature of *secret*.

    A *header* of text is taken as the segment itself, and bytes stand for the JSON.
    """
    segment = header if isinstance(header, str) else b64(_json(header))
    signed = f"{segment}.{b64(_json(payload))}"
    return f"{signed}.{b64(hmac.digest(secret.encode(), signed.encode(), DIGESTS[algorithm]))}"


def altered(token: str, secret: str, /, **changes: Any) -> str:
    """*token* with other claims (None takes one out), signed again under its own header."""
    claims = {name: value for name, value in (claims_of(token) | changes).items() if value is not None}
    return sign(token.split(".", maxsplit=1)[0], claims, secret)


def aged(token: str, secret: str, seconds: int) -> str:
    """*token* as it would be, had it been issued *seconds* earlier."""
    claims = claims_of(token)
    return altered(token, secret, iat=claims["iat"] - seconds, exp=claims["exp"] - seconds)


def rekeyed(token: str, *, kid: str = "gone", secret: str = "another secret of at least thirty-two bytes") -> str:
    """The claims of *token* under a key that is not in the key set."""
    return sign(header_of(token) | {"kid": kid}, claims_of(token), secret)


def digest_of(subject: str) -> str:
    """The subject's digest as it stands in keys, worked out once more."""
    return b64(hashlib.blake2b(subject.encode(), digest_size=20).digest())


def _json(value: dict[str, Any] | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
