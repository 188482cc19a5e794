"""
DPoP (RFC 9449): what a proof of possession says, and whether it is for this request.

Rule: a proof is for one method, one address, one moment and one access token, and is good once.  The attacker has a copy of the
tokens, or runs another service to which the client has sent proofs: neither holds the key, and a proof made for elsewhere names
elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.parse import quote_from_bytes, urlsplit

from asgi_tokenguard.errors import ConfigurationError

# No RSA: its public exponent is the client's to choose, and one as long as the key makes a signature dear to check.
ALGORITHMS: Final = ("ES256", "EdDSA", "ES384", "ES512")
# RFC 9449 section 4.2 asks for 96 random bits; UUIDs and longer names are common.
MAX_JTI: Final = 256
# What a number of JSON may be for all its readers (RFC 8259 section 6), and far above any time.
MAX_TIME: Final = 2**53
# Seconds a nonce counts for, once it is no longer the newest; RFC 9449 section 8 leaves it to us.
NONCE_LASTS: Final = 300
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_ESCAPED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True, init=False)
class DPoP:
    """
    Sessions may be bound to a key of their client's (RFC 9449): whoever copies their tokens cannot use them.

    *origin* is where clients reach the app, `"https://api.example"` or several, with the path that a proxy takes off.  It is
    not read from a request, whose `Host` whoever replays a proof would choose.

    *required*: a login without a proof is refused, else it starts a session that is not bound.  *nonce*: proofs carry a value
    of ours, so that none can be made ahead, and no client's clock matters.  *max_age* is how old a proof may be, in seconds.
    *algorithms* are those of the proofs.

    Raises `ConfigurationError`.  Needs the extra `keys`.
    """

    origins: tuple[str, ...]
    required: bool
    nonce: bool
    max_age: int
    algorithms: tuple[str, ...]

    def __init__(
        self,
        origin: str | Iterable[str],
        *,
        required: bool = False,
        nonce: bool = False,
        max_age: int = 60,
        algorithms: Iterable[str] = ("ES256", "EdDSA"),
    ) -> None:
        settled = {
            "origins": _origins(origin),
            "required": _boolean("required", required),
            "nonce": _boolean("nonce", nonce),
            "max_age": _seconds(max_age),
            "algorithms": _algorithms(algorithms),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    @property
    def lasts(self) -> int:
        """Seconds after which no proof that was made now counts any more: so long its use is remembered."""
        return 2 * NONCE_LASTS if self.nonce else 2 * self.max_age + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a proof says whose signature is that of the key with the thumbprint *jkt*."""

    jkt: str
    jti: str
    htm: str
    htu: str
    iat: float
    ath: str | None
    nonce: str | None


class Flaw(Enum):
    """Why a proof does not count."""

    MISSING = "there is none"
    MALFORMED = "it is no proof: a JWT of typ dpop+jwt with its public key, an accepted alg and a good signature"
    KEY = "it is of another key than the token's"
    METHOD = "its htm is not the request's method"
    ADDRESS = "its htu is not the request's address"
    TIME = "its iat is too old or in the future"
    HASH = "its ath is not the hash of the access token"
    NONCE = "its nonce is missing or over; the new one is in DPoP-Nonce"
    REPLAYED = "it has been used"
    SCHEME = "the access token came as Bearer; send it as DPoP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a proof has to be for; *ath* is the hash of the access token that came along (None: none did)."""

    method: str
    path: str  # as it was sent, escapes and all, without the query
    now: int
    ath: str | None
    nonces: frozenset[str]


def read_proof(payload: object, jkt: str) -> Proof | None:
    """The proof in *payload*, or None where it has not the shape of one (RFC 9449 section 4.2)."""
    if not isinstance(payload, dict):
        return None
    jti, htm, htu, iat = (payload.get(name) for name in ("jti", "htm", "htu", "iat"))
    if not (isinstance(jti, str) and 0 < len(jti) <= MAX_JTI and isinstance(htm, str) and isinstance(htu, str)):
        return None
    # Compared, which neither NaN nor an integer of 400 digits survives; `math.isfinite` raises for that one.
    if isinstance(iat, bool) or not isinstance(iat, int | float) or not abs(iat) <= MAX_TIME:
        return None
    ath, nonce = payload.get("ath"), payload.get("nonce")
    if not isinstance(ath, str | None) or not isinstance(nonce, str | None):
        return None
    return Proof(jkt=jkt, jti=jti, htm=htm, htu=htu, iat=iat, ath=ath, nonce=nonce)


def flaw_of(proof: Proof, asked: Asked, policy: DPoP) -> Flaw | None:
    """Why *proof* is not for the request of *asked*; None where it is (RFC 9449 section 4.3)."""
    if proof.htm != asked.method:
        return Flaw.METHOD
    if normal_url(proof.htu) not in {normal_url(origin + asked.path) for origin in policy.origins}:
        return Flaw.ADDRESS
    if asked.ath is not None and proof.ath != asked.ath:
        return Flaw.HASH
    if policy.nonce:  # its time is ours, so that the client's does not matter (section 11.1)
        return None if proof.nonce in asked.nonces else Flaw.NONCE
    return None if abs(asked.now - proof.iat) <= policy.max_age else Flaw.TIME


def sent_path(scope: Mapping[str, Any]) -> str:
    """The path of a request as it was sent."""
    raw = scope.get("raw_path")
    if isinstance(raw, bytes):
        return raw.partition(b"?")[0].decode("latin-1")
    return quote_from_bytes(str(scope["path"]).encode("utf-8", "surrogateescape"), safe="/:@!$&'()*+,;=-._~")


def normal_url(url: str) -> str | None:
    """
    *url* without query and fragment, in one form for all that mean the same (RFC 3986 sections 6.2.2 and 6.2.3).

    None where it is no http URL, or has a user or a path with dot segments in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or not url.isascii():
        return None
    path = _ESCAPED.sub(_normal_escape, parts.path) or "/"
    if not {".", ".."}.isdisjoint(path.split("/")):
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{scheme}://{host}:{_DEFAULT_PORTS[scheme] if port is None else port}{path}"


def _normal_escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _origins(origin: object) -> tuple[str, ...]:
    several = (origin,) if isinstance(origin, str) else origin
    if not isinstance(several, Iterable) or isinstance(several, bytes | Mapping):
        raise ConfigurationError("dpop", f"its origin is a {type(origin).__name__}", "write DPoP('https://api.example')")
    found = tuple(several)
    for each in found:
        if not isinstance(each, str) or normal_url(each) is None or each.endswith("/") or {"?", "#"} & set(each):
            remedy = "write where clients reach the app, without a slash at the end: 'https://api.example'"
            raise ConfigurationError("dpop", f"its origin {each!r} is none", remedy)
    if not found:
        raise ConfigurationError("dpop", "it has no origin", "write DPoP('https://api.example')")
    return found


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError("dpop", f"its {name} is {value!r}", "write True or False")
    return value


def _seconds(value: object) -> int:
    # Below some seconds slow networks would be refused; RFC 9449 section 11.1 speaks of "seconds or minutes".
    if isinstance(value, bool) or not isinstance(value, int) or not 5 <= value <= NONCE_LASTS:  # noqa: PLR2004
        raise ConfigurationError("dpop", f"its max_age is {value!r}", f"give whole seconds from 5 to {NONCE_LASTS}")
    return value


def _algorithms(value: object) -> tuple[str, ...]:
    found = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else ()
    if not found or any(name not in ALGORITHMS for name in found):
        raise ConfigurationError("dpop", f"its algorithms are {value!r}", f"give some of {', '.join(ALGORITHMS)}")
    return found
