"""Proofs of possession: their form, their key and their signature, before anything that they say is believed."""

from __future__ import annotations

import json

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.forge import b64
from support.pairs import pair, pem
from support.possession import Holder

from asgi_tokenguard import DPoP, Key, KeySet
from asgi_tokenguard.core.dpop import NONCE_LASTS, Flaw, Proof
from asgi_tokenguard.proofs import MAX_PROOF, Nonces, hash_of, read

POLICY = DPoP("https://app.example")
EVERY = DPoP("https://app.example", algorithms=["ES256", "ES384", "ES512", "EdDSA"])
HOLDER = Holder()
NOW = 1_700_000_000
SECRET = "a secret of more than thirty-two bytes, for tests only"


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA"])
def test_a_proof_is_of_the_key_that_it_carries(algorithm):
    holder = Holder(algorithm)
    proof = read(holder.proof(), EVERY, jkt=None)
    assert isinstance(proof, Proof)
    assert (holder.jkt, "GET", "https://app.example/me") == (proof.jkt, proof.htm, proof.htu)
    assert proof.jti == read(holder.proof(jti=proof.jti), EVERY, jkt=holder.jkt).jti


def test_a_proof_of_another_key_is_told_before_its_signature_is_looked_at(monkeypatch):
    """What that costs is the attacker's to choose otherwise."""
    monkeypatch.setattr("asgi_tokenguard.proofs.Verifier", lambda _: pytest.fail("it was verified"))
    assert Flaw.KEY is read(Holder().proof(), POLICY, jkt=HOLDER.jkt)


RSA = jwt.algorithms.RSAAlgorithm.to_jwk(pair("RS256").public_key(), as_dict=True)
PRIVATE = jwt.algorithms.ECAlgorithm.to_jwk(HOLDER.key, as_dict=True)
HEADERS = {
    "no typ": {"typ": None},
    "typ of an access token": {"typ": "at+jwt"},
    "typ in capitals": {"typ": "DPOP+JWT"},
    "alg none": {"alg": "none"},
    "alg HS256": {"alg": "HS256"},
    "alg of another curve": {"alg": "ES384"},
    "alg that is not accepted": {"alg": "ES512"},
    "alg is a list": {"alg": ["ES256"]},
    "no alg": {"alg": None},
    "no key": {"jwk": None},
    "the key is a URL": {"jwk": None, "jku": "https://evil.example/jwks.json"},
    "the key is text": {"jwk": "key"},
    "the key is a secret": {"jwk": {"kty": "oct", "k": "A" * 43}},
    "the key is RSA": {"jwk": RSA, "alg": "RS256"},
    "the private key": {"jwk": PRIVATE},
    "a key on no curve": {"jwk": HOLDER.jwk | {"x": HOLDER.jwk["y"]}},
    "half a key": {"jwk": {"kty": "EC", "crv": "P-256", "x": HOLDER.jwk["x"]}},
    "numbers for a key": {"jwk": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}},
    "crit": {"crit": ["exp"], "exp": 1},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_none_of_a_proof_is_refused(header):
    assert Flaw.MALFORMED is read(HOLDER.proof(header=header), POLICY, jkt=None)


def test_the_keys_own_name_changes_nothing():
    """Or a thief would give his key the name of his victim's."""
    named = read(Holder().proof(header={"jwk": Holder().jwk | {"kid": HOLDER.jkt}}), POLICY, jkt=HOLDER.jkt)
    assert Flaw.KEY is named


GOOD = HOLDER.proof()
HEAD, BODY, SIGNATURE = GOOD.split(".")
FORMS = {
    "empty": "",
    "a word": "proof",
    "two segments": f"{HEAD}.{BODY}",
    "four segments": f"{GOOD}.AAAA",
    "no signature": f"{HEAD}.{BODY}.",
    "a signature of zeros": f"{HEAD}.{BODY}.{'A' * 86}",
    "a bit flipped": f"{HEAD}.{BODY}.{'B' if SIGNATURE[0] == 'A' else 'A'}{SIGNATURE[1:]}",
    "another body": f"{HEAD}.{b64(json.dumps({'jti': '1'}).encode())}.{SIGNATURE}",
    "padded": f"{GOOD}=",
    "a blank inside": f"{HEAD}. {BODY}.{SIGNATURE}",
    "a line feed": f"{GOOD}\n",
    "the other alphabet": GOOD.replace(HEAD, HEAD[:-1] + "+"),
    "letters of Latin-1": GOOD[:-1] + "é",
    "over-long": f"{HEAD}.{'A' * MAX_PROOF}.{SIGNATURE}",
    "a header that is no JSON": f"{b64(b'proof')}.{BODY}.{SIGNATURE}",
    "a header that is a list": f"{b64(b'[]')}.{BODY}.{SIGNATURE}",
    "a nested bomb": f"{b64(b'[' * 2000)}.{BODY}.{SIGNATURE}",
    "a body that is no object": HOLDER.sign({"typ": "dpop+jwt", "alg": "ES256", "jwk": HOLDER.jwk}, ["jti"]),
    "a body without jti": HOLDER.proof(jti=None),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_i3_a_proof_has_one_form(text):
    assert Flaw.MALFORMED is read(text, POLICY, jkt=None)


@given(st.text(max_size=80) | st.binary(max_size=80).map(b64))
@settings(deadline=None, database=None)
def test_i3_no_text_raises(text):
    assert isinstance(read(text, POLICY, jkt=None), Flaw)
    assert isinstance(read(f"{HEAD}.{text}.{SIGNATURE}", POLICY, jkt=None), Flaw)
    assert isinstance(read(f"{b64(text.encode('utf-8', 'surrogatepass'))}.{BODY}.{SIGNATURE}", POLICY, jkt=None), Flaw)


def test_the_hash_of_an_access_token_is_that_of_the_rfc():
    """RFC 9449 section 7.1, the example."""
    assert "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" == hash_of("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")


class TestNonces:
    def test_all_processes_agree_on_them_and_nobody_else_knows_them(self):
        one, two, other = (Nonces(lambda key=key: KeySet([key])) for key in (Key(SECRET), Key(SECRET), Key(SECRET + "!")))
        assert one.newest(NOW) == two.newest(NOW) != other.newest(NOW)
        assert not one.accepted(NOW) & other.accepted(NOW)

    def test_each_counts_from_five_to_ten_minutes(self):
        nonces = Nonces(lambda: KeySet([Key(SECRET)]))
        began = 1000 * NONCE_LASTS
        first = nonces.newest(began)
        assert first == nonces.newest(began + NONCE_LASTS - 1)
        assert first in nonces.accepted(began + 2 * NONCE_LASTS - 1)
        assert first not in nonces.accepted(began + 2 * NONCE_LASTS)
        assert nonces.newest(began + NONCE_LASTS) not in nonces.accepted(began)

    def test_those_of_a_key_that_no_longer_signs_count_until_it_is_taken_out(self):
        old, new = Key(SECRET), Key.from_pem(pem("ES256"))
        both = Nonces(lambda: KeySet([old, new]))
        assert Nonces(lambda: KeySet([old])).newest(NOW) in both.accepted(NOW)
        assert both.newest(NOW) in both.accepted(NOW)

    def test_a_public_key_has_none(self):
        keys = KeySet([Key.from_pem(pem("EdDSA", private=False)), Key(SECRET)])
        assert 2 == len(Nonces(lambda: keys).accepted(NOW))
        with pytest.raises(ValueError, match="keeps no secret"):
            next(iter(keys)).derived(b"")
