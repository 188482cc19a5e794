"""The harnesses' promises on what Hypothesis makes of their own words, which needs no coverage and shrinks what it finds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.forge import claims_of

from asgi_tokenguard.tokens import Kind
from fuzz import credentials, tokens
from fuzz.harness import NAMES, harness


@pytest.mark.parametrize("name", NAMES)
def test_i3_no_mixture_of_words_breaks_a_promise(name):
    found = harness(name)
    pieces = (
        st.sampled_from(found.words) | st.binary(max_size=6) | st.sampled_from([bytes([byte]) for byte in b"=tphs\n\0\1\2"])
    )

    @given(st.lists(pieces, max_size=12).map(b"".join))
    @settings(deadline=None, database=None, max_examples=300)
    def every(data: bytes) -> None:
        found.check(data)

    every()


# --- Payloads that are nearly ours, and headers that are

GENUINE = claims_of(tokens._GENUINE[Kind.ACCESS])
EDGES = st.sampled_from([0, 1, -1, 2**32 - 1, 2**32, 2**53, 2**64, 1.0, 1e9, float("nan"), float("inf"), True, None, "", "1"])
TEXTS = st.text(max_size=8) | st.sampled_from(
    [GENUINE["sid"], GENUINE["jti"], GENUINE["sid"].lower(), "\ud800", "0" * 26, "Z" * 26]
)
VALUES = EDGES | TEXTS | st.lists(EDGES, max_size=2) | st.dictionaries(TEXTS, EDGES, max_size=2)


@given(st.fixed_dictionaries({name: st.just(value) | st.just(value) | VALUES for name, value in GENUINE.items()}), st.data())
@settings(deadline=None, database=None, max_examples=500)
def test_i3_what_is_read_of_a_payload_is_what_its_shape_allows(payload, data):
    """Each claim left as it is, changed or dropped: read, if and only if all that its kind of token says is of its type."""
    dropped = data.draw(st.sets(st.sampled_from(sorted(payload)), max_size=1))
    kept = {name: value for name, value in payload.items() if name not in dropped}
    tokens.check(b"p" + json.dumps(kept).encode())


FIELDS = {"alg": "HS256", "kid": "k", "typ": "at+jwt"}
NEAR = st.sampled_from(
    ["HS256", "none", "RS256", "k", "gone", "at+jwt", "rt+jwt", "fr+jwt", "JWT", "", None, 1, True, ["k"], {}]
)


@given(
    st.fixed_dictionaries(
        {name: st.just(value) | NEAR for name, value in FIELDS.items()}, optional={"crit": NEAR, "b64": NEAR}
    ),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
@settings(deadline=None, database=None, max_examples=300)
def test_i3_no_header_but_ours_is_read_however_well_it_is_signed(header, separators):
    tokens.check(b"h" + json.dumps(header, separators=separators).encode())


LINE = st.binary(max_size=12) | st.lists(st.sampled_from(credentials.WORDS), max_size=4).map(b"".join)


@given(st.lists(st.tuples(st.integers(0, 255), LINE.filter(lambda value: b"\n" not in value)), max_size=5))
@settings(deadline=None, database=None, max_examples=500)
def test_i4_of_any_headers_one_token_is_read_as_it_came_or_two_are_refused(lines):
    credentials.check(b"\n".join(bytes([name if name != 10 else 11]) + value for name, value in lines))
