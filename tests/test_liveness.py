"""A token that is known costs no question, and nothing that has changed is ever served from what is known."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from itertools import pairwise

import pytest
from redis.asyncio import Redis
from support.stage import Stage, answer, staged
from support.wire import call, scope_of

from asgi_tokenguard import TokenGuard, get_auth
from asgi_tokenguard.core.decisions import Access
from asgi_tokenguard.core.rotation import NewIds
from asgi_tokenguard.errors import ResponseStarted
from asgi_tokenguard.store.keyspace import session_key

NEW = NewIds(access=b"A" * 16, refresh=b"R" * 16)


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock) as stage:
        yield stage


def field_of(tab) -> bytes:
    return f"Bearer {tab.token}".encode()


async def known(stage: Stage, tab) -> bool:
    """Ask until the tab's token is served from what is known; False where that never comes."""
    return await known_of(stage, [("authorization", field_of(tab).decode())])


async def known_of(stage: Stage, headers: list[tuple[str, str]]) -> bool:
    for _ in range(500):
        if stage.guard.engine.liveness.known(headers[0][1].encode()) is not None:
            return True
        await call(stage.app, "GET", "/me", headers)
        await asyncio.sleep(0.01)
    return False


async def forgotten(stage: Stage, tab) -> bool:
    for _ in range(200):
        if stage.guard.engine.liveness.known(field_of(tab)) is None:
            return True
        await asyncio.sleep(0.005)
    return False


async def test_a_known_token_asks_redis_nothing(stage):
    tab = await stage.logged_in()
    assert await known(stage, tab)
    before = stage.commands()
    for _ in range(50):
        assert 200 == (await tab.get()).status
    assert not stage.commands() - before


async def test_the_first_use_of_a_generation_reaches_redis_and_is_not_kept(stage):
    """It makes the generation seen; a process that had kept the token it minted would leave it unseen (section 4)."""
    first = await stage.logged_in()
    assert await known(stage, first)  # the channel is open now
    tab = await stage.logged_in()
    assert stage.guard.engine.liveness.known(field_of(tab)) is None
    before = stage.commands()
    assert 200 == (await tab.get()).status
    assert 1 == (stage.commands() - before)["evalsha"]
    assert stage.guard.engine.liveness.known(field_of(tab)) is None
    assert (await stage.head(tab)).seen


@pytest.mark.parametrize("how", ["revoke", "revoke_all", "claims", "by hand", "logout"])
async def test_i10_a_change_by_another_process_is_heard_within_moments(stage, how):
    tab = await stage.logged_in()
    (session,) = await stage.guard.sessions("user-1")
    assert await known(stage, tab)
    async with stage.another_process() as other:
        if how == "revoke":
            await other.revoke("user-1", session.id)
        elif how == "revoke_all":
            await other.revoke_all("user-1")
        elif how == "claims":
            await other.update_claims("user-1", {"role": "none"})
        elif how == "logout":
            await tab.post("/logout")
        else:
            async with Redis.from_url(stage.options["redis"]) as client:
                await client.delete(session_key(stage.options["namespace"], "user-1"))
    assert await forgotten(stage, tab)


CHANGES = {
    "revoke_all": lambda guard, _: guard.revoke_all("user-1"),
    "update_claims": lambda guard, _: guard.update_claims("user-1", {"a": 1}),
    "rotation": lambda guard, tab: guard.rotate(tab.browser.jar),
    "reauthenticated": lambda guard, tab: guard.engine.store.reauthenticated("user-1", sid_of(guard, tab), NEW),
}


def sid_of(guard, tab) -> str:
    return guard.engine.codec.read_access(tab.token).sid


@pytest.mark.parametrize("how", CHANGES)
async def test_i10_what_this_process_changes_it_does_not_wait_to_hear_of(stage, how):
    for _ in range(20):
        tab = await stage.logged_in()
        assert await known(stage, tab)
        await CHANGES[how](stage.guard, tab)
        assert stage.guard.engine.liveness.known(field_of(tab)) is None


async def test_the_other_users_stay_known(stage):
    one, two = await stage.logged_in("user-1"), await stage.logged_in("user-2")
    assert await known(stage, one)
    assert await known(stage, two)
    await stage.guard.revoke_all("user-2")
    assert await forgotten(stage, two)
    assert stage.guard.engine.liveness.known(field_of(one)) is not None


async def test_an_entry_counts_its_scopes_and_who_has_none_shares_what_everybody_has(stage):
    """They are kept beside the claim they come from: many short ones take twenty times as much as it does."""
    many = " ".join(map(str, range(100, 400)))
    liveness, sizes, granted = stage.guard.engine.liveness, [0], []
    for number, claims in enumerate([{"scope": many}, {"other": many}, {"other": many}]):
        headers = [("authorization", f"Bearer {(await stage.guard.login(f'user-{number}', claims)).access_token}")]
        assert await known_of(stage, headers)
        sizes.append(liveness._caches.here().size)
        granted.append(liveness.known(headers[0][1].encode()).granted)
    with_scopes, without, _ = (after - before for before, after in pairwise(sizes))
    assert 300 * sys.getsizeof("100") < with_scopes - without < 2 * 300 * sys.getsizeof("100")
    assert granted[1] is granted[2]


async def test_a_token_is_known_no_longer_than_it_lasts(stage):
    """Also where the lease is renewed all the time: what expires is pushed by nobody."""
    tab = await stage.logged_in()
    assert await known(stage, tab)
    cache = stage.guard.engine.liveness._caches.here()
    cache.trusted_until = float("inf")
    claims = stage.guard.engine.codec.read_access(tab.token)
    left = claims.exp - stage.clock.time()
    stage.clock.advance(left - 2)
    cache.trusted_until = float("inf")
    assert stage.guard.engine.liveness.known(field_of(tab)) is not None
    stage.clock.advance(3)
    cache.trusted_until = float("inf")
    assert stage.guard.engine.liveness.known(field_of(tab)) is None


async def test_i10_an_answer_that_was_under_way_when_its_user_was_revoked_is_not_kept(stage, monkeypatch):
    """The read returns the live record, the revocation is pushed, and only then does the reader go on."""
    tab = await stage.logged_in()
    assert await known(stage, tab)
    engine = stage.guard.engine
    claims = engine.codec.read_access(tab.token)
    check = engine.store.check

    async def slow(*args):
        record = await check(*args)
        await stage.guard.revoke_all("user-1")
        await asyncio.sleep(0.05)
        return record

    monkeypatch.setattr(engine.store, "check", slow)
    assert Access.LIVE is await engine.liveness.judge(claims, field_of(tab))  # it was, when it was asked
    assert engine.liveness.known(field_of(tab)) is None


async def test_nothing_that_does_not_verify_is_kept(stage):
    tab = await stage.logged_in()
    assert await known(stage, tab)
    cache = stage.guard.engine.liveness._caches.here()
    before = len(cache)
    forged = tab.token[:-4] + "AAAA"
    for number in range(50):
        for text in (forged, f"{number}.b.c", "x" * number):
            await call(stage.app, "GET", "/me", [("authorization", f"Bearer {text}")])
    assert before == len(cache)
    assert not cache._readings


async def test_what_one_request_writes_into_its_claims_no_other_sees(stage):
    @stage.on("/claims")
    async def claims(scope, receive, send):
        auth = get_auth(scope)
        auth.claims["roles"].append("admin")
        auth.claims["extra"] = True
        await answer(send, body={"claims": dict(auth.claims)})

    tokens = await stage.guard.login("user-1", {"roles": ["reader"]})
    headers = [("authorization", f"Bearer {tokens.access_token}")]
    for _ in range(2):  # once asked of Redis, once known
        for _ in range(2):
            found = (await call(stage.app, "GET", "/claims", headers)).json()["claims"]
            assert {"roles": ["reader", "admin"], "extra": True} == found
        assert await known_of(stage, headers)


async def test_public_paths_and_preflights_know_nobody(stage):
    @stage.on("/login")
    @stage.on("/api/login")
    @stage.on("/guarded")
    async def who(scope, receive, send):
        await answer(send, body={"subject": get_auth(scope).subject})

    token = (await stage.guard.login("user-2")).access_token
    headers = [("authorization", f"Bearer {token}")]
    assert await known_of(stage, headers)
    assert None is (await call(stage.app, "GET", "/login", headers)).json()["subject"]
    assert None is (await call(stage.app, "GET", "/api/login", headers, root_path="/api")).json()["subject"]
    assert "user-2" == (await call(stage.app, "GET", "/api/login", headers)).json()["subject"]
    assert "user-2" == (await call(stage.app, "GET", "/guarded", headers)).json()["subject"]
    preflight = [*headers, ("origin", "https://app.example"), ("access-control-request-method", "GET")]
    assert None is (await call(stage.app, "OPTIONS", "/guarded", preflight)).json()["subject"]


async def test_two_access_headers_are_refused_although_one_is_known(stage):
    tab = await stage.logged_in()
    assert await known(stage, tab)
    headers = [("authorization", field_of(tab).decode()), ("authorization", "Bearer x")]
    for sent in (headers, headers[::-1]):
        assert 400 == (await call(stage.app, "GET", "/me", sent)).status


async def test_methods_that_promise_to_ask_redis_do_so(stage):
    """`require_fresh`, `revoke` and the like never rely on what is known (section 4)."""
    tab = await stage.logged_in()
    assert await known(stage, tab)

    @stage.on("/fresh")
    async def fresh(scope, receive, send):
        await get_auth(scope).require_fresh()
        await answer(send)

    before = stage.commands()
    assert 200 == (await tab.get("/fresh")).status
    assert 1 == (stage.commands() - before)["hget"]


async def test_each_event_loop_listens_for_itself_and_stops_when_the_guard_closes(options):
    guard = TokenGuard(**options)

    async def use() -> bool:
        async with guard:
            token = (await guard.login("user-1")).access_token
            claims, field = guard.engine.codec.read_access(token), f"Bearer {token}".encode()
            for _ in range(100):
                await guard.engine.liveness.judge(claims, field)
                if guard.engine.liveness.known(field):
                    return True
                await asyncio.sleep(0.01)
            return False

    def run() -> bool:
        return asyncio.run(use())

    assert [True, True] == [await asyncio.to_thread(run), await asyncio.to_thread(run)]
    caches = guard.engine.liveness._caches
    assert 1 >= len(caches._caches.everywhere())
    assert not caches._listeners.everywhere()


async def test_a_request_that_is_given_up_leaves_no_reading_behind(stage, monkeypatch):
    tab = await stage.logged_in()
    assert await known(stage, tab)
    engine = stage.guard.engine
    claims = engine.codec.read_access(tab.token)

    async def never(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr(engine.store, "check", never)
    asking = asyncio.ensure_future(engine.liveness.judge(claims, field_of(tab)))
    await asyncio.sleep(0.01)
    assert engine.liveness._caches.here()._readings
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert not engine.liveness._caches.here()._readings


async def test_a_request_leaves_nothing_to_the_collector_of_cycles(stage):
    """What waits for it costs more than the guard's whole work; of a known token, and of one that is asked about."""
    tab = await stage.logged_in()
    assert await known(stage, tab)

    async def left(app, *, forget):
        """Objects in cycles of a hundred requests."""
        scopes = [scope_of("GET", "/me", [("authorization", field_of(tab).decode())]) for _ in range(100)]
        gc.collect()
        gc.disable()
        try:
            for scope in scopes:
                if forget:
                    stage.guard.engine.liveness._caches.here().forget()
                await app(scope, receive, send)
            scopes.clear()
            return gc.collect()
        finally:
            gc.enable()

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        pass

    @stage.on("/me")
    async def me(scope, receive, send):
        get_auth(scope).subject  # noqa: B018
        await answer(send)

    for forget in (False, True):
        await left(stage.app, forget=forget)  # what is made once
        assert await left(stage.app, forget=forget) < 100


async def test_a_task_that_outlives_the_answer_still_knows_whose_it_was(stage):
    auths = []

    @stage.on("/me")
    async def me(scope, receive, send):
        auths.append(get_auth(scope))
        await answer(send)

    tab = await stage.logged_in()
    await tab.get()
    (auth,) = auths
    assert "user-1" == auth.subject
    assert [True] == [session.current for session in await auth.sessions()]
    assert await auth.ended() is None
    await auth.require_fresh()
    for late in (auth.login("user-2"), auth.logout(), auth.reauthenticated("user-1"), auth.revoke_all()):
        with pytest.raises(ResponseStarted):
            await late
