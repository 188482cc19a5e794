"""Open connections end because a change is heard, not because a bound has run out: here the bound is a minute."""

from __future__ import annotations

import asyncio
import time
from math import inf

import pytest
from support.sockets import PATIENCE
from support.stage import staged

from asgi_tokenguard.codes import Code
from asgi_tokenguard.errors import StoreUnavailable
from asgi_tokenguard.parcels import Identity
from asgi_tokenguard.store.cache import VerdictCache
from asgi_tokenguard.vigil import Farewell, Guest, Watch


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock, staleness=60) as stage:
        yield stage


class Leaving:
    """Waits to be told to go."""

    def __init__(self) -> None:
        self.told: list[tuple[Farewell, Code | None]] = []

    def __call__(self, why: Farewell, code: Code | None) -> None:
        self.told.append((why, code))

    async def told_once(self) -> tuple[Farewell, Code | None]:
        async with asyncio.timeout(PATIENCE):
            while not self.told:
                await asyncio.sleep(0.005)
        (found,) = self.told
        return found


async def somebody(stage, subject="user-1") -> Identity:
    return await stage.guard.authenticate((await stage.guard.login(subject)).access_token)


def attend(stage, identity):
    leaving = Leaving()
    return leaving, stage.guard.engine.vigil.attend(identity, leaving, since=stage.clock.monotonic())


def watch_of(stage) -> Watch:
    return stage.guard.engine.vigil._watches.found()


async def settled(stage, guest):
    """Wait until *guest* hangs on the channel, and nothing is to be asked about it."""
    watch = watch_of(stage)
    async with asyncio.timeout(PATIENCE):
        while guest in watch._changed or guest.until != inf:
            if guest not in watch._changed:  # it was asked about before the channel was open; the bound's next look is far away
                watch._hear(guest.key, 0)
            await asyncio.sleep(0.01)


async def test_i6_a_session_that_ended_between_judgement_and_watch_is_noticed_at_once(stage):
    identity = await somebody(stage)
    await stage.guard.revoke_all("user-1")
    leaving, _ = attend(stage, identity)
    assert (Farewell.ENDED, Code.REVOKED) == await leaving.told_once()


async def test_i6_a_change_is_acted_on_when_it_is_heard(stage):
    elsewhere = stage.another_process()
    leaving, guest = attend(stage, await somebody(stage))
    await settled(stage, guest)
    await elsewhere.revoke_all("user-1")
    assert (Farewell.ENDED, Code.REVOKED) == await leaving.told_once()
    await elsewhere.aclose()


async def test_i6_a_change_in_this_process_is_acted_on_at_once(stage):
    """Also where nothing is pushed yet: the channel opens with the first guest."""
    leaving, _ = attend(stage, await somebody(stage))
    await stage.guard.revoke_all("user-1")
    assert (Farewell.ENDED, Code.REVOKED) == await leaving.told_once()


async def test_who_is_dismissed_is_told_nothing(stage):
    identity = await somebody(stage)
    (leaving, guest), (other, _) = attend(stage, identity), attend(stage, identity)
    stage.guard.engine.vigil.dismiss(guest)
    await stage.guard.revoke_all("user-1")
    await other.told_once()
    assert [] == leaving.told


async def test_the_sessions_of_a_user_are_asked_about_once_each_however_many_hang_on_them(stage):
    one, two = await somebody(stage), await somebody(stage)
    guests = [attend(stage, identity) for identity in (one, two) for _ in range(50)]
    before = stage.commands()
    await stage.guard.revoke("user-1", one.session_id)
    for leaving, _ in guests[:50]:
        assert (Farewell.ENDED, Code.REVOKED) == await leaving.told_once()
    assert not any(leaving.told for leaving, _ in guests[50:])
    # The two sessions when their guests came, when the change was made and when it was pushed; and why one of them ended.
    assert (stage.commands() - before)["hget"] <= 2 * 3 + 2


async def test_i6_a_change_heard_while_an_older_answer_was_on_its_way_still_counts(options, clock, monkeypatch):
    """The channel lives and Redis answers nothing else any more: whoever has changed is not known to live for its sake."""
    async with staged(options, clock, staleness=2) as stage:
        leaving, guest = attend(stage, await somebody(stage))
        await settled(stage, guest)
        store, elsewhere = stage.guard.engine.store, stage.another_process()
        check = store.check

        async def away(*_):
            raise StoreUnavailable

        async def overtaken(subject, sid):
            record = await check(subject, sid)
            monkeypatch.setattr(store, "check", away)
            await elsewhere.revoke_all("user-1")
            while guest not in watch_of(stage)._changed:
                await asyncio.sleep(0.005)
            return record

        monkeypatch.setattr(store, "check", overtaken)
        watch_of(stage)._hear(guest.key, stage.clock.monotonic())
        assert (Farewell.UNKNOWN, None) == await leaving.told_once()
        await elsewhere.aclose()


async def test_i6_a_loop_that_always_lags_keeps_nobody_for_ever(options, clock, monkeypatch):
    """One stall may hide an answer; where each question ends in one, nobody knows whether Redis would have answered."""
    async with staged(options, clock, staleness=0.2) as stage:
        identity = await somebody(stage)

        async def lagging(*_):
            time.sleep(0.3)
            await asyncio.Event().wait()

        monkeypatch.setattr(stage.guard.engine.store, "check", lagging)
        leaving, _ = attend(stage, identity)
        assert (Farewell.UNKNOWN, None) == await leaving.told_once()


async def test_a_late_lease_makes_nobody_ask_without_a_pause(stage):
    """Trust ends soon but has not ended: the answer itself is good for the whole bound."""
    cache: VerdictCache[Identity] = VerdictCache()
    cache.arm()
    cache.trusted_until = stage.clock.monotonic() + 20  # of 60
    store, identity = stage.guard.engine.store, await somebody(stage)
    watch = Watch(store, cache, stage.guard.engine.settings.lifetimes.idle, 60)
    now = stage.clock.monotonic()
    guest = Guest(identity, store.key_of("user-1"), Leaving(), until=now + 60, too_old=now + 3600)
    watch.add(guest)
    async with asyncio.timeout(PATIENCE):
        while guest in watch._changed:
            await asyncio.sleep(0.005)
    before = stage.commands()
    await asyncio.sleep(0.3)
    await watch.aclose()
    assert (stage.commands() - before)["hget"] <= 1


async def test_changes_of_users_without_a_connection_wake_nobody(stage):
    """Each process hears of every change in Redis; to go through its open connections for each would be its whole work."""
    _, guest = attend(stage, await somebody(stage))
    await settled(stage, guest)
    watch = watch_of(stage)
    watch._wake.clear()
    watch._hear(b"of nobody here", 0)
    assert not watch._wake.is_set()
    watch._hear(guest.key, 0)
    assert watch._wake.is_set()


# --- nobody stays unwatched


async def test_i6_who_is_there_when_the_watch_is_closed_has_to_go(stage):
    """A job may share the guard with the app, and close it: `async with guard`."""
    identity = await somebody(stage)
    early, guest = attend(stage, identity)
    await settled(stage, guest)
    late, _ = attend(stage, identity)
    await stage.guard.aclose()
    assert [(Farewell.UNKNOWN, None)] == early.told == late.told
    again, guest = attend(stage, identity)
    await settled(stage, guest)
    await stage.guard.revoke_all("user-1")
    assert (Farewell.ENDED, Code.REVOKED) == await again.told_once()


async def test_i6_a_watch_that_is_closed_before_it_began_lets_nobody_stay(stage):
    leaving, _ = attend(stage, await somebody(stage))
    await stage.guard.engine.vigil._watches.pop().aclose()
    assert [(Farewell.UNKNOWN, None)] == leaving.told


async def test_i6_a_watch_that_is_cancelled_lets_nobody_stay(stage):
    """The end of a question that others share may cancel who waits for it."""
    leaving, guest = attend(stage, await somebody(stage))
    await settled(stage, guest)
    watch_of(stage)._task.cancel()
    assert (Farewell.UNKNOWN, None) == await leaving.told_once()


# --- what a change costs


async def test_a_change_costs_what_its_own_users_guests_cost(stage, monkeypatch):
    """Else one user who logs in again and again would keep busy every process that has many sockets."""
    others = [attend(stage, await somebody(stage, f"user-{number}"))[1] for number in range(2, 52)]
    mine, guest = attend(stage, await somebody(stage))
    for each in (*others, guest):
        await settled(stage, each)
    looked_at: list[Guest] = []
    is_due = Watch._is_due
    monkeypatch.setattr(Watch, "_is_due", lambda watch, each: looked_at.append(each) or is_due(watch, each))
    for _ in range(20):
        await stage.guard.login("user-1")
        await stage.guard.login("somebody without a socket")
        await asyncio.sleep(0.005)
    await stage.guard.revoke_all("user-1")
    assert (Farewell.ENDED, Code.REVOKED) == await mine.told_once()
    # A round may fall into this, or two on a slow machine; each change would be one for itself.
    assert len([each for each in looked_at if each is not guest]) <= 2 * len(others)
