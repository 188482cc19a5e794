"""Every way in which a string is almost one of our tokens; each must count as malformed, forged or of the wrong type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from support.forge import DIGESTS, altered, b64, claims_of, header_of, rekeyed, sign

ULID: Final = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
Forgery = Callable[[str, str], str]


def _parts(token: str) -> tuple[str, str, str]:
    header, payload, signature = token.split(".")
    return header, payload, signature


def _flipped(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def _stray(segment: str) -> str:
    """The same bytes under another last character: the bits that base64 does not use are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


def _under(**changes: Any) -> Forgery:
    """A good signature under a changed header (None takes a field out)."""

    def forge(token: str, secret: str) -> str:
        header = {name: value for name, value in (header_of(token) | changes).items() if value is not None}
        algorithm = header.get("alg") if header.get("alg") in DIGESTS else "HS256"
        return sign(header, claims_of(token), secret, algorithm=algorithm)

    return forge


def _unsigned(algorithm: str) -> Forgery:
    return lambda token, secret: _under(alg=algorithm)(token, secret).rpartition(".")[0] + "."


def _saying(payload: bytes) -> Forgery:
    """Our header and a good signature over something else."""
    return lambda token, secret: sign(token.split(".")[0], payload, secret)


def _claiming(**changes: Any) -> Forgery:
    return lambda token, secret: altered(token, secret, **changes)


# What anybody can send.
TEXTS: Final[dict[str, Forgery]] = {
    "empty": lambda token, secret: "",
    "a word": lambda token, secret: "garbage",
    "one dot": lambda token, secret: ".",
    "two dots": lambda token, secret: "..",
    "three letters": lambda token, secret: "a.b.c",
    "four parts": lambda token, secret: f"{token}.AAAA",
    "five parts, as a JWE": lambda token, secret: f"{token}.AAAA.AAAA",
    "Latin-1": lambda token, secret: "\xe9\xff\x80",
    "a control character": lambda token, secret: f"{token}\x01",
    "JSON": lambda token, secret: '{"sub":"user-1"}',
    "null": lambda token, secret: "null",
    "upper case": lambda token, secret: token.upper(),
    "reversed": lambda token, secret: token[::-1],
    "escaped dots": lambda token, secret: token.replace(".", "%2E"),
    "long garbage": lambda token, secret: "A" * 20_000,
    "a long list of dots": lambda token, secret: "." * 20_000,
    "a long unknown header": lambda token, secret: f"{b64(b'[' * 9_000)}.AAAA.AAAA",
}
# Cut, stretched and mixed from a genuine token.
MANGLED: Final[dict[str, Forgery]] = {
    "no signature": lambda token, secret: token.rpartition(".")[0],
    "an empty signature": lambda token, secret: token.rpartition(".")[0] + ".",
    "an empty payload": lambda token, secret: "{0}..{2}".format(*_parts(token)),
    "an empty header": lambda token, secret: ".{1}.{2}".format(*_parts(token)),
    "signature changed": lambda token, secret: "{}.{}.".format(*_parts(token)) + _flipped(_parts(token)[2], 5),
    "signature cut": lambda token, secret: token[:-1],
    "signature stretched": lambda token, secret: f"{token}A",
    "signature padded": lambda token, secret: f"{token}=",
    "signature with stray bits": lambda token, secret: "{}.{}.".format(*_parts(token)) + _stray(_parts(token)[2]),
    "payload changed": lambda token, secret: token.replace(_parts(token)[1], _flipped(_parts(token)[1], 20)),
    "payload padded": lambda token, secret: "{}.{}=.{}".format(*_parts(token)),
    "payload with a blank": lambda token, secret: "{}. {}.{}".format(*_parts(token)),
    "header padded": lambda token, secret: "{}=.{}.{}".format(*_parts(token)),
    "header changed": lambda token, secret: _flipped(token, 12),
    "parts swapped": lambda token, secret: "{1}.{0}.{2}".format(*_parts(token)),
    "standard base64": lambda token, secret: token.replace("_", "/").replace("-", "+") + "+",
    "signed with another secret": lambda token, secret: altered(token, secret[::-1]),
    "signed with an empty secret": lambda token, secret: altered(token, ""),
}
# A good signature, or none, under a header that is not ours.
HEADERS: Final[dict[str, Forgery]] = {
    "alg none": _unsigned("none"),
    "alg None": _unsigned("None"),
    "alg NONE": _unsigned("NONE"),
    "alg nOnE": _unsigned("nOnE"),
    "alg none but signed": _under(alg="none"),
    "alg HS384 of the same secret": _under(alg="HS384"),
    "alg HS512 of the same secret": _under(alg="HS512"),
    "alg RS256": _under(alg="RS256"),
    "alg EdDSA": _under(alg="EdDSA"),
    "alg missing": _under(alg=None),
    "alg a number": _under(alg=256),
    "typ missing": _under(typ=None),
    "typ JWT": _under(typ="JWT"),
    "typ in upper case": lambda token, secret: _under(typ=header_of(token)["typ"].upper())(token, secret),
    "typ of a media type": lambda token, secret: _under(typ="application/" + header_of(token)["typ"])(token, secret),
    "typ of a freshness token": _under(typ="fr+jwt"),
    "kid missing": _under(kid=None),
    "kid a number": _under(kid=7),
    "kid a list": _under(kid=["a"]),
    "crit": _under(crit=["exp"]),
    "b64 false": _under(b64=False),
    "an embedded key": _under(jwk={"kty": "oct", "k": "AAAA"}),
    "a key's address": _under(jku="https://evil.example/keys"),
    "a certificate's address": _under(x5u="https://evil.example/cert"),
    "compressed": _under(zip="DEF"),
    "header in another order": lambda token, secret: sign(
        dict(sorted(header_of(token).items(), reverse=True)), claims_of(token), secret
    ),
    "header of no JSON": lambda token, secret: sign(b"hello", claims_of(token), secret),
    "header a list": lambda token, secret: sign(b"[]", claims_of(token), secret),
    "header nested": lambda token, secret: sign(b"[" * 150, claims_of(token), secret),
    "unknown kid under alg none": lambda token, secret: _under(kid="gone", alg="none")(token, secret),
    "unknown kid and too long": lambda token, secret: rekeyed(token) + "A" * 17_000,
}
# A good signature under our own header: another program with the same secret, or another version of ours.
PAYLOADS: Final[dict[str, Forgery]] = {
    "no JSON": _saying(b"hello"),
    "no UTF-8": _saying(b'{"sub":"\xff"}'),
    "a list": _saying(b"[1,2]"),
    "a string": _saying(b'"user-1"'),
    "a number": _saying(b"42"),
    "nothing": _saying(b"null"),
    "an empty object": _saying(b"{}"),
    "nested lists": _saying(b"[" * 5_000),
    "a number of 5,000 digits": _saying(b'{"sub":"a","exp":' + b"9" * 5_000 + b"}"),
    "sub missing": _claiming(sub=None),
    "sub empty": _claiming(sub=""),
    "sub a number": _claiming(sub=7),
    "sub a lone surrogate": _claiming(sub="\ud800"),
    "sid missing": _claiming(sid=None),
    "sid a number": _claiming(sid=7),
    "sid of another form": _claiming(sid="session-1"),
    "sid in lower case": _claiming(sid=ULID.lower()),
    "sid of a star": _claiming(sid="*"),
    "jti missing": _claiming(jti=None),
    "jti with an ambiguous letter": _claiming(jti=ULID[:-1] + "I"),
    "jti beyond 128 bits": _claiming(jti="8ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
    "gen missing": _claiming(gen=None),
    "gen negative": _claiming(gen=-1),
    "gen true": _claiming(gen=True),
    "gen a fraction": _claiming(gen=0.5),
    "gen a string": _claiming(gen="0"),
    "gen beyond 32 bits": _claiming(gen=2**32),
    "iat missing": _claiming(iat=None),
    "iat negative": _claiming(iat=-1),
    "exp missing": _claiming(exp=None),
    "exp a string": _claiming(exp="tomorrow"),
    "exp not a number": _claiming(exp=float("nan")),
    "exp without end": _claiming(exp=float("inf")),
    "longer than any of ours": _claiming(padding="A" * 13_000),
}
FORGERIES: Final = TEXTS | MANGLED | HEADERS | PAYLOADS
