"""What tokens say once their signature is verified, and what an app may put into them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asgi_tokenguard.core.records import is_session_id, ulid_bytes
from asgi_tokenguard.errors import ClaimsError, SubjectError

# The token's own claims: RFC 7519 section 4.1, OpenID Connect's `sid` and `auth_time`, RFC 7800's `cnf`, and our `gen`.
RESERVED: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "gen", "auth_time", "cnf"})
# Gateways commonly allow 8 KB for one header; claims come back as base64, a third longer.
MAX_CLAIMS: Final = 4096
# Longer than an e-mail address (320) or a distinguished name; the refresh cookie, of which browsers keep 4096 bytes
# (RFC 6265bis section 5.6), carries it as base64.
MAX_SUBJECT: Final = 1024
MAX_SUBJECT_IN_JSON: Final = 2 * MAX_SUBJECT + 2  # quotes and backslashes double, control characters take six
# As deep as System.Text.Json reads by default; a much deeper one could be written and not be read again.
MAX_DEPTH: Final = 64
MAX_COUNTER: Final = 2**32 - 1
# SHA-256 in base64url (RFC 7638 section 3).
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """What both kinds of token say; times in whole seconds, ids as 26 characters in tokens and 16 bytes here."""

    sub: str
    sid: str
    jti: bytes = field(repr=False)
    gen: int
    iat: int
    exp: int
    # Thumbprint of the key to which the session is bound (RFC 9449 section 6.1); empty where it is not.
    jkt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims(TokenClaims):
    auth_time: int
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshClaims(TokenClaims):
    pass


def read_access(payload: object) -> AccessClaims | None:
    """The claims in *payload*, or None where it has not the shape of an access token."""
    jti = _checked_jti(payload)
    if jti is None or not isinstance(payload, dict) or not _is_counter(payload.get("auth_time")):
        return None
    return AccessClaims(
        **_of_both(payload, jti),
        auth_time=payload["auth_time"],
        claims={name: value for name, value in payload.items() if name not in RESERVED},
    )


def read_refresh(payload: object) -> RefreshClaims | None:
    jti = _checked_jti(payload)
    if jti is None or not isinstance(payload, dict):
        return None
    return RefreshClaims(**_of_both(payload, jti))


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshClaims:
    """What a freshness token says: that the user of session *sid* proved who they are at *iat* (I16)."""

    sid: str
    iat: int
    exp: int


def read_fresh(payload: object) -> FreshClaims | None:
    if not isinstance(payload, dict) or not is_session_id(payload.get("sid")) or "nbf" in payload:
        return None
    if not (_is_counter(payload.get("iat")) and _is_counter(payload.get("exp"))):
        return None
    return FreshClaims(sid=payload["sid"], iat=payload["iat"], exp=payload["exp"])


def check_subject(subject: object) -> str:
    """*subject* if a token and a key can be made of it; raises SubjectError."""
    if not isinstance(subject, str) or not subject:
        raise SubjectError("a subject is a non-empty string, such as the user's primary key")
    if not _is_unicode(subject):
        raise SubjectError("the subject holds a lone surrogate, which is no Unicode text")
    size = len(subject.encode())
    if size > MAX_SUBJECT:
        raise SubjectError(f"the subject has {size} bytes of UTF-8, more than {MAX_SUBJECT}; use the user's primary key")
    if len(json.dumps(subject, ensure_ascii=False).encode()) > MAX_SUBJECT_IN_JSON:
        raise SubjectError("the subject is too long once its control characters are escaped; use the user's primary key")
    return subject


def dump_claims(claims: object) -> bytes:
    """The app's *claims*, a mapping or None, as compact JSON, empty for none; raises ClaimsError."""
    if claims is None:
        return b""
    if not isinstance(claims, Mapping):
        raise ClaimsError(f"the claims are a {type(claims).__name__}; pass a mapping of names to JSON values")
    taken = sorted(RESERVED & claims.keys())
    if taken:
        raise ClaimsError(f"the token itself uses {', '.join(taken)}; choose other names")
    if not all(isinstance(name, str) for name in claims):
        raise ClaimsError("the names of claims are strings")
    if _is_deeper(claims, MAX_DEPTH):
        raise ClaimsError(f"the claims are nested more than {MAX_DEPTH} deep; keep such data in your database")
    try:
        dumped = json.dumps(dict(claims), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ClaimsError("the claims are not JSON: strings, finite numbers, booleans, lists and objects") from error
    if len(dumped) > MAX_CLAIMS:
        raise ClaimsError(f"the claims have {len(dumped)} bytes, more than {MAX_CLAIMS}; keep large data in your database")
    return dumped if claims else b""


def load_claims(dumped: bytes) -> dict[str, Any]:
    """What `dump_claims` has written."""
    loaded: dict[str, Any] = json.loads(dumped) if dumped else {}
    return loaded


def scopes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes in the claim `scope`: words in a string (RFC 8693 section 4.2) or a list of strings."""
    value = claims.get("scope", ())
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def confirmation(jkt: str) -> dict[str, Any]:
    """What a token says that is bound to the key of thumbprint *jkt* (RFC 7800, RFC 9449 section 6.1); nothing for none."""
    return {"cnf": {"jkt": jkt}} if jkt else {}


def bound_to(payload: Mapping[str, Any]) -> str | None:
    """The thumbprint of the key to which the token is bound: empty for none, None where `cnf` says something else."""
    if "cnf" not in payload:
        return ""
    said = payload["cnf"]
    # A confirmation that we do not understand binds the token all the same: it is refused, not taken for a free one.
    jkt = said.get("jkt") if isinstance(said, dict) and len(said) == 1 else None
    return jkt if isinstance(jkt, str) and _THUMBPRINT.fullmatch(jkt) else None


def _checked_jti(payload: object) -> bytes | None:
    """The `jti` of a *payload* in which all that both kinds of token say is there and of its type, else None."""
    if not isinstance(payload, dict):
        return None
    get = payload.get
    sub, jti = get("sub"), get("jti")
    if not (isinstance(sub, str) and sub and _is_unicode(sub) and isinstance(jti, str) and is_session_id(get("sid"))):
        return None
    if not (_is_counter(get("gen")) and _is_counter(get("iat")) and _is_counter(get("exp"))):
        return None
    # We write no `nbf`, and what has one is not for now (RFC 7519 section 4.1.5).
    return None if bound_to(payload) is None or "nbf" in payload else ulid_bytes(jti)


def _of_both(payload: Mapping[str, Any], jti: bytes) -> dict[str, Any]:
    """What both kinds of token say, as fields, once `_checked_jti` has looked at it."""
    return {name: payload[name] for name in ("sub", "sid", "gen", "iat", "exp")} | {"jti": jti, "jkt": bound_to(payload) or ""}


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, Mapping | list | tuple):
        return False
    children = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_is_deeper(child, levels - 1) for child in children)


def _is_unicode(text: str) -> bool:
    # JSON can write half of a surrogate pair, UTF-8 and with it a key cannot.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_counter(value: object) -> bool:
    # `True` is an int for Python, and larger numbers would not fit the record.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNTER
