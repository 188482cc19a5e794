"""What a user sees of a session."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.address import unwrapped
from asgi_tokenguard.core.devices import Device
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.core.records import Head, Record, new_ulid, ulid_text
from asgi_tokenguard.core.sessions import Session, pack_address, session_of, unpack_address

LOGIN = 1_700_000_000
SID = ulid_text(new_ulid(LOGIN * 1000 + 999, b"0123456789"))
HEAD = Head(
    gen=2,
    access_jti=b"a" * 16,
    refresh_jti=b"r" * 16,
    access_issued=LOGIN + 2_000,
    refresh_issued=LOGIN + 1_800,
    seen=False,
    mark=(LOGIN + 1_800) * 1000 + 7,
    absolute=LOGIN + 100_000,
    auth_time=LOGIN,
)
RECORD = Record(head=HEAD, claims=b'{"role":"admin"}', address=bytes([192, 0, 2, 7]))


def session(head=HEAD, *, idle=3_600, current=False) -> Session:
    return session_of("user-1", SID, replace(RECORD, head=head), idle=idle, current=current)


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(LOGIN + seconds, UTC)


def test_a_session_says_when_and_where():
    assert session() == Session(
        id=SID,
        subject="user-1",
        created_at=moment(0),
        last_seen_at=moment(1_800),
        expires_at=moment(5_400),
        ip_address="192.0.2.7",
    )


def test_p16_last_seen_is_the_last_rotation_or_first_sight():
    assert moment(1_850) == session(replace(HEAD, seen=True, mark=(LOGIN + 1_850) * 1000 + 999)).last_seen_at
    assert moment(1_800) == session(replace(HEAD, mark=0)).last_seen_at


def test_p10_it_expires_at_its_absolute_end_at_the_latest():
    assert moment(100_000) == session(idle=200_000).expires_at


def test_the_one_that_asks_is_marked():
    assert [True, False] == [session(current=True).current, session().current]


def test_p35_a_session_shows_no_id_of_a_token_and_no_claims():
    shown = repr(session()) + json.dumps(session().to_dict())
    assert not [secret for secret in ("aaaa", "rrrr", "admin", ulid_text(b"a" * 16)) if secret in shown]


def test_as_json_its_times_are_iso_8601():
    assert {
        "id": SID,
        "subject": "user-1",
        "created_at": "2023-11-14T22:13:20+00:00",
        "last_seen_at": "2023-11-14T22:43:20+00:00",
        "expires_at": "2023-11-14T23:43:20+00:00",
        "ip_address": "192.0.2.7",
        "current": True,
        "device": None,
        "location": None,
    } == json.loads(json.dumps(session(current=True).to_dict()))


def test_as_json_device_and_location_are_objects():
    known = replace(
        session(),
        device=Device(browser="Firefox 140", system="Windows", kind="desktop"),
        location=Place(latitude=48.2, longitude=16.37, city="Wien", country="AT"),
    )
    shown = json.loads(json.dumps(known.to_dict()))
    assert {"browser": "Firefox 140", "system": "Windows", "kind": "desktop"} == shown["device"]
    assert {"latitude": 48.2, "longitude": 16.37, "city": "Wien", "country": "AT", "accuracy_km": None} == shown["location"]


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("192.0.2.7", 4, "192.0.2.7"),
        ("2001:DB8::0:1", 16, "2001:db8::1"),
        ("fe80::1%eth0", 16, "fe80::1"),
        ("::ffff:192.0.2.7", 4, "192.0.2.7"),  # a client of a server that listens on `::`
        ("64:ff9b::192.0.2.7", 4, "192.0.2.7"),  # behind NAT64
        (None, 0, None),
        ("", 0, None),
        ("testclient", 0, None),
        ("192.0.2.7:80", 0, None),
        ("192.0.2", 0, None),
        ("192.0.2.007", 0, None),
        ("1", 0, None),
        ("/run/app.sock", 0, None),
        ("%", 0, None),
        ("1٢.0.0.1", 0, None),
    ],
)
def test_addresses_are_packed_and_what_is_none_takes_no_bytes(text, size, shown):
    packed = pack_address(text)
    assert (size, shown) == (len(packed), unpack_address(packed))


@given(st.ip_addresses())
@settings(deadline=None, database=None)
def test_every_address_comes_back(address):
    assert str(unwrapped(address)).partition("%")[0] == unpack_address(pack_address(str(address)))


@given(st.text())
@settings(deadline=None, database=None)
def test_i3_no_text_breaks_the_reading_of_an_address(text):
    assert len(pack_address(text)) in {0, 4, 16}
