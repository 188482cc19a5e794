"""What Redis keeps of a session: the bytes themselves, and that nothing but our own bytes counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ulid import ULID

from asgi_tokenguard.core.records import HEAD, Head, Record, decode, encode, encode_tail, new_ulid, ulid_bytes, ulid_text

ACCESS, REFRESH = bytes(range(16)), bytes(range(16, 32))
HEAD_OF_3 = Head(
    gen=3,
    access_jti=ACCESS,
    refresh_jti=REFRESH,
    access_issued=1_700_000_000,
    refresh_issued=1_700_000_001,
    seen=True,
    mark=1_700_000_002_003,
    absolute=1_707_776_000,
    auth_time=1_699_999_999,
    left=2,
    late=True,
    late_run=5,
    device=b"devc",
    networks=b"net1net2net3net4",
)
RECORD = Record(head=HEAD_OF_3, claims=b'{"a":1}', address=b"\xc0\x00\x02\x07", device=b"dev", place=b"pl")
RAW = bytes.fromhex(
    "02" "17" "00000003"
    "000102030405060708090a0b0c0d0e0f" "101112131415161718191a1b1c1d1e1f"
    "6553f100" "6553f101" "018bcfe56fd3" "65ca9800" "6553f0ff"
    "0002" "64657663" "6e6574316e6574326e6574336e657434"
    "0007" "7b2261223a317d"
    "04" "c0000207" "03" "646576" "02" "706c"
)  # fmt: skip


def test_the_layout_is_fixed_to_the_byte():
    """Records outlive the processes that wrote them."""
    assert RAW == encode(RECORD)
    assert RECORD == decode(RAW)
    assert 82 == HEAD.size


U32, U48, JTI = st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1), st.binary(min_size=16, max_size=16)
HEADS = st.builds(
    Head,
    gen=U32,
    access_jti=JTI,
    refresh_jti=JTI,
    access_issued=U32,
    refresh_issued=U32,
    seen=st.booleans(),
    mark=U48,
    absolute=U32,
    auth_time=U32,
    left=st.integers(0, 2**16 - 1),
    late=st.booleans(),
    late_run=st.integers(0, 15),
    device=st.binary(min_size=4, max_size=4),
    networks=st.binary(min_size=16, max_size=16),
)
SHORT = st.binary(max_size=255)
RECORDS = st.builds(Record, head=HEADS, claims=st.binary(max_size=4096), address=SHORT, device=SHORT, place=SHORT)


@given(RECORDS)
@settings(deadline=None, database=None)
def test_a_record_comes_back_as_it_was_written(record):
    assert record == decode(encode(record))


@given(RECORDS, st.data())
@settings(deadline=None, database=None)
def test_a_record_that_is_cut_off_anywhere_counts_as_no_session(record, data):
    raw = encode(record)
    assert decode(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None


@given(st.binary(max_size=140) | st.binary(max_size=60).map(lambda tail: RAW[:82] + tail))
@settings(deadline=None, database=None, max_examples=300)
def test_whatever_stands_in_redis_is_a_record_or_none(raw):
    record = decode(raw)
    assert record is None or raw.startswith(encode(record)[82:], 82)


def test_a_head_without_a_tail_is_no_record():
    assert [None, None] == [decode(RAW[:82]), decode(RAW[:82] + encode_tail(b"claims", b"address"))]


def test_bytes_after_the_tail_are_no_record():
    assert decode(RAW + b"x") is None


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_version_is_no_record(version):
    """A process of an older release refuses the session instead of misreading it."""
    assert decode(bytes([version]) + RAW[1:]) is None


def test_a_later_release_may_append_parts_and_flags():
    later = RAW[:1] + bytes([RAW[1] | 0xC0]) + RAW[2:] + b"\x04more" + b"\x00"
    assert RECORD == decode(later)


def test_only_its_own_flag_makes_a_generation_seen():
    assert not decode(RAW[:1] + bytes([0xFE]) + RAW[2:]).head.seen


@pytest.mark.parametrize(
    ("idle", "expected"),
    [(60, 1_700_000_061), (7_775_999, 1_707_776_000), (8_000_000, 1_707_776_000)],
)
def test_p10_a_session_ends_idle_or_absolute_whichever_is_first(idle, expected):
    assert expected == HEAD_OF_3.ends_at(idle)


def test_an_id_is_a_ulid_of_time_and_entropy():
    raw = new_ulid(1_700_000_000_123, b"0123456789")
    assert 16 == len(raw)
    assert 1_700_000_000_123 == ULID(raw).milliseconds
    assert raw.endswith(b"0123456789")
    assert new_ulid(1_700_000_000_124, bytes(10)) > raw


@given(JTI)
@settings(deadline=None, database=None)
def test_an_id_has_one_text(raw):
    text = ulid_text(raw)
    assert 26 == len(text)
    assert raw == ulid_bytes(text)
    assert text == text.upper()


ID = "01HF7YAT7VC1NP6X5D30R30C9M"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ID[:-1],
        ID + "0",
        ID.lower(),
        ID[:-1] + "m",
        ID.replace("1", "I"),  # Crockford's base 32 reads I and L as 1, O as 0: other forms of the same id
        ID.replace("1", "l"),
        ID.replace("0", "O"),
        ID[:-1] + "U",
        ID[:-1] + "-",
        ID[:-1] + " ",
        ID[:-1] + "\n",
        ID[:-1] + "é",
        ID[:-1] + "\uff11",
        ID[:-1] + "\ud800",
        "8" + ID[1:],  # 129 bits
        "Z" * 26,
        "{" + ID[1:],
    ],
)
def test_an_id_in_another_form_is_none(text):
    assert ulid_bytes(ID) is not None
    assert ulid_bytes(text) is None


@given(st.text(max_size=30) | st.text(alphabet="0123456789ABCDEFGHJKMNPQRSTVWXYZILOUabc", min_size=26, max_size=26))
@settings(deadline=None, database=None, max_examples=300)
def test_no_text_breaks_the_reading_of_an_id(text):
    raw = ulid_bytes(text)
    assert raw is None or text == ulid_text(raw)
