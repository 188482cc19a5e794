"""
Wycheproof's vectors for JSON Web Signatures against our reading of tokens; `README.md` says where they come from.

We read no header but our own, so none of them is a token of ours.  What can be asked is more: let the headers of a group's
good vectors count as ours, and see that all that follows (canonical form, signature) accepts these vectors and no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.forge import unb64

from asgi_tokenguard import ConfigurationError, Key, KeySet, Lifetimes
from asgi_tokenguard.tokens import Codec, Fault, Kind, Verifier

GROUPS = json.loads(Path(__file__).with_name("json_web_signature.json").read_text())["groups"]
VECTORS = [(group, vector) for group in GROUPS for vector in group["tests"]]
SECRET = "a secret of our own, of more than thirty-two bytes, long enough for HS512"
OWN = Key(SECRET)  # it would sign; keys of the vectors are public where there are pairs

# How a key of ours is made of the JWK of a group, by algorithm; a row for each that keys may have and vectors are for.
KINDS: dict[str, Callable[[Mapping[str, Any]], Key]] = dict.fromkeys(
    ("HS256", "RS256", "PS384", "ES256", "ES512"), Key.from_jwk
)
# These are called valid, but hold a character that is not of base64url; RFC 7515 section 2 has none ignored.
STRICTER = {372, 373}
# These are the same text as the valid 357: the padding that they are named after is not in the file.
SAME_AS_VALID = {367, 370}


def algorithm_of(group: Mapping[str, Any]) -> str:
    """The algorithm of the signatures; the key of one group says another one, and that of one group says `ES521`."""
    return json.loads(unb64(group["tests"][0]["jws"].partition(".")[0]))["alg"]


def key_of(group: Mapping[str, Any]) -> Key:
    return KINDS[algorithm_of(group)]({**group["key"], "alg": algorithm_of(group)})


def is_supported(algorithm: str) -> bool:
    try:
        Key(SECRET, algorithm=algorithm)
    except ConfigurationError as error:
        return "not supported" not in str(error)
    return True


class Watched:
    """A verifier, and what it has said."""

    def __init__(self, key: Key) -> None:
        self._verifier = Verifier(key)
        self.said: list[bool] = []

    def is_signed(self, message: bytes, signature: bytes) -> bool:
        self.said.append(self._verifier.is_signed(message, signature))
        return self.said[-1]


def accepts(group: Mapping[str, Any], jws: str) -> bool:
    """Whether *jws* gets past form and signature, if the headers of this group's valid vectors were what we write."""
    try:
        key = key_of(group)
    except ConfigurationError:
        return False  # a key that is not for signatures
    codec, watched = Codec(KeySet([key, OWN]), Lifetimes()), Watched(key)
    headers = [each["jws"].partition(".")[0] for each in group["tests"] if each["result"] == "valid"]
    codec._ring.verifiers[Kind.ACCESS] |= dict.fromkeys(headers, watched)
    codec._verified(jws, Kind.ACCESS)  # they sign `foo`, which is no payload of ours
    return watched.said == [True]


def name(row: Any) -> str:
    return f"{row['tcId']}-{row['comment']}" if "tcId" in row else algorithm_of(row)


def test_the_file_is_whole():
    assert [*range(1, 46), *range(349, 385), *range(386, 402)] == [vector["tcId"] for _, vector in VECTORS]
    assert 15 == sum(vector["result"] == "valid" for _, vector in VECTORS)
    assert {"HS256", "ES256", "RS256", "PS384", "ES512"} == {algorithm_of(group) for group in GROUPS}


def test_every_algorithm_that_keys_may_have_is_in_the_table():
    assert {algorithm_of(group) for group in GROUPS if is_supported(algorithm_of(group))} == KINDS.keys()


@pytest.mark.parametrize(("group", "vector"), [row for row in VECTORS if algorithm_of(row[0]) in KINDS], ids=name)
def test_what_is_accepted_is_what_is_valid(group, vector):
    valid = vector["result"] == "valid" or vector["tcId"] in SAME_AS_VALID
    assert (valid and vector["tcId"] not in STRICTER) == accepts(group, vector["jws"])


def test_no_vector_is_a_token_of_ours():
    """Nor with the vector's own key in our set: other programs that share a key sign other headers."""
    groups = [group for group in GROUPS if algorithm_of(group) in KINDS and group["tests"][0]["result"] == "valid"]
    keys = {group["key"]["kid"]: key_of(group) for group in groups}
    codec = Codec(KeySet([*keys.values(), OWN]), Lifetimes())
    for _, vector in VECTORS:
        read = [codec.read_access(vector["jws"]), codec.read_refresh(vector["jws"]), codec.read_fresh(vector["jws"])]
        assert [Fault.BAD] * 3 == read, vector["tcId"]
