"""I15: a head that leaves late looks at its session again, so that a slow endpoint never puts old tokens over newer ones."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.actors import COOKIE
from support.server import RedisServer
from support.stage import answer, carried, staged
from support.wire import Answer, call

from asgi_tokenguard import Lifetimes, get_auth

LATE = 2  # seconds; the second look begins after one


@pytest.fixture
def slow(stage):
    """`slow(meanwhile)`: lets `/slow` answer after *meanwhile*, which moves the clock or does worse."""

    def set_up(meanwhile):
        @stage.on("/slow")
        async def handler(scope, receive, send):
            await meanwhile()
            await answer(send, 200, {"subject": get_auth(scope).subject})

    return set_up


def passing(stage, seconds):
    async def meanwhile():
        stage.clock.advance(seconds)

    return meanwhile


@pytest.mark.parametrize(("seconds", "looks"), [(0, 0), (0.5, 0), (1.1, 1), (60, 1)])
async def test_i15_only_a_late_head_looks_again(stage, slow, seconds, looks):
    slow(passing(stage, seconds))
    await stage.knows_its_server()
    tab = await stage.expired()
    before = stage.commands()
    assert "both" == carried(await tab.get("/slow"))
    assert 1 + looks == (stage.commands() - before)["evalsha"]


async def test_i15_a_third_of_a_short_grace_is_late_already(options, clock):
    async with staged(options, clock, lifetimes=Lifetimes(grace=1.5)) as stage:

        @stage.on("/slow")
        async def handler(scope, receive, send):
            stage.clock.advance(0.6)
            await answer(send)

        await stage.knows_its_server()
        tab = await stage.expired()
        before = stage.commands()
        assert "both" == carried(await tab.get("/slow"))
        assert 2 == (stage.commands() - before)["evalsha"]


async def test_i15_while_unseen_all_leaves_and_the_mark_moves(stage, slow):
    """The grace counts from the last sending of the cookie."""
    marks = []

    async def meanwhile():
        marks.append((await stage.guard.engine.store.check("user-1", sid)).head.mark)
        stage.clock.advance(60)

    slow(meanwhile)
    tab = await stage.expired()
    (sid,) = [session.id for session in await stage.guard.sessions("user-1")]
    assert "both" == carried(await tab.get("/slow"))
    head = await stage.head(tab)
    assert 60_000 <= head.mark - marks[0] < 61_000
    assert not head.seen


async def test_i15_a_late_page_is_handed_its_cookie_and_moves_the_mark_too(stage, slow):
    slow(passing(stage, LATE))
    tab = await stage.expired()
    before = await stage.head(tab)
    assert "cookie" == carried(await tab.get("/slow", kind="page"))
    assert LATE * 1000 <= (await stage.head(tab)).mark - before.mark - 901_000


async def test_i15_the_head_was_seen_so_the_cookie_stays(stage, slow):
    """Another tab was handed the same pair and has used it: that browser holds the cookie, or a newer one."""

    async def meanwhile():
        other.take(await other.ask())
        await other.get()
        stage.clock.advance(LATE)

    slow(meanwhile)
    tab = await stage.expired()
    other = tab.browser.tab()
    answer = await tab.ask("/slow")
    assert (200, "token") == (answer.status, carried(answer))
    assert other.token == answer.new_token


async def test_i15_the_head_has_moved_so_nothing_leaves(stage, slow):
    """The handler took so long that another tab has used up a whole generation."""

    async def meanwhile():
        for _ in range(2):
            await other.get()
            await other.get()
            stage.clock.advance(931)
        await other.get()

    slow(meanwhile)
    tab = await stage.expired()
    other = tab.browser.tab()
    answer = await tab.ask("/slow")
    assert (200, "nothing") == (answer.status, carried(answer))
    assert 200 == (await other.get()).status
    assert 2 <= (await stage.head(other)).gen


@pytest.mark.parametrize("by", ["another process", "logout", "a new login", "the database", "its end"])
async def test_i15_the_session_has_ended_so_nothing_leaves(stage, slow, by):
    """Not over the cookie of a new login either (P57)."""

    async def meanwhile():
        if by == "another process":
            async with stage.another_process() as process:
                await process.revoke_all("user-1")
        elif by == "the database":
            client = await stage.guard.engine.store._link.connector.client()
            await client.flushdb()
        elif by == "its end":
            stage.clock.advance(15 * 24 * 3600)
        else:
            await other.get()
            await other.post({"logout": "/logout", "a new login": "/login"}[by])
        stage.clock.advance(LATE)

    slow(meanwhile)
    tab = await stage.expired()
    other = tab.browser.tab()
    old = tab.browser.jar
    answer = await call(stage.app, "GET", "/slow", [("cookie", f"{COOKIE}={old}")])
    assert (200, "user-1", "nothing") == (answer.status, answer.json()["subject"], carried(answer))
    if by == "a new login":
        assert 200 == (await other.get()).status


async def test_i15_a_login_that_answers_late_still_hands_out_its_tokens(stage):
    @stage.on("/login")
    async def handler(scope, receive, send):
        await get_auth(scope).login("user-1")
        stage.clock.advance(120)
        await answer(send)

    tab = await stage.logged_in()
    assert tab.token
    assert 200 == (await tab.get()).status


async def test_i15_a_login_that_was_ended_while_it_answered_hands_out_nothing(stage):
    @stage.on("/login")
    async def handler(scope, receive, send):
        await get_auth(scope).login("user-1")
        async with stage.another_process() as process:
            await process.revoke_all("user-1")
        stage.clock.advance(LATE)
        await answer(send)

    assert "nothing" == carried(await call(stage.app, "POST", "/login"))


async def test_i15_a_late_repeat_hands_out_its_token_while_the_generation_lives(stage, slow):
    """Without a cookie: the caller holds it already."""
    slow(passing(stage, LATE))
    tab = await stage.logged_in()
    tab.reload()
    assert "token" == carried(await tab.get("/slow"))
    assert 200 == (await tab.get()).status


@pytest.mark.parametrize("what", ["moved", "ended"])
async def test_i15_a_late_repeat_hands_out_nothing_of_a_generation_that_is_over(stage, slow, what):
    async def meanwhile():
        if what == "ended":
            await other.post("/logout")
        else:
            stage.clock.advance(901)
            await other.get()
        stage.clock.advance(LATE)

    slow(meanwhile)
    tab = await stage.logged_in()
    other = tab.browser.tab()
    tab.reload()
    answer = await tab.ask("/slow")
    assert (200, "nothing") == (answer.status, carried(answer))


async def test_i15_a_late_repeat_after_a_claims_change_is_mended_by_the_next_request(stage, slow):
    """Its token is dead when it arrives."""

    async def meanwhile():
        assert 1 == await stage.guard.update_claims("user-1", {"role": "guest"})
        stage.clock.advance(LATE)

    slow(meanwhile)
    tab = await stage.logged_in()
    tab.reload()
    await tab.get("/slow")
    mended = await tab.get()
    assert (200, {"role": "guest"}, "token") == (mended.status, mended.json()["claims"], carried(mended))
    assert "nothing" == carried(await tab.get())


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_i15_redis_is_away_at_the_second_look(options, how):
    """Nothing leaves, the app's answer goes on, and the next request heals it (I8)."""
    server = RedisServer().start()
    with contextlib.closing(server):
        async with staged(options | {"redis": server.url, "timeout": 0.2}, server.clock) as stage:

            @stage.on("/slow")
            async def handler(scope, receive, send):
                server.clock.advance(LATE)
                server.kill() if how == "killed" else server.freeze()
                await answer(send, 200, b"done")

            tab = await stage.expired()
            late = Answer()
            await call(stage.app, "GET", "/slow", [("cookie", f"{COOKIE}={tab.browser.jar}")], answer=late)
            assert (200, b"done", "nothing", []) == (late.status, late.body, carried(late), late.headers)
            if how == "frozen":
                server.thaw()
                assert "both" == carried(await tab.get())


async def test_i15_a_stream_is_judged_by_its_head_alone(stage):
    """What takes long after the head has left changes nothing in it."""

    @stage.on("/slow")
    async def handler(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            stage.clock.advance(LATE)
            await send({"type": "http.response.body", "body": b".", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    await stage.knows_its_server()
    tab = await stage.expired()
    before = stage.commands()
    result = await tab.get("/slow")
    assert ("both", b"...") == (carried(result), result.body)
    assert 1 == (stage.commands() - before)["evalsha"]


async def test_i15_an_answer_to_a_revoked_session_leaves_without_tokens_at_once_in_the_same_process(stage, slow):
    """However fast it is: the process remembers that it has ended a session since the decision."""

    async def meanwhile():
        await other.post("/logout")

    slow(meanwhile)
    tab = await stage.expired()
    other = tab.browser.tab()
    other.token = tab.token
    assert "nothing" == carried(await tab.ask("/slow"))


@pytest.mark.parametrize("user", ["user-1", "user-2"], ids=["the same user", "another user"])
async def test_p57_a_login_meanwhile_counts_at_once_not_after_a_second(stage, user):
    """The same jar logs in while a rotation's handler works: the old cookie must not come after the new one."""
    tab, going_on = await stage.expired(), asyncio.Event()

    @stage.on("/slow")
    async def slow(scope, receive, send):
        await going_on.wait()
        await answer(send)

    late = asyncio.create_task(tab.ask("/slow"))
    while not stage.handlers.calls["/slow"]:
        await asyncio.sleep(0.001)
    await tab.post(f"/login?user={user}")
    going_on.set()
    assert "nothing" == carried(await late)


async def test_p57_an_answer_that_is_decided_while_a_session_is_being_ended_looks_again(stage, monkeypatch):
    tab, store = await stage.expired(), stage.guard.engine.store
    end, asked, going_on = store.end, asyncio.Event(), asyncio.Event()

    async def slow_end(*args):
        asked.set()
        await going_on.wait()
        return await end(*args)

    @stage.on("/slow")
    async def slow(scope, receive, send):
        going_on.set()
        await leaving
        await answer(send)

    monkeypatch.setattr(store, "end", slow_end)
    leaving = asyncio.create_task(tab.ask("/logout", method="POST"))
    await asked.wait()
    result = await tab.ask("/slow")
    assert (200, "nothing") == (result.status, carried(result))
