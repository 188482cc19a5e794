"""
A server that may have lost its last writes: the scripts judge as `core/rotation.py` does with `lost_ms`, row by row.

That the rows accuse no honest browser is shown by search (tests/core/test_explorer.py), that servers which lose writes are told
from others by tests/faults/test_losses.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract import test_script_equals_table as the_table
from contract.test_script_equals_table import NEW, SID, SUBJECT, VISIT, Bench, jti, shown_for, states
from support.losses import let_know

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.records import ulid_text
from asgi_tokenguard.core.rotation import ANYONE, Handout, Outcome, Presented, look, present, renew
from asgi_tokenguard.store.answers import Late

bench = the_table.bench  # a fixture
# In graces: amid the first, amid the second, and after both.
SINCE = (0.5, 1.5, 2.5)


async def lost(bench: Bench, graces: float) -> int:
    """The moment so many graces ago, at which the process now believes writes to have been lost."""
    lost_ms = await bench.now_ms() - int(graces * bench.lifetimes.grace_ms)
    await let_know(bench.store, bench.redis, bench.key, lost_ms=lost_ms)
    return lost_ms


@pytest.mark.parametrize("since", SINCE)
@pytest.mark.parametrize("caller", [Caller.SCRIPT, Caller.OTHER])
@pytest.mark.parametrize("state", states(5), ids=str)
@pytest.mark.parametrize("presented", Presented)
async def test_present_lua_is_the_table_of_a_store_that_lost_writes(bench, presented, state, caller, since):
    before = await bench.put(await bench.head(5, state))
    lost_ms = await lost(bench, since)
    shown = shown_for(presented, 5, before.head.access_issued)

    found = await bench.store.present(SUBJECT, SID, shown, caller=caller, new=NEW)
    step = present(
        before.head,
        shown,
        now_ms=bench.ran_at,
        lifetimes=bench.lifetimes,
        caller=caller,
        new=NEW,
        visit=ANYONE,
        lost_ms=lost_ms,
    )
    assert (step.presented, step.outcome) == (found.presented, found.outcome)
    assert (found.outcome is Outcome.REUSE) <= (since > 2), "nobody is accused before two graces are over"
    expected = None if step.head is None else replace(before, head=step.head)
    assert expected == found.record == await bench.record()


@pytest.mark.parametrize("since", SINCE)
@pytest.mark.parametrize("decided", [-60_000, 60_000], ids=["decided before", "decided since"])
@pytest.mark.parametrize("state", states(5), ids=str)
async def test_i15_look_lua_is_look_of_a_store_that_lost_writes(bench, state, decided, since):
    """What was decided before the loss does not leave late."""
    before = await bench.put(await bench.head(5, state))
    lost_ms = await lost(bench, since * 10)
    leaving = Handout(cookie=True, token=True)
    age_ms = await bench.now_ms() - (lost_ms + decided)
    late = await bench.store.look(SUBJECT, SID, leaving, gen=5, refresh_jti=jti(5), age_ms=age_ms)
    after, left = look(before.head, leaving, gen=5, refresh_jti=jti(5), now_ms=bench.ran_at, age_ms=age_ms, lost_ms=lost_ms)
    assert (late is Late.MOVED) == (decided < 0)
    assert left == {Late.MOVED: Handout(False, False), Late.SEEN: leaving._replace(cookie=False), Late.UNSEEN: leaving}[late]
    assert replace(before, head=after) == await bench.record()


@pytest.mark.parametrize("since", SINCE)
@pytest.mark.parametrize(("gen", "state"), [(gen, state) for gen in (0, 5) for state in states(gen)], ids=str)
async def test_reauthenticated_lua_is_renew_of_a_store_that_lost_writes(bench, gen, state, since):
    before = await bench.put(await bench.head(gen, state))
    lost_ms = await lost(bench, since)
    record, leaving = await bench.store.reauthenticated(SUBJECT, SID, NEW)
    after, expected = renew(before.head, now_ms=bench.ran_at, lifetimes=bench.lifetimes, new=NEW, lost_ms=lost_ms)
    assert (replace(before, head=after), expected) == (record, leaving)


async def test_a_session_that_began_after_the_loss_is_judged_as_ever(bench):
    """Nothing of it can be lost."""
    lost_ms = await lost(bench, 0.5)
    began_ms = lost_ms - lost_ms % 1000 + 1000
    sid = ulid_text(began_ms.to_bytes(6, "big") + bytes(10))
    head = await bench.head(5, next(state for state in states(5) if state.seen and state.settled))
    await bench.put(head, sid)
    found = await bench.store.present(
        SUBJECT, sid, shown_for(Presented.OLDER, 5, 0), caller=Caller.SCRIPT, new=NEW, visit=VISIT
    )
    assert Outcome.REUSE is found.outcome
    await bench.put(head)
    found = await bench.store.present(
        SUBJECT, SID, shown_for(Presented.OLDER, 5, 0), caller=Caller.SCRIPT, new=NEW, visit=VISIT
    )
    assert Outcome.REFUSE is found.outcome
