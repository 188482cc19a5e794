"""DPoP: what a proof says, and whether it is for this request (RFC 9449 sections 4.2 and 4.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.dpop import MAX_JTI, NONCE_LASTS, Asked, DPoP, Flaw, Proof, flaw_of, normal_url, read_proof, sent_path
from asgi_tokenguard.errors import ConfigurationError

NOW = 1_700_000_000
POLICY = DPoP(["https://api.example", "https://www.example/api"])
PROOF = Proof(jkt="k" * 43, jti="1", htm="GET", htu="https://api.example/me", iat=NOW, ath="a" * 43, nonce=None)
ASKED = Asked(method="GET", path="/me", now=NOW, ath="a" * 43, nonces=frozenset({"new", "old"}))
SAID = {"jti": "1", "htm": "GET", "htu": "https://api.example/me", "iat": NOW}


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ({}, None),
        ({"htm": "POST"}, Flaw.METHOD),
        ({"htm": "get"}, Flaw.METHOD),  # methods are case-sensitive (RFC 9110 section 9.1)
        ({"htu": "https://www.example/api/me"}, None),
        ({"htu": "https://www.example/me"}, Flaw.ADDRESS),
        ({"htu": "https://evil.example/me"}, Flaw.ADDRESS),
        ({"htu": "http://api.example/me"}, Flaw.ADDRESS),
        ({"htu": "https://api.example/me/"}, Flaw.ADDRESS),
        ({"htu": "https://api.example:8443/me"}, Flaw.ADDRESS),
        ({"htu": "https://api.example:443/me"}, None),
        ({"htu": "HTTPS://API.example/%6De?x=1#y"}, None),
        ({"htu": "https://api.example/you"}, Flaw.ADDRESS),
        ({"htu": "https://me@api.example/me"}, Flaw.ADDRESS),
        ({"htu": "/me"}, Flaw.ADDRESS),
        ({"htu": ""}, Flaw.ADDRESS),
        ({"ath": None}, Flaw.HASH),
        ({"ath": "b" * 43}, Flaw.HASH),
        ({"iat": NOW - 60}, None),
        ({"iat": NOW + 60}, None),
        ({"iat": NOW - 61}, Flaw.TIME),
        ({"iat": NOW + 61}, Flaw.TIME),
        ({"iat": NOW - 59.5}, None),
        ({"nonce": "anything"}, None),  # where none is asked for, none is looked at
    ],
)
def test_a_proof_is_for_one_method_one_address_one_moment_and_one_token(change, flaw):
    assert flaw is flaw_of(replace(PROOF, **change), ASKED, POLICY)


@pytest.mark.parametrize(
    ("nonce", "flaw"), [("new", None), ("old", None), ("older", Flaw.NONCE), (None, Flaw.NONCE), ("", Flaw.NONCE)]
)
def test_with_a_nonce_the_time_is_ours_and_the_clients_clock_does_not_matter(nonce, flaw):
    """RFC 9449 section 11.1."""
    proof = replace(PROOF, nonce=nonce, iat=NOW - 10_000)
    assert flaw is flaw_of(proof, ASKED, DPoP("https://api.example", nonce=True))


def test_without_an_access_token_its_hash_is_not_asked_for():
    assert None is flaw_of(replace(PROOF, ath=None), replace(ASKED, ath=None), POLICY)


@pytest.mark.parametrize(
    "change",
    [
        *[{name: value} for name in ("jti", "htm", "htu") for value in (None, 7, "" if name == "jti" else None, [], {"a": 1})],
        {"jti": "j" * (MAX_JTI + 1)},
        *[
            {"iat": value}
            for value in (None, "1", True, float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), [], {})
        ],
        *[{name: value} for name in ("ath", "nonce") for value in (7, [], {}, True)],
    ],
)
def test_what_has_not_the_shape_of_a_proof_is_none(change):
    assert None is read_proof(SAID | change, "k" * 43)


@pytest.mark.parametrize("payload", [None, [], "x", 7, {}])
def test_what_is_no_object_is_no_proof(payload):
    assert None is read_proof(payload, "k" * 43)


def test_a_proof_is_read_whole():
    assert replace(PROOF, ath=None) == read_proof(SAID, "k" * 43)
    assert "n" == read_proof(SAID | {"nonce": "n", "htm": "PUT"}, "k" * 43).nonce


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.example", "https://a.example/"),
        ("https://A.Example:443/x?y#z", "https://a.example/x"),
        ("http://a.example:80/%7eme", "http://a.example/~me"),
        ("https://a.example/%c3%a9", "https://a.example/%C3%A9"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]:443/x"),
    ],
)
def test_one_address_has_one_form(one, other):
    assert None is not normal_url(one) == normal_url(other)


@pytest.mark.parametrize(
    ("one", "other"), [("/a%2Fb", "/a/b"), ("/a", "/A"), ("/a//b", "/a/b"), ("/%2e", "/."), ("/a%20b", "/a+b"), ("/a;x", "/a")]
)
def test_what_differs_stays_different(one, other):
    assert (
        normal_url(f"https://a.example{one}") != normal_url(f"https://a.example{other}")
        or normal_url(f"https://a.example{other}") is None
    )


@pytest.mark.parametrize(
    "url", ["", "x", "//a.example", "ftp://a.example", "https://", "https://u:p@a.example", "https://a.example/a/../b",
            "https://a.example:port", "https://[::1", "https://é.example", "https://a.example/%2e%2e/b"],
)  # fmt: skip
def test_what_is_no_address_is_none(url):
    assert None is normal_url(url)


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z.:@\[\]%/?#0-9]{0,40}"))
@settings(deadline=None, database=None)
def test_i3_no_address_raises_and_a_normal_one_stays_as_it_is(url):
    found = normal_url(url)
    assert found is None or found == normal_url(found)


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/a b", "raw_path": b"/a%20b"}, "/a%20b"),
        ({"path": "/a", "raw_path": b"/a?x=1"}, "/a"),
        ({"path": "/a b/é?"}, "/a%20b/%C3%A9%3F"),
        ({"path": "/a", "raw_path": None}, "/a"),
        ({"path": "/\udcff"}, "/%FF"),
    ],
)
def test_the_path_is_the_one_that_was_sent(scope, path):
    assert path == sent_path(scope)


def test_the_use_of_a_proof_is_remembered_for_as_long_as_it_could_count():
    assert 121 == POLICY.lasts  # made 60 s ahead, good until 60 s after
    assert 2 * NONCE_LASTS == DPoP("https://api.example", nonce=True).lasts


@pytest.mark.parametrize(
    "wrong",
    [
        *[{"origin": value} for value in ("", "api.example", "https://api.example/", "https://api.example?x", "ftp://a.example",
                                          "https://u@api.example", "https://a.example/#", None, 7, [], [7], b"https://a.example")],
        *[{name: value} for name in ("required", "nonce") for value in (None, 0, "no")],
        *[{"max_age": value} for value in (0, 4, 301, "60", None, True, 60.5)],
        *[{"algorithms": value} for value in ((), "ES256", ["RS256"], ["HS256"], ["none"], None, 7)],
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_a_remedy(wrong):
    with pytest.raises(ConfigurationError) as caught:
        DPoP(**({"origin": "https://api.example"} | wrong))
    assert ("dpop", True) == (caught.value.option, bool(caught.value.remedy))
