"""Keys as JSON (RFC 7517): what is read, and what is refused without being shown."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms
from keys.test_key import refusal
from support.pairs import NAMES, pair

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import Key

OCT = {"kty": "oct", "k": "A" * 43}


def private_jwk(name: str) -> dict[str, str]:
    return get_default_algorithms()[name].to_jwk(pair(name), as_dict=True) | {"alg": name}


@pytest.mark.parametrize("name", NAMES)
def test_a_private_jwk_signs(name):
    found = Key.from_jwk(json.dumps(private_jwk(name)))
    assert name == found.algorithm
    assert found.signing is not None


def test_a_secret_is_the_same_key_however_it_is_written():
    assert Key(b"\0" * 32).kid == Key.from_jwk(OCT).kid
    assert "mine" == Key.from_jwk(OCT | {"kid": "mine"}).kid


def test_an_algorithm_need_not_be_named():
    assert ["RS256", "ES384", "EdDSA"] == [
        Key.from_jwk({name: value for name, value in private_jwk(kind).items() if name != "alg"}).algorithm
        for kind in ("PS512", "ES384", "EdDSA")
    ]


EC = private_jwk("ES256")
RSA = private_jwk("RS256")
WRONG = {
    "no kty": {"k": OCT["k"]},
    "another kty": OCT | {"kty": "AKP"},
    "kty is a list": OCT | {"kty": ["oct"]},
    "for encryption": EC | {"use": "enc"},
    "operations of another use": {**EC, "key_ops": ["deriveKey"]},
    "operations that are no list": {**EC, "key_ops": "sign"},
    "a short secret": OCT | {"k": "A" * 42},
    "a short secret for its algorithm": OCT | {"alg": "HS512"},
    "a padded secret": OCT | {"k": "A" * 43 + "="},
    "another alphabet": OCT | {"k": "+" * 43},
    "no secret": {"kty": "oct"},
    "alg of another kind": EC | {"alg": "HS256"},
    "a secret with the alg of a pair": OCT | {"alg": "RS256"},
    "alg none": OCT | {"alg": "none"},
    "alg is a list": OCT | {"alg": ["HS256"]},
    "the alg of another curve": EC | {"alg": "ES384"},
    "another curve": EC | {"crv": "P-384", "alg": "ES384"},
    "a point that is not on its curve": EC | {"x": EC["y"], "y": EC["x"]},
    "no x": {name: value for name, value in EC.items() if name != "x"},
    "RSA without e": {name: value for name, value in RSA.items() if name != "e"},
    "RSA with exponent 3": {"kty": "RSA", "n": RSA["n"], "e": "Aw"},
    "RSA with half of the primes": {name: value for name, value in RSA.items() if name != "q"},
    "a number for n": RSA | {"n": 65537},
    "a kid that is no name": OCT | {"kid": 7},
    "an empty kid": EC | {"kid": ""},
    "no object": ["kty"],
    "null": None,
}


@pytest.mark.parametrize("jwk", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_without_being_shown(jwk):
    error = refusal(Key.from_jwk, jwk)
    assert error.remedy
    shown = f"{error!r} {error.__cause__!r}"
    if isinstance(jwk, dict):
        secrets = [jwk[name] for name in ("k", "d", "p", "q", "n") if isinstance(jwk.get(name), str)]
        assert not any(value in shown for value in secrets)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3))
MEMBERS = st.sampled_from(["kty", "k", "alg", "use", "key_ops", "kid", "crv", "x", "y", "d", "n", "e", "p", "q"])


@given(st.sampled_from([OCT, EC, RSA]), st.dictionaries(MEMBERS, JSON | st.sampled_from(["oct", "EC", "RSA", "P-256", "AQAB"])))
@settings(deadline=None, database=None)
def test_any_members_are_a_key_or_refused(jwk, changes):
    with suppress(ConfigurationError):
        assert Key.from_jwk(jwk | changes).algorithm
