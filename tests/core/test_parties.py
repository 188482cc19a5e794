"""Issuer and audience (RFC 7519 sections 4.1.1 and 4.1.3): what is configured must be there, and nothing else may."""

from __future__ import annotations

import pytest

from asgi_tokenguard.core.parties import MAX_NAME, Parties
from asgi_tokenguard.errors import ConfigurationError

NOBODY = Parties()
BOTH = Parties.parse("https://id.example", ["https://api.example", "mobile"])


def test_tokens_carry_what_is_configured():
    assert {} == NOBODY.claims()
    assert {"iss": "a", "aud": "b"} == Parties.parse("a", "b").claims()
    assert {"iss": "https://id.example", "aud": ["https://api.example", "mobile"]} == BOTH.claims()


@pytest.mark.parametrize(
    ("parties", "payload", "matches"),
    [
        (NOBODY, {}, True),
        (NOBODY, {"iss": "https://id.example"}, False),
        (NOBODY, {"aud": "mobile"}, False),
        (NOBODY, {"aud": []}, False),
        (BOTH, BOTH.claims(), True),
        (BOTH, BOTH.claims() | {"aud": "mobile"}, True),
        (BOTH, BOTH.claims() | {"aud": ["another", "mobile"]}, True),
        (BOTH, BOTH.claims() | {"aud": "another"}, False),
        (BOTH, BOTH.claims() | {"aud": "mob"}, False),
        (BOTH, BOTH.claims() | {"aud": []}, False),
        (BOTH, BOTH.claims() | {"aud": {"mobile": 1}}, False),
        (BOTH, BOTH.claims() | {"aud": [["mobile"], {"a": 1}, None]}, False),
        (BOTH, BOTH.claims() | {"aud": None}, False),
        (BOTH, BOTH.claims() | {"iss": "https://id.example/"}, False),
        (BOTH, BOTH.claims() | {"iss": ["https://id.example"]}, False),
        (BOTH, {"aud": "mobile"}, False),
        (BOTH, {"iss": "https://id.example"}, False),
        (BOTH, {}, False),
    ],
)
def test_who_made_it_and_for_whom(parties, payload, matches):
    assert matches is parties.match(payload)


@pytest.mark.parametrize("name", ["", 7, True, b"a", "é", "a\n", "a" * (MAX_NAME + 1), ["a", 7], [""], {"a": 1}])
def test_a_party_has_a_short_printable_name(name):
    with pytest.raises(ConfigurationError) as caught:
        Parties.parse(None, name)
    assert "audience" == caught.value.option
    if not isinstance(name, list):
        with pytest.raises(ConfigurationError) as caught:
            Parties.parse(name, None)
        assert "issuer" == caught.value.option


@pytest.mark.parametrize("audience", [[], (), ["a" * 200, "b" * 100]])
def test_an_audience_is_somebody_and_fits_into_a_cookie(audience):
    with pytest.raises(ConfigurationError):
        Parties.parse(None, audience)
