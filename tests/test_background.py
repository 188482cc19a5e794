"""What is done off the request path: sessions are described and mirrored, and no request waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import closing
from dataclasses import replace

import pytest
from support.server import RedisServer
from support.stage import travelling

from asgi_tokenguard import NotAuthenticated, Place, TokenGuard
from asgi_tokenguard.core.devices import DeviceHeaders

HOME, NEXT_DESK, AWAY = "81.2.69.142", "81.2.69.9", "81.2.70.7"
BERLIN = Place(latitude=52.52, longitude=13.405, city="Berlin", country="DE")
FIREFOX = DeviceHeaders(user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")


class Gate:
    """A locator that answers Berlin once it is open; *asked* are the addresses."""

    def __init__(self, place=BERLIN):
        self.place = place
        self.opened = asyncio.Event()
        self.opened.set()
        self.asked = []
        self.closed = False

    async def locate(self, address):
        self.asked.append(address)
        await self.opened.wait()
        return self.place

    async def aclose(self):
        self.closed = True


class Board:
    """A mirror; *shown* is what it has read, one entry for each sync."""

    def __init__(self):
        self.shown = []
        self.closed = False

    async def sync(self, subject, read):
        if self.closed:
            raise RuntimeError("a sync after the end")
        self.shown.append({session.id: session for session in await read(subject)})

    async def subjects(self):
        yield "user-1"

    async def aclose(self):
        self.closed = True


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def board():
    return Board()


@pytest.fixture
async def guard(options, clock, gate, board):
    guard = travelling(TokenGuard(**options, locator=gate, mirror=board), clock)
    async with guard:
        guard.described = spied(guard)
        yield guard
        gate.opened.set()


def spied(guard):
    """The sessions that were described, one entry for each time."""
    described, describe = [], guard.engine.store.describe

    async def describe_and_tell(subject, sid, **found):
        described.append(sid)
        return await describe(subject, sid, **found)

    guard.engine.store.describe = describe_and_tell
    return described


async def quiet(guard):
    assert 0 == await guard.engine.background.outbox.flush(10)


async def only_session(guard):
    (session,) = await guard.sessions("user-1")
    return session


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


class TestDescription:
    async def test_a_login_is_described_once(self, guard, gate):
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        assert ([tokens.session_id], [HOME]) == (guard.described, gate.asked)
        assert (BERLIN, HOME) == ((await only_session(guard)).location, (await only_session(guard)).ip_address)

    async def test_a_rotation_at_home_describes_nothing_a_new_network_does_once(self, guard, gate, clock):
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        for address, expected in [(HOME, 1), (AWAY, 2), (AWAY, 2), (HOME, 3)]:
            clock.advance(guard.engine.settings.lifetimes.access + 1)
            tokens = await guard.rotate(tokens.refresh_token, ip_address=address)
            await quiet(guard)
            assert expected == len(guard.described), address
            assert BERLIN == (await only_session(guard)).location

    async def test_an_unknown_place_is_looked_for_once(self, guard, gate, clock):
        gate.place = None
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        clock.advance(guard.engine.settings.lifetimes.access + 1)
        await guard.rotate(tokens.refresh_token, ip_address=HOME)
        await quiet(guard)
        assert ([HOME], None) == (gate.asked, (await only_session(guard)).location)

    async def test_what_is_wanted_again_before_it_is_done_is_done_once(self, guard, gate):
        """As by ten tabs that come back together."""
        tokens = await guard.login("user-1")
        await quiet(guard)
        record = await guard.engine.store.check("user-1", tokens.session_id)
        for _ in range(10):
            guard.engine.background.describe("user-1", tokens.session_id, record, FIREFOX)
        await quiet(guard)
        assert [tokens.session_id] == guard.described

    async def test_without_locator_and_headers_there_is_nothing_to_find_out(self, options, clock, board):
        async with travelling(TokenGuard(**options, mirror=board), clock) as guard:
            described = spied(guard)
            await guard.login("user-1", ip_address=HOME)
            await quiet(guard)
            assert ([], 1) == (described, len(board.shown))

    async def test_a_slow_locator_adds_nothing_to_a_login_nor_to_what_follows(self, guard, gate):
        gate.opened.clear()
        async with asyncio.timeout(2):
            tokens = await guard.login("user-1", ip_address=HOME)
            assert await guard.authenticate(tokens.access_token)
            assert (await guard.rotate(tokens.refresh_token, ip_address=NEXT_DESK)).session_id == tokens.session_id
        await until(lambda: gate.asked)
        assert [HOME] == gate.asked
        assert (await only_session(guard)).location is None
        gate.opened.set()
        await quiet(guard)
        assert BERLIN == (await only_session(guard)).location

    async def test_a_session_that_has_ended_meanwhile_is_not_revived(self, guard, gate, board):
        gate.opened.clear()
        tokens = await guard.login("user-1", ip_address=HOME)
        await until(lambda: gate.asked)
        assert await guard.revoke("user-1", tokens.session_id)
        gate.opened.set()
        await quiet(guard)
        assert ([tokens.session_id], []) == (guard.described, await guard.sessions("user-1"))
        with pytest.raises(NotAuthenticated):
            await guard.authenticate(tokens.access_token)
        assert {} == board.shown[-1]

    async def test_a_session_that_has_moved_on_meanwhile_gets_no_place_of_its_old_network(self, guard, gate, clock):
        """The place of the address that it had would be shown, and measured from, beside the one that it has."""
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        old = await guard.engine.store.check("user-1", tokens.session_id)
        clock.advance(guard.engine.settings.lifetimes.access + 1)
        gate.place = None
        await guard.rotate(tokens.refresh_token, ip_address=NEXT_DESK)
        await quiet(guard)
        gate.place = BERLIN
        guard.engine.background.describe("user-1", tokens.session_id, replace(old, place=b""), None)
        await quiet(guard)
        session = await only_session(guard)
        assert (NEXT_DESK, None) == (session.ip_address, session.location)


class TestFailures:
    async def test_an_outage_of_redis_is_waited_out(self, options, gate, board):
        server = RedisServer(travel=False).start()
        with closing(server):
            more = {"redis": server.url, "timeout": 0.3, "locator": gate, "mirror": board}
            async with TokenGuard(**options | more) as guard:
                described = spied(guard)
                gate.opened.clear()
                await guard.login("user-1", ip_address=HOME)
                await until(lambda: gate.asked)
                server.freeze()
                gate.opened.set()
                await until(lambda: guard.engine.background.outbox.failed)
                server.thaw()
                await until(lambda: len(board.shown) == 1)
                assert 2 <= len(described)
                assert BERLIN == (await only_session(guard)).location
                assert (0, 0) == (guard.engine.background.outbox.pending, guard.engine.background.outbox.dropped)

    async def test_what_can_never_succeed_is_given_up_at_once_and_the_mirror_hears_of_the_login(
        self, guard, gate, board, caplog
    ):
        """A place whose class has left out the checks of ours."""

        class Fiction(Place):
            __slots__ = ()

            def __post_init__(self):
                """Anything goes."""

        gate.place = Fiction(latitude=52.52, longitude=13.405, city=7)
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        outbox = guard.engine.background.outbox
        assert (0, 0, [HOME]) == (outbox.pending, outbox.failed, gate.asked)
        assert {tokens.session_id} == set(board.shown[-1])
        (line,) = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
        assert "could not be described" in line
        assert [] == [secret for secret in (HOME, "52.52", "user-1") if secret in line]

    async def test_a_parser_that_fails_is_not_asked_again(self, guard, board, monkeypatch):
        asked = []

        def broken(headers):
            asked.append(headers)
            raise ValueError

        monkeypatch.setattr("asgi_tokenguard.background.describe", broken)
        tokens = await guard.login("user-1")
        await quiet(guard)
        record = await guard.engine.store.check("user-1", tokens.session_id)
        guard.engine.background.describe("user-1", tokens.session_id, record, FIREFOX)
        await quiet(guard)
        assert ([FIREFOX], 0) == (asked, guard.engine.background.outbox.failed)

    async def test_a_mirror_that_is_away_is_tried_again(self, guard, board):
        sync, refusals = board.sync, [OSError(), OSError()]

        async def away(subject, read):
            if refusals:
                raise refusals.pop()
            await sync(subject, read)

        board.sync = away
        tokens = await guard.login("user-1")
        await until(lambda: board.shown)
        assert {tokens.session_id} == set(board.shown[-1])


class TestMirror:
    async def test_it_shows_a_login_with_its_place(self, guard, board):
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        assert BERLIN == board.shown[-1][tokens.session_id].location

    @pytest.mark.parametrize("address", [None, HOME, AWAY])
    async def test_it_is_told_of_each_rotation_wherever_that_comes_from(self, guard, board, clock, address):
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        board.shown.clear()
        clock.advance(guard.engine.settings.lifetimes.access + 1)
        await guard.rotate(tokens.refresh_token, ip_address=address)
        await quiet(guard)
        truth = await only_session(guard)
        assert truth == board.shown[-1][tokens.session_id]

    async def test_it_is_not_told_of_what_changes_nothing(self, guard, board):
        tokens = await guard.login("user-1", ip_address=HOME)
        await quiet(guard)
        board.shown.clear()
        await guard.rotate(tokens.refresh_token)
        await guard.rotate(tokens.refresh_token, ip_address=NEXT_DESK)
        await quiet(guard)
        assert [] == board.shown

    async def test_it_is_told_of_ends_reuse_among_them(self, guard, board, clock):
        first, second = await guard.login("user-1"), await guard.login("user-1")
        await guard.revoke("user-1", first.session_id)
        await quiet(guard)
        assert {second.session_id} == set(board.shown[-1])
        clock.advance(guard.engine.settings.lifetimes.access + 1)
        await guard.authenticate((await guard.rotate(second.refresh_token)).access_token)
        clock.advance(60)
        with pytest.raises(NotAuthenticated):
            await guard.rotate(second.refresh_token)
        await quiet(guard)
        assert {} == board.shown[-1]


class TestEnd:
    async def test_the_guards_end_finishes_the_work_before_it_closes_what_the_work_needs(self, options, clock, gate, board):
        guard = travelling(TokenGuard(**options, locator=gate, mirror=board), clock)
        tokens = await guard.login("user-1", ip_address=HOME)
        await guard.aclose()
        assert BERLIN == board.shown[-1][tokens.session_id].location
        assert (True, True, 0) == (gate.closed, board.closed, guard.engine.background.outbox.pending)

    async def test_the_guards_end_waits_for_no_locator_that_hangs(self, options, clock, gate, board):
        guard = travelling(TokenGuard(**options | {"timeout": 0.3}, locator=gate, mirror=board), clock)
        gate.opened.clear()
        await guard.login("user-1", ip_address=HOME)
        began = time.monotonic()
        await guard.aclose()
        assert time.monotonic() - began < 3
        assert {asyncio.current_task()} == asyncio.all_tasks()
