"""The score of a distance, its edges, and what is measured between two places."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core import risk
from asgi_tokenguard.core.places import EARTH_RADIUS_KM, Place, distance_km
from asgi_tokenguard.core.signals import Signals, score, usable

INFINITE = float("inf")
HALF_WAY_ROUND = math.pi * EARTH_RADIUS_KM
quick = settings(deadline=None, database=None, max_examples=500)


def below(value):
    return math.nextafter(value, 0)


def above(value):
    return math.nextafter(value, INFINITE)


def signals(**known):
    odd = dict.fromkeys(("new_network", "new_device", "redelivery", "lingering", "rotation_off", "located"), False)
    unknown = dict.fromkeys(("place_before", "place_now", "ip_address_before", "ip_address"))
    return Signals(**(odd | unknown | known))


def place(km_north=0.0, **facts):
    """A place *km_north* of London, on its meridian."""
    degrees = math.degrees(km_north / EARTH_RADIUS_KM)
    return Place(**({"latitude": 51.5 + degrees, "longitude": 0, "city": "somewhere", "country": "GB"} | facts))


# --- The score


@pytest.mark.parametrize(
    ("km", "expected"),
    [
        (0, 100),
        (10, 90),
        (25, 75),
        (49, 51),
        (50, 50),
        (60, 44),
        (75, 35),
        (90, 26),
        (100, 20),
        (HALF_WAY_ROUND, 0),
        ((HALF_WAY_ROUND + 100) / 2, 10),
        (2 * HALF_WAY_ROUND, 0),
        (1e308, 0),
        (INFINITE, 0),
    ],
)
def test_the_score_falls_along_straight_lines(km, expected):
    assert pytest.approx(expected, abs=1e-9) == score(km)


def test_the_corners_are_exact():
    assert (100, 50, 20, 0) == (score(0), score(50), score(100), score(HALF_WAY_ROUND))


def test_the_edge_of_50_km_is_sharp_on_its_near_side():
    assert score(below(50)) > 50 == score(50) >= score(above(50))


def test_the_edge_of_100_km_is_sharp_on_its_far_side():
    assert score(below(100)) >= 20 == score(100) > score(above(100))


def test_the_first_picometres_past_100_km_are_past_it():
    """The line is so flat there that rounding would score them 20."""
    km = 100.0
    for _ in range(1000):
        km = above(km)
        assert score(km) < 20


@pytest.mark.parametrize("wrong", [float("nan"), -0.001, -INFINITE])
def test_what_is_no_distance_has_no_score(wrong):
    with pytest.raises(ValueError, match="length"):
        score(wrong)


# All of them, and many near the edges.
DISTANCES = (
    st.floats(0, allow_nan=False)
    | st.floats(0, HALF_WAY_ROUND)
    | st.floats(0, 110)
    | st.builds(lambda edge, steps: edge + steps * math.ulp(edge), st.sampled_from([50.0, 100.0]), st.integers(-50, 50))
)


@given(DISTANCES)
@quick
def test_the_three_bands_are_those_of_the_design(km):
    found = score(km)
    if km < 50:
        assert 50 < found <= 100
    elif km <= 100:
        assert 20 <= found <= 50
    else:
        assert 0 <= found < 20


@given(DISTANCES, DISTANCES)
@quick
def test_the_score_never_rises_with_the_distance(one, other):
    near, far = sorted([one, other])
    assert score(near) >= score(far)


def test_the_score_never_rises_at_all():
    found = [score(metres / 1000) for metres in range(0, 150_000, 7)]
    assert all(near >= far for near, far in pairwise(found))


# --- What can be measured


@pytest.mark.parametrize(
    ("given_place", "counts"),
    [
        (None, False),
        (place(), True),
        (place(city=None), False),
        (place(city=""), False),
        (place(country=None), True),
        (place(accuracy_km=0), True),
        (place(accuracy_km=below(100)), True),
        (place(accuracy_km=100), False),
        (place(accuracy_km=1000), False),
        (Place(latitude=37.751, longitude=-97.822, country="US", accuracy_km=1000), False),  # 8.8.8.8 in GeoLite2
        ("London", False),  # locators are other people's programs
    ],
)
def test_a_place_without_a_city_or_with_a_wide_radius_is_unknown(given_place, counts):
    assert (given_place if counts else None) is usable(given_place)


@pytest.mark.parametrize(("before", "now"), [(None, None), (None, place()), (place(), None)])
def test_to_an_unknown_place_there_is_no_distance(before, now):
    unknown = signals(place_before=before, place_now=now)
    assert (None, None) == (unknown.distance_km, unknown.score)


@pytest.mark.parametrize("vague", [place(city=None), place(accuracy_km=100)])
def test_a_vague_place_is_unknown_on_either_side(vague):
    assert None is signals(place_before=vague, place_now=place()).distance_km
    assert None is signals(place_before=place(), place_now=vague).score


def test_the_same_place_scores_100():
    same = signals(place_before=place(), place_now=place())
    assert (0, 100) == (same.distance_km, same.score)


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        (None, None, 120),
        (0, 0, 120),
        (30, None, 90),
        (None, 30, 90),
        (30, 50, 40),
        (60, 60, 0),
        (99, 99, 0),  # not -78
    ],
)
def test_both_accuracy_radii_are_taken_off(before, now, left):
    measured = signals(place_before=place(accuracy_km=before), place_now=place(120, accuracy_km=now))
    assert pytest.approx(left) == measured.distance_km
    assert pytest.approx(score(left)) == measured.score


@pytest.mark.parametrize(
    ("new_network", "located", "counts"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_a_place_counts_only_on_a_new_network_and_with_a_locator(new_network, located, counts):
    assert counts is signals(new_network=new_network, located=located).place_counts


PLACES = st.none() | st.builds(
    Place,
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    city=st.sampled_from(["somewhere", "", None]),
    accuracy_km=st.none() | st.floats(0, 200),
)


@given(PLACES, PLACES)
@quick
def test_a_distance_is_never_nan_and_the_same_both_ways(before, now):
    there, back = signals(place_before=before, place_now=now), signals(place_before=now, place_now=before)
    if usable(before) is None or usable(now) is None:
        assert None is there.distance_km is there.score is back.distance_km is back.score
        return
    assert 0 <= there.distance_km <= distance_km(before, now)
    assert pytest.approx(there.distance_km, abs=1e-9) == back.distance_km
    assert 0 <= there.score <= 100


def test_signals_do_not_change():
    with pytest.raises(AttributeError):
        signals().new_network = True


def test_there_is_one_door_to_both_modules():
    assert (score, usable, Signals) == (risk.score, risk.usable, risk.Signals)
