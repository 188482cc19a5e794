"""What makes an accepted cookie odd, what a doubt leaves alone, and what a visit that passes leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.devices import DeviceHeaders, fingerprint
from asgi_tokenguard.core.doubts import (
    ANYONE,
    UNWATCHED,
    Doubt,
    Visit,
    Watch,
    doubts,
    leaving_now,
    left_at_ms,
    note_late,
    remember,
    run_after,
    why_reused,
)
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.records import LONGEST_LEFT, LONGEST_RUN, Head
from asgi_tokenguard.core.rotation import NOTHING, NewIds, Outcome, Shown, Step, handout, look, present, renew

LIFETIMES = Lifetimes(access=900, grace=30)
T0 = 1_700_000_000  # the last rotation, in seconds
NEW = NewIds(access=b"A" * 16, refresh=b"R" * 16)
NOBODY = bytes(4)
WIFI, PHONE, CABLE, OFFICE, CAFE = b"wifi", b"phon", b"cabl", b"offi", b"cafe"
# Three bytes of a User-Agent and one of a platform, which Chromium leaves out now and then.
LAPTOP, LAPTOP_WITHOUT_PLATFORM, TABLET = b"lap\x07", b"lap\x00", b"tab\x07"
HEAD = Head(
    gen=5,
    access_jti=b"a" * 16,
    refresh_jti=b"r" * 16,
    access_issued=T0,
    refresh_issued=T0,
    seen=False,
    mark=T0 * 1000,
    absolute=T0 + 10_000_000,
    auth_time=T0 - 5_000,
    device=LAPTOP,
    networks=WIFI + PHONE + bytes(8),
)
SEEN = replace(HEAD, seen=True)
OWNER = Visit(network=WIFI, device=LAPTOP)
ELSEWHERE = Visit(network=CAFE, device=LAPTOP)
TABLET_AT_HOME = Visit(network=WIFI, device=TABLET)
STRANGER = Visit(network=CAFE, device=TABLET)
NETWORK, DEVICE, LINGERING = Doubt
NETWORKS_ONLY, DEVICES, LINGERERS = Watch(network=True), Watch(device=True), Watch(linger_generations=3)
ALL = Watch(network=True, device=True, linger_generations=3)

SHOWN_HEAD = Shown(gen=5, jti=b"r" * 16, issued=T0)
SHOWN_TWIN = Shown(gen=5, jti=b"o" * 16, issued=T0)
SHOWN_PREVIOUS = Shown(gen=4, jti=b"o" * 16, issued=T0 - 900)
SHOWN_OLDER = Shown(gen=3, jti=b"o" * 16, issued=T0 - 1_800)
SHOWN_AHEAD = Shown(gen=6, jti=b"o" * 16, issued=T0)


def shows(
    head: Head, shown: Shown, visit: Visit, watch: Watch, *, after: float = 1_000, caller: Caller = Caller.SCRIPT
) -> Step:
    """Present *shown* some seconds *after* the last rotation."""
    now_ms = T0 * 1000 + round(after * 1000)
    return present(head, shown, now_ms=now_ms, lifetimes=LIFETIMES, caller=caller, new=NEW, visit=visit, watch=watch)


def judged(head: Head, shown: Shown, visit: Visit, watch: Watch, **more) -> frozenset[Doubt]:
    """What is to be judged; nothing where the visit is served."""
    step = shows(head, shown, visit, watch, **more)
    assert (step.outcome is Outcome.JUDGE) == bool(step.doubts)
    return step.doubts


# --- Networks


@pytest.mark.parametrize(
    "shown", [SHOWN_HEAD, SHOWN_PREVIOUS, SHOWN_TWIN, SHOWN_AHEAD], ids=["head", "previous", "twin", "ahead"]
)
@pytest.mark.parametrize("caller", Caller)
def test_every_acceptance_from_an_unknown_network_is_doubted(shown, caller):
    """Also of a caller that can be handed nothing: an image's request would be served as well."""
    assert {NETWORK} == judged(HEAD, shown, ELSEWHERE, NETWORKS_ONLY, caller=caller)
    assert not judged(HEAD, shown, OWNER, NETWORKS_ONLY, caller=caller)
    assert not judged(HEAD, shown, replace(OWNER, network=PHONE), NETWORKS_ONLY, caller=caller)


@pytest.mark.parametrize(
    ("head", "shown", "after"), [(HEAD, SHOWN_HEAD, 1), (SEEN, SHOWN_PREVIOUS, 1)], ids=["repeat", "straggler"]
)
def test_what_hands_nothing_new_out_is_doubted_as_well(head, shown, after):
    assert {NETWORK} == judged(head, shown, ELSEWHERE, NETWORKS_ONLY, after=after)


@pytest.mark.parametrize("watch", [UNWATCHED, DEVICES, LINGERERS])
def test_without_a_locator_no_network_is_doubted(watch):
    assert not judged(HEAD, SHOWN_HEAD, ELSEWHERE, watch)


@pytest.mark.parametrize(
    ("shown", "outcome", "head"),
    [(SHOWN_PREVIOUS, Outcome.REUSE, None), (SHOWN_OLDER, Outcome.REUSE, None), (SHOWN_TWIN, Outcome.REFUSE, SEEN)],
    ids=["previous", "older", "twin"],
)
def test_what_is_not_accepted_is_not_judged(shown, outcome, head):
    """A thief's network saves nobody from the end of the session, and costs no look-up of a place."""
    assert (outcome, head, NOTHING, frozenset()) == shows(SEEN, shown, STRANGER, ALL)[1:]


def visited(*networks: bytes) -> Head:
    """A head after visits that passed, one from each of *networks*."""
    head = replace(HEAD, networks=bytes(16))
    for network in networks:
        head = remember(head, Visit(network=network, device=LAPTOP, passed=True), frozenset())
    return head


def test_the_last_four_networks_that_passed_are_known():
    assert CABLE + OFFICE + PHONE + WIFI == visited(WIFI, PHONE, OFFICE, CABLE).networks
    assert CAFE + CABLE + OFFICE + PHONE == visited(WIFI, PHONE, OFFICE, CABLE, CAFE).networks


def test_a_network_that_is_used_again_is_forgotten_last():
    """A phone changes between two networks all day, on top of whatever else it passes."""
    assert CAFE + WIFI + CABLE + OFFICE == visited(WIFI, PHONE, OFFICE, CABLE, WIFI, CAFE).networks


def test_a_network_is_named_once():
    assert WIFI + PHONE + bytes(8) == visited(WIFI, PHONE, WIFI, PHONE, WIFI).networks


@given(st.lists(st.sampled_from([WIFI, PHONE, CABLE, OFFICE, CAFE, b"ship", b"trai"]), max_size=30))
@settings(deadline=None, database=None)
def test_of_any_visits_the_last_four_different_networks_are_known_latest_first(networks):
    latest_first = list(dict.fromkeys(reversed(networks)))[:4]
    assert b"".join(latest_first).ljust(16, b"\0") == visited(*networks).networks


# --- Devices


@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("shown", [SHOWN_PREVIOUS, SHOWN_TWIN], ids=["previous", "twin"])
def test_a_redelivery_to_another_device_is_doubted_where_something_is_handed_out(shown, caller):
    """Safari's media requests have a User-Agent of their own, and receive nothing."""
    expected = {DEVICE} if caller.takes_cookie else set()
    assert expected == judged(HEAD, shown, TABLET_AT_HOME, UNWATCHED, caller=caller)
    assert not judged(HEAD, shown, OWNER, UNWATCHED, caller=caller)


@pytest.mark.parametrize(
    ("head", "shown", "after"),
    [(HEAD, SHOWN_HEAD, 1_000), (HEAD, SHOWN_HEAD, 1), (SEEN, SHOWN_PREVIOUS, 1), (HEAD, SHOWN_AHEAD, 1)],
    ids=["rotate", "repeat", "straggler", "adopt"],
)
@pytest.mark.parametrize("caller", Caller)
def test_other_presentations_doubt_devices_only_where_a_rule_wants_it(head, shown, after, caller):
    """A browser's update changes its strings: each user would be asked every few weeks."""
    assert not judged(head, shown, TABLET_AT_HOME, NETWORKS_ONLY, after=after, caller=caller)
    assert {DEVICE} == judged(head, shown, TABLET_AT_HOME, DEVICES, after=after, caller=caller)
    assert not judged(head, shown, OWNER, DEVICES, after=after, caller=caller)


@pytest.mark.parametrize("watch", [UNWATCHED, DEVICES])
def test_a_platform_that_is_left_out_contradicts_none(watch):
    plain = replace(OWNER, device=LAPTOP_WITHOUT_PLATFORM)
    assert not judged(HEAD, SHOWN_PREVIOUS, plain, watch)
    assert not judged(replace(HEAD, device=LAPTOP_WITHOUT_PLATFORM), SHOWN_PREVIOUS, OWNER, watch)
    assert {DEVICE} == judged(HEAD, SHOWN_PREVIOUS, replace(OWNER, device=b"lap\x08"), watch)


@pytest.mark.parametrize("watch", [UNWATCHED, DEVICES])
def test_a_session_that_has_no_device_yet_knows_no_other(watch):
    """A job has started it; its first browser is its device."""
    head = replace(HEAD, device=NOBODY)
    assert not judged(head, SHOWN_PREVIOUS, TABLET_AT_HOME, watch)
    assert TABLET == shows(head, SHOWN_HEAD, TABLET_AT_HOME, watch).head.device


def test_a_visitor_without_headers_is_another_device():
    """Else a thief would leave them out."""
    bare = fingerprint(DeviceHeaders())
    assert {DEVICE} == judged(HEAD, SHOWN_PREVIOUS, replace(OWNER, device=bare), UNWATCHED)


def test_a_job_has_no_device_and_leaves_the_sessions_own():
    job = replace(OWNER, device=NOBODY)
    assert not judged(HEAD, SHOWN_PREVIOUS, job, UNWATCHED)
    assert LAPTOP == shows(HEAD, SHOWN_HEAD, replace(job, passed=True), UNWATCHED).head.device


# --- Lingering: the predecessor comes back late, generation after generation


def test_when_the_cookie_of_a_head_left():
    assert T0 * 1000 == left_at_ms(HEAD)
    assert (T0 + 40) * 1000 == left_at_ms(replace(HEAD, left=40))


@pytest.mark.parametrize(
    ("after_ms", "left"),
    [
        (-5_000, 0),
        (0, 0),
        (1, 1),
        (999, 1),
        (1_000, 1),
        (1_001, 2),
        (65_535_000, 65_535),
        (65_535_001, 65_535),
        (10**9, 65_535),
    ],
)
def test_when_a_cookie_leaves_is_kept_in_seconds_rounded_up(after_ms, left):
    """An early mark would call honest browsers late.  What does not fit two bytes is kept as the longest."""
    assert replace(HEAD, left=left) == leaving_now(replace(HEAD, left=7), T0 * 1000 + after_ms)
    assert 65_535 == LONGEST_LEFT


@given(st.integers(0, 65_535_000))
def test_a_cookie_is_never_said_to_have_left_before_it_did(after_ms):
    said = left_at_ms(leaving_now(HEAD, T0 * 1000 + after_ms)) - T0 * 1000
    assert after_ms <= said < after_ms + 1_000


@pytest.mark.parametrize("left", [0, 40])
def test_a_predecessor_is_late_that_comes_back_more_than_five_seconds_after(left):
    head = replace(HEAD, left=left)
    on_time = (T0 + left + 5) * 1000
    assert head == note_late(head, on_time, LINGERERS)
    assert replace(head, late=True) == note_late(head, on_time + 1, LINGERERS)
    assert head == note_late(head, on_time + 1, replace(LINGERERS, linger_after_ms=5_001))


def test_once_late_stays_late():
    head = replace(HEAD, late=True)
    assert head == note_late(head, T0 * 1000, LINGERERS)


def test_where_lingering_is_off_nobody_is_late():
    assert HEAD == note_late(HEAD, (T0 + 9_999) * 1000, UNWATCHED)


def test_only_the_predecessor_can_be_late():
    for shown in (SHOWN_HEAD, SHOWN_TWIN, SHOWN_AHEAD):
        assert not shows(HEAD, shown, OWNER, LINGERERS).head.late
    assert shows(HEAD, SHOWN_PREVIOUS, OWNER, LINGERERS).head.late


@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("head", [HEAD, replace(SEEN, mark=(T0 + 9) * 1000)], ids=["redeliver", "straggler"])
def test_a_late_predecessor_is_noted_whoever_asks(head, caller):
    step = shows(head, SHOWN_PREVIOUS, OWNER, LINGERERS, after=10, caller=caller)
    assert step.outcome in {Outcome.REDELIVER, Outcome.STRAGGLER}
    assert step.head.late


@pytest.mark.parametrize(
    ("late", "run", "after"),
    [(False, 0, 0), (False, 2, 0), (True, 0, 1), (True, 2, 3), (True, 14, 15), (True, 15, 15)],
)
def test_a_rotation_counts_the_generations_running(late, run, after):
    head = replace(HEAD, late=late, late_run=run)
    assert after == run_after(head)
    rotated = shows(head, SHOWN_HEAD, OWNER, LINGERERS).head
    assert (6, False, after) == (rotated.gen, rotated.late, rotated.late_run)
    assert 15 == LONGEST_RUN


@pytest.mark.parametrize("generations", [1, 2, 3, 15])
def test_a_poller_is_doubted_in_the_nth_generation_running(generations):
    """He presents each superseded cookie late; the owner rotates in between."""
    watch, head = Watch(linger_generations=generations), HEAD
    for generation in range(1, generations + 1):
        late = Shown(gen=head.gen - 1, jti=b"o" * 16, issued=T0)
        now_ms = (head.refresh_issued + head.left) * 1000 + 5_001
        step = present(head, late, now_ms=now_ms, lifetimes=LIFETIMES, caller=Caller.SCRIPT, new=NEW, visit=OWNER, watch=watch)
        assert (generation == generations) == (LINGERING in step.doubts)
        again = replace(late, gen=step.head.gen, jti=step.head.refresh_jti)
        later = (step.head.access_issued + 1_000) * 1000
        head = present(
            step.head, again, now_ms=later, lifetimes=LIFETIMES, caller=Caller.SCRIPT, new=NEW, visit=OWNER, watch=watch
        ).head


def test_one_generation_on_time_ends_the_run():
    head = replace(HEAD, late_run=2)
    assert not judged(head, SHOWN_PREVIOUS, OWNER, LINGERERS, after=4)
    assert 0 == shows(head, SHOWN_HEAD, OWNER, LINGERERS).head.late_run


def test_the_newest_cookie_never_lingers():
    """The owner, whose cookie it is, goes on while the poller is asked."""
    head = replace(HEAD, late=True, late_run=9)
    assert not judged(head, SHOWN_HEAD, OWNER, LINGERERS)
    assert {LINGERING} == judged(head, SHOWN_PREVIOUS, OWNER, LINGERERS, after=1)


@pytest.mark.parametrize("late", [False, True])
def test_zero_generations_turn_it_off_also_for_a_record_of_an_earlier_policy(late):
    assert not judged(replace(HEAD, late=late, late_run=15), SHOWN_PREVIOUS, OWNER, UNWATCHED)


def test_a_pass_lets_the_run_begin_again():
    head = replace(HEAD, late=True, late_run=2)
    step = shows(head, SHOWN_PREVIOUS, replace(OWNER, passed=True), LINGERERS, after=10)
    assert (Outcome.REDELIVER, {LINGERING}) == (step.outcome, step.doubts)
    assert (False, 0) == (step.head.late, step.head.late_run)


def test_a_pass_for_another_reason_leaves_the_run_alone():
    """A poller whose network was judged near is a poller all the same."""
    step = shows(replace(HEAD, late_run=1), SHOWN_PREVIOUS, replace(ELSEWHERE, passed=True), ALL, after=10)
    assert ({NETWORK}, True, 1) == (step.doubts, step.head.late, step.head.late_run)


def test_only_a_pass_ends_a_run():
    lingers = replace(HEAD, late=True, late_run=2)
    assert lingers.late_run == remember(lingers, OWNER, frozenset({LINGERING})).late_run
    assert 0 == remember(lingers, replace(OWNER, passed=True), frozenset({LINGERING})).late_run


def test_a_generation_that_the_store_lost_has_had_no_late_predecessor():
    adopted = shows(replace(HEAD, late=True, left=7), SHOWN_AHEAD, OWNER, LINGERERS, after=9.5).head
    assert (6, False, 10) == (adopted.gen, adopted.late, adopted.left)


def test_whoever_proves_who_they_are_lingers_no_more():
    for head in (replace(HEAD, late=True, late_run=9), replace(SEEN, late=True, late_run=9)):
        renewed, _ = renew(head, now_ms=(T0 + 1_000) * 1000, lifetimes=LIFETIMES, new=NEW)
        assert (False, 0) == (renewed.late, renewed.late_run)


def test_a_rotation_says_when_its_own_cookie_leaves():
    assert 1 == shows(replace(HEAD, left=40), SHOWN_HEAD, OWNER, LINGERERS, after=1_000.25).head.left


def test_a_cookie_that_waited_for_a_slow_handler_leaves_when_it_leaves():
    """`left` follows the first sending, and no later one (I15)."""
    rotated = shows(HEAD, SHOWN_HEAD, OWNER, LINGERERS).head
    both = handout(Outcome.ROTATE, Caller.SCRIPT)
    ids = {"gen": rotated.gen, "refresh_jti": rotated.refresh_jti}
    slow, _ = look(rotated, both, **ids, now_ms=rotated.mark + 40_000)
    assert (0, 40) == (rotated.left, slow.left)
    again, _ = look(slow, both, **ids, now_ms=rotated.mark + 90_000)
    assert (40, rotated.mark + 90_000) == (again.left, again.mark)


# --- A doubt asks, and changes nothing; a pass is remembered


def test_every_doubt_is_told():
    head = replace(HEAD, late_run=2)
    assert {NETWORK, DEVICE, LINGERING} == judged(head, SHOWN_PREVIOUS, STRANGER, ALL)


def test_what_is_doubted_changes_nothing_but_the_late_flag():
    step = shows(HEAD, SHOWN_PREVIOUS, STRANGER, ALL)
    assert (Outcome.JUDGE, replace(HEAD, late=True), NOTHING) == (step.outcome, step.head, step.handout)
    assert HEAD == shows(HEAD, SHOWN_HEAD, STRANGER, ALL).head


@pytest.mark.parametrize(
    "shown", [SHOWN_HEAD, SHOWN_PREVIOUS, SHOWN_TWIN, SHOWN_AHEAD], ids=["head", "previous", "twin", "ahead"]
)
@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("after", [1, 1_000])
def test_a_pass_goes_on_as_if_nobody_watched_and_is_remembered(shown, caller, after):
    passed = replace(STRANGER, passed=True)
    step, plain = (shows(HEAD, shown, passed, watch, after=after, caller=caller) for watch in (NETWORKS_ONLY, UNWATCHED))
    assert (plain.outcome, plain.handout) == (step.outcome, step.handout)
    # An image's request may have strings of its own; the session's device is the one that holds its cookie.
    device = TABLET if caller.takes_cookie else LAPTOP
    assert replace(plain.head, networks=CAFE + WIFI + PHONE + NOBODY, device=device) == step.head
    assert NETWORK in step.doubts
    settled = replace(SHOWN_HEAD, gen=step.head.gen, jti=step.head.refresh_jti)
    assert not judged(step.head, settled, replace(STRANGER, device=device), ALL)


@pytest.mark.parametrize("caller", Caller)
def test_a_rotation_remembers_where_it_went(caller):
    """Without a locator there is nothing to pass; a locator that is added later finds networks to start from."""
    after = shows(HEAD, SHOWN_HEAD, STRANGER, UNWATCHED, caller=caller).head
    expected = (CAFE + WIFI + PHONE + NOBODY, TABLET) if caller.takes_cookie else (HEAD.networks, HEAD.device)
    assert expected == (after.networks, after.device)


@pytest.mark.parametrize(
    ("head", "shown", "after"),
    [(HEAD, SHOWN_HEAD, 1), (SEEN, SHOWN_PREVIOUS, 1), (HEAD, SHOWN_AHEAD, 1)],
    ids=["repeat", "straggler", "adopt"],
)
def test_nothing_else_is_remembered_without_a_pass(head, shown, after):
    step = shows(head, shown, STRANGER, UNWATCHED, after=after)
    assert (head.networks, head.device) == (step.head.networks, step.head.device)


def test_a_job_leaves_no_trace():
    """It has neither network nor device, and would push a known one out."""
    for shown in (SHOWN_HEAD, SHOWN_PREVIOUS):
        step = shows(replace(HEAD, late=True, late_run=9), shown, ANYONE, ALL)
        assert step.outcome in {Outcome.ROTATE, Outcome.REDELIVER}
        assert (HEAD.networks, HEAD.device) == (step.head.networks, step.head.device)


# --- What a reuse is called

CRASHED = replace(SEEN, mark=(T0 + 20) * 1000)


def test_a_browser_that_has_the_access_token_and_not_the_cookie_stored_no_cookie():
    holds_it = replace(OWNER, held=5)
    assert Code.COOKIE_NOT_STORED is why_reused(SEEN, holds_it, previous=True)
    assert Code.COOKIE_NOT_STORED is why_reused(replace(SEEN, mark=SEEN.mark + 10**9), holds_it, previous=True)


@pytest.mark.parametrize("held", [None, 4, 6])
def test_an_access_token_of_another_generation_tells_nothing(held):
    assert Code.ROLLED_BACK_CLIENT is why_reused(CRASHED, replace(OWNER, held=held), previous=True)


@pytest.mark.parametrize(
    ("ms_between", "left", "reason"),
    [
        (0, 0, Code.ROLLED_BACK_CLIENT),
        (30_000, 0, Code.ROLLED_BACK_CLIENT),
        (30_001, 0, Code.REUSE_DETECTED),
        (70_000, 40, Code.ROLLED_BACK_CLIENT),
        (70_001, 40, Code.REUSE_DETECTED),
        (10_000, 40, Code.ROLLED_BACK_CLIENT),  # seen by its access token while its cookie still waited to leave
        (9_999, 40, Code.REUSE_DETECTED),
    ],
)
def test_a_browser_that_crashed_lost_a_cookie_that_was_seen_within_thirty_seconds(ms_between, left, reason):
    """Cookies are written to disk every thirty seconds: who lost the successor had it for less than that."""
    assert reason is why_reused(replace(SEEN, left=left, mark=T0 * 1000 + ms_between), OWNER, previous=True)


@pytest.mark.parametrize("held", [None, 5])
@pytest.mark.parametrize(
    ("visit", "previous"),
    [(OWNER, False), (ELSEWHERE, True), (TABLET_AT_HOME, True), (STRANGER, True), (ANYONE, True)],
    ids=["an older one", "elsewhere", "another device", "a stranger", "a job"],
)
def test_what_does_not_fit_is_called_a_reuse(visit, previous, held):
    visit = visit if visit is ANYONE else replace(visit, held=held)
    assert Code.REUSE_DETECTED is why_reused(CRASHED, visit, previous=previous)


def test_a_job_is_no_browser_that_had_an_accident():
    """It has no network either, like a session that knows fewer than four."""
    assert CRASHED.knows(ANYONE.network)
    assert Code.REUSE_DETECTED is why_reused(replace(CRASHED, device=NOBODY), ANYONE, previous=True)


def test_a_session_without_a_device_fits_every_device():
    assert Code.ROLLED_BACK_CLIENT is why_reused(replace(CRASHED, device=NOBODY), TABLET_AT_HOME, previous=True)


# --- What holds whatever comes

NAMES = st.sampled_from([NOBODY, WIFI, PHONE, CABLE, CAFE])
MARKS = st.integers((T0 - 60) * 1000, (T0 + 60) * 1000)
HEADS = st.builds(
    replace,
    st.just(HEAD),
    gen=st.integers(0, 7),
    access_issued=st.integers(T0 - 2_000, T0),
    seen=st.booleans(),
    mark=MARKS,
    left=st.integers(0, 60),
    late=st.booleans(),
    late_run=st.integers(0, LONGEST_RUN),
    device=st.sampled_from([NOBODY, LAPTOP, LAPTOP_WITHOUT_PLATFORM, TABLET]),
    networks=st.lists(NAMES, min_size=4, max_size=4).map(b"".join),
)
PRESENTATIONS = st.tuples(
    HEADS, st.builds(Shown, gen=st.integers(0, 9), jti=st.sampled_from([b"r" * 16, b"o" * 16]), issued=st.just(T0))
)
VISITS = st.just(ANYONE) | st.builds(
    Visit,
    network=NAMES,
    device=st.sampled_from([NOBODY, LAPTOP, LAPTOP_WITHOUT_PLATFORM, TABLET]),
    held=st.none() | st.integers(0, 9),
    passed=st.booleans(),
)
WATCHES = st.builds(
    Watch,
    network=st.booleans(),
    device=st.booleans(),
    linger_after_ms=st.sampled_from([1, 5_000, 60_000]),
    linger_generations=st.integers(0, 15),
)
CIRCUMSTANCES = st.fixed_dictionaries({"caller": st.sampled_from(Caller), "after": st.integers(0, 3_600)})
thorough = settings(deadline=None, database=None, max_examples=400)


@given(PRESENTATIONS, VISITS, WATCHES, CIRCUMSTANCES)
@thorough
def test_a_judgement_leaves_the_head_as_it_was(presented, visit, watch, circumstances):
    """Neither generation nor ids nor sight nor mark: the owner beside the one who is asked notices nothing."""
    head, step = presented[0], shows(*presented, visit, watch, **circumstances)
    if step.outcome is Outcome.JUDGE:
        assert replace(step.head, late=head.late) == head
        assert step.head.late >= head.late
        assert step.doubts
        assert step.handout == NOTHING


@given(PRESENTATIONS, VISITS, WATCHES, CIRCUMSTANCES)
@thorough
def test_who_has_passed_is_not_judged_again(presented, visit, watch, circumstances):
    passed = visit if visit is ANYONE else replace(visit, passed=True)
    step = shows(*presented, passed, watch, **circumstances)
    assert step.outcome is not Outcome.JUDGE
    plain = shows(*presented, visit, UNWATCHED, **circumstances)
    assert plain.outcome in {step.outcome, Outcome.JUDGE}


@given(PRESENTATIONS, VISITS, CIRCUMSTANCES)
@thorough
def test_without_a_watch_only_a_redelivery_to_another_device_is_doubted(presented, visit, circumstances):
    step = shows(*presented, visit, UNWATCHED, **circumstances)
    assert step.doubts <= {DEVICE}
    head = presented[0]
    same = visit if visit is ANYONE else replace(visit, device=head.device)
    assert not shows(*presented, same, UNWATCHED, **circumstances).doubts - ({DEVICE} if same is ANYONE else set())
    if step.head is not None:
        assert step.head.late <= head.late


@given(HEADS, VISITS, WATCHES, st.booleans(), st.booleans())
@thorough
def test_a_stricter_watch_doubts_no_less(head, visit, watch, superseded, redelivery):
    case = {"superseded": superseded, "redelivery": redelivery}
    found = doubts(head, visit, watch, **case)
    assert doubts(head, visit, UNWATCHED, **case) <= found
    assert found <= doubts(head, visit, replace(watch, network=True, device=True), **case)
    assert (NETWORK in found) <= watch.network
    assert (LINGERING in found) <= (superseded and watch.linger_generations > 0)
