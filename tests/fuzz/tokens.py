"""
`tokens.py`: text that is almost a token.

No search finds a signature, so the first byte chooses what is signed for it:

* `t` a text in which the bytes 1, 2 and 3 stand for the three segments of a genuine token
* `p` a payload under our header, `h` a header over a genuine payload, `s` a payload's segment as it stands
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from support.forge import b64, unb64

from asgi_tokenguard.core.claims import RESERVED, AccessClaims, FreshClaims, RefreshClaims
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.records import Head, Record, ulid_text
from asgi_tokenguard.keys import Key, KeySet
from asgi_tokenguard.tokens import MAX_TOKEN, Codec, Fault, Kind
from fuzz.harness import hold

_SECRET = "a secret of more than thirty-two bytes, to search with"
_KEY = Key(_SECRET, kid="k")
_CODEC = Codec(KeySet([_KEY]), Lifetimes())
_SID = "01HF7YAT00C1NP6X5D30R30C9M"
_HEAD = Head(
    gen=3, access_jti=bytes(16), refresh_jti=bytes(range(16)), access_issued=1_700_000_060, refresh_issued=1_700_000_000,
    seen=True, mark=1_700_000_000_000, absolute=1_800_000_000, auth_time=1_700_000_000,
)  # fmt: skip
_RECORD = Record(head=_HEAD, claims=b"")
_GENUINE = {
    Kind.ACCESS: _CODEC.access_token("user-1", _SID, _RECORD),
    Kind.REFRESH: _CODEC.refresh_token("user-1", _SID, _RECORD),
    Kind.FRESH: _CODEC.fresh_token(_SID, 1_700_000_000, 300),
}
_Claims = AccessClaims | RefreshClaims | FreshClaims
_READ: Mapping[Kind, Callable[[str], _Claims | Fault]] = {
    Kind.ACCESS: _CODEC.read_access,
    Kind.REFRESH: _CODEC.read_refresh,
    Kind.FRESH: _CODEC.read_fresh,
}
_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)

WORDS = (
    b'"sub":"', b'"sid":"01HF7YAT00C1NP6X5D30R30C9M"', b'"jti":"00000000000000000000000000"', b'"gen":', b'"iat":', b'"exp":',
    b'"auth_time":', b'"cnf":{"jkt":"', b'"iss":null', b"true", b"null", b"NaN", b"1e9", b"-1", b"4294967296",
    b"\\ud800", b"[[",
    b"{", b"}", b'"alg":"HS256"',
    b'"kid":"k"', b'"typ":"at+jwt"', b"none", b"crit", b"\x01.\x02.\x03", b"=", b"+", b"/",
)  # fmt: skip
OUTCOMES = ("t read", "t bad", "p read", "p bad", "h read", "h bad", "h unknown key", "s read", "s bad")


def check(data: bytes) -> str:
    mode = data[:1].decode("latin-1") if data[:1] in _MAKERS else "t"
    make = _MAKERS[mode.encode()]
    outcomes = set()
    for kind, read in _READ.items():
        token = make(data[1:], kind)
        found = read(token)
        hold(read(token) == found or "NaN" in repr(found) or "nan" in repr(found), "it reads the same twice", token)
        if isinstance(found, Fault):
            if found is Fault.UNKNOWN_KEY:
                _check_unknown(token, kind)
            outcomes.add("unknown key" if found is Fault.UNKNOWN_KEY else "bad")
        else:
            _check_read(token, kind, found)
            outcomes.add("read")
        if make is _payload:
            hold(_is_ours(data[1:], kind, token) == (not isinstance(found, Fault)), "not what the shape says", kind, data)
        elif make is _text:
            hold(isinstance(found, Fault) or token == _GENUINE[kind], "a token that nobody minted", token)
    return next(f"{mode} {word}" for word in ("read", "unknown key", "bad") if word in outcomes)


def _signed(header: str, payload: str) -> str:
    message = f"{header}.{payload}"
    # Text beyond ASCII is signed as UTF-8: what matters is that no better signature could be had.
    return f"{message}.{b64(hmac.digest(_SECRET.encode(), message.encode(), 'sha256'))}"


def _text(data: bytes, kind: Kind) -> str:
    pieces = dict(zip("\x01\x02\x03", _GENUINE[kind].split("."), strict=True))
    return "".join(pieces.get(character, character) for character in data.decode("latin-1"))


def _payload(data: bytes, kind: Kind) -> str:
    return _signed(_GENUINE[kind].split(".")[0], b64(data))


def _header(data: bytes, kind: Kind) -> str:
    return _signed(b64(data), _GENUINE[kind].split(".")[1])


def _segment(data: bytes, kind: Kind) -> str:
    return _signed(_GENUINE[kind].split(".")[0], data.decode("latin-1"))


_MAKERS = {b"t": _text, b"p": _payload, b"h": _header, b"s": _segment}


def _check_read(token: str, kind: Kind, found: _Claims) -> None:
    """What is read is written in one way only, and another library reads the same."""
    segments = token.split(".")
    hold(len(token) <= MAX_TOKEN and [b64(unb64(each)) for each in segments] == segments, "another form", token)
    hold(json.loads(unb64(segments[0])) == {"alg": "HS256", "kid": "k", "typ": kind.value}, "not our header", token)
    # Strictly: PyJWT verifies the signature once more, and looks at no times.
    payload = jwt.decode(token, _SECRET, algorithms=["HS256"], options={"verify_signature": True, **_TIMELESS})
    said = {name: getattr(found, name) for name in ("sub", "sid", "gen", "iat", "exp", "auth_time") if hasattr(found, name)}
    hold(said == {name: payload[name] for name in said}, "not what it says", said, payload)
    if not isinstance(found, FreshClaims):
        hold(ulid_text(found.jti) == payload["jti"], "another jti", token)
    if isinstance(found, AccessClaims):
        rest = {name: value for name, value in payload.items() if name not in RESERVED}
        hold(repr(found.claims) == repr(rest), "other claims", found.claims, rest)  # as text: NaN is not itself


_TIMELESS = dict.fromkeys(
    ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False
)


def _check_unknown(token: str, kind: Kind) -> None:
    """Ours but for the name of its key."""
    header, payload, signature = token.split(".")
    hold([b64(unb64(each)) for each in (payload, signature)] == [payload, signature], "another form", token)
    fields = json.loads(unb64(header))
    hold(fields.keys() == {"alg", "kid", "typ"} and fields["typ"] == kind.value, "not our header", fields)
    hold(isinstance(fields["kid"], str) and fields["kid"] != "k", "its key is known", fields)
    hold(
        isinstance(fields["alg"], str) and re.fullmatch("(HS|RS|PS|ES)(256|384|512)|EdDSA", fields["alg"]),
        "no algorithm",
        fields,
    )


_NAMES = {
    Kind.ACCESS: ("sub", "sid", "jti", "gen", "iat", "exp", "auth_time"),
    Kind.REFRESH: ("sub", "sid", "jti", "gen", "iat", "exp"),
    Kind.FRESH: ("sid", "iat", "exp"),
}


def _is_ours(data: bytes, kind: Kind, token: str) -> bool:
    """Whether *data* has the shape of a payload of ours."""
    if len(token) > MAX_TOKEN or not data:
        return False
    try:
        payload = json.loads(data.decode())
    except (ValueError, RecursionError):
        return False
    if not isinstance(payload, dict):
        return False
    if payload.get("iss") is not None or payload.get("aud") is not None:
        return False  # of another app that shares the key
    if "nbf" in payload:
        return False
    if kind is not Kind.FRESH and not _is_binding(payload.get("cnf", {"jkt": "A" * 43})):
        return False
    return all(name in payload and _RULES.get(name, _is_number)(payload[name]) for name in _NAMES[kind])


def _is_binding(value: Any) -> bool:
    if type(value) is not dict or value.keys() != {"jkt"} or type(value["jkt"]) is not str:
        return False
    return re.fullmatch("[A-Za-z0-9_-]{43}", value["jkt"]) is not None


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**32


def _is_id(value: Any) -> bool:
    return type(value) is str and _ID.fullmatch(value) is not None


def _is_subject(value: Any) -> bool:
    return type(value) is str and value != "" and re.search("[\ud800-\udfff]", value) is None


_RULES = {"sub": _is_subject, "sid": _is_id, "jti": _is_id}
