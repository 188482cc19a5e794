"""The rotation table: the design's rows as they stand there, and what each outcome does for each caller."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.records import Head
from asgi_tokenguard.core.rotation import (
    NOTHING,
    ROWS,
    TABLE,
    Condition,
    Handout,
    NewIds,
    Outcome,
    Presented,
    Row,
    Shown,
    condition,
    expand,
    handout,
    locate,
    look,
    present,
    renew,
    replace_access,
    see,
)

LIFETIMES = Lifetimes(access=900, grace=30)
T0 = 1_700_000_000  # the last rotation, in seconds
OLD_ACCESS, REFRESH, NEW_ACCESS, NEW_REFRESH, OTHER_JTI = b"a" * 16, b"r" * 16, b"A" * 16, b"R" * 16, b"o" * 16
NEW = NewIds(access=NEW_ACCESS, refresh=NEW_REFRESH)
UNSEEN = Head(
    gen=5,
    access_jti=OLD_ACCESS,
    refresh_jti=REFRESH,
    access_issued=T0,
    refresh_issued=T0,
    seen=False,
    mark=T0 * 1000,
    absolute=T0 + 10_000_000,
    auth_time=T0 - 5_000,
)
SEEN = replace(UNSEEN, seen=True)
LOGIN = replace(UNSEEN, gen=0)
SHOWN = {
    Presented.HEAD: Shown(gen=5, jti=REFRESH, issued=T0),
    Presented.TWIN: Shown(gen=5, jti=OTHER_JTI, issued=T0 + 3),
    Presented.PREVIOUS: Shown(gen=4, jti=OTHER_JTI, issued=T0 - 900),
    Presented.OLDER: Shown(gen=3, jti=OTHER_JTI, issued=T0 - 1_800),
    Presented.AHEAD: Shown(gen=6, jti=OTHER_JTI, issued=T0 + 2),
}

# Seen: the head has come back once.  Settled: the grace has passed since its mark.  Over: its access token has expired.
DESIGN = """
seen settled over  head    twin       previous   older  ahead
 no   no      no   repeat  redeliver  redeliver  reuse  adopt
 no   no      yes  repeat  redeliver  redeliver  reuse  adopt
 no   yes     no   repeat  redeliver  redeliver  reuse  adopt
 no   yes     yes  rotate  redeliver  redeliver  reuse  adopt
 yes  no      no   repeat  refuse     straggler  reuse  adopt
 yes  no      yes  repeat  refuse     straggler  reuse  adopt
 yes  yes     no   repeat  refuse     reuse      reuse  adopt
 yes  yes     yes  rotate  refuse     reuse      reuse  adopt
"""
NAMES, *LINES = [line.split() for line in DESIGN.strip().splitlines()]
CELLS = [
    (Presented(name), Condition(*(word == "yes" for word in line[:3])), Outcome(cell))
    for line in LINES
    for name, cell in zip(NAMES[3:], line[3:], strict=True)
]


@pytest.mark.parametrize(("presented", "state", "outcome"), CELLS)
def test_the_rotation_table(presented, state, outcome):
    assert outcome is TABLE[presented, state]


def test_the_rotation_table_is_the_full_product():
    assert 40 == len(CELLS)
    assert {(presented, state) for presented, state, _ in CELLS} == set(TABLE)


def head_of(state: Condition) -> tuple[Head, int]:
    """A head in *state*, and the moment (ms) at which it is."""
    now = T0 + 1_000  # the access token may be over (900 s) or replaced since
    issued = T0 if state.over else now - 1
    grace = 30_000 if state.seen else 60_000  # one trip over the wire, or two
    mark = now * 1000 - grace if state.settled else now * 1000 - grace + 1
    return replace(UNSEEN, seen=state.seen, mark=mark, access_issued=issued), now * 1000


@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize(("presented", "state", "outcome"), CELLS)
def test_presenting_asks_the_table(presented, state, outcome, caller):
    """Whoever asks, the outcome is that of the row; only what it changes and hands out depends on the caller."""
    head, now_ms = head_of(state)
    step = present(head, SHOWN[presented], now_ms=now_ms, lifetimes=LIFETIMES, caller=caller, new=NEW)
    assert (presented, outcome) == (step.presented, step.outcome)
    assert handout(outcome, caller) == step.handout
    assert (outcome is Outcome.REUSE) == (step.head is None)


def test_another_table_may_be_asked():
    """How the explorer takes rules away."""
    lenient = {**TABLE, (Presented.OLDER, Condition(seen=True, settled=True, over=True)): Outcome.REFUSE}
    head, now_ms = head_of(Condition(seen=True, settled=True, over=True))
    step = present(
        head, SHOWN[Presented.OLDER], now_ms=now_ms, lifetimes=LIFETIMES, caller=Caller.SCRIPT, new=NEW, table=lenient
    )
    assert (Outcome.REFUSE, head, NOTHING) == step[1:4]


def test_rows_that_meet_are_no_table():
    with pytest.raises(ValueError, match="has 2 rows"):
        expand([*ROWS, Row(Presented.OLDER, Outcome.REFUSE, over=True)])


@pytest.mark.parametrize("missing", range(len(ROWS)))
def test_each_row_is_needed(missing):
    with pytest.raises(ValueError, match="has 0 rows"):
        expand(row for index, row in enumerate(ROWS) if index != missing)


# --- Where a token stands, and what the head is


@pytest.mark.parametrize("presented", Presented)
def test_p54_generations_are_told_apart_by_counter_and_jti(presented):
    assert presented is locate(UNSEEN, SHOWN[presented])


@pytest.mark.parametrize(
    ("head_gen", "gen", "jti", "expected"),
    [
        (0, 0, REFRESH, Presented.HEAD),
        (0, 0, OTHER_JTI, Presented.TWIN),
        (0, 1, REFRESH, Presented.AHEAD),
        (1, 0, REFRESH, Presented.PREVIOUS),
        (2, 0, REFRESH, Presented.OLDER),
        (2**32 - 1, 0, REFRESH, Presented.OLDER),
        (0, 2**32 - 1, REFRESH, Presented.AHEAD),
    ],
)
def test_the_place_of_a_token_is_a_difference(head_gen, gen, jti, expected):
    assert expected is locate(replace(UNSEEN, gen=head_gen), Shown(gen=gen, jti=jti, issued=T0))


@pytest.mark.parametrize(
    ("head", "now_ms", "expected"),
    [
        (UNSEEN, T0 * 1000, Condition(seen=False, settled=False, over=False)),
        (SEEN, T0 * 1000, Condition(seen=True, settled=False, over=False)),
        (UNSEEN, T0 * 1000 + 59_999, Condition(seen=False, settled=False, over=False)),
        (UNSEEN, T0 * 1000 + 60_000, Condition(seen=False, settled=True, over=False)),
        (SEEN, T0 * 1000 + 29_999, Condition(seen=True, settled=False, over=False)),
        (SEEN, T0 * 1000 + 30_000, Condition(seen=True, settled=True, over=False)),
        (UNSEEN, (T0 + 900) * 1000 - 1, Condition(seen=False, settled=True, over=False)),
        (UNSEEN, (T0 + 900) * 1000, Condition(seen=False, settled=True, over=True)),
        (LOGIN, T0 * 1000, Condition(seen=False, settled=True, over=False)),  # it has no predecessor
        (replace(LOGIN, seen=True), T0 * 1000, Condition(seen=True, settled=True, over=False)),
        (replace(SEEN, mark=(T0 + 900) * 1000), (T0 + 900) * 1000, Condition(seen=True, settled=False, over=True)),
    ],
)
def test_p48_the_head_settles_by_its_mark_and_is_over_by_its_access_token(head, now_ms, expected):
    assert expected == condition(head, now_ms, LIFETIMES)


# --- What is handed out

BOTH, COOKIE, TOKEN = (
    Handout(cookie=True, token=True),
    Handout(cookie=True, token=False),
    Handout(cookie=False, token=True),
)
HANDOUTS = {
    # outcome: to a script, to a document, to others
    Outcome.ROTATE: (BOTH, COOKIE, NOTHING),
    Outcome.REPEAT: (TOKEN, NOTHING, NOTHING),
    Outcome.REDELIVER: (BOTH, COOKIE, NOTHING),
    Outcome.STRAGGLER: (NOTHING, NOTHING, NOTHING),
    Outcome.ADOPT: (TOKEN, NOTHING, NOTHING),
    Outcome.REUSE: (NOTHING, NOTHING, NOTHING),
    Outcome.REFUSE: (NOTHING, NOTHING, NOTHING),
    Outcome.JUDGE: (NOTHING, NOTHING, NOTHING),
}


@pytest.mark.parametrize("outcome", Outcome)
def test_i12_each_caller_is_handed_what_it_can_receive(outcome):
    assert HANDOUTS[outcome] == tuple(handout(outcome, caller) for caller in (Caller.SCRIPT, Caller.DOCUMENT, Caller.OTHER))


# --- What each outcome changes in the record.  Nothing else may change: a row lists all that does.

NOW = T0 + 1_000
NOW_MS = NOW * 1000 + 250
FRESH = {"access_jti": NEW_ACCESS, "access_issued": NOW}
ROTATED = {"gen": 6, "refresh_jti": NEW_REFRESH, "refresh_issued": NOW, "seen": False, "mark": NOW_MS, "left": 1, **FRESH}
ADOPTED = {"gen": 6, "refresh_jti": OTHER_JTI, "refresh_issued": T0 + 2, "seen": True, "mark": NOW_MS, "left": 999, **FRESH}
FIRST_SIGHT, RESENT = {"seen": True, "mark": NOW_MS}, {"mark": NOW_MS}
GONE = None
RECENT = {"mark": NOW_MS - 29_999}  # not settled
LIVE = {"access_issued": NOW - 1}  # not over

EFFECTS = [
    # presented, the head, outcome: changes for a script, a document, others
    (Presented.HEAD, {}, Outcome.ROTATE, ROTATED, ROTATED, {}),
    (Presented.HEAD, {"seen": True}, Outcome.ROTATE, ROTATED, ROTATED, {}),
    (Presented.HEAD, LIVE, Outcome.REPEAT, FIRST_SIGHT, FIRST_SIGHT, FIRST_SIGHT),
    (Presented.HEAD, LIVE | {"seen": True}, Outcome.REPEAT, {}, {}, {}),
    (Presented.HEAD, RECENT, Outcome.REPEAT, FIRST_SIGHT | FRESH, FIRST_SIGHT, FIRST_SIGHT),
    (Presented.HEAD, RECENT | {"seen": True}, Outcome.REPEAT, FRESH, {}, {}),
    (Presented.HEAD, RECENT | LIVE, Outcome.REPEAT, FIRST_SIGHT, FIRST_SIGHT, FIRST_SIGHT),
    (Presented.PREVIOUS, {}, Outcome.REDELIVER, RESENT | FRESH, RESENT, {}),
    (Presented.PREVIOUS, LIVE, Outcome.REDELIVER, RESENT, RESENT, {}),
    (Presented.TWIN, {}, Outcome.REDELIVER, RESENT | FRESH, RESENT, {}),
    (Presented.TWIN, LIVE, Outcome.REDELIVER, RESENT, RESENT, {}),
    (Presented.PREVIOUS, RECENT | {"seen": True}, Outcome.STRAGGLER, {}, {}, {}),
    (Presented.PREVIOUS, {"seen": True}, Outcome.REUSE, GONE, GONE, GONE),
    (Presented.OLDER, {}, Outcome.REUSE, GONE, GONE, GONE),
    (Presented.OLDER, RECENT | LIVE, Outcome.REUSE, GONE, GONE, GONE),
    (Presented.TWIN, {"seen": True}, Outcome.REFUSE, {}, {}, {}),
    (Presented.AHEAD, {}, Outcome.ADOPT, ADOPTED, ADOPTED, {}),
    (Presented.AHEAD, LIVE | RECENT | {"seen": True}, Outcome.ADOPT, ADOPTED, ADOPTED, {}),
]


STEPS = [
    (presented, state, outcome, caller, change)
    for presented, state, outcome, *per_caller in EFFECTS
    for caller, change in zip((Caller.SCRIPT, Caller.DOCUMENT, Caller.OTHER), per_caller, strict=True)
]


@pytest.mark.parametrize(("presented", "state", "outcome", "caller", "change"), STEPS)
def test_each_outcome_changes_for_each_caller_what_it_says_and_nothing_else(presented, state, outcome, caller, change):
    head = replace(UNSEEN, **state)
    step = present(head, SHOWN[presented], now_ms=NOW_MS, lifetimes=LIFETIMES, caller=caller, new=NEW)
    assert outcome is step.outcome
    assert (GONE if change is GONE else replace(head, **change)) == step.head


def test_every_outcome_has_its_effects_listed():
    """A judgement changes nothing, whatever was to be; tests/core/test_doubts.py has it."""
    assert set(Outcome) - {Outcome.JUDGE} == {outcome for _, _, outcome, *_ in EFFECTS}


@pytest.mark.parametrize(("presented", "state", "outcome", "caller", "change"), STEPS)
def test_p10_nothing_moves_the_absolute_end(presented, state, outcome, caller, change):
    head = replace(UNSEEN, **state)
    after = present(head, SHOWN[presented], now_ms=NOW_MS, lifetimes=LIFETIMES, caller=caller, new=NEW).head
    assert after is None or (head.absolute, head.auth_time) == (after.absolute, after.auth_time)


def test_p3_a_redelivery_mints_no_sibling():
    """The refresh token stays the one successor; only an access token that is over is minted anew."""
    step = present(UNSEEN, SHOWN[Presented.PREVIOUS], now_ms=NOW_MS, lifetimes=LIFETIMES, caller=Caller.SCRIPT, new=NEW)
    assert (UNSEEN.gen, UNSEEN.refresh_jti, UNSEEN.refresh_issued) == (
        step.head.gen,
        step.head.refresh_jti,
        step.head.refresh_issued,
    )


# --- Seeing, looking again, renewing


def test_a_live_access_token_makes_its_generation_seen_once():
    after = see(UNSEEN, gen=5, access_jti=OLD_ACCESS, now_ms=NOW_MS)
    assert replace(UNSEEN, **FIRST_SIGHT) == after
    assert after == see(after, gen=5, access_jti=OLD_ACCESS, now_ms=NOW_MS + 5_000)  # the mark stays


@pytest.mark.parametrize(("gen", "jti"), [(4, OLD_ACCESS), (6, OLD_ACCESS), (5, OTHER_JTI), (5, REFRESH)])
def test_an_access_token_that_is_not_the_live_one_makes_nothing_seen(gen, jti):
    assert see(UNSEEN, gen=gen, access_jti=jti, now_ms=NOW_MS) is None


LEAVINGS = [BOTH, COOKIE, TOKEN, NOTHING]


@pytest.mark.parametrize("leaving", LEAVINGS)
@pytest.mark.parametrize("head", [None, replace(UNSEEN, gen=6), replace(UNSEEN, gen=4), replace(UNSEEN, refresh_jti=OTHER_JTI)])
def test_i15_where_the_head_has_moved_or_the_session_ended_nothing_leaves(head, leaving):
    assert (head, NOTHING) == look(head, leaving, gen=5, refresh_jti=REFRESH, now_ms=NOW_MS)


@pytest.mark.parametrize(("leaving", "expected"), [(BOTH, TOKEN), (COOKIE, NOTHING), (TOKEN, TOKEN), (NOTHING, NOTHING)])
def test_i15_of_a_seen_head_no_cookie_leaves(leaving, expected):
    assert (SEEN, expected) == look(SEEN, leaving, gen=5, refresh_jti=REFRESH, now_ms=NOW_MS)


@pytest.mark.parametrize("leaving", LEAVINGS)
def test_i15_a_cookie_that_leaves_sets_the_mark(leaving):
    after = replace(UNSEEN, **RESENT, left=1001) if leaving.cookie else UNSEEN
    assert (after, leaving) == look(UNSEEN, leaving, gen=5, refresh_jti=REFRESH, now_ms=NOW_MS)


def test_another_access_token_kills_the_old_one_and_touches_nothing_else():
    assert replace(SEEN, **FRESH) == replace_access(SEEN, now_ms=NOW_MS, access_jti=NEW_ACCESS)


@pytest.mark.parametrize(
    ("head", "rotates"),
    [
        (SEEN, True),
        (replace(SEEN, **LIVE), True),  # at once, whatever the access token has left
        (LOGIN, True),
        (replace(LOGIN, **RECENT), True),
        (replace(SEEN, **RECENT), False),
        (UNSEEN, False),
        (replace(UNSEEN, **RECENT), False),
    ],
)
def test_a_renewal_rotates_only_where_nobody_can_hold_the_predecessor(head, rotates):
    change = ROTATED | {"gen": head.gen + 1} if rotates else FRESH
    expected = replace(head, **change, auth_time=NOW), BOTH if rotates else TOKEN
    assert expected == renew(head, now_ms=NOW_MS, lifetimes=LIFETIMES, new=NEW)


# --- What holds on every way through the table

HEADS = st.builds(
    Head,
    gen=st.integers(0, 7),
    access_jti=st.just(OLD_ACCESS),
    refresh_jti=st.just(REFRESH),
    access_issued=st.integers(T0 - 2_000, T0),
    refresh_issued=st.just(T0),
    seen=st.booleans(),
    mark=st.integers((T0 - 60) * 1000, T0 * 1000),
    absolute=st.just(T0 + 10_000_000),
    auth_time=st.just(T0),
)
SHOWNS = st.builds(Shown, gen=st.integers(0, 9), jti=st.sampled_from([REFRESH, OTHER_JTI]), issued=st.just(T0))


@given(HEADS, SHOWNS, st.sampled_from(Caller), st.integers(0, 3_600_000))
@settings(deadline=None, database=None, max_examples=300)
def test_i7_a_second_presentation_never_rotates_again(head, shown, caller, later):
    """Whatever one request does, the same token a moment later gets the same successor, never a sibling."""
    now_ms = T0 * 1000 + later
    one = present(head, shown, now_ms=now_ms, lifetimes=LIFETIMES, caller=caller, new=NEW)
    if one.head is None or one.head == head:
        return
    again = present(
        one.head,
        shown,
        now_ms=now_ms + 1,
        lifetimes=LIFETIMES,
        caller=caller,
        new=NewIds(access=b"2" * 16, refresh=b"2" * 16),
    )
    assert again.outcome in {Outcome.REPEAT, Outcome.REDELIVER}
    assert (one.head.gen, one.head.refresh_jti, one.head.access_jti) == (
        again.head.gen,
        again.head.refresh_jti,
        again.head.access_jti,
    )


@given(HEADS, SHOWNS, st.sampled_from(Caller), st.integers(0, 3_600_000))
@settings(deadline=None, database=None, max_examples=300)
def test_i12_nothing_is_minted_that_is_not_handed_out(head, shown, caller, later):
    """A token that nobody receives would be lost: a new refresh jti comes with its cookie, a new access jti in vain never."""
    step = present(head, shown, now_ms=T0 * 1000 + later, lifetimes=LIFETIMES, caller=caller, new=NEW)
    if step.head is not None:
        assert (step.head.refresh_jti == NEW_REFRESH) <= step.handout.cookie
        if caller is Caller.OTHER:
            assert step.head.access_jti == OLD_ACCESS


class TestP59:
    """The store has lost its last writes; that these rules suffice, and that each is needed, is the search's to show."""

    def show(self, head, presented, graces):
        lost_ms = NOW_MS - int(graces * LIFETIMES.grace_ms)
        shown = SHOWN[presented]
        return present(head, shown, now_ms=NOW_MS, lifetimes=LIFETIMES, caller=Caller.SCRIPT, new=NEW, lost_ms=lost_ms).outcome

    @pytest.mark.parametrize(("graces", "outcome"), [(0, Outcome.REFUSE), (1.9, Outcome.REFUSE), (2, Outcome.REUSE)])
    def test_p59_an_older_token_is_refused_for_two_graces(self, graces, outcome):
        assert outcome is self.show(SEEN, Presented.OLDER, graces)

    @pytest.mark.parametrize(("graces", "outcome"), [(0, Outcome.STRAGGLER), (1, Outcome.REFUSE), (2, Outcome.REUSE)])
    def test_p59_the_previous_one_is_a_straggler_first(self, graces, outcome):
        assert outcome is self.show(SEEN, Presented.PREVIOUS, graces)

    @pytest.mark.parametrize(("head", "graces"), [(SEEN, 1), (UNSEEN, 2), (replace(LOGIN, seen=True), 1), (LOGIN, 2)])
    def test_p59_no_head_is_settled_before_its_graces_are_over(self, head, graces):
        own = replace(SHOWN[Presented.HEAD], gen=head.gen)
        outcomes = [
            present(head, own, now_ms=NOW_MS, lifetimes=LIFETIMES, caller=Caller.SCRIPT, new=NEW, lost_ms=lost_ms).outcome
            for lost_ms in (NOW_MS - graces * LIFETIMES.grace_ms + 1, NOW_MS - graces * LIFETIMES.grace_ms)
        ]
        assert [Outcome.REPEAT, Outcome.ROTATE] == outcomes

    @pytest.mark.parametrize(("decided_ms", "left"), [(-1, NOTHING), (0, Handout(cookie=True, token=True))])
    def test_p59_i15_what_was_decided_before_does_not_leave_late(self, decided_ms, left):
        lost_ms, leaving = NOW_MS - 700, Handout(cookie=True, token=True)
        age_ms = NOW_MS - (lost_ms + decided_ms)
        found = look(UNSEEN, leaving, gen=5, refresh_jti=REFRESH, now_ms=NOW_MS, age_ms=age_ms, lost_ms=lost_ms)
        assert left == found[1]
