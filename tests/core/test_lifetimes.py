"""How long things live: the defaults, the forms in which they are given, and what is refused."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.errors import ConfigurationError

DAY = 24 * 3600
LONGEST = 3650 * DAY


def test_the_defaults_are_those_of_the_design():
    lifetimes = Lifetimes()
    assert (900, 15 * DAY, 90 * DAY, 30.0) == (lifetimes.access, lifetimes.idle, lifetimes.absolute, lifetimes.grace)


def test_seconds_and_timedeltas_mean_the_same():
    spelled = Lifetimes(
        access=timedelta(minutes=5), idle=timedelta(days=1), absolute=timedelta(weeks=1), grace=timedelta(seconds=2.5)
    )
    assert Lifetimes(access=300, idle=DAY, absolute=7 * DAY, grace=2.5) == spelled
    assert Lifetimes(access=300.0, idle=DAY, absolute=7 * DAY, grace=2.5) == spelled
    assert int is type(spelled.access)


@pytest.mark.parametrize(("access", "grace"), [(900, 30.0), (60, 30.0), (40, 20.0), (1, 0.5)])
def test_the_default_grace_is_30_seconds_but_at_most_half_of_access(access, grace):
    assert grace == Lifetimes(access=access).grace


@pytest.mark.parametrize(
    ("grace", "milliseconds", "look_again"),
    [(30, 30_000, 1.0), (3, 3_000, 1.0), (1.5, 1_500, 0.5), (timedelta(milliseconds=600), 600, pytest.approx(0.2))],
)
def test_i15_the_second_look_is_due_after_a_second_or_a_third_of_the_grace(grace, milliseconds, look_again):
    lifetimes = Lifetimes(grace=grace)
    assert (milliseconds, look_again) == (lifetimes.grace_ms, lifetimes.look_again)


NAN, INFINITE = float("nan"), float("inf")
WRONG = [
    ({"access": 0}, "at least one"),
    ({"access": -900}, "at least one"),
    ({"access": 0.5}, "whole seconds"),
    ({"access": 1.5}, "whole seconds"),
    ({"access": timedelta(milliseconds=1500)}, "whole seconds"),
    ({"access": NAN}, "whole seconds"),
    ({"access": INFINITE}, "whole seconds"),
    ({"idle": -INFINITE}, "whole seconds"),
    ({"access": "900"}, "seconds or a timedelta"),
    ({"access": None}, "seconds or a timedelta"),
    ({"access": True}, "seconds or a timedelta"),
    ({"idle": [1]}, "seconds or a timedelta"),
    ({"absolute": "90d"}, "seconds or a timedelta"),
    ({"grace": "30"}, "seconds or a timedelta"),
    ({"grace": 0.0009}, "1 ms"),
    ({"grace": True}, "seconds or a timedelta"),
    ({"access": 15 * DAY}, "access < idle <= absolute"),
    ({"idle": 91 * DAY}, "access < idle <= absolute"),
    ({"absolute": 14 * DAY}, "access < idle <= absolute"),
    ({"absolute": LONGEST + 1}, "an end that comes"),
    ({"absolute": 10**400}, "an end that comes"),
    ({"grace": 0}, "leave grace out"),
    ({"grace": -1}, "leave grace out"),
    ({"grace": NAN}, "leave grace out"),
    ({"grace": INFINITE}, "leave grace out"),
    ({"grace": 451}, "leave grace out"),
    ({"access": 40, "grace": 20.001}, "leave grace out"),
]


@pytest.mark.parametrize(("wrong", "remedy"), WRONG, ids=[str(row[0])[:40] for row in WRONG])
def test_lifetimes_that_cannot_work_are_refused_at_start_up(wrong, remedy):
    with pytest.raises(ConfigurationError) as caught:
        Lifetimes(**wrong)
    assert "lifetimes" == caught.value.option
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "edge",
    [
        {"access": 1, "idle": 2, "absolute": 2},
        {"idle": 90 * DAY},
        {"absolute": LONGEST},
        {"access": 40, "grace": 20},
        {"grace": 450},
    ],
)
def test_lifetimes_at_the_edge_are_fine(edge):
    assert Lifetimes(**edge)


def test_lifetimes_do_not_change_and_travel_between_processes():
    lifetimes = Lifetimes(access=60)
    with pytest.raises(AttributeError):
        lifetimes.access = 61
    assert lifetimes == pickle.loads(pickle.dumps(lifetimes))


@given(st.dictionaries(st.sampled_from(["access", "idle", "absolute", "grace"]), st.integers() | st.floats() | st.timedeltas()))
@settings(deadline=None, database=None, max_examples=300)
def test_whatever_is_given_is_in_order_or_refused(given_values):
    try:
        lifetimes = Lifetimes(**given_values)
    except ConfigurationError:
        return
    assert 1 <= lifetimes.access < lifetimes.idle <= lifetimes.absolute <= LONGEST
    assert 0 < lifetimes.grace <= lifetimes.access / 2
    assert lifetimes.look_again <= lifetimes.grace / 3
