"""P1 to P10, P16, P47 to P49 and P51 to P54: rotation and races."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from support.actors import COOKIE
from support.forge import claims_of, digest_of
from support.stage import answer, carried
from support.wire import Answer, call

from asgi_tokenguard import NotAuthenticated, TokenGuardMiddleware, get_auth
from asgi_tokenguard.core.records import new_ulid, ulid_text


@pytest.fixture
async def processes(stage):
    """The app in two processes on one Redis."""
    async with stage.another_process() as other:
        yield [stage.app, TokenGuardMiddleware(stage.handlers, guard=other)]


def on_cookie(app, cookie, path="/me"):
    return call(app, "GET", path, [("cookie", f"{COOKIE}={cookie}")])


def key_of(stage, user="user-1"):
    return f"{stage.options['namespace']}:s:{{{digest_of(user)}}}"


async def redis_of(stage):
    return await stage.guard.engine.store._link.connector.client()


async def test_p01_parallel_tabs_rotate_once(stage, processes):
    tab = await stage.expired()
    answers = await asyncio.gather(*(on_cookie(processes[number % 2], tab.browser.jar) for number in range(24)))
    assert {1} == {claims_of(answer.cookie())["gen"] for answer in answers}
    assert 1 == (await stage.head(tab)).gen


async def test_p02_losers_of_the_race_are_served(stage, processes):
    tab = await stage.expired()
    answers = await asyncio.gather(*(on_cookie(processes[number % 2], tab.browser.jar) for number in range(24)))
    assert {(200, "user-1", "both")} == {(answer.status, answer.json()["subject"], carried(answer)) for answer in answers}


async def test_p03_a_late_request_is_handed_the_same_successor_and_nothing_is_minted(stage):
    tab = await stage.expired()
    first = await tab.ask()
    handed = set()
    for _ in range(5):
        stage.clock.advance(60)
        late = await tab.ask()
        handed.add((late.cookie(), late.new_token))
    assert {(first.cookie(), first.new_token)} == handed
    assert 1 == len(await stage.guard.sessions("user-1"))


async def test_p03_but_an_access_token_where_the_old_one_is_over(stage):
    """Equal in claims, and the cookie is the same still."""
    tab = await stage.expired()
    first = await tab.ask()
    stage.clock.advance(901)
    late = await tab.ask()
    assert first.cookie() == late.cookie()
    old, new = claims_of(first.new_token), claims_of(late.new_token)
    assert {"jti", "iat", "exp"} == {name for name in old if old[name] != new[name]}
    assert 200 == (await call(stage.app, "GET", "/me", [("authorization", f"Bearer {late.new_token}")])).status


async def test_p04_a_loser_stays_in_the_family_that_it_presented(stage):
    @stage.on("/login")
    async def login(scope, receive, send):
        await get_auth(scope).login("user-1", keep_session=True)
        await answer(send)

    tab = await stage.expired()
    old = tab.browser.jar
    await tab.ask()
    await tab.post("/login")
    late = await on_cookie(stage.app, old)
    assert claims_of(old)["sid"] == claims_of(late.cookie())["sid"] == claims_of(late.new_token)["sid"]
    assert claims_of(old)["sid"] != claims_of(tab.browser.jar)["sid"]


async def test_p05_two_processes_make_one_successor(stage):
    """Compare and swap is one script."""
    async with stage.another_process() as other:
        for _ in range(10):
            tokens = await stage.guard.login("user-1")
            stage.clock.advance(901)
            pair = await asyncio.gather(stage.guard.rotate(tokens.refresh_token), other.rotate(tokens.refresh_token))
            assert pair[0] == pair[1] != tokens


async def test_p06_nothing_writes_a_record_that_is_not_there(stage):
    """Each verb that began before the logout and ends after it: the session stays over."""
    tab = await stage.expired()
    store, claims = stage.guard.engine.store, stage.guard.engine.codec.read_refresh(tab.browser.jar)
    client = await redis_of(stage)
    rotated = await tab.ask()

    @stage.on("/slow")
    async def slow(scope, receive, send):
        await stage.guard.revoke_all("user-1")
        stage.clock.advance(5)
        await answer(send)

    await tab.ask("/slow")
    for late in (tab.browser.jar, rotated.cookie()):
        with pytest.raises(NotAuthenticated):
            await stage.guard.rotate(late)
    with pytest.raises(NotAuthenticated):
        await stage.guard.authenticate(rotated.new_token)
    assert not await store.see("user-1", claims.sid, gen=1, access_jti=b"x" * 16)
    assert 0 == await stage.guard.update_claims("user-1", {"role": "admin"})
    assert 0 == await stage.guard.revoke_others("user-1", claims.sid)
    assert 0 == await client.exists(key_of(stage))


async def test_p07_a_login_beside_revoke_all_is_ended_or_listed(stage):
    async with stage.another_process() as other:
        logins = [stage.guard.login("user-1") for _ in range(20)]
        steps = logins[:10] + [other.revoke_all("user-1")] + logins[10:]
        done = await asyncio.gather(*steps)
        tokens = [step for step in done if not isinstance(step, int)]
        live, codes = set(), set()
        for pair in tokens:
            try:
                live.add((await stage.guard.authenticate(pair.access_token)).session_id)
            except NotAuthenticated as error:
                codes.add(error.code)
        assert codes <= {"revoked"}
        assert live == {session.id for session in await other.sessions("user-1")}
        assert 20 == len(live) + sum(step for step in done if isinstance(step, int))


async def test_p08_ten_thousand_sessions_end_at_once(stage):
    """A script that unpacks a list of them would fail at 8,000."""
    tokens = await stage.guard.login("user-1")
    client, key = await redis_of(stage), key_of(stage)
    raw = await client.hget(key, tokens.session_id)
    sids = [ulid_text(new_ulid(1_700_000_000_000, number.to_bytes(10, "big"))) for number in range(10_000)]

    async def fill():
        for at in range(0, len(sids), 5_000):
            await client.hset(key, mapping=dict.fromkeys(sids[at : at + 5_000], raw))

    await fill()
    assert 10_001 == len(await stage.guard.sessions("user-1"))
    assert 10_000 == await stage.guard.revoke_others("user-1", tokens.session_id)
    assert "user-1" == (await stage.guard.authenticate(tokens.access_token)).subject
    await fill()
    assert 10_001 == await stage.guard.revoke_all("user-1")


async def test_p09_the_revocation_stands_whatever_is_answered(stage):
    """The request that reveals the reuse is served as nobody, and its handler raises; the session is over for both."""

    @stage.on("/open/broken")
    async def broken(scope, receive, send):
        assert get_auth(scope).subject is None
        raise RuntimeError

    tab = await stage.expired()
    stolen = tab.browser.jar
    await tab.get()
    await tab.get()
    stage.clock.advance(31)
    with pytest.raises(RuntimeError):
        await on_cookie(stage.app, stolen, "/open/broken")
    assert "rolled_back_client" == (await tab.get()).code
    assert [] == await stage.guard.sessions("user-1")


async def test_p10_a_session_that_is_used_every_day_ends_all_the_same(stage):
    tab = await stage.logged_in()
    (session,) = await stage.guard.sessions("user-1")
    for _ in range(8):
        stage.clock.advance(11 * 24 * 3600)
        assert 200 == (await tab.get()).status
    left = claims_of(tab.browser.jar)["exp"] - stage.clock.time()
    assert left == pytest.approx(2 * 24 * 3600, abs=10)
    stage.clock.advance(2 * 24 * 3600 + 1)
    assert "session_expired" == (await tab.ask(token=False)).code
    assert 90 * 24 * 3600 == pytest.approx(stage.clock.time() - session.created_at.timestamp(), abs=10)


async def test_p16_a_request_with_a_live_token_costs_one_read(stage):
    """`last_seen` comes from the last rotation; nothing is written for it."""
    tab = await stage.logged_in()
    await tab.get()  # the first use of a generation is written down
    before = stage.commands()
    answers = await asyncio.gather(*(tab.ask() for _ in range(32)))
    assert {200} == {answer.status for answer in answers}
    assert Counter(hget=32) == stage.commands() - before


async def test_p47_answers_that_arrive_in_reverse_are_no_theft(stage):
    one = await stage.expired()
    two = one.browser.tab()
    for _ in range(5):
        first, second = await one.ask(), await two.ask()
        two.take(second)
        one.take(first)
        for tab in (one, two, one):
            assert 200 == (await tab.get()).status
        stage.clock.advance(931)
    assert 1 == len(await stage.guard.sessions("user-1"))


async def test_p48_grace_counts_from_the_first_sight_of_the_successor(stage):
    """A tab that was paused for hours before anybody came back is handed the pair; later ones are served and get nothing."""
    tab = await stage.expired()
    old = tab.browser.jar
    await tab.ask()
    stage.clock.advance(8 * 3600)
    assert "both" == carried(tab.take(await tab.ask()))
    await tab.get()
    for _ in range(2):
        stage.clock.advance(14)
        late = await on_cookie(stage.app, old)
        assert (200, "nothing") == (late.status, carried(late))
    stage.clock.advance(3)
    assert "reuse_detected" == (await on_cookie(stage.app, old)).code


async def test_p49_a_lost_answer_heals_however_late(stage):
    tab = await stage.expired()
    for days in (0, 1, 10):
        stage.clock.advance(days * 24 * 3600)
        lost = await tab.ask()
        assert "both" == carried(lost)
    assert "both" == carried(await tab.get())
    assert 200 == (await tab.get()).status


async def test_p51_a_renderer_that_cannot_hand_cookies_on_says_so_and_rotates_nothing(stage):
    tab = await stage.expired()
    rendered = await tab.ask(token=False, kind="page", headers={"x-token-rotation": "off"})
    assert (200, "user-1", "nothing") == (rendered.status, rendered.json()["subject"], carried(rendered))
    stage.clock.advance(60)
    assert "both" == carried(await tab.get())
    stage.clock.advance(60)
    assert 200 == (await tab.get()).status


async def test_p52_a_live_access_token_is_not_killed_by_a_refresh(stage):
    """Ten calls without cookies use it while pages of the same browser come and go."""
    tab = await stage.logged_in()
    for _ in range(3):
        stage.clock.advance(250)
        pages = [tab.ask(kind="page") for _ in range(3)]
        calls = [call(stage.app, "GET", "/me", [("authorization", f"Bearer {tab.token}")]) for _ in range(10)]
        answers = await asyncio.gather(*pages, *calls)
        assert {(200, "nothing")} == {(answer.status, carried(answer)) for answer in answers}
    assert 0 == (await stage.head(tab)).gen


async def test_p53_no_number_of_parallel_calls_ends_the_session(stage):
    tab = await stage.expired()
    for _ in range(3):
        answers = await asyncio.gather(*(on_cookie(stage.app, tab.browser.jar) for _ in range(40)))
        assert {200} == {answer.status for answer in answers}
    assert "both" == carried(await tab.get())
    assert 200 == (await tab.get()).status


async def test_p54_tokens_of_one_second_are_told_apart(stage):
    """By `jti` and `gen`, not by `iat`."""
    tab = await stage.logged_in()
    old = tab.token
    await stage.guard.update_claims("user-1", {"role": "guest"})
    tab.reload()
    await tab.get()
    assert {claims_of(old)["iat"]} <= {claims_of(tab.token)["iat"], claims_of(tab.token)["iat"] - 1}
    assert claims_of(old)["jti"] != claims_of(tab.token)["jti"]
    assert 401 == (await call(stage.app, "GET", "/me", [("authorization", f"Bearer {old}")])).status
    assert 200 == (await tab.get()).status


class TestP59:
    """The store has lost a write; nobody is called a thief for it."""

    async def rewind(self, stage, raw):
        client = await redis_of(stage)
        (sid,) = await client.hkeys(key_of(stage))
        await client.hset(key_of(stage), sid, raw)

    async def raw(self, stage):
        client = await redis_of(stage)
        (raw,) = await client.hvals(key_of(stage))
        return raw

    async def test_p59_a_token_that_is_newer_than_the_store_is_adopted(self, stage, caplog):
        tab = await stage.expired()
        before, old = await self.raw(stage), tab.browser.jar
        await tab.get()
        await self.rewind(stage, before)
        assert (200, "token") == ((result := await tab.ask(token=False)).status, carried(result))
        assert 1 == (await stage.head(tab)).gen
        assert "the store lost a write" in caplog.text
        late = await on_cookie(stage.app, old)
        assert (200, "nothing") == (late.status, carried(late))

    async def test_p59_a_twin_of_the_head_revokes_nothing(self, stage, caplog):
        """Two tabs rotated, one on each side of the failover."""
        tab = await stage.expired()
        other = tab.browser.tab()
        before, old = await self.raw(stage), tab.browser.jar
        await tab.get()
        twin = tab.browser.jar
        await self.rewind(stage, before)
        tab.browser.jar = old
        await other.get()
        assert twin != other.browser.jar
        healed = await on_cookie(stage.app, twin)
        assert (200, other.browser.jar) == (healed.status, healed.cookie())
        await other.get()
        refused = Answer()
        await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={twin}")], answer=refused)
        assert 401 == refused.status
        assert "twin token" in caplog.text
        assert 200 == (await other.get()).status
