"""Key pairs in PEM: every algorithm signs and verifies, and what is too weak or of another kind is refused at the start."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from keys.test_key import SECRET, refusal
from support.pairs import NAMES, PAIRS, pair, pem, pem_of, rsa_pair
from test_tokens import LIFETIMES, RECORD, SID

from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims
from asgi_tokenguard.keys import Key, KeySet
from asgi_tokenguard.tokens import Codec, Fault


def codec_of(*keys: Key) -> Codec:
    return Codec(KeySet(keys), LIFETIMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_signs_what_it_verifies_and_its_public_half_verifies_it_too(name):
    key = Key(PAIRS[name], algorithm=name)
    codec = codec_of(key)
    access, refresh = codec.access_token("user-1", SID, RECORD), codec.refresh_token("user-1", SID, RECORD)
    retired = codec_of(Key(pem(name, private=False), algorithm=name, kid=key.kid), Key(SECRET))
    for reader in (codec, retired):
        assert isinstance(reader.read_access(access), AccessClaims)
        assert isinstance(reader.read_refresh(refresh), RefreshClaims)
        assert Fault.BAD is reader.read_access(refresh)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_bit_anywhere_is_seen(name):
    codec = codec_of(Key(PAIRS[name], algorithm=name))
    header, body, signature = codec.access_token("user-1", SID, RECORD).split(".")
    flipped = ("B" if signature[5] == "A" else "A").join([signature[:5], signature[6:]])
    other = f"{body[:-8]}AAAA{body[-4:]}"
    for forged in (f"{header}.{body}.{flipped}", f"{header}.{other}.{signature}", f"{header}.{body}.AAAA"):
        assert Fault.BAD is codec.read_access(forged)


def test_psychic_signatures_of_zeros_are_none():
    """CVE-2022-21449: r = s = 0 verified for every key."""
    codec = codec_of(Key(PAIRS["ES256"], algorithm="ES256"))
    header, body, _ = codec.access_token("user-1", SID, RECORD).split(".")
    assert Fault.BAD is codec.read_access(f"{header}.{body}.{'A' * 86}")


def test_one_pair_of_another_algorithm_is_another_key():
    """RS256 and PS256 of one pair: the header names the algorithm that is the key's, or it is not ours."""
    one, other = (codec_of(Key(PAIRS["RS256"], algorithm=name)) for name in ("RS256", "PS256"))
    assert Fault.BAD is other.read_access(one.access_token("user-1", SID, RECORD))


def test_ed448_is_taken_as_eddsa():
    key = Key(pem("Ed448"), algorithm="EdDSA")
    codec = codec_of(key)
    assert isinstance(codec.read_access(codec.access_token("user-1", SID, RECORD)), AccessClaims)


@pytest.mark.parametrize(("name", "usual"), [("RS256", "RS256"), ("ES256", "ES256"), ("ES512", "ES512"), ("EdDSA", "EdDSA")])
@pytest.mark.parametrize("private", [True, False])
def test_the_usual_algorithm_of_a_kind_need_not_be_named(name, usual, private):
    assert usual == Key.from_pem(pem(name, private=private)).algorithm


def test_the_name_of_a_pair_is_its_thumbprint_and_the_same_for_both_halves():
    """RFC 7638; its own example."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64"
        "tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO"
        "pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    example = Key.from_jwk({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256"})
    assert "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" == example.kid
    assert Key.from_pem(pem("ES256")).kid == Key.from_pem(pem("ES256", private=False)).kid


def test_an_encrypted_key_is_opened_with_its_password():
    sealed = pem("ES256", password=b"horse")
    assert Key.from_pem(pem("ES256")).kid == Key.from_pem(sealed, password="horse").kid
    assert Key.from_pem(pem("ES256")).kid == Key(sealed, algorithm="ES256", password=b"horse").kid
    assert "it is encrypted" == refusal(Key.from_pem, sealed).problem
    assert "cannot be read" in refusal(Key.from_pem, sealed, password="battery").problem
    assert "it is not encrypted" == refusal(Key.from_pem, pem("ES256"), password="horse").problem


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (pem_of(rsa_pair(1024)), "1024 bits, fewer than 2048"),
        (pem_of(rsa_pair(1024), private=False), "1024 bits, fewer than 2048"),
        (pem_of(rsa_pair(2048, 3)), "exponent"),
        (pem_of(ec.generate_private_key(ec.SECP256K1())), "not supported"),
        (pem_of(ec.generate_private_key(ec.SECP224R1()), private=False), "not supported"),
        (pem_of(dsa.generate_private_key(1024)), "not supported"),
        (x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "not supported"),
        (pem("ES256").replace("M", "N"), "cannot be read"),
        (pem("ES256")[:90], "cannot be read"),
        (pem("ES256").replace("PRIVATE KEY", "CERTIFICATE"), "neither a private nor a public key"),
        ("no PEM at all", "neither a private nor a public key"),
    ],
    ids=[
        "RSA 1024",
        "RSA 1024 public",
        "exponent 3",
        "secp256k1",
        "P-224",
        "DSA",
        "X25519",
        "broken",
        "cut",
        "certificate",
        "",
    ],
)
def test_what_is_weak_or_of_another_kind_is_refused_and_not_shown(key, said):
    text = key if isinstance(key, str) else key.decode()
    error = refusal(Key.from_pem, text)
    assert said in error.problem
    assert "keys" == error.option
    assert not any(line in f"{error!r}{error.__cause__!r}" for line in text.splitlines() if len(line) > 30)


OTHERS = [("ES256", "ES384"), ("ES256", "RS256"), ("RS256", "EdDSA"), ("EdDSA", "ES256")]


@pytest.mark.parametrize(("kind", "algorithm"), OTHERS)
def test_a_pair_of_another_kind_than_its_algorithm_is_refused(kind, algorithm):
    error = refusal(Key, pem(kind), algorithm=algorithm)
    assert f"not for {algorithm}" in error.problem
    assert repr(kind) in error.remedy


def test_a_secret_is_no_pem_for_an_algorithm_of_pairs():
    assert "neither a private nor a public key" in refusal(Key, SECRET, algorithm="RS256").problem


def test_p35_a_pair_never_shows_itself():
    key = Key.from_pem(pem("ES256"), kid="2026")
    assert "Key(kid='2026', algorithm='ES256')" == repr(key)
    assert pair("ES256") is not None
