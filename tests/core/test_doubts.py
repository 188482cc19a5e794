"""What makes an accepted cookie odd, clause by clause; and that a doubt changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard import Lifetimes
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.doubts import (
    ANYONE,
    UNWATCHED,
    Doubt,
    Visit,
    Watch,
    doubts,
    is_other_device,
    leaving_now,
    left_at_ms,
    note_late,
    remember,
    run_after,
    why_reused,
)
from asgi_tokenguard.core.records import LONGEST_LEFT, LONGEST_RUN, Head
from asgi_tokenguard.core.rotation import NOTHING, NewIds, Outcome, Shown, present
from asgi_tokenguard.errors import Code

T0 = 1_800_000_000
HOME, WORK, TRAIN, HOTEL, CAFE = (name.encode() for name in ("home", "work", "trai", "hote", "cafe"))
LAPTOP, PHONE, UNSTATED = b"lapW", b"phoA", b"lap\0"
LIFETIMES = Lifetimes()
NEW = NewIds(access=b"n" * 16, refresh=b"m" * 16)
HEAD = Head(
    gen=5,
    access_jti=b"a" * 16,
    refresh_jti=b"r" * 16,
    access_issued=T0,
    refresh_issued=T0,
    seen=False,
    mark=T0 * 1000 + 300,
    absolute=T0 + 9_000_000,
    auth_time=T0,
    left=1,
    device=LAPTOP,
    networks=HOME + bytes(12),
)
AT_HOME = Visit(network=HOME, device=LAPTOP)
WATCH = Watch(network=True, linger_generations=3)
PREVIOUS = Shown(gen=4, jti=b"p" * 16, issued=T0 - 900)
CURRENT = Shown(gen=5, jti=b"r" * 16, issued=T0)


def ask(head=HEAD, shown=CURRENT, visit=AT_HOME, watch=WATCH, *, seconds=2.0, caller=Caller.SCRIPT):
    now_ms = T0 * 1000 + round(seconds * 1000)
    return present(head, shown, now_ms=now_ms, lifetimes=LIFETIMES, caller=caller, new=NEW, visit=visit, watch=watch)


# --- Networks


def test_a_known_network_is_no_doubt_and_an_unknown_one_is():
    assert Outcome.REPEAT is ask().outcome
    step = ask(visit=replace(AT_HOME, network=CAFE))
    assert (Outcome.JUDGE, HEAD, NOTHING, {Doubt.NETWORK}) == (step.outcome, step.head, step.handout, step.doubts)


def test_who_watches_no_networks_doubts_none():
    assert Outcome.REPEAT is ask(visit=replace(AT_HOME, network=CAFE), watch=UNWATCHED).outcome


def test_the_last_four_networks_are_known_the_latest_first():
    head = HEAD
    for network in (WORK, TRAIN, WORK, HOTEL):
        head = ask(head, visit=replace(AT_HOME, network=network, passed=True)).head
    assert HOTEL + WORK + TRAIN + HOME == head.networks
    head = ask(head, visit=replace(AT_HOME, network=CAFE, passed=True)).head
    assert CAFE + HOTEL + WORK + TRAIN == head.networks
    assert Outcome.JUDGE is ask(head, visit=AT_HOME).outcome


def test_a_rotation_remembers_where_it_was_and_an_unchanged_visit_writes_nothing_else():
    over = ask(replace(HEAD, seen=True), visit=replace(AT_HOME, device=UNSTATED), seconds=1000)
    assert (Outcome.ROTATE, UNSTATED, HOME + bytes(12)) == (over.outcome, over.head.device, over.head.networks)
    assert replace(HEAD, seen=True, mark=T0 * 1000 + 2000) == ask().head


def test_a_caller_who_receives_nothing_leaves_no_trace_but_where_it_has_passed():
    over = replace(HEAD, seen=True)
    assert over == ask(over, seconds=1000, caller=Caller.OTHER).head
    passed = ask(over, visit=replace(AT_HOME, network=CAFE, passed=True), seconds=1000, caller=Caller.OTHER)
    assert CAFE + HOME + bytes(8) == passed.head.networks


def test_an_image_that_passes_leaves_the_sessions_device_as_it_is():
    visit = replace(AT_HOME, network=CAFE, device=PHONE, passed=True)
    head = ask(visit=visit, caller=Caller.OTHER).head
    assert (LAPTOP, True) == (head.device, head.knows(CAFE))
    assert PHONE == ask(visit=visit).head.device


# --- Devices


def test_a_redelivery_to_another_device_is_doubted_and_to_the_same_one_is_not():
    assert Outcome.REDELIVER is ask(shown=PREVIOUS).outcome
    assert Outcome.REDELIVER is ask(shown=PREVIOUS, visit=replace(AT_HOME, device=UNSTATED)).outcome
    assert {Doubt.DEVICE} == ask(shown=PREVIOUS, visit=replace(AT_HOME, device=PHONE)).doubts


def test_another_device_that_is_handed_nothing_is_no_redelivery():
    """Safari's media requests have a User-Agent of their own."""
    visit = replace(AT_HOME, device=PHONE)
    assert Outcome.REDELIVER is ask(shown=PREVIOUS, visit=visit, caller=Caller.OTHER).outcome
    assert Outcome.STRAGGLER is ask(replace(HEAD, seen=True), shown=PREVIOUS, visit=visit).outcome


def test_an_app_may_watch_devices_at_every_presentation():
    visit, watch = replace(AT_HOME, device=PHONE), replace(WATCH, device=True)
    assert Outcome.REPEAT is ask(visit=visit).outcome
    assert {Doubt.DEVICE} == ask(visit=visit, watch=watch).doubts


def test_a_session_that_a_job_has_started_has_no_device_yet():
    assert not is_other_device(replace(HEAD, device=bytes(4)), AT_HOME)
    assert is_other_device(replace(HEAD, device=PHONE), AT_HOME)


def test_a_job_that_rotates_has_no_device_and_leaves_the_sessions_own():
    visit = replace(AT_HOME, device=bytes(4), passed=True)
    assert not is_other_device(HEAD, visit)
    assert LAPTOP == ask(visit=visit).head.device


# --- Lingering


@pytest.mark.parametrize(("seconds", "late"), [(5.9, False), (6.0, False), (6.001, True), (60, True)])
def test_a_superseded_token_is_late_five_seconds_after_its_successors_cookie_left(seconds, late):
    """It left in the second after the rotation's."""
    assert late is ask(shown=PREVIOUS, seconds=seconds).head.late


@pytest.mark.parametrize("watch", [UNWATCHED, replace(WATCH, linger_generations=0)])
def test_who_does_not_watch_for_lingering_notes_nothing(watch):
    assert not ask(shown=PREVIOUS, watch=watch, seconds=60).head.late
    assert HEAD == note_late(HEAD, T0 * 1000 + 60_000, watch)


def test_only_the_predecessor_is_late():
    assert not ask(shown=CURRENT, seconds=60).head.late


@pytest.mark.parametrize(("run", "doubted"), [(0, False), (1, False), (2, True), (15, True)])
def test_three_generations_running_are_a_doubt(run, doubted):
    step = ask(replace(HEAD, late_run=run), shown=PREVIOUS, seconds=60)
    assert doubted is (Doubt.LINGERING in step.doubts)
    assert step.head.late, "the note stays, whatever is judged"


def test_a_run_goes_on_from_late_generation_to_late_generation_and_ends_with_a_timely_one():
    assert [0, 1, 8, LONGEST_RUN] == [
        run_after(replace(HEAD, late=late, late_run=run))
        for late, run in ((False, 7), (True, 0), (True, 7), (True, LONGEST_RUN))
    ]
    head = replace(HEAD, seen=True)
    for run in (1, 2, 3):
        head = replace(head, late=True)
        head = replace(ask(head, replace(CURRENT, gen=head.gen, jti=head.refresh_jti), seconds=1000).head, seen=True, mark=0)
        head = replace(head, access_issued=T0, refresh_issued=T0)
        assert (False, run) == (head.late, head.late_run)


def test_a_pass_ends_the_run_and_lets_in():
    head = replace(HEAD, late_run=2)
    step = ask(head, PREVIOUS, replace(AT_HOME, passed=True), seconds=60)
    assert (Outcome.REDELIVER, False, 0) == (step.outcome, step.head.late, step.head.late_run)


def test_a_pass_for_another_doubt_leaves_the_run_as_it_is():
    step = ask(replace(HEAD, late_run=1), PREVIOUS, replace(AT_HOME, network=CAFE, passed=True), seconds=60)
    assert (True, 1) == (step.head.late, step.head.late_run)


@pytest.mark.parametrize(
    ("now_ms", "left"), [(T0 * 1000, 0), (T0 * 1000 + 1, 1), (T0 * 1000 + 99_000, 99), (2**47, LONGEST_LEFT), (0, 0)]
)
def test_when_a_cookie_left_is_kept_in_seconds_rounded_up_within_two_bytes(now_ms, left):
    assert left == leaving_now(HEAD, now_ms).left
    assert (T0 + left) * 1000 == left_at_ms(leaving_now(HEAD, now_ms))


# --- Why a session ended

FITS = replace(HEAD, seen=True, mark=T0 * 1000 + 2000)


@pytest.mark.parametrize(
    ("head", "visit", "previous", "expected"),
    [
        (FITS, AT_HOME, True, Code.ROLLED_BACK_CLIENT),
        (FITS, replace(AT_HOME, held=5), True, Code.COOKIE_NOT_STORED),
        (FITS, replace(AT_HOME, held=4), True, Code.ROLLED_BACK_CLIENT),
        (replace(FITS, mark=T0 * 1000 + 32_000), AT_HOME, True, Code.REUSE_DETECTED),
        (replace(FITS, mark=T0 * 1000 + 32_000), replace(AT_HOME, held=5), True, Code.COOKIE_NOT_STORED),
        (FITS, AT_HOME, False, Code.REUSE_DETECTED),
        (FITS, replace(AT_HOME, network=CAFE), True, Code.REUSE_DETECTED),
        (FITS, replace(AT_HOME, device=PHONE), True, Code.REUSE_DETECTED),
        (FITS, replace(AT_HOME, device=PHONE, held=5), True, Code.REUSE_DETECTED),
        (FITS, ANYONE, True, Code.REUSE_DETECTED),
    ],
)
def test_a_reuse_is_an_accident_only_where_age_network_and_device_fit(head, visit, previous, expected):
    assert expected is why_reused(head, visit, previous=previous)


# --- Whatever the visit

VISITS = st.builds(
    Visit,
    network=st.sampled_from([HOME, CAFE]),
    device=st.sampled_from([LAPTOP, PHONE, UNSTATED]),
    passed=st.booleans(),
)
HEADS = st.builds(
    lambda seen, late, run, device: replace(HEAD, seen=seen, late=late, late_run=run, device=device),
    st.booleans(),
    st.booleans(),
    st.integers(0, LONGEST_RUN),
    st.sampled_from([LAPTOP, PHONE, bytes(4)]),
)
SHOWN = st.sampled_from([CURRENT, PREVIOUS, replace(CURRENT, jti=b"t" * 16), replace(CURRENT, gen=6)])


@given(HEADS, SHOWN, VISITS, st.booleans(), st.sampled_from(Caller), st.floats(0, 2000))
@settings(deadline=None, database=None, max_examples=300)
def test_a_doubt_changes_nothing_but_its_note_and_a_pass_is_never_doubted(head, shown, visit, device, caller, seconds):
    step = ask(head, shown, visit, replace(WATCH, device=device), seconds=seconds, caller=caller)
    if step.outcome is Outcome.JUDGE:
        assert not visit.passed
        assert replace(head, late=step.head.late) == step.head
        assert (NOTHING, True) == (step.handout, bool(step.doubts))
    unwatched = ask(head, shown, ANYONE, UNWATCHED, seconds=seconds, caller=caller)
    assert (Outcome.JUDGE, frozenset()) != (unwatched.outcome, unwatched.doubts)
    assert remember(head, ANYONE, frozenset()) == head


@given(HEADS, VISITS)
@settings(deadline=None, database=None)
def test_without_a_watch_only_redeliveries_are_doubted(head, visit):
    assert frozenset() == doubts(head, visit, UNWATCHED, superseded=True, redelivery=False)
