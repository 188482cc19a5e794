"""Key sets: the newest signs; from JSON, from the environment, from text of any form."""

from __future__ import annotations

import json

import pytest
from keys.test_key import SECRET, refusal
from support.pairs import PAIRS, pem

from asgi_tokenguard.keys import Key, KeySet
from asgi_tokenguard.keys.key_set import read_keys


def test_the_newest_key_signs():
    old, new = Key(SECRET), Key(SECRET + "!")
    assert [old, new] == list(KeySet([old, new]))
    assert new is KeySet([old, new]).signing
    assert [old, new] == list(KeySet(iter((old, new))))


@pytest.mark.parametrize("keys", [[], (), None, 7, SECRET, [SECRET], [Key(SECRET), SECRET], Key(SECRET), Key, [None]])
def test_a_key_set_is_made_of_keys_and_never_empty(keys):
    error = refusal(KeySet, keys)
    assert ("keys", "write KeySet([Key(secret)])") == (error.option, error.remedy)
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    "keys",
    [
        [Key(SECRET), Key(SECRET)],
        [Key(SECRET, kid="a"), Key(SECRET + "!", kid="a")],
        [Key(SECRET + SECRET), Key(SECRET + SECRET, algorithm="HS512")],
    ],
    ids=["one secret twice", "one kid twice", "one secret, two algorithms"],
)
def test_two_keys_of_one_name_are_refused(keys):
    assert "same kid" in str(refusal(KeySet, keys))


def test_a_public_key_verifies_and_cannot_be_the_newest():
    old, new = Key.from_pem(pem("EdDSA", private=False)), Key(SECRET)
    assert new is KeySet([old, new]).signing
    error = refusal(KeySet, [new, old])
    assert ("keys", "put a private key or a secret last") == (error.option, error.remedy)


def test_a_jwk_set_holds_public_halves_and_no_secret():
    """What resource servers are given."""
    keys = KeySet([Key(SECRET), Key.from_pem(pem("ES256")), Key.from_pem(pem("RS256")), Key.from_pem(pem("EdDSA"))])
    published = keys.jwks()["keys"]
    assert ["ES256", "RS256", "EdDSA"] == [jwk["alg"] for jwk in published]
    assert [key.kid for key in keys][1:] == [jwk["kid"] for jwk in published]
    assert {"sig"} == {jwk["use"] for jwk in published}
    private = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
    assert not any(private & jwk.keys() for jwk in published)
    assert {"keys": []} == KeySet([Key(SECRET)]).jwks()


def test_a_jwk_set_is_read_in_its_order():
    own = [{"kty": "oct", "k": "A" * 43, "kid": "old"}, {"kty": "oct", "k": "B" * 43, "kid": "new"}]
    for form in ({"keys": own}, json.dumps({"keys": own}), json.dumps({"keys": own}).encode()):
        keys = KeySet.from_jwks(form)
        assert ["old", "new"] == [key.kid for key in keys]
    assert ["old"] == [key.kid for key in KeySet.from_jwks(own[0])]


@pytest.mark.parametrize("jwks", [{"keys": []}, {"keys": None}, {"keys": {}}, {"keys": ["a"]}, [], "[]", "{", b"\xff", None, 7])
def test_what_is_no_jwk_set_is_refused(jwks):
    assert "keys" == refusal(KeySet.from_jwks, jwks).option


@pytest.mark.parametrize(
    ("text", "algorithms"),
    [
        (SECRET, ["HS256"]),
        (json.dumps({"kty": "oct", "k": "A" * 86, "alg": "HS512"}), ["HS512"]),
        (pem("ES384"), ["ES384"]),
        (pem("RS256", private=False) + pem("EdDSA"), ["RS256", "EdDSA"]),
    ],
    ids=["a secret", "a JWK", "PEM", "two PEMs"],
)
def test_the_environment_holds_keys_of_any_form(monkeypatch, text, algorithms):
    monkeypatch.setenv("TOKENGUARD_KEYS", text)
    assert algorithms == [key.algorithm for key in KeySet.from_env("TOKENGUARD_KEYS")]


def test_p32_a_variable_that_is_not_set_is_no_empty_secret():
    for environ in ({}, {"TOKENGUARD_KEYS": ""}, {"TOKENGUARD_KEYS": " \n"}):
        error = refusal(KeySet.from_env, "TOKENGUARD_KEYS", environ=environ)
        assert "TOKENGUARD_KEYS is not set" in error.problem


def test_the_line_feed_at_the_end_of_a_file_is_none_of_the_secret():
    assert Key(SECRET).kid == read_keys(f"{SECRET}\r\n".encode())[0].kid


def test_every_algorithm_is_read_from_a_jwk_that_names_it():
    for name, private in PAIRS.items():
        jwk = Key(private, algorithm=name).public_jwk()
        assert jwk is not None
        found = Key.from_jwk(jwk)
        assert (name, jwk["kid"]) == (found.algorithm, found.kid)
        assert found.signing is None
