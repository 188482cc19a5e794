"""A client that holds a key, and makes proofs of it (RFC 9449): good ones, and as an attacker would alter them."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from typing import Any

from jwt.algorithms import get_default_algorithms

from support.forge import b64
from support.pairs import pair

ORIGIN = "https://app.example"


class Holder:
    """Holds the key of *algorithm* (each call of `another` makes a new one); *now* tells its time."""

    def __init__(self, algorithm: str = "ES256", *, now: Any = time.time) -> None:
        self.algorithm = algorithm
        self.key = pair.__wrapped__(algorithm)  # a new one, and not the one that all tests share
        self.now = now

    @property
    def jwk(self) -> dict[str, str]:
        whole = get_default_algorithms()[self.algorithm].to_jwk(self.key.public_key(), as_dict=True)
        return {name: whole[name] for name in ("kty", "crv", "x", "y") if name in whole}

    @property
    def jkt(self) -> str:
        canonical = json.dumps(self.jwk, separators=(",", ":"), sort_keys=True).encode()
        return b64(hashlib.sha256(canonical).digest())

    def proof(
        self,
        method: str = "GET",
        url: str = f"{ORIGIN}/me",
        token: str | None = None,
        *,
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A proof for that request; *changes* and *header* replace what it says, None takes it out."""
        head = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk} | (header or {})
        body: dict[str, Any] = {"jti": str(uuid.uuid4()), "htm": method, "htu": url, "iat": int(self.now())}
        if token is not None:
            body["ath"] = b64(hashlib.sha256(token.encode()).digest())
        return self.sign(without_none(head), without_none(body | changes))

    def sign(self, head: dict[str, Any], body: Any) -> str:
        signed = ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, body))
        algorithm = get_default_algorithms()[self.algorithm]
        return f"{signed}.{b64(algorithm.sign(signed.encode(), self.key))}"


def without_none(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}
