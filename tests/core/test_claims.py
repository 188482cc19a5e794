"""What tokens say, what an app may put into them, and what nobody may."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.claims import (
    MAX_CLAIMS,
    MAX_SUBJECT,
    RESERVED,
    AccessClaims,
    RefreshClaims,
    check_subject,
    dump_claims,
    load_claims,
    read_access,
    read_refresh,
    scopes,
)
from asgi_tokenguard.core.records import ulid_bytes
from asgi_tokenguard.errors import ClaimsError, SubjectError

SID, JTI = "01HF7YAT00C1NP6X5D30R30C9M", "01HF7YAT7VC1NP6X5D30R30C9M"
GOOD = {"sub": "user-1", "sid": SID, "jti": JTI, "gen": 0, "iat": 1_700_000_000, "exp": 1_700_000_900}
GOOD_ACCESS = {**GOOD, "auth_time": 1_699_999_999}


def test_a_payload_is_read_field_by_field():
    read = read_access({**GOOD_ACCESS, "role": "admin", "scope": "a b"})
    assert isinstance(read, AccessClaims)
    assert ("user-1", SID, 0, 1_700_000_000, 1_700_000_900) == (read.sub, read.sid, read.gen, read.iat, read.exp)
    assert ulid_bytes(JTI) == read.jti
    assert 1_699_999_999 == read.auth_time
    assert {"role": "admin", "scope": "a b"} == read.claims


def test_a_refresh_token_carries_nothing_of_the_app():
    read = read_refresh({**GOOD, "role": "admin"})
    assert isinstance(read, RefreshClaims)
    assert not hasattr(read, "claims")


def test_p35_a_repr_shows_no_id_of_a_token():
    assert JTI not in repr(read_access(GOOD_ACCESS))
    assert "jti" not in repr(read_refresh(GOOD))


NO_COUNTER = [None, -1, 2**32, 10**30, 1.0, 0.5, float("nan"), float("inf"), "1", True, False, [], {}, [1]]
NO_TEXT = [None, "", 7, True, [], ["user-1"], {}, 1.5, "\ud800", "user\udfff"]
NO_ID = [None, "", 7, True, [], {}, JTI.lower(), JTI[:-1], JTI + "0", "8" + JTI[1:], "O" + JTI[1:], JTI[:-1] + "é", "x" * 26]
WRONG = [
    *[("sub", value) for value in NO_TEXT],
    *[(name, value) for name in ("sid", "jti") for value in NO_ID],
    *[(name, value) for name in ("gen", "iat", "exp") for value in NO_COUNTER],
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_i3_a_payload_with_one_wrong_field_is_no_token(name, value):
    assert [None, None] == [read_access({**GOOD_ACCESS, name: value}), read_refresh({**GOOD, name: value})]


@pytest.mark.parametrize("value", NO_COUNTER)
def test_i3_an_access_token_without_a_proper_auth_time_is_none(value):
    assert read_access({**GOOD_ACCESS, "auth_time": value}) is None
    assert read_refresh({**GOOD, "auth_time": value}) is not None  # where it says nothing


@pytest.mark.parametrize("name", sorted(GOOD))
def test_i3_a_payload_without_one_field_is_no_token(name):
    less = {key: value for key, value in GOOD_ACCESS.items() if key != name}
    assert [None, None] == [read_access(less), read_refresh(less)]


@pytest.mark.parametrize("payload", [None, [], [GOOD], "text", 7, True, 1.5, list(GOOD.items())])
def test_i3_a_payload_that_is_no_object_is_no_token(payload):
    assert [None, None] == [read_access(payload), read_refresh(payload)]


@pytest.mark.parametrize("value", [0, 1, 2**32 - 1])
def test_counters_have_the_range_of_the_record(value):
    read = read_access({**GOOD_ACCESS, **dict.fromkeys(("gen", "iat", "exp", "auth_time"), value)})
    assert (value,) * 4 == (read.gen, read.iat, read.exp, read.auth_time)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


@given(JSON | st.fixed_dictionaries({name: st.just(value) | JSON for name, value in GOOD_ACCESS.items()}))
@settings(deadline=None, database=None, max_examples=300)
def test_i3_no_payload_breaks_the_reading(payload):
    for read in (read_access(payload), read_refresh(payload)):
        assert read is None or all(type(number) is int for number in (read.gen, read.iat, read.exp))


TEXT = st.text(st.characters(codec="utf-8"))
FINITE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT.filter(lambda name: name not in RESERVED), FINITE, max_size=4))
@settings(deadline=None, database=None)
def test_claims_come_back_as_they_were_given(claims):
    assert claims == load_claims(dump_claims(claims))


@pytest.mark.parametrize("nothing", [None, {}, MappingProxyType({})])
def test_no_claims_take_no_bytes(nothing):
    assert b"" == dump_claims(nothing)
    assert {} == load_claims(b"")


def test_claims_are_stored_compact_and_unescaped():
    assert '{"name":"三郎","n":[1,2]}'.encode() == dump_claims(MappingProxyType({"name": "三郎", "n": (1, 2)}))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_names_of_the_token_itself_are_taken(name):
    with pytest.raises(ClaimsError, match=f"uses {name};"):
        dump_claims({"role": "admin", name: 1})


def test_all_taken_names_are_told_at_once():
    with pytest.raises(ClaimsError, match="exp, sub"):
        dump_claims({"sub": 1, "exp": 1})


def nested(depth: int) -> list:
    inner: list = []
    for _ in range(depth):
        inner = [inner]
    return inner


def circle() -> dict:
    claims: dict = {}
    claims["self"] = claims
    return claims


def test_claims_nest_64_deep():
    claims = {"deep": nested(62)}
    assert claims == load_claims(dump_claims(claims))


NO_CLAIMS = [
    ({"n": float("nan")}, "finite"),
    ({"n": float("inf")}, "finite"),
    ({"n": 10**5000}, "JSON"),
    ({"b": b"bytes"}, "JSON"),
    ({"s": {1, 2}}, "JSON"),
    ({"o": object()}, "JSON"),
    ({"d": {(1, 2): 3}}, "JSON"),
    ({"t": "\ud800"}, "JSON"),
    ({"\ud800": 1}, "JSON"),
    ({"deep": nested(100_000)}, "64 deep"),
    ({"deep": nested(64)}, "64 deep"),
    ({"deep": {"a": (nested(62),)}}, "64 deep"),
    (circle(), "64 deep"),
    ({1: "x"}, "names"),
    ({None: "x"}, "names"),
    ({"a": 1, b"b": 1}, "names"),
    ([], "mapping"),
    (["role"], "mapping"),
    ([("role", "admin")], "mapping"),
    ("role=admin", "mapping"),
    ("", "mapping"),
    (0, "mapping"),
    (False, "mapping"),
    ({"role"}, "mapping"),
]


@pytest.mark.parametrize(("claims", "word"), NO_CLAIMS, ids=[str(number) for number in range(len(NO_CLAIMS))])
def test_claims_that_are_not_json_are_refused_before_redis_is_asked(claims, word):
    with pytest.raises(ClaimsError, match=word):
        dump_claims(claims)


def test_claims_have_4_kilobytes():
    fitting = {"x": "é" * ((MAX_CLAIMS - 8) // 2)}
    assert MAX_CLAIMS == len(dump_claims(fitting))
    with pytest.raises(ClaimsError, match=f"{MAX_CLAIMS + 1} bytes, more than {MAX_CLAIMS}"):
        dump_claims({"x": fitting["x"] + "y"})


SUBJECTS = [
    "1",
    "user-1",
    "a" * MAX_SUBJECT,
    '"' * MAX_SUBJECT,
    "\\" * MAX_SUBJECT,
    "é" * (MAX_SUBJECT // 2),
    "👩‍👩‍👧",
    "{user}:1",
    "a:b",
    "\0",
    "a\nb",
    " ",
    "../..",
    "tg:s:x",
    "\x7f" * MAX_SUBJECT,
    "\0" * 341 + "ab",
]


@pytest.mark.parametrize("subject", SUBJECTS, ids=[str(number) for number in range(len(SUBJECTS))])
def test_i3_every_subject_that_a_user_can_have_works(subject):
    assert subject == check_subject(subject)


NO_SUBJECTS = [
    ("", "non-empty"),
    (None, "string"),
    (7, "string"),
    (b"user-1", "string"),
    (True, "string"),
    (["user-1"], "string"),
    ("\ud800", "surrogate"),
    ("user\udfff", "surrogate"),
    ("a" * (MAX_SUBJECT + 1), "1025 bytes"),
    ("é" * 513, "1026 bytes"),
    ("\0" * 341 + "abc", "control characters"),
]


@pytest.mark.parametrize(("subject", "word"), NO_SUBJECTS, ids=[str(number) for number in range(len(NO_SUBJECTS))])
def test_a_subject_that_no_token_can_carry_is_refused(subject, word):
    with pytest.raises(SubjectError, match=word):
        check_subject(subject)


@given(st.text(max_size=1100))
@settings(deadline=None, database=None)
def test_a_checked_subject_has_bytes_and_a_bounded_json_form(subject):
    try:
        check_subject(subject)
    except SubjectError:
        return
    assert 0 < len(subject.encode()) <= MAX_SUBJECT
    assert len(json.dumps(subject, ensure_ascii=False).encode()) <= 2 * MAX_SUBJECT + 2


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("read write", ("read", "write")),
        ("  read \t write\n", ("read", "write")),
        ("", ()),
        (["read", "write:all"], ("read", "write:all")),
        (["read", 7, None, ["x"]], ("read",)),
        ([], ()),
        ({"read": True}, ()),
        (7, ()),
        (None, ()),
        (True, ()),
    ],
)
def test_scopes_are_words_or_a_list(claim, expected):
    assert expected == scopes({"scope": claim})


def test_without_the_claim_there_are_no_scopes():
    assert () == scopes({"role": "admin"})
