"""Why sessions ended: what scripts write, and that nothing else counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard import Device
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.devices import pack_device
from asgi_tokenguard.core.endings import ALL, Ending, unpack_ending

SID = "01HF7YAT00C1NP6X5D30R30C9M"
AT = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)
FIREFOX = Device(browser="Firefox 140", system="Linux", kind="desktop")


def packed(*parts: bytes) -> bytes:
    """As `bury` in store/lua/record.lua packs it."""
    return int(AT.timestamp()).to_bytes(4, "big") + b"".join(bytes([len(part)]) + part for part in parts)


def test_an_ending_is_a_reason_and_a_time():
    assert Ending(session_id=SID, reason=Code.LOGGED_OUT, at=AT) == unpack_ending(SID, packed(b"logged_out"))


def test_one_may_stand_for_all_sessions_of_a_user():
    assert unpack_ending(ALL, packed(b"revoked")).session_id is None


def test_a_reuse_tells_of_both_parties():
    raw = packed(b"reuse_detected", b"previous", b"\xc0\x00\x02\x07", pack_device(FIREFOX), b"\xcb\x00\x71\x09", b"curl/8")
    assert unpack_ending(SID, raw) == Ending(
        session_id=SID,
        reason=Code.REUSE_DETECTED,
        at=AT,
        presented="previous",
        holder_address="192.0.2.7",
        holder_device=FIREFOX,
        other_address="203.0.113.9",
        other_user_agent="curl/8",
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\0",
        packed(),
        packed(b"because"),
        packed(b"\xff"),
        packed(b"revoked")[:-1],
        packed(b"revoked") + b"\x05x",
        packed(*[b"revoked"] * 7),
        packed(b"revoked", b"", b"123"),
    ],
)
def test_what_is_none_of_ours_is_none(raw):
    assert unpack_ending(SID, raw) is None


@given(st.binary(max_size=200))
@settings(deadline=None, database=None)
def test_no_bytes_raise(raw):
    assert unpack_ending(SID, raw) is None or raw
