"""
Attacks in the payload, all under our own header and well signed: another program with our key, or one that can be made to sign.

Most have a claim of a type that nobody would write.  A few are read as they stand, and then Redis decides.  A freshness token
has neither `sub` nor `jti` nor `gen`: beside what it has they are claims that nobody reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attacks.loot import OURS, Attack, attacks, claiming, literally, saying

_ULID: Final = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
OVER: Final = {"access": "401 token_expired", "refresh": "401 session_expired"}
GONE: Final = {"access": "401 session_ended", "refresh": "401 session_ended", "asks": True}
SPENT: Final = {"access": "401 token_expired", "refresh": "401 session_ended", "fresh": OURS, "asks": True}
COUNTS: Final = {"access": OURS, "refresh": OURS, "fresh": OURS, "asks": True}


def _in(claim: str, literals: Mapping[str, bytes], **answers: Any) -> list[Attack]:
    return attacks(claim, {name: literally(claim, raw) for name, raw in literals.items()}, **answers)


def _quoted(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {name: f'"{text}"'.encode() for name, text in texts.items()}


# What no time and no counter is: RFC 7519 section 2 allows more, but we write whole seconds of 32 bits.
_NUMBERS: Final = {
    "negative": b"-1",
    "a fraction": b"1700000000.5",
    "a whole number with a point": b"1700000000.0",
    "with an exponent": b"17e8",
    "with a negative exponent": b"17000000000e-1",
    "of 33 bits": b"4294967296",
    "of 64 bits": b"18446744073709551616",
    "of 300 digits": b"9" * 300,
    "1e308": b"1e308",
    "1e400, which is infinite": b"1e400",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "true": b"true",
    "null": b"null",
    "a string": b'"1700000000"',
    "an empty string": b'""',
    "in a list": b"[1700000000]",
    "an object": b'{"$gt":0}',
}
# Of these, what no JSON is, or what Python's reader takes for an attack (CVE-2020-10735).
_NOT_READ: Final = {
    "with a zero before": b"0123",
    "with a plus": b"+1",
    "in hex": b"0x10",
    "with underscores": b"1_000",
    "in Arabic digits": "\u0661\u0662".encode(),
    "a bare word": b"tomorrow",
    "undefined": b"undefined",
    "of 5,000 digits": b"9" * 5_000,
}
NUMBERS: Final = [
    *_in("exp", _NUMBERS | _NOT_READ),
    *_in("iat", _NUMBERS | _NOT_READ),
    *_in("gen", _NUMBERS, fresh=OURS),
    *_in("gen", _NOT_READ),
    Attack(name="exp: left out", forge=claiming(without="exp")),
    Attack(name="iat: left out", forge=claiming(without="iat")),
    Attack(name="gen: left out", forge=claiming(without="gen"), fresh=OURS),
    *_in("exp", {"zero": b"0", "minus zero, which is zero": b"-0"}, **OVER),
    *_in("exp", {"as late as can be said": b"4294967295"}, **COUNTS),
    # RFC 7519 section 4: of two claims with one name a parser takes none, or the last.
    *attacks("exp", {"twice, the last over": saying(lambda raw: raw[:-1] + b',"exp":1}')}, **OVER),
    *attacks(
        "exp",
        {
            "twice, the first over": saying(lambda raw: b'{"exp":1,' + raw[1:]),
            "twice, the last in capitals": saying(lambda raw: raw[:-1] + b',"EXP":1}'),
        },
        **COUNTS,
    ),
]
_NO_TEXT: Final = {
    "a number": b"1",
    "zero": b"0",
    "true": b"true",
    "null": b"null",
    "empty": b'""',
    "an empty list": b"[]",
    "an object": b'{"$ne":null}',
}
_NO_SUBJECT: Final = _NO_TEXT | {
    "a list": b'["user-1"]',
    "half a surrogate pair": b'"user-1\\ud800"',
    "the other half": b'"\\udc00user-1"',
    "the halves in the wrong order": b'"\\udc00\\ud800"',
}
_NO_ID: Final = _NO_TEXT | _quoted({
    "a star": "*",
    "in lower case": _ULID.lower(),
    "with a blank": f"{_ULID} ",
    "with a line end": f"{_ULID}\\n",
    "with NUL": f"{_ULID}\\u0000",
    "a character too short": _ULID[:-1],
    "a character too long": f"{_ULID}0",
    "a UUID": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "beyond 128 bits": "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "with a letter of no alphabet": f"{_ULID[:-1]}I",
    "in full width": "\uff10" * 26,
    "Redis commands": "x\\r\\nFLUSHALL\\r\\n",
    "of 4,000 characters": "0" * 4_000,
}) | {"a list": f'["{_ULID}"]'.encode()}  # fmt: skip
# A session that is bound to a key (RFC 9449 section 6.1) is none where the key cannot be told.
_NO_KEY: Final = {
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "jkt too short": b'{"jkt":"x"}',
    "jkt a number": b'{"jkt":1}',
    "jwk": b'{"jwk":{"kty":"oct"}}',
    "kid": b'{"kid":"k"}',
}
TYPES: Final = [
    Attack(name="sub: left out", forge=claiming(without="sub"), fresh=OURS),
    Attack(name="sid: left out", forge=claiming(without="sid")),
    Attack(name="jti: left out", forge=claiming(without="jti"), fresh=OURS),
    *_in("sub", _NO_SUBJECT, fresh=OURS),
    *_in("sid", _NO_ID),
    *_in("jti", _NO_ID, fresh=OURS),
    *_in("cnf", _NO_KEY, fresh=OURS),
    *_in("sid", _quoted({"of no session": _ULID}), **GONE),
    *_in(
        "sub",
        _quoted(
            {
                "of nobody": "nobody",
                "NUL and braces, as in a key": "a\\u0000}:{b:*",
                "ours with a combining mark": "user-1\u0301",
                "ours in full width": "\uff55\uff53\uff45\uff52-\uff11",
                "ours in capitals": "USER-1",
                "ours with a blank": "user-1 ",
                "ours with NUL": "user-1\\u0000",
            }
        ),
        fresh=OURS,
        **GONE,
    ),
    *attacks("sub", {"twice, the last of nobody": saying(lambda raw: raw[:-1] + b',"sub":"nobody"}')}, fresh=OURS, **GONE),
    # Of a head that has been seen: who holds its refresh token has it from nobody.
    *_in("jti", _quoted({"of another token": _ULID}), **SPENT),
]
_OTHERS: Final = {
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "a string": b'"user-1"',
    "true": b"true",
    "an empty object": b"{}",
    "a blank": b" ",
    "NaN": b"NaN",
    "a bomb of lists": b"[" * 9_000,
    "a bomb of objects": b'{"a":' * 1_800,
    "no JSON": b"sub=user-1",
    "XML": b"<sub>user-1</sub>",
    "no UTF-8": b'{"sub":"\xff"}',
    "overlong UTF-8": b'{"sub":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"sub":"\xed\xa0\x80"}',
    "a pickle": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
    "a gzip": b"\x1f\x8b\x08\x00",
}
SHAPES: Final = [
    *attacks("payload", {name: saying(lambda _, other=other: other) for name, other in _OTHERS.items()}),
    *attacks("payload", {
        "in a list": saying(lambda raw: b"[" + raw + b"]"),
        "in a string": saying(lambda raw: b'"' + raw.replace(b'"', b'\\"') + b'"'),
        "one level deeper": saying(lambda raw: b'{"claims":' + raw + b"}"),
        "cut": saying(lambda raw: raw[:-1]),
        "twice": saying(lambda raw: raw + raw),
        "something behind it": saying(lambda raw: raw + b"x"),
        "a trailing comma": saying(lambda raw: raw[:-1] + b",}"),
        "a comment": saying(lambda raw: b"/**/" + raw),
        "single quotes": saying(lambda raw: raw.replace(b'"', b"'")),
        "a BOM": saying(lambda raw: b"\xef\xbb\xbf" + raw),
        "UTF-16": saying(lambda raw: raw.decode().encode("utf-16")),
        "UTF-32": saying(lambda raw: raw.decode().encode("utf-32-le")),
        "names in full width": saying(lambda raw: raw.replace(b"sid", "\uff53\uff49\uff44".encode())),
        "names in capitals": saying(lambda raw: raw.replace(b'"sid"', b'"SID"')),
        "names with a blank": saying(lambda raw: raw.replace(b'"sid"', b'"sid "')),
        "a bomb in a claim": saying(lambda raw: raw[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
        "a control character": saying(lambda raw: raw[:-1] + b',"x":"\x01"}'),
    }),
    # As another program of ours may write it: other blanks, other escapes, claims that we know nothing of.
    *attacks("payload", {
        "with blanks": saying(lambda raw: b"\n " + raw.replace(b",", b" ,\t") + b"\r\n"),
        "an escaped name": saying(lambda raw: raw.replace(b'"sid"', b'"s\\u0069d"')),
        "prototypes": saying(lambda raw: raw[:-1] + b',"__proto__":{"admin":true},"__class__":"x"}'),
        "NaN in a claim of the app's": saying(lambda raw: raw[:-1] + b',"x":NaN}'),
    }, **COUNTS),
    # A key that several apps share makes tokens of one and not of all: this app is not named (RFC 8725 section 3.9).  Nor is
    # what we never write taken for something that we have: a time from which on it would count (RFC 7519 section 4.1.5).
    *attacks("payload", {
        "nbf to come": saying(lambda raw: raw[:-1] + b',"nbf":4294967295}'),
        "iss of somebody else": saying(lambda raw: raw[:-1] + b',"iss":"https://evil.example"}'),
        "aud of somebody else": saying(lambda raw: raw[:-1] + b',"aud":"evil"}'),
        "aud a list": saying(lambda raw: raw[:-1] + b',"aud":["evil","app.example"]}'),
        "aud an object": saying(lambda raw: raw[:-1] + b',"aud":{}}'),
    }),
]  # fmt: skip
PAYLOADS: Final = [*NUMBERS, *TYPES, *SHAPES]
