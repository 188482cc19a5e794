"""
`proofs.py` and `core/dpop.py`: text that is almost a proof of possession, made by somebody who holds a key.

Whoever proves possession of a key signs what he likes, so the first byte chooses what is signed for him:

* `t` a text in which the bytes 1, 2 and 3 stand for the three segments of a genuine proof
* `p` a payload under a good header, `h` a header, in which the byte 1 stands for his key, over a good payload
* `u` an address, which `htu` may be
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt.algorithms import get_default_algorithms
from support.forge import b64, unb64

from asgi_tokenguard import DPoP
from asgi_tokenguard.core.dpop import Asked, Flaw, Proof, flaw_of, normal_url
from asgi_tokenguard.keys.jwk import thumbprint
from asgi_tokenguard.proofs import MAX_PROOF, read
from fuzz.harness import hold

_POLICY = DPoP("https://app.example")
# Always the same, so that a corpus means the same.
_PRIVATE = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
_ES256 = get_default_algorithms()["ES256"]
_JWK = {
    name: value
    for name, value in _ES256.to_jwk(_PRIVATE.public_key(), as_dict=True).items()
    if name in {"kty", "crv", "x", "y"}
}
_JKT = thumbprint(_JWK)
_HEADER = json.dumps({"typ": "dpop+jwt", "alg": "ES256", "jwk": _JWK}).encode()
_PAYLOAD = b'{"jti":"1","htm":"GET","htu":"https://app.example/me","iat":1700000000}'
_HALF_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_ASKED = Asked(method="GET", path="/me", now=1_700_000_000, ath=None, nonces=frozenset())

WORDS = (
    b'"jti":"', b'"htm":"GET"', b'"htu":"https://app.example/me"', b'"iat":', b'"ath":"', b'"nonce":"', b"NaN",
    b"1e999", b"null",
    b"true", b"9" * 400, b"\\ud800", b'"typ":"dpop+jwt"', b'"alg":"ES256"', b'"jwk":\1', b'"crit":', b'"d":"', b"none",
    b"\1.\2.\3",
    b"https://", b"http://", b"//", b"@", b"%2e", b"%41", b":443", b":0", b"[::1]", b"..", b"?", b"#",
)  # fmt: skip
OUTCOMES = ("t read", "t none", "p read", "p none", "h read", "h none", "u an address", "u none")


def check(data: bytes) -> str:
    mode, rest = data[:1].decode("latin-1"), data[1:]
    if mode == "u":
        return _check_address(rest.decode("utf-8", "surrogateescape"))
    match mode:
        case "p":
            text = _signed(b64(_HEADER), b64(rest))
        case "h":
            text = _signed(b64(rest.replace(b"\1", json.dumps(_JWK).encode())), b64(_PAYLOAD))
        case _:
            mode, text = "t", _pieces(rest)
    found = read(text, _POLICY, jkt=None)
    if isinstance(found, Flaw):
        hold(found is Flaw.MALFORMED, "no key was asked for", found)
        return f"{mode} none"
    _check_read(text, found)
    return f"{mode} read"


def _signed(header: str, payload: str) -> str:
    message = f"{header}.{payload}"
    return f"{message}.{b64(_ES256.sign(message.encode(), _PRIVATE))}"


def _pieces(data: bytes) -> str:
    segments = _signed(b64(_HEADER), b64(_PAYLOAD)).split(".")
    pieces = dict(zip("\1\2\3", segments, strict=True))
    return "".join(pieces.get(character, character) for character in data.decode("latin-1"))


def _check_read(text: str, proof: Proof) -> None:
    segments = text.split(".")
    hold(len(text) <= MAX_PROOF and [b64(unb64(each)) for each in segments] == segments, "another form", text)
    header, payload = json.loads(unb64(segments[0])), json.loads(unb64(segments[1]))
    hold(header["typ"] == "dpop+jwt" and header["alg"] == "ES256" and "crit" not in header, "no header of a proof", header)
    hold(not {"d", "k", "p", "q"} & header["jwk"].keys(), "a private key", header)
    hold(proof.jkt == _JKT, "the thumbprint of another key", proof)
    _verify(text.rpartition(".")[0].encode(), unb64(segments[2]))
    said = {name: payload.get(name) for name in ("jti", "htm", "htu", "iat", "ath", "nonce")}
    hold(said == {name: getattr(proof, name) for name in said}, "not what it says", said, proof)
    hold(read(text, _POLICY, jkt=_JKT) == proof, "its own key is another one", proof)
    hold(read(text, _POLICY, jkt="A" * 43) is Flaw.KEY, "any key is its own", proof)
    if flaw_of(proof, _ASKED, _POLICY) is None:
        hold(proof.htm == "GET" and abs(proof.iat - _ASKED.now) <= _POLICY.max_age, "for another request", proof)
        split = urlsplit(proof.htu)
        hold(split.hostname == "app.example" and (split.port or 443) == 443, "for another site", proof)
        hold(unquote(split.path) == "/me", "for another path", proof)


def _verify(message: bytes, signature: bytes) -> None:
    """Once more, without PyJWT; raises `InvalidSignature`."""
    r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
    _PRIVATE.public_key().verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def _check_address(url: str) -> str:
    normal = normal_url(url)
    if normal is None:
        return "u none"
    if not _HALF_ESCAPE.search(url):  # of which two halves may become one
        hold(normal_url(normal) == normal, "its normal form has another one", url, normal)
    hold("@" not in urlsplit(url).netloc, "who reads it may take the user for the host", url)
    split = urlsplit(normal)
    hold(split.scheme in {"http", "https"} and split.port is not None and split.username is None, "no address", url, normal)
    hold(not split.query and not split.fragment and normal.isascii(), "more than an address", url, normal)
    hold({".", ".."}.isdisjoint(split.path.split("/")) and split.path.startswith("/"), "dots", url, normal)
    hold(split.hostname == urlsplit(url).hostname, "another host", url, normal)
    return "u an address"
