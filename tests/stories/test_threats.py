"""
The limits that docs/topics/threat-model.md tells, each shown: what an attacker can do, as well as what he cannot.

Where one of these fails because he can do less than before, the page has to change with it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis
from support.actors import COOKIE, Browser
from support.desk import Desk
from support.forge import altered, claims_of, unb64
from support.stage import carried, staged
from support.wire import call

from asgi_tokenguard import Key, KeySet
from asgi_tokenguard.core.records import decode, encode
from asgi_tokenguard.store.keyspace import session_key

OTHER_SID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"  # of nobody
OTHER_JTI = "01BX5ZZKBKACTAV9WEVGEMMVRZ"


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock) as stage:
        stage.desk = Desk(stage.handlers)
        yield stage


@pytest.fixture
async def hand(options):
    """Somebody with a connection to Redis of their own."""
    async with Redis.from_url(options["redis"]) as client:
        yield client


async def shown(stage, token, path="/me", method="GET"):
    """The answer to a program that has *token* and nothing else."""
    return await call(stage.app, method, path, [("authorization", f"Bearer {token}")])


async def on_cookie(stage, cookie, path="/me"):
    return await call(stage.app, "GET", path, [("cookie", f"{COOKIE}={cookie}")])


async def test_a_copy_that_says_rotation_is_off_is_detected_as_any_other(stage):
    """He is served and handed nothing, until the owner has moved on; then it is reuse."""
    owner = await stage.logged_in()
    await owner.get()
    copy = owner.browser.jar

    async def ride():
        return await call(
            stage.app, "GET", "/me", [("cookie", f"{COOKIE}={copy}"), ("x-token-rotation", "off"), ("user-agent", "his")]
        )

    for pause in (0, 901):
        stage.clock.advance(pause)
        answer = await ride()
        assert (200, "nothing") == (answer.status, carried(answer))
    await owner.get()
    await owner.get()
    stage.clock.advance(31)
    assert (401, "reuse_detected") == ((answer := await ride()).status, answer.code)
    assert 401 == (await owner.get()).status


class TestAccessToken:
    async def test_an_access_token_alone_is_good_until_it_is_over_and_yields_nothing(self, stage):
        owner = await stage.logged_in()
        stolen = owner.token
        for pause in (0, 450, 430):
            stage.clock.advance(pause)
            answer = await shown(stage, stolen)
            assert (200, "user-1", "nothing") == (answer.status, answer.json()["subject"], carried(answer))
        stage.clock.advance(21)
        answer = await shown(stage, stolen)
        assert (401, "token_expired", "nothing") == (answer.status, answer.code, carried(answer))
        assert 200 == (await owner.get()).status

    async def test_an_access_token_alone_is_dead_once_its_session_has_rotated_or_ended(self, stage):
        owner = await stage.expired()
        await owner.get()
        before = owner.token
        stage.clock.advance(901)
        await owner.get()
        assert 401 == (await shown(stage, before)).status
        assert 200 == (await shown(stage, owner.token)).status
        await stage.guard.revoke_all("user-1")
        assert 401 == (await shown(stage, owner.token)).status

    async def test_an_access_token_alone_is_never_fresh_but_lists_sessions_and_logs_out(self, stage):
        phone, owner = await stage.logged_in(), await stage.logged_in()
        sid = claims_of(phone.token)["sid"]
        for deed in Desk.DEEDS:
            answer = await shown(stage, owner.token, f"/desk/{deed}?sid={sid}", "POST")
            assert (401, "step_up_required") == (answer.status, answer.code)
        assert 2 == (await shown(stage, owner.token, "/desk/sessions")).json()["found"]
        assert 204 == (await shown(stage, owner.token, "/logout", "POST")).status
        assert [sid] == [session.id for session in await stage.guard.sessions("user-1")]


class TestPage:
    async def test_a_script_that_got_into_a_page_may_ask_for_an_access_token(self, stage):
        """It is the page to us: its own first call is answered as any page's is."""
        owner = await stage.logged_in()
        await owner.get()
        injected = owner.browser.tab()
        answer = await injected.get()
        assert (200, "token") == (answer.status, carried(answer))
        assert 200 == (await shown(stage, injected.token)).status  # and elsewhere too, until it is over


class TestSigningKey:
    async def test_whoever_holds_the_key_needs_the_id_of_a_live_session(self, stage):
        owner = await stage.logged_in()
        secret = stage.options["secret"]
        for made_up in ({"sid": OTHER_SID}, {"sub": "user-2"}, {"sid": OTHER_SID, "gen": 99, "jti": OTHER_JTI}):
            answer = await on_cookie(stage, altered(owner.browser.jar, secret, **made_up))
            assert (401, "session_ended") == (answer.status, answer.code)
            assert 401 == (await shown(stage, altered(owner.token, secret, **made_up))).status
        answer = await shown(stage, altered(owner.token, secret, jti=OTHER_JTI, role="root"))
        assert 401 == answer.status  # the session's access token has another id
        assert 200 == (await owner.get()).status

    async def test_whoever_holds_the_key_and_such_an_id_is_its_user_and_fresh(self, stage):
        """A refresh token that is newer than the store is adopted, since stores lose writes (P59)."""
        owner = await stage.logged_in()
        secret = stage.options["secret"]
        forged = altered(owner.browser.jar, secret, gen=7, jti=OTHER_JTI)
        answer = await on_cookie(stage, forged)
        assert (200, "user-1", "token") == (answer.status, answer.json()["subject"], carried(answer))
        later = claims_of(owner.browser.fresh)["exp"] + 300
        stage.clock.advance(400)
        proof = altered(owner.browser.fresh, secret, exp=later, iat=later - 300)
        sent = [("authorization", f"Bearer {answer.new_token}"), ("x-fresh-token", proof)]
        assert 200 == (await call(stage.app, "POST", "/desk/fresh", sent)).status

    async def test_a_key_that_is_taken_out_ends_that(self, stage):
        owner = await stage.logged_in()
        forged = altered(owner.browser.jar, stage.options["secret"], gen=7, jti=OTHER_JTI)
        stage.guard.reload_keys(KeySet([Key("another secret of at least thirty-two bytes")]))
        assert 401 == (await on_cookie(stage, forged)).status
        assert 401 == (await owner.get()).status  # and signs out whoever it has signed


class TestRedis:
    async def record_of(self, stage, hand, user="user-1"):
        key = session_key(stage.options["namespace"], user)
        ((sid, raw),) = (await hand.hgetall(key)).items()
        return key, sid, raw

    async def test_whoever_reads_redis_cannot_make_a_token_of_it(self, stage, hand):
        """What a record says of tokens are their ids; with another secret than ours they make none that counts."""
        owner = await stage.logged_in()
        _, sid, raw = await self.record_of(stage, hand)
        head = decode(raw).head
        assert sid.decode() == claims_of(owner.token)["sid"]
        for token, scheme in ((owner.token, shown), (owner.browser.jar, on_cookie)):
            assert unb64(token.rpartition(".")[2]) not in raw
            answer = await scheme(stage, altered(token, "a secret of the reader's own, of thirty-two bytes", gen=head.gen))
            assert (401, "invalid_token") == (answer.status, answer.code)

    async def test_whoever_writes_to_redis_gives_rights_and_brings_sessions_back(self, stage, hand):
        owner = await stage.logged_in()
        await owner.get()
        key, sid, raw = await self.record_of(stage, hand)
        await hand.hset(key, sid, encode(replace(decode(raw), claims=b'{"role":"root"}')))
        stage.clock.advance(901)
        assert "root" == (await owner.get()).json()["claims"]["role"]
        _, _, raw = await self.record_of(stage, hand)
        await stage.guard.revoke_all("user-1")
        assert 401 == (await on_cookie(stage, owner.browser.jar)).status
        await hand.hset(key, sid, raw)
        assert 200 == (await on_cookie(stage, owner.browser.jar)).status

    async def test_whoever_writes_to_redis_becomes_nobody_else_by_it(self, stage, hand):
        """The user is what the token says, and its signature is none of Redis's."""
        thief = await stage.logged_in("thief")
        await stage.logged_in()
        victims, _, record = await self.record_of(stage, hand)
        own, sid, raw = await self.record_of(stage, hand, "thief")
        await hand.hset(own, sid, encode(replace(decode(record), head=decode(raw).head)))
        await hand.hset(victims, sid, raw)
        thief.reload()
        assert "thief" == (await thief.get()).json()["subject"]


async def test_another_app_with_the_same_key_and_redis_is_kept_apart_by_its_namespace_alone(options, clock):
    async with staged(options, clock) as one, staged(options | {"namespace": "another"}, clock) as other:
        tab = await one.logged_in()
        assert (401, "session_ended") == ((answer := await on_cookie(other, tab.browser.jar)).status, answer.code)
        assert 401 == (await Browser(other.app).tab().get()).status
