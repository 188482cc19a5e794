"""
The JWT codec.  Rule: only headers that we would write ourselves are read, so the algorithm comes from the key (RFC 8725).

The protected header of our tokens has one form for each key and kind.  Its base64 is compared as a whole, before anything
of the token is parsed: `none`, other algorithms, `crit`, embedded keys and a refresh token in the place of an access token
all fail the same comparison.  What remains is one signature and a payload of our own making.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from jwt import PyJWS

from asgi_tokenguard.core.claims import (
    MAX_COUNTER,
    AccessClaims,
    FreshClaims,
    RefreshClaims,
    confirmation,
    load_claims,
    read_access,
    read_fresh,
    read_refresh,
)
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.parties import Parties
from asgi_tokenguard.core.records import Record, ulid_text
from asgi_tokenguard.errors import SubjectError
from asgi_tokenguard.keys import Key, KeySet
from asgi_tokenguard.keys.algorithms import ALGORITHMS

# Twice the largest token that we mint (claims of 4 KB and a subject of 2 KB once escaped, as base64: 8.6 KB), and more than
# servers take as one header.  Longer ones are not even hashed.
MAX_TOKEN: Final = 16_384
_SEGMENTS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# RFC 4648 section 3.5: the last character of a segment must not carry stray bits, or one token would have many forms.
_LAST: Final = {0: None, 2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
# The URL's alphabet and no padding are RFC 7515's; `a2b_base64` knows the other alphabet, and wants it padded.
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = (b"", b"===", b"==", b"=")  # by the length's remainder of four; 1 is no length of base64, and raises


_NOBODY: Final = Parties()


class Kind(Enum):
    """The explicit type in the header (RFC 8725 section 3.11, RFC 9068 section 2.1)."""

    ACCESS = "at+jwt"
    REFRESH = "rt+jwt"
    FRESH = "fr+jwt"  # freshness alone: neither of the others carries or yields it (I16)


class Fault(Enum):
    """Why a string is not a token of ours."""

    BAD = "malformed, forged or of the wrong type"
    UNKNOWN_KEY = "it names a key that is not in the key set"


class Verifier:
    """What signatures of one key are checked with."""

    __slots__ = ("_algorithm", "_prepared")

    def __init__(self, key: Key) -> None:
        self._algorithm = PyJWS().get_algorithm_by_name(key.algorithm)
        self._prepared = self._algorithm.prepare_key(key.verifying)

    def is_signed(self, message: bytes, signature: bytes) -> bool:
        return self._algorithm.verify(message, self._prepared, signature)


class Ring:
    """The keys of *keys*, prepared; replaced as a whole, so that no token is read with half of a change."""

    __slots__ = ("_algorithm", "_headers", "_prepared", "_signature", "kids", "verifiers")

    def __init__(self, keys: KeySet) -> None:
        signing = keys.signing
        self._algorithm = PyJWS().get_algorithm_by_name(signing.algorithm)
        self._prepared = self._algorithm.prepare_key(signing.signing)
        self._headers = {kind: _header(signing, kind) for kind in Kind}
        self.kids = frozenset(key.kid for key in keys)
        verifiers = [(key, Verifier(key)) for key in keys]
        self.verifiers = {kind: {_header(key, kind): verifier for key, verifier in verifiers} for kind in Kind}
        # Of one key all signatures have one length.
        self._signature = len(text_of(self._algorithm.sign(b"", self._prepared)))

    def length(self, kind: Kind, body: bytes) -> int:
        """How long a token of *body* is, without signing one."""
        return len(self._headers[kind]) + len(text_of(body)) + self._signature + 2

    def sign(self, kind: Kind, body: bytes) -> str:
        message = f"{self._headers[kind]}.{text_of(body)}"
        return f"{message}.{text_of(self._algorithm.sign(message.encode('ascii'), self._prepared))}"


class Codec:
    """
    Mints and reads tokens with the keys of *keys*; it looks at no clock, so whether one is over is the caller's to say.

    *look* is asked for new keys before each use (True: a token names a key that is not known); None: there never are any.
    With RSA-PSS and ECDSA a token that is minted twice has two signatures; its claims are the same.
    """

    def __init__(
        self,
        keys: KeySet,
        lifetimes: Lifetimes,
        *,
        parties: Parties = _NOBODY,
        look: Callable[[bool], KeySet | None] | None = None,
    ) -> None:
        self._lifetimes = lifetimes
        self._parties = parties
        self._own = parties.claims()
        self._look = look
        self.use(keys)

    def use(self, keys: KeySet) -> None:
        """From now on *keys* sign and verify."""
        self.keys = keys
        self._ring = Ring(keys)

    def look(self, *, unknown: bool = False) -> bool:
        """Take new keys where there are some; whether there were."""
        found = None if self._look is None else self._look(unknown)
        if found is not None:
            self.use(found)
        return found is not None

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys of now as a JWK set."""
        self.look()
        return self.keys.jwks()

    def access_token(self, subject: str, sid: str, record: Record, jkt: str = "") -> str:
        """The live access token of *record*, bound to the key of *jkt* if any; minted twice, it is the same token."""
        head = record.head
        issued = head.access_issued
        own = {"jti": ulid_text(head.access_jti), "iat": issued, "exp": issued + self._lifetimes.access}
        rest = {"auth_time": head.auth_time, **load_claims(record.claims)}
        return self._mint(Kind.ACCESS, {"sub": subject, "sid": sid, "gen": head.gen, **own, **rest, **confirmation(jkt)})

    def refresh_token(self, subject: str, sid: str, record: Record, jkt: str = "") -> str:
        """The live refresh token of *record*; its `exp` is the session's next end, idle or absolute."""
        head = record.head
        own = {
            "jti": ulid_text(head.refresh_jti),
            "iat": head.refresh_issued,
            "exp": head.ends_at(self._lifetimes.idle),
        }
        return self._mint(Kind.REFRESH, {"sub": subject, "sid": sid, "gen": head.gen, **own, **confirmation(jkt)})

    def check_room(self, subject: str, room: int, jkt: str = "") -> None:
        """
        Raises SubjectError where a refresh token of *subject* could have more than *room* bytes.

        Browsers drop a cookie that is too long without a word: the user would be signed in for one page.
        """
        own = {"jti": "0" * 26, "iat": MAX_COUNTER, "exp": MAX_COUNTER, **confirmation(jkt)}
        size = self._ring.length(Kind.REFRESH, self._body({"sub": subject, "sid": "0" * 26, "gen": MAX_COUNTER, **own}))
        if size > room:
            raise SubjectError(f"its refresh token would have {size} bytes, and a cookie {room}; use the user's primary key")

    def fresh_token(self, sid: str, issued: int, lasts: int) -> str:
        """The proof, for *lasts* seconds, that the user of *sid* has shown who they are at *issued*."""
        return self._mint(Kind.FRESH, {"sid": sid, "iat": issued, "exp": issued + lasts})

    def read_access(self, token: str) -> AccessClaims | Fault:
        payload = self._verified(token, Kind.ACCESS)
        return payload if isinstance(payload, Fault) else read_access(payload) or Fault.BAD

    def read_refresh(self, token: str) -> RefreshClaims | Fault:
        payload = self._verified(token, Kind.REFRESH)
        return payload if isinstance(payload, Fault) else read_refresh(payload) or Fault.BAD

    def read_fresh(self, token: str) -> FreshClaims | Fault:
        payload = self._verified(token, Kind.FRESH)
        return payload if isinstance(payload, Fault) else read_fresh(payload) or Fault.BAD

    def _mint(self, kind: Kind, payload: Mapping[str, Any]) -> str:
        self.look()
        return self._ring.sign(kind, self._body(payload))

    def _body(self, payload: Mapping[str, Any]) -> bytes:
        # Unescaped, since a name in Japanese would else take six bytes a character of a cookie's 4096.
        return json.dumps({**self._own, **payload}, separators=(",", ":"), ensure_ascii=False).encode()

    def _verified(self, token: str, kind: Kind) -> object | Fault:
        header, _, rest = token.partition(".")
        if len(token) > MAX_TOKEN or not is_canonical(rest):
            return Fault.BAD
        self.look()
        verifier = self._ring.verifiers[kind].get(header)
        if verifier is None:
            if not self._names_unknown_key(header, kind):
                return Fault.BAD
            # Another process may have read the new keys a moment earlier, and signed with them.
            verifier = self._ring.verifiers[kind].get(header) if self.look(unknown=True) else None
            if verifier is None:
                return Fault.UNKNOWN_KEY
        payload, _, signature = rest.partition(".")
        # PyJWT's algorithm, with the key prepared once.  Its `decode` would parse the header, which is known by now, and look
        # the algorithm up by what the token says, for seven times the cost.
        if not verifier.is_signed(f"{header}.{payload}".encode("ascii"), bytes_of(signature)):
            return Fault.BAD
        try:
            found: object = json.loads(bytes_of(payload).decode())  # told the encoding, it does not have to guess it
        except (ValueError, RecursionError):
            return Fault.BAD
        if not isinstance(found, dict) or not self._parties.match(found):
            return Fault.BAD
        return found

    def _names_unknown_key(self, header: str, kind: Kind) -> bool:
        """Whether *header* is one of ours but for its kid: minted with a key that was taken out of the set."""
        if len(header) > 256 or _SEGMENTS.fullmatch(f"{header}.A") is None:  # noqa: PLR2004 (far above any header of ours)
            return False
        try:
            fields = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        except (ValueError, RecursionError):
            return False
        if not isinstance(fields, dict) or fields.keys() != {"alg", "kid", "typ"} or fields["typ"] != kind.value:
            return False
        kid, algorithm = fields["kid"], fields["alg"]
        return isinstance(kid, str) and kid not in self._ring.kids and isinstance(algorithm, str) and algorithm in ALGORITHMS


def _header(key: Key, kind: Kind) -> str:
    """The protected header of tokens of this *kind* and *key*, of which there is one form."""
    fields = {"alg": key.algorithm, "kid": key.kid, "typ": kind.value}
    return text_of(json.dumps(fields, separators=(",", ":")).encode())


def text_of(data: bytes) -> str:
    """*data* in the one form that a segment has for it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def bytes_of(segment: str) -> bytes:
    """What a canonical segment stands for: `urlsafe_b64decode`, without what it does for other types and alphabets."""
    return a2b_base64(segment.encode("ascii").translate(_STANDARD) + _PADDING[len(segment) % 4])


def is_canonical(segments: str) -> bool:
    """Whether payload and signature are in the one form that base64url without padding has for their bytes."""
    if _SEGMENTS.fullmatch(segments) is None:
        return False
    for segment in segments.split("."):
        last = _LAST.get(len(segment) % 4, frozenset())
        if last is not None and segment[-1] not in last:
            return False
    return True
