"""Places: what is one, and how far they are apart."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.places import EARTH_RADIUS_KM, Place, distance_km

LONDON = Place(latitude=51.5074, longitude=-0.1278, city="London", country="GB")
PARIS = Place(latitude=48.8566, longitude=2.3522, city="Paris", country="FR")
NEW_YORK = Place(latitude=40.7128, longitude=-74.0060, city="New York", country="US")
SYDNEY = Place(latitude=-33.8688, longitude=151.2093, city="Sydney", country="AU")
SUVA = Place(latitude=-18.1416, longitude=178.4419, city="Suva", country="FJ")
APIA = Place(latitude=-13.8333, longitude=-171.7667, city="Apia", country="WS")
HALF_WAY_ROUND = math.pi * EARTH_RADIUS_KM

PLACES = st.builds(Place, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180))
quick = settings(deadline=None, database=None, max_examples=300)


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        # Great-circle distances as atlases give them; the sphere may be off by 0.6 %.
        (LONDON, PARIS, 344),
        (LONDON, NEW_YORK, 5570),
        (LONDON, SYDNEY, 16_994),
        (SUVA, APIA, 1147),  # across the date line
        (Place(latitude=0, longitude=0), Place(latitude=0, longitude=1), 111.2),
        (Place(latitude=0, longitude=0), Place(latitude=1, longitude=0), 111.2),
        (Place(latitude=60, longitude=0), Place(latitude=60, longitude=1), 55.6),  # meridians draw together
        (Place(latitude=90, longitude=0), Place(latitude=90, longitude=135), 0),  # the pole has all longitudes
        (Place(latitude=0, longitude=180), Place(latitude=0, longitude=-180), 0),
        (Place(latitude=90, longitude=0), Place(latitude=-90, longitude=0), HALF_WAY_ROUND),
        (Place(latitude=0, longitude=0), Place(latitude=0, longitude=180), HALF_WAY_ROUND),
    ],
)
def test_distances_are_those_of_an_atlas(here, there, expected):
    assert pytest.approx(expected, rel=0.006, abs=1e-6) == distance_km(here, there)


def test_names_and_radii_do_not_change_a_distance():
    bare = Place(latitude=LONDON.latitude, longitude=LONDON.longitude, accuracy_km=50)
    assert distance_km(bare, PARIS) == distance_km(LONDON, PARIS)


@given(PLACES, PLACES)
@quick
def test_a_distance_is_a_number_the_same_both_ways_and_never_longer_than_half_way_round(here, there):
    distance = distance_km(here, there)
    assert 0 <= distance <= HALF_WAY_ROUND  # which NaN is not
    assert distance == distance_km(there, here)


@given(PLACES)
@quick
def test_a_place_is_nowhere_but_where_it_is(place):
    assert 0 == distance_km(place, place)


@given(PLACES)
@quick
def test_the_other_end_of_the_earth_is_the_farthest(place):
    other = place.longitude - 180 if place.longitude > 0 else place.longitude + 180
    antipode = Place(latitude=-place.latitude, longitude=other)
    assert pytest.approx(HALF_WAY_ROUND, abs=0.01) == distance_km(place, antipode)


def test_a_chord_that_rounds_beyond_the_earth_is_half_way_round():
    """The square of this one's half comes out as 1.0000000000000002; past 1.0000000000000004 there is no arc sine."""
    here, there = Place(latitude=51.3, longitude=-144), Place(latitude=-51.3, longitude=36)
    assert pytest.approx(HALF_WAY_ROUND, abs=0.01) == distance_km(here, there)


@given(PLACES, PLACES, PLACES)
@quick
def test_no_detour_is_a_short_cut(a, b, c):
    assert distance_km(a, c) <= distance_km(a, b) + distance_km(b, c) + 0.01  # ten metres for rounding near antipodes


@given(PLACES, PLACES, st.floats(-180, 180))
@quick
def test_turning_the_earth_changes_no_distance(a, b, turn):
    def turned(place):
        return Place(latitude=place.latitude, longitude=(place.longitude + turn + 180) % 360 - 180)

    assert pytest.approx(distance_km(a, b), abs=0.01) == distance_km(turned(a), turned(b))


NAN, INFINITE = float("nan"), float("inf")
WRONG = [
    ({"latitude": 90.001}, "degrees"),
    ({"latitude": -91}, "degrees"),
    ({"latitude": NAN}, "degrees"),
    ({"latitude": INFINITE}, "degrees"),
    ({"longitude": 180.001}, "degrees"),
    ({"longitude": -181}, "degrees"),
    ({"longitude": NAN}, "degrees"),
    ({"longitude": -INFINITE}, "degrees"),
    ({"accuracy_km": -0.001}, "radius"),
    ({"accuracy_km": NAN}, "radius"),
    ({"accuracy_km": INFINITE}, "radius"),
]


@pytest.mark.parametrize(("wrong", "problem"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_what_is_no_place_on_the_earth_is_refused(wrong, problem):
    with pytest.raises(ValueError, match=problem):
        Place(**({"latitude": 0, "longitude": 0} | wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"latitude": "52.5"},
        {"latitude": None},
        {"latitude": True},
        {"longitude": b"13"},
        {"longitude": 1j},
        {"accuracy_km": "5"},
        {"accuracy_km": False},
        {"city": 7},
        {"city": b"Berlin"},
        {"city": ["Berlin"]},
        {"country": 49},
    ],
    ids=str,
)
def test_what_is_no_number_or_no_text_is_refused_by_its_name(wrong):
    """Else it would be found where the place is packed, off the request path, again and again."""
    (name,) = wrong
    with pytest.raises(TypeError, match=f"{name} is .*, not {type(wrong[name]).__name__}"):
        Place(**({"latitude": 0, "longitude": 0} | wrong))


@pytest.mark.parametrize(
    "edge",
    [
        {"latitude": 90, "longitude": 180},
        {"latitude": -90, "longitude": -180},
        {"latitude": 0, "longitude": 0, "accuracy_km": 0},
        {"latitude": 0, "longitude": 0, "accuracy_km": 1000},
    ],
)
def test_the_edge_of_the_earth_is_on_it(edge):
    assert Place(**edge)


@given(st.floats(), st.floats(), st.none() | st.floats())
@quick
def test_whatever_a_locator_says_is_a_place_or_refused(latitude, longitude, accuracy):
    try:
        place = Place(latitude=latitude, longitude=longitude, accuracy_km=accuracy)
    except ValueError:
        return
    assert 0 <= distance_km(place, LONDON) <= HALF_WAY_ROUND
    assert place.accuracy_km is None or 0 <= place.accuracy_km < INFINITE


def test_places_do_not_change_and_travel_between_processes():
    with pytest.raises(AttributeError):
        LONDON.city = "Paris"
    assert LONDON == pickle.loads(pickle.dumps(LONDON))
    assert LONDON != PARIS
