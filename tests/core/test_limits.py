"""How often is too often: the numbers, what is refused at start-up, and the arithmetic, to the millisecond."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.limits import LONGEST, MOST, MOST_COUNTS, OLD_ONES, Count, Limits, Rate, seconds, weigh
from asgi_tokenguard.errors import ConfigurationError

NOW = 1_800_000_000_123
NET = b"net1"


def passes(numbers, counts, now_ms):
    """The numbers after, and whether it was let through."""
    after, wait_ms = weigh(numbers, counts, now_ms=now_ms)
    return after, not wait_ms


# --- What is written


def test_a_rate_is_so_many_in_so_many_seconds():
    assert (10, 60, 60_000_000, 6_000_000) == ((rate := Rate(10, per=60)).count, rate.per, rate.period, rate.interval)
    assert Rate(10, per=60) == Rate(10, per=60.0) == Rate(10, per=timedelta(minutes=1))
    assert "Rate(count=10, per=60)" == repr(Rate(10, per=60))


@pytest.mark.parametrize("count", [0, -1, 1001, 1.0, "1", None, True])
def test_a_count_that_cannot_be_is_refused(count):
    with pytest.raises(ConfigurationError, match=r"^limits: Rate\(.*whole number from 1 to 1,000"):
        Rate(count, per=60)


@pytest.mark.parametrize("per", [0, 0.5, 1.5, -1, 86_401, float("nan"), float("inf"), "60", None, True, timedelta(days=2)])
def test_a_period_that_cannot_be_is_refused(per):
    with pytest.raises(ConfigurationError, match=r"^limits: per=.*whole seconds from 1 to 86,400"):
        Rate(1, per=per)


def test_limits_of_nothing_are_refused():
    """Whoever writes that believes in a limit that is not there."""
    with pytest.raises(ConfigurationError, match=r"^limits: Limits\(\) of nothing"):
        Limits()


@pytest.mark.parametrize("wrong", [10, (10, 60), "10/minute", Rate])
def test_each_limit_is_a_rate(wrong):
    with pytest.raises(ConfigurationError, match="logins_per_address is a .*write logins_per_address=Rate"):
        Limits(logins_per_address=wrong)


def test_a_token_may_be_presented_once_in_an_access_lifetime():
    """A limit of logins may be as strict as it likes."""
    limits = Limits(presentations_per_user=Rate(2, per=120), logins_per_user=Rate(1, per=LONGEST))
    limits.check(60)
    with pytest.raises(ConfigurationError, match=r"^limits: Rate\(count=2, per=120\) lets no token be presented once"):
        limits.check(59)


def test_they_can_be_copied_and_sent_to_another_process():
    limits = Limits(logins_per_user=Rate(3, per=60))
    assert limits == copy.copy(limits) == pickle.loads(pickle.dumps(limits))


# --- What counts against what


def test_what_is_not_limited_counts_against_nothing():
    limits = Limits(presentations_per_user=Rate(3, per=60))
    assert () == limits.of_login(NET)
    assert (Count(b"P", Rate(3, per=60)),) == limits.of_presentation("01ARZ3NDEKTSV4RRFFQ69G5FAV", NET)


def test_logins_and_presentations_of_one_user_never_share_a_number():
    """Nor two sessions, nor two networks, whatever bytes their names have."""
    rate = Rate(1, per=60)
    limits = Limits(
        logins_per_user=rate,
        logins_per_address=rate,
        presentations_per_session=rate,
        presentations_per_user=rate,
        presentations_per_address=rate,
    )
    found = [*limits.of_login(NET), *limits.of_presentation("01ARZ3NDEKTSV4RRFFQ69G5FAV", NET)]
    assert 5 == len({count.field for count in found})
    other = [*limits.of_login(b"net2"), *limits.of_presentation("01BX5ZZKBKACTAV9WEVGEMMVRZ", b"net2")]
    assert {b"L", b"P"} == {count.field for count in found} & {count.field for count in other}
    assert [rate] * 3 == list(limits.presentations)


def test_the_numbers_are_kept_for_the_longest_period():
    limits = Limits(logins_per_user=Rate(3, per=3600), presentations_per_user=Rate(3, per=60))
    assert 3_600_000 == limits.longest_ms


# --- The arithmetic

THREE = (Count(b"P", Rate(3, per=60)),)


def test_as_many_as_are_allowed_pass_at_once_and_the_next_one_waits_for_its_turn():
    numbers = {}
    for _ in range(3):
        numbers, passed = passes(numbers, THREE, NOW)
        assert passed
    assert (numbers, 20_000) == weigh(numbers, THREE, now_ms=NOW)
    assert (numbers, 1) == weigh(numbers, THREE, now_ms=NOW + 19_999)
    numbers, passed = passes(numbers, THREE, NOW + 20_000)
    assert passed
    assert (numbers, 20_000) == weigh(numbers, THREE, now_ms=NOW + 20_000)


def test_who_is_refused_has_not_used_anything_up():
    """A client that asks again and again waits no longer than one that waits."""
    numbers = {}
    for _ in range(3):
        numbers, _ = passes(numbers, THREE, NOW)
    for ms in range(0, 20_000, 100):
        assert (numbers, 20_000 - ms) == weigh(numbers, THREE, now_ms=NOW + ms)


def test_where_one_of_several_is_full_none_counts_and_the_longest_wait_is_told():
    counts = (Count(b"a", Rate(1, per=10)), Count(b"b", Rate(1, per=60)), Count(b"c", Rate(5, per=60)))
    numbers, passed = passes({}, counts, NOW)
    assert passed
    assert (numbers, 60_000) == weigh(numbers, counts, now_ms=NOW)
    assert (numbers, 50_000) == weigh(numbers, counts, now_ms=NOW + 10_000)


def test_where_nothing_is_limited_nothing_is_counted():
    assert ({}, 0) == weigh({}, (), now_ms=NOW)


@pytest.mark.parametrize("ahead", [1, 10**6, 10**12])
def test_a_number_from_another_rate_or_another_clock_counts_for_nothing(ahead):
    """A failover to a server whose clock is an hour behind, or a deployment with a shorter period, locks nobody out."""
    edge = {b"P": NOW * 1000 + THREE[0].rate.period}
    assert 20_000 == weigh(edge, THREE, now_ms=NOW).wait_ms
    beyond = {b"P": edge[b"P"] + ahead}
    assert ({b"P": NOW * 1000 + 20_000_000}, 0) == weigh(beyond, THREE, now_ms=NOW)


@pytest.mark.parametrize(("count", "per"), [(1, 1), (MOST, 1), (999, 1), (7, 1), (MOST, LONGEST), (1, LONGEST)])
def test_never_one_more_than_allowed_passes_at_once(count, per):
    """Intervals are rounded to the microsecond: that lets nobody through, even where they are shortest."""
    counts, numbers, passed = (Count(b"P", Rate(count, per=per)),), {}, 0
    while True:
        numbers, went = passes(numbers, counts, NOW)
        if not went:
            break
        passed += 1
    assert count == passed


@given(
    st.integers(1, 20),
    st.integers(1, 30),
    st.lists(st.integers(0, 5_000), min_size=1, max_size=60),
)
@settings(database=None, deadline=None)
def test_whenever_they_come_no_stretch_of_time_sees_more_than_a_burst_and_the_rate(count, per, pauses):
    """And whoever waits as long as told gets through, a millisecond earlier not."""
    rate, numbers, now, passed = Rate(count, per=per), {}, NOW, []
    counts = (Count(b"P", rate),)
    for pause in pauses:
        now += pause
        numbers, went = passes(numbers, counts, now)
        if went:
            passed.append(now)
            continue
        wait = weigh(numbers, counts, now_ms=now).wait_ms
        assert wait * 1000 < rate.interval + 1000
        assert not passes(numbers, counts, now + wait - 1)[1]
        assert passes(numbers, counts, now + wait)[1]
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            most = count + (passed[last] - passed[first]) * 1000 // rate.interval
            assert last - first + 1 <= most


def test_from_ever_new_networks_no_more_is_kept_than_there_is_room():
    """What would be idle soonest goes: what is used most stays."""
    numbers, rate = {}, Rate(10, per=3600)
    user = Count(b"P", rate)
    for _ in range(10):
        numbers, _ = passes(numbers, (user,), NOW)
    full = numbers[b"P"]
    for number in range(1000):
        numbers, _ = passes(numbers, (Count(b"p%04d" % number, rate),), NOW + number)
        assert len(numbers) <= MOST_COUNTS
    assert full == numbers[b"P"]
    assert {b"p%04d" % number for number in range(999, 999 - MOST_COUNTS + OLD_ONES, -1)} <= set(numbers)


@pytest.mark.parametrize(("wait_ms", "expected"), [(1, 1), (999, 1), (1000, 1), (1001, 2), (86_400_000, 86_400)])
def test_retry_after_is_rounded_up(wait_ms, expected):
    assert expected == seconds(wait_ms)
