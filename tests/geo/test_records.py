"""The judge of records: a place, or nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.geo.records import number, place_of

GOOD = {"latitude": 52.52, "longitude": 13.405, "city": "Berlin", "country": "DE", "accuracy": 20}
NO_NUMBERS = [None, "52.52", "", True, False, [], {}, b"52", math.nan, math.inf, -math.inf, 10**400, object(), 1j]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_a_good_record():
    expected = Place(latitude=52.52, longitude=13.405, city="Berlin", country="DE", accuracy_km=20)
    assert expected == place_of(**GOOD)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number(value):
    assert number(value) is None


@pytest.mark.parametrize("field", ["latitude", "longitude"])
@pytest.mark.parametrize("lie", [*NO_NUMBERS, 1000, -1000, 180.5])
def test_degrees_that_are_none(field, lie):
    assert place_of(**GOOD | {field: lie}) is None


@pytest.mark.parametrize(("latitude", "longitude"), [(90, 180), (-90, -180), (0, 13.4), (51.48, 0)])
def test_degrees_at_their_edges(latitude, longitude):
    assert (latitude, longitude) == (
        place_of(**GOOD | {"latitude": latitude, "longitude": longitude}).latitude,
        place_of(**GOOD | {"latitude": latitude, "longitude": longitude}).longitude,
    )


@pytest.mark.parametrize("city", [None, "", " ", "-", "?", "0", 7, ["Berlin"], b"Berlin", "x" * 101, "Ber\0lin",
                                  "\x1b[31mBerlin", "\ud800x", "B\u202elin"])  # fmt: skip
def test_a_record_without_a_city_is_unknown(city):
    """8.8.8.8 in GeoLite2 is the middle of the United States, with an empty city (FACTS 3)."""
    assert place_of(**GOOD | {"city": city}) is None


@pytest.mark.parametrize(("city", "name"), [("São Paulo", "São Paulo"), (" New  York\n", "New York"), ("東京", "東京"),
                                            ("6th of October City", "6th of October City"), ("A\u00a0Coruña", "A Coruña"),
                                            ("x" * 100, "x" * 100)])  # fmt: skip
def test_names_of_cities(city, name):
    assert name == place_of(**GOOD | {"city": city}).city


@pytest.mark.parametrize("radius", [100, 100.0, 1000, -1, *NO_NUMBERS[1:]])
def test_a_radius_of_100_km_and_one_that_is_none_make_it_unknown(radius):
    assert place_of(**GOOD | {"accuracy": radius}) is None


@pytest.mark.parametrize("radius", [0, 5, 99.9, None])
def test_other_radii_are_stated(radius):
    assert radius == place_of(**GOOD | {"accuracy": radius}).accuracy_km


@pytest.mark.parametrize(("country", "code"), [("de", "DE"), ("DE", "DE"), ("Germany", None), ("", None), (7, None),
                                               (None, None), ("ﬀ", None), ("D\n", None)])  # fmt: skip
def test_a_country_that_is_no_code_is_left_out(country, code):
    assert code == place_of(**GOOD | {"country": country}).country


@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_zero_and_zero_is_no_city(zero):
    assert place_of(**GOOD | {"latitude": zero, "longitude": 0}) is None


@settings(deadline=None, database=None)
@given(st.fixed_dictionaries(dict.fromkeys(GOOD, anything)))
def test_whatever_a_record_says_there_is_a_place_on_the_earth_or_none(record):
    check(place_of(**record))


@settings(deadline=None, database=None)
@given(st.fixed_dictionaries({name: anything | st.just(value) for name, value in GOOD.items()}))
def test_records_that_lie_in_part(record):
    check(place_of(**record))


@settings(deadline=None, database=None)
@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 99))
def test_numbers_are_kept_as_they_are(latitude, longitude, radius):
    place = place_of(latitude=latitude, longitude=longitude, city="Berlin", accuracy=radius)
    assert (
        place == Place(latitude=latitude, longitude=longitude, city="Berlin", accuracy_km=radius) or latitude == longitude == 0
    )


def check(place: Place | None) -> None:
    if place is not None:
        assert all(type(number) is float and math.isfinite(number) for number in (place.latitude, place.longitude))
        assert place.city.encode().decode().isprintable()
        assert place.country is None or len(place.country) == 2
        assert place.accuracy_km is None or 0 <= place.accuracy_km < 100
