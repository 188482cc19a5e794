"""What the store promises on every server: one key, every subject, many sessions, no write that brings anything back."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.stage import travelling

from asgi_tokenguard import NotAuthenticated, SubjectError, TokenGuard
from asgi_tokenguard.store.keyspace import session_key

SUBJECTS = [
    "1",
    "user@example.org",
    "ユーザー",
    "🦊" * 200,
    "{a}b",
    "}{",
    "{}",
    "a:b:{c}",
    "tg:s:{x}",
    "nul\0inside",
    "\0",
    " ",
    "new\nline",
    "ı̇İiI",
    "e\u0301",
    "é",
    "x" * 1024,
    '"' * 1024,
]


@pytest.mark.parametrize("subject", SUBJECTS, ids=range(len(SUBJECTS)))
async def test_every_subject_works_and_meets_no_other(guard, subject, clock):
    """A login, a rotation and an end under each odd name; the sessions of all other names stay."""
    others = [other for other in SUBJECTS if other != subject]
    for other in others:
        await guard.login(other)
    tokens = await guard.login(subject, {"name": subject[:40]})
    clock.advance(901)
    tokens = await guard.rotate(tokens.refresh_token)

    identity = await guard.authenticate(tokens.access_token)
    assert (subject, {"name": subject[:40]}) == (identity.subject, dict(identity.claims))
    assert 1 == len(await guard.sessions(subject))
    assert 1 == await guard.revoke_all(subject)
    assert [1] * len(others) == [len(await guard.sessions(other)) for other in others]


@pytest.mark.parametrize("subject", ["", "x" * 1025, "é" * 513, "\ud800", "\0" * 1024, None, 7, b"bytes"], ids=repr)
async def test_a_subject_that_no_token_can_carry_is_refused_before_redis(guard, subject):
    with pytest.raises(SubjectError):
        await guard.login(subject)


async def test_i3_a_key_holds_no_subject(guard, options, redis):
    await guard.login("alice@example.org")
    keys = [key async for key in redis.scan_iter(f"{options['namespace']}:*")]
    assert [session_key(options["namespace"], "alice@example.org").encode()] == keys
    assert b"alice" not in keys[0]


@pytest.mark.parametrize("subject", [7, None, b"user-1", "", "\ud800"], ids=repr)
async def test_every_step_wants_a_subject_that_login_would_take(guard, subject):
    """A number is the commonest mistake: the primary key as it comes from the database."""
    steps = (
        lambda: guard.sessions(subject),
        lambda: guard.revoke(subject, "x"),
        lambda: guard.revoke_others(subject, "x"),
        lambda: guard.revoke_all(subject),
        lambda: guard.update_claims(subject, {}),
    )
    for step in steps:
        with pytest.raises(SubjectError):
            await step()


async def test_an_empty_session_id_means_no_session_and_not_all(guard):
    tokens = await guard.login("user-1", {"role": "guest"})
    assert 0 == await guard.update_claims("user-1", {"role": "admin"}, sid="")
    assert {"role": "guest"} == (await guard.authenticate(tokens.access_token)).claims


@pytest.mark.parametrize("damage", ["tail cut off", "another name"])
async def test_a_record_that_is_not_ours_counts_as_no_session_and_hides_no_other(guard, redis, caplog, damage):
    bad, good = await guard.login("user-1"), await guard.login("user-1")
    key = session_key(guard.engine.settings.namespace, "user-1")
    raw = await redis.hget(key, bad.session_id)
    if damage == "tail cut off":
        await redis.hset(key, bad.session_id, raw[:-1])
        for step in (guard.authenticate(bad.access_token), guard.rotate(bad.refresh_token)):
            with pytest.raises(NotAuthenticated, match="over"):
                await step
    else:
        await redis.hset(key, "a field of somebody else's, of more than 26 characters", raw)
        await guard.revoke("user-1", bad.session_id)
    assert [good.session_id] == [session.id for session in await guard.sessions("user-1")]
    assert "counts as none" in caplog.text


async def test_a_user_with_ten_thousand_sessions_is_listed_rotated_and_ended(options, clock):
    """P8: scripts that unpack a key list fail at about 8,000 items."""
    async with travelling(TokenGuard(**options, max_sessions=10_000), clock) as guard:
        store = guard.engine.store
        sids = [f"01ARZ3NDEKTSV4RRFFQ6{number:06d}" for number in range(9_998)]
        # Ten thousand scripts that each look at all others take minutes; the records are written as the script writes them.
        first = await guard.login("many", {"role": "user"})
        client, key = await store._link.connector.client(), session_key(store._namespace, "many")
        raw = await client.hget(key, first.session_id)
        await client.hset(key, mapping=dict.fromkeys(sids, raw))

        assert 9_999 == len(await guard.sessions("many"))
        assert 9_999 == await guard.update_claims("many", {"role": "admin"})
        again = await guard.login("many")
        assert 10_000 == len(await guard.sessions("many"))
        clock.advance(901)
        assert await guard.rotate(again.refresh_token)
        assert 9_999 == await guard.revoke_others("many", again.session_id)
        assert [again.session_id] == [session.id for session in await guard.sessions("many")]
        assert 0 < await client.ttl(key) <= 15 * 86_400
        assert 1 == await guard.revoke_all("many")


async def test_p60_a_lower_limit_ends_all_that_are_too_many_at_once(options, guard, clock):
    first = await guard.login("many")
    client, key = await guard.engine.store._link.connector.client(), session_key(options["namespace"], "many")
    raw = await client.hget(key, first.session_id)
    sids = [f"01ARZ3NDEKTSV4RRFFQ6{number:06d}" for number in range(5_000)]
    await client.hset(key, mapping=dict.fromkeys(sids, raw))
    newest = await guard.login("many")
    live = {session.id for session in await guard.sessions("many")}
    assert (100, True) == (len(live), newest.session_id in live)
    (ending,) = await guard.endings("many")
    assert (None, "replaced") == (ending.session_id, ending.reason)


@pytest.mark.parametrize("how", ["hdel", "del", "expire", "flushdb"])
async def test_i10_a_record_deleted_by_any_means_ends_its_session(guard, options, redis, clock, how):
    """An operator's command, an expiry or an eviction is as final as our own revocation."""
    tokens = await guard.login("user-1")
    key = session_key(options["namespace"], "user-1")
    match how:
        case "hdel":
            await redis.hdel(key, tokens.session_id)
        case "del":
            await redis.delete(key)
        case "expire":
            await redis.pexpire(key, 1)
            await asyncio.sleep(0.02)
        case "flushdb":
            await redis.flushdb()

    with pytest.raises(NotAuthenticated):
        await guard.authenticate(tokens.access_token)  # while it would still be good
    clock.advance(901)  # a rotation would be due
    for attempt in (guard.authenticate(tokens.access_token), guard.rotate(tokens.refresh_token)):
        with pytest.raises(NotAuthenticated):
            await attempt
    assert [] == await guard.sessions("user-1")
    assert not await redis.exists(key)


async def test_i10_steps_of_a_revoked_session_write_nothing(guard, options, redis, clock):
    """P6: a slow request that began before the end writes nothing back, whichever script it reaches."""
    store, engine = guard.engine.store, guard.engine
    tokens = await guard.login("user-1")
    claims = engine.codec.read_refresh(tokens.refresh_token)
    access = engine.codec.read_access(tokens.access_token)
    await guard.revoke("user-1", tokens.session_id)

    from asgi_tokenguard.core.callers import Caller
    from asgi_tokenguard.core.rotation import Handout, Shown

    shown = Shown(gen=0, jti=claims.jti, issued=claims.iat)
    new = await engine.new_ids()
    await store.present("user-1", tokens.session_id, shown, caller=Caller.SCRIPT, new=new)
    await store.see("user-1", tokens.session_id, gen=0, access_jti=access.jti)
    await store.look("user-1", tokens.session_id, Handout(cookie=True, token=True), gen=0, refresh_jti=claims.jti)
    await store.update_claims("user-1", tokens.session_id, b"{}", new.access)
    await store.reauthenticated("user-1", tokens.session_id, new)
    assert not await redis.exists(session_key(options["namespace"], "user-1"))


async def test_i11_list_and_truth_are_one_key(guard):
    """P7: an end of all sessions and logins in between, at once; whoever is live is listed, and nobody else."""
    for _ in range(10):
        results = await asyncio.gather(*(guard.login("user-1") for _ in range(8)), guard.revoke_all("user-1"))
        listed = {session.id for session in await guard.sessions("user-1")}
        live = set()
        for tokens in results[:8]:
            try:
                live.add((await guard.authenticate(tokens.access_token)).session_id)
            except NotAuthenticated:
                continue
        assert live == listed
        await guard.revoke_all("user-1")


async def test_idle_expiry_slides_and_absolute_expiry_does_not(guard, clock):
    """P10: refreshing for ever does not make a session without end."""
    tokens = await guard.login("user-1")
    lifetimes = guard.engine.settings.lifetimes
    started = clock.time()
    rotations = 0
    with pytest.raises(NotAuthenticated) as refused:  # noqa: PT012 (the loop is the story)
        while rotations < 20:
            clock.advance(lifetimes.idle - 60)
            tokens = await guard.rotate(tokens.refresh_token)
            rotations += 1
    assert "session_expired" == refused.value.code
    assert rotations >= 5
    lived = clock.time() - started
    assert lifetimes.absolute - lifetimes.idle < lived - (lifetimes.idle - 60) < lifetimes.absolute


async def test_an_idle_session_expires_and_leaves_the_hash(guard, options, redis, clock):
    """Two sessions of one user: the idle one is cleaned when the other logs in or is listed."""
    await guard.login("user-1")
    clock.advance(guard.engine.settings.lifetimes.idle - 10)
    kept = await guard.login("user-1")
    clock.advance(11)
    assert [kept.session_id] == [session.id for session in await guard.sessions("user-1")]
    assert 1 == await redis.hlen(session_key(options["namespace"], "user-1"))


async def test_the_key_expires_with_its_longest_session(guard, options, redis):
    await guard.login("user-1")
    left = await redis.ttl(session_key(options["namespace"], "user-1"))
    assert guard.engine.settings.lifetimes.idle - 5 <= left <= guard.engine.settings.lifetimes.idle


async def test_claims_reach_every_session_with_its_next_request(guard):
    """The old access token is dead at once, the refresh token is the same, the next presentation has the new claims."""
    phone, laptop = await guard.login("user-1", {"role": "user"}), await guard.login("user-1", {"role": "user"})
    assert 2 == await guard.update_claims("user-1", {"role": "admin"})
    for tokens in (phone, laptop):
        with pytest.raises(NotAuthenticated):
            await guard.authenticate(tokens.access_token)
        fresh = await guard.rotate(tokens.refresh_token)
        assert fresh.refresh_token is None
        assert {"role": "admin"} == dict((await guard.authenticate(fresh.access_token)).claims)

    assert 1 == await guard.update_claims("user-1", {"role": "guest"}, phone.session_id)
    assert 0 == await guard.update_claims("user-1", {}, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert 0 == await guard.update_claims("nobody", {})


async def test_a_field_that_is_not_ours_is_no_session(guard, options, redis):
    """Garbage, a later version, a cut record: fail closed, and nothing is overwritten."""
    tokens = await guard.login("user-1")
    key = session_key(options["namespace"], "user-1")
    whole = await redis.hget(key, tokens.session_id)
    for raw in (b"", b"garbage", whole[:61], b"\x09" + whole[1:]):
        await redis.hset(key, tokens.session_id, raw)
        with pytest.raises(NotAuthenticated):
            await guard.authenticate(tokens.access_token)
        with pytest.raises(NotAuthenticated):
            await guard.rotate(tokens.refresh_token)
        assert raw == await redis.hget(key, tokens.session_id)


async def test_scripts_come_back_after_a_flush(guard, redis):
    tokens = await guard.login("user-1")
    await redis.script_flush()
    assert 1 == len(await guard.sessions("user-1"))
    await redis.script_flush()
    assert (await guard.rotate(tokens.refresh_token)).access_token == tokens.access_token


async def test_three_hundred_at_once_wait_for_a_connection(guard):
    """Eight connections serve them all; redis-py's plain pool would raise at its limit."""
    tokens = await guard.login("user-1")
    began = time.monotonic()
    await asyncio.gather(*(guard.authenticate(tokens.access_token) for _ in range(300)))
    assert time.monotonic() - began < 5
