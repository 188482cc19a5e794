"""A place in a record of Redis: small, near enough, and never what somebody else wrote."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.places import Place, distance_km, pack_place, unpack_place

AMSTERDAM = Place(latitude=52.37403, longitude=4.88969, city="Amsterdam", country="NL", accuracy_km=20)
RAW = bytes.fromhex("01" "004fea9b" "00077609" "00c8" "03" "4e4c" "0a" "416d7374657264616d")  # fmt: skip
NAMES = st.none() | st.text(max_size=100)
PLACES = st.builds(
    Place,
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    city=NAMES,
    country=NAMES,
    accuracy_km=st.none() | st.floats(0, 20_000) | st.floats(0, allow_infinity=False),
)


def test_the_layout_is_fixed_to_the_byte():
    """Records outlive the processes that wrote them."""
    assert RAW == pack_place(AMSTERDAM)
    assert AMSTERDAM == unpack_place(RAW)


@pytest.mark.parametrize(
    "place",
    [
        Place(latitude=0, longitude=0),
        Place(latitude=-90, longitude=-180, accuracy_km=0),
        Place(latitude=90, longitude=180, city="", country=""),
        Place(latitude=-23.5475, longitude=-46.63611, city="São Paulo", country="BR", accuracy_km=5.5),
        Place(latitude=35.6895, longitude=139.69171, city="東京都", country="JP", accuracy_km=1000),
    ],
)
def test_a_place_as_data_have_it_comes_back_the_same(place):
    assert place == unpack_place(pack_place(place))
    assert len(pack_place(place)) <= 40


@given(PLACES)
@settings(deadline=None, database=None, max_examples=300)
def test_any_place_comes_back_within_a_metre(place):
    raw = pack_place(place)
    back = unpack_place(raw)
    assert len(raw) <= 120
    assert raw == pack_place(back)
    assert distance_km(place, back) < 0.001
    assert (place.accuracy_km is None) is (back.accuracy_km is None)


@given(PLACES.filter(lambda place: place.accuracy_km is not None))
@settings(deadline=None, database=None, max_examples=300)
def test_a_radius_never_grows(place):
    """It is taken off a distance, and at 100 km the place is unknown: growth would be a thief's."""
    back = unpack_place(pack_place(place)).accuracy_km
    assert back <= place.accuracy_km
    assert place.accuracy_km > 6553.4 or place.accuracy_km - back < 0.1 + 1e-9


@pytest.mark.parametrize(
    ("radius", "expected"),
    [(0, 0), (0.09, 0), (99.99, 99.9), (100, 100), (6553.4, 6553.4), (6553.5, 6553.4), (1e300, 6553.4), (1.7e308, 6553.4)],
)
def test_a_radius_is_rounded_down_to_100_m(radius, expected):
    assert expected == unpack_place(pack_place(Place(latitude=1, longitude=1, accuracy_km=radius))).accuracy_km


def test_every_radius_that_can_be_written_is_read_back_the_same():
    for tenths in range(0xFFFF):
        assert tenths == int(tenths / 10 * 10)


def test_long_names_are_cut_between_characters():
    back = unpack_place(pack_place(Place(latitude=1, longitude=1, city="東" * 100, country="x" * 100)))
    assert ("東" * 26, "x" * 24) == (back.city, back.country)
    longest = Place(latitude=1, longitude=1, city="é" * 99, country="é" * 99, accuracy_km=1)
    assert 117 == len(pack_place(longest))


@given(st.integers(0, len(RAW) - 1))
@settings(deadline=None, database=None)
def test_a_place_that_is_cut_off_is_none(length):
    assert unpack_place(RAW[:length]) is None


@pytest.mark.parametrize("raw", [b"", RAW + b"\x00", b"\x00" + RAW[1:], b"\x02" + RAW[1:], RAW[:-1] + b"\xff"])
def test_another_version_or_length_is_none(raw):
    assert unpack_place(raw) is None


@pytest.mark.parametrize(("latitude", "longitude"), [(9_000_001, 0), (-9_000_001, 0), (0, 18_000_001), (0, -(2**31))])
def test_what_is_not_on_the_earth_is_none(latitude, longitude):
    assert unpack_place(struct.pack(">BiiH", 1, latitude, longitude, 0) + b"\x00\x00") is None


@given(
    st.binary(max_size=130) | st.binary(max_size=40).map(lambda tail: RAW[:1] + tail) | st.binary(max_size=20).map(RAW.__add__)
)
@settings(deadline=None, database=None, max_examples=500)
def test_whatever_stands_in_redis_is_a_place_or_none(raw):
    place = unpack_place(raw)
    assert place is None or (math.isfinite(distance_km(place, AMSTERDAM)) and raw[:1] == b"\x01")
