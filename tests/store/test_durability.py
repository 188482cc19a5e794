"""
What was confirmed outlives its primary: failovers between real servers, and disks.

The replica is cut off, not slow: what is written meanwhile is lost when it takes over, each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from support.cluster import Cluster, client_of, command, move_by_keys
from support.needs import need_command
from support.replicas import Pair, replicated
from support.server import RedisServer
from support.sockets import Peer, Room, cookie_of
from support.stage import carried, commands, staged, travelling
from support.wire import call

from asgi_tokenguard import (
    ConfigurationError,
    Durability,
    NotAuthenticated,
    NotConfirmed,
    StoreUnavailable,
    TokenGuard,
    TokenGuardMiddleware,
    get_auth,
)
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.durability import Level
from asgi_tokenguard.core.rotation import Shown
from asgi_tokenguard.store.durability import Confirmation, Confirmations
from asgi_tokenguard.store.embedded import BINARY_VARIABLE
from asgi_tokenguard.store.keyspace import session_key

pytestmark = pytest.mark.thorough
SECRET = "a secret of more than thirty-two bytes, for tests only"
USER = "user-1"
# How long an acknowledgement is waited for here: a replica that is cut off gives none, one on a busy machine a late one.
SOON = 1.0


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with replicated() as pair:
        yield pair


@asynccontextmanager
async def a_process(pair: Pair, durability: str | Durability = "replicated", **more: Any) -> AsyncIterator[TokenGuard]:
    """A guard of a process of its own: no connection is shared with another."""
    options = {"secret": SECRET, "redis": pair.url, "cache": False, "timeout": 10} | more
    async with travelling(TokenGuard(durability=durability, **options), pair.clock) as guard:
        yield guard


def impatient(**levels: str) -> Durability:
    return Durability(**levels, timeout=SOON)


ALL_REPLICATED = impatient(login="replicated", rotation="replicated", revocation="replicated")


async def is_live(guard: TokenGuard, access_token: str) -> bool:
    try:
        await guard.authenticate(access_token)
    except NotAuthenticated:
        return False
    return True


# --- Revocations


async def test_where_the_primary_is_enough_a_revoked_session_comes_back(pair):
    """The window is real: this is what `replicated` is for."""
    async with a_process(pair, "primary") as guard:
        tokens = await guard.login(USER)
        await pair.in_step()
        pair.cable.cut()
        assert await guard.revoke(USER, tokens.session_id)
        assert not await is_live(guard, tokens.access_token)
        await pair.fail_over()
        assert await is_live(guard, tokens.access_token)


async def test_a_confirmed_revocation_outlives_its_primary(pair):
    async with a_process(pair) as guard:
        for _ in range(20):  # each time the primary could be gone at once
            tokens = await guard.login(USER)
            assert await guard.revoke(USER, tokens.session_id)
            held = await asyncio.to_thread(command, pair.replica, "HEXISTS", session_key("tg", USER), tokens.session_id)
            assert not held
        await pair.fail_over()
        assert not await is_live(guard, tokens.access_token)
        assert [] == await guard.sessions(USER)


@pytest.mark.parametrize("ending", ["revoke", "revoke_others", "revoke_all", "update_claims"])
async def test_a_revocation_that_is_not_acknowledged_says_so_and_a_repeat_confirms_it(pair, ending):
    async with a_process(pair, ALL_REPLICATED) as guard, a_process(pair, ALL_REPLICATED) as other:
        ended, kept = await guard.login(USER), await guard.login(USER)
        arguments: dict[str, tuple[Any, ...]] = {
            "revoke": (ended.session_id,), "revoke_others": (kept.session_id,), "update_claims": ({"role": "guest"},),
        }  # fmt: skip

        async def end(process: TokenGuard) -> None:
            await getattr(process, ending)(USER, *arguments.get(ending, ()))

        pair.cable.cut()
        with pytest.raises(NotConfirmed):
            await end(guard)
        assert not await is_live(guard, ended.access_token)  # it stands all the same, here
        for process in (guard, other):  # a connection that has written it, and one that has written nothing
            with pytest.raises(NotConfirmed):
                await end(process)
        pair.cable.mend()
        await end(other)
        await pair.fail_over()
        assert not await is_live(other, ended.access_token)


async def test_a_repeat_is_confirmed_only_by_who_has_the_first_change(pair):
    """Over a connection that has written nothing, Valkey says that all replicas have all of it."""
    async with a_process(pair, ALL_REPLICATED) as guard:
        tokens = await guard.login(USER)
        pair.cable.cut()
        with pytest.raises(NotConfirmed):
            await guard.revoke_all(USER)
        for _ in range(3):
            async with a_process(pair, ALL_REPLICATED) as fresh:
                with pytest.raises(NotConfirmed):
                    await fresh.revoke_all(USER)
        await pair.fail_over()
        assert await is_live(guard, tokens.access_token)  # as it was said: nobody had confirmed it


async def test_what_makes_a_repeat_count_leaves_nothing(pair):
    async with a_process(pair) as guard:
        for _ in range(2):
            assert 0 == await guard.revoke_all("nobody")
        assert {b"last"} == set(await asyncio.to_thread(command, pair.primary, "KEYS", "*"))


async def test_a_session_ended_for_reuse_stays_ended(pair):
    """The table ends it where only the rotation's level is waited for: the revocation's is asked for then."""
    async with a_process(pair, Durability(revocation="replicated")) as guard:
        first = await guard.login(USER)
        tokens = first
        for _ in range(2):
            pair.clock.advance(16 * 60)
            tokens = await guard.rotate(tokens.refresh_token)
        before = commands(f"unix://{pair.primary.socket}")["wait"]
        with pytest.raises(NotAuthenticated, match="superseded"):
            await guard.rotate(first.refresh_token)
        # Twice, where the server does not know the script yet.
        assert 1 <= commands(f"unix://{pair.primary.socket}")["wait"] - before <= 2
        await pair.fail_over()
        assert not await is_live(guard, tokens.access_token)


@pytest.mark.parametrize("levels", [impatient(revocation="replicated"), ALL_REPLICATED], ids=["revocation", "all"])
async def test_a_reuse_is_refused_as_ever_where_nobody_acknowledges(pair, caplog, levels):
    """And within the timeout, of which each acknowledgement is waited for through a half."""
    async with a_process(pair, levels, timeout=2 * SOON) as guard:
        first = await guard.login(USER)
        tokens = first
        for _ in range(2):
            pair.clock.advance(16 * 60)
            tokens = await guard.rotate(tokens.refresh_token)
        pair.cable.cut()
        with pytest.raises(NotAuthenticated, match="superseded"):
            await guard.rotate(first.refresh_token)
        assert "too few acknowledge" in caplog.text


async def test_a_reuse_that_is_acknowledged_is_no_end_of_an_outage_nor_its_beginning(pair, caplog):
    async with a_process(pair) as guard:
        first = await guard.login(USER)
        tokens = first
        for _ in range(2):
            pair.clock.advance(16 * 60)
            tokens = await guard.rotate(tokens.refresh_token)
        with pytest.raises(NotAuthenticated, match="superseded"):
            await guard.rotate(first.refresh_token)
        assert "acknowledge" not in caplog.text


async def test_a_logout_that_is_not_acknowledged_keeps_the_cookie_that_repeats_it(pair):
    options = {"secret": SECRET, "redis": pair.url, "timeout": 10, "durability": ALL_REPLICATED, "cache": False}
    async with staged(options, pair.clock) as stage:
        tab = await stage.logged_in()
        pair.cable.cut()
        refused = await tab.post("/logout", kind="fetch")
        assert (503, "not_confirmed", None) == (refused.status, refused.code, refused.cookie())
        assert 401 == (await tab.get("/me")).status  # it stands all the same
        pair.cable.mend()
        assert 204 == (confirmed := await tab.post("/logout", kind="fetch")).status
        assert "" == confirmed.cookie()
        held = await asyncio.to_thread(command, pair.replica, "EXISTS", session_key("tg", USER))
        assert not held


async def test_a_request_that_rotates_and_ends_its_session_hands_nothing_out_where_that_is_not_acknowledged(pair):
    """I13: what was rotated on the way in is over."""
    options = {"secret": SECRET, "redis": pair.url, "timeout": 10, "durability": impatient(revocation="replicated")}
    async with staged(options, pair.clock) as stage:

        @stage.on("/end")
        async def end(scope: Any, receive: Any, send: Any) -> None:
            await get_auth(scope).logout()

        tab = await stage.expired()
        pair.cable.cut()
        refused = await tab.post("/end", kind="fetch")
        assert (503, "not_confirmed", "nothing") == (refused.status, refused.code, carried(refused))


# --- Logins and rotations


async def test_a_login_that_is_not_acknowledged_hands_nothing_out_and_is_undone(pair, caplog):
    options = {"secret": SECRET, "redis": pair.url, "timeout": 10, "durability": ALL_REPLICATED, "endpoints": "/auth"}
    async with staged(options, pair.clock) as stage:
        pair.cable.cut()
        for _ in range(2):
            refused = await call(stage.app, "POST", "/login")
            assert (503, "not_confirmed", "1") == (refused.status, refused.code, refused.get("retry-after"))
            assert (None, None) == (refused.cookie(), refused.new_token)
        assert [] == await stage.guard.sessions(USER)
        # One line for the outage, however many requests it fails, and none that says that Redis does not answer.
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert [f"WAIT was answered 0 (127.0.0.1:{pair.wire.port})"] == [line.rpartition(": ")[2] for line in told]
        pair.cable.mend()
        assert 200 == (await call(stage.app, "POST", "/login")).status
        assert "acknowledged in time again" in caplog.text


async def test_confirmed_logins_and_rotations_outlive_their_primary(pair):
    async with a_process(pair) as guard:
        tokens = await guard.login(USER)
        others = [await guard.login(f"user-{number}") for number in range(2, 12)]
        pair.clock.advance(16 * 60)
        rotated = await guard.rotate(tokens.refresh_token)
        await pair.fail_over()
        async with a_process(pair, "primary") as later:  # the new primary has no replica yet
            assert await is_live(later, rotated.access_token)
            for other in others:
                assert (await later.rotate(other.refresh_token)).access_token


async def test_a_rotation_that_is_not_acknowledged_is_delivered_by_its_repeat(pair):
    async with a_process(pair, ALL_REPLICATED) as guard:
        tokens = await guard.login(USER)
        pair.clock.advance(16 * 60)
        pair.cable.cut()
        for _ in range(2):  # the second one redelivers, and is not confirmed either
            with pytest.raises(NotConfirmed):
                await guard.rotate(tokens.refresh_token)
        pair.cable.mend()
        rotated = await guard.rotate(tokens.refresh_token)
        assert 1 == guard.engine.codec.read_refresh(rotated.refresh_token).gen
        await pair.fail_over()
        assert await is_live(guard, rotated.access_token)


async def test_each_change_waits_for_its_own_level(pair):
    async with a_process(pair, impatient(revocation="replicated")) as guard:
        pair.cable.cut()
        tokens = await guard.login(USER)
        pair.clock.advance(16 * 60)
        tokens = await guard.rotate(tokens.refresh_token)
        with pytest.raises(NotConfirmed):
            await guard.revoke(USER, tokens.session_id)


async def test_a_login_waits_as_a_revocation_does_where_it_ends_another_session(pair):
    options = {"secret": SECRET, "redis": pair.url, "timeout": 10, "durability": impatient(revocation="replicated")}
    async with staged(options, pair.clock) as stage:
        pair.cable.cut()
        tab = await stage.logged_in()
        assert (503, "not_confirmed") == ((again := await tab.post("/login", kind="fetch")).status, again.code)


async def test_who_changes_nothing_is_served_while_nobody_acknowledges(pair):
    """A page of a browser that has only its cookie: it is served on it, again and again."""
    async with a_process(pair, ALL_REPLICATED) as guard:
        tokens = await guard.login(USER)
        pair.cable.cut()
        for _ in range(2):
            assert (await guard.rotate(tokens.refresh_token)).access_token


async def test_who_can_receive_nothing_waits_for_nobody_on_a_head_that_is_over(pair):
    """A picture, a handshake: nothing is rotated for them, so that nothing could be lost."""
    options = {"secret": SECRET, "redis": pair.url, "timeout": 10, "durability": ALL_REPLICATED, "cache": False}
    async with staged(options, pair.clock) as stage:
        tab = await stage.expired()
        pair.cable.cut()
        with pytest.raises(NotConfirmed):  # the connection has written what nobody has
            await stage.guard.revoke_all("nobody")
        asked = commands(f"unix://{pair.primary.socket}")["wait"]
        for _ in range(2):
            assert (200, "nothing") == ((seen := await tab.get("/me", kind="image")).status, carried(seen))
        async with Peer(TokenGuardMiddleware(Room(), stage.guard), headers=cookie_of(tab)) as peer:
            await peer.accepted()
        assert asked == commands(f"unix://{pair.primary.socket}")["wait"]


async def test_a_reuse_by_who_can_receive_nothing_stays_an_ending(pair):
    async with a_process(pair) as guard:
        first = await guard.login(USER)
        tokens = first
        for _ in range(2):
            pair.clock.advance(16 * 60)
            tokens = await guard.rotate(tokens.refresh_token)
        claims = guard.engine.codec.read_refresh(first.refresh_token)
        shown = Shown(gen=claims.gen, jti=claims.jti, issued=claims.iat)
        new = await guard.engine.new_ids()
        await guard.engine.store.present(USER, claims.sid, shown, caller=Caller.OTHER, new=new)
        await pair.fail_over()
        assert not await is_live(guard, tokens.access_token)


async def test_those_who_wait_for_a_replica_hold_up_nobody_else(pair):
    """Twelve revocations wait, and the pool has eight connections: a token is checked before any of them is over."""
    async with a_process(pair, Durability(revocation="replicated", timeout=1.5)) as guard:
        tokens = await guard.login(USER)
        pair.cable.cut()
        waiting = [asyncio.ensure_future(guard.revoke_all(f"user-{number}")) for number in range(2, 14)]
        await asyncio.sleep(0.2)
        assert await is_live(guard, tokens.access_token)
        assert [] == [each for each in waiting if each.done()]
        assert {NotConfirmed, StoreUnavailable} >= {
            type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)
        }


async def test_while_nobody_acknowledges_who_would_wait_in_vain_is_told_at_once(pair):
    async with a_process(pair, Durability(revocation="replicated", timeout=2), timeout=4) as guard:
        pair.cable.cut()
        with pytest.raises(NotConfirmed):  # from here on it is known
            await guard.revoke_all(USER)
        waiting = [asyncio.ensure_future(guard.revoke_all(f"user-{number}")) for number in range(2, 14)]
        await asyncio.sleep(0.3)
        told = [each for each in waiting if each.done()]
        assert 4 == len(told)
        assert [StoreUnavailable] * 4 == [type(each.exception()) for each in told]
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_replica_that_is_away_does_not_make_the_server_look_slow(pair):
    """The gate counts answers: were those counted that only a replica is late with, it would refuse what needs none."""
    async with a_process(pair, Durability(revocation="replicated", timeout=0.1), timeout=1) as guard:
        users = [await guard.login(f"user-{number}") for number in range(30)]
        pair.cable.cut()
        for _ in range(20):
            await asyncio.gather(*(guard.revoke_all(f"none-{number}") for number in range(4)), return_exceptions=True)
        served = await asyncio.gather(*(guard.rotate(user.refresh_token) for user in users), return_exceptions=True)
        assert [] == [each for each in served if isinstance(each, Exception)]


async def test_who_gives_up_waiting_leaves_no_answer_to_others(pair):
    """Its connection still owes an acknowledgement: nobody may take that for theirs."""
    async with a_process(pair, Durability(revocation="replicated", timeout=2)) as guard:
        tokens = await guard.login(USER)
        pair.cable.cut()
        for _ in range(3):
            given_up = [asyncio.ensure_future(guard.revoke_all(f"user-{number}")) for number in range(2, 10)]
            await asyncio.sleep(0.1)
            for each in given_up:
                each.cancel()
            await asyncio.gather(*given_up, return_exceptions=True)
            lists = await asyncio.gather(*(guard.sessions(USER) for _ in range(20)))
            assert {tokens.session_id} == {session.id for sessions in lists for session in sessions}
            assert await is_live(guard, tokens.access_token)
        pair.cable.mend()
        assert 1 == await guard.revoke_all(USER)  # all places of those who wait are free again


# --- Disks


@asynccontextmanager
async def on_disk(*more: str) -> AsyncIterator[tuple[RedisServer, TokenGuard]]:
    server = RedisServer(port=True, travel=False, more=more)
    with closing(server):
        await asyncio.to_thread(server.start)
        durability = Durability(login="fsynced", revocation="fsynced", replicas=0, timeout=4)
        async with TokenGuard(secret=SECRET, redis=server.url, cache=False, timeout=10, durability=durability) as guard:
            yield server, guard


async def test_what_is_fsynced_outlives_a_kill():
    async with on_disk("--appendonly", "yes", "--appendfsync", "always") as (server, guard):
        tokens, ended = await guard.login(USER), await guard.login(USER)
        assert await guard.revoke(USER, ended.session_id)
        server.kill()
        await asyncio.to_thread(server.start)
        assert (True, False) == (await is_live(guard, tokens.access_token), await is_live(guard, ended.access_token))


async def test_what_only_the_primary_has_in_memory_is_gone_after_a_kill():
    with closing(RedisServer(port=True, travel=False)) as server:
        await asyncio.to_thread(server.start)
        async with TokenGuard(secret=SECRET, redis=server.url, cache=False, timeout=10) as guard:
            tokens = await guard.login(USER)
            server.kill()
            await asyncio.to_thread(server.start)
            assert not await is_live(guard, tokens.access_token)


async def test_disks_that_stop_acknowledging_refuse_logins():
    """`appendfsync no`, set behind the guard's back: the server never says that anything is on the disk."""
    with closing(RedisServer(port=True, travel=False, more=["--appendonly", "yes", "--appendfsync", "always"])) as server:
        await asyncio.to_thread(server.start)
        durability = Durability(login="fsynced", replicas=0, timeout=SOON)
        async with TokenGuard(secret=SECRET, redis=server.url, timeout=10, durability=durability) as guard:
            assert await guard.login(USER)
            await guard.revoke_all(USER)
            await asyncio.to_thread(command, server, "CONFIG", "SET", "appendfsync", "no")
            with pytest.raises(NotConfirmed):
                await guard.login(USER)
            assert [] == await guard.sessions(USER)


# --- The start


async def refusal_at_start(server: RedisServer, durability: str, url: str = "") -> ConfigurationError:
    guard = TokenGuard(secret=SECRET, redis=url or server.url, timeout=10, durability=durability)
    try:
        with pytest.raises(ConfigurationError) as caught:
            await guard.open()
    finally:
        await guard.aclose()
    assert "durability" == caught.value.option
    return caught.value


async def test_the_start_fails_where_the_server_writes_no_file():
    with closing(RedisServer(port=True, travel=False).start()) as server:
        assert "set `appendonly yes` there" == (await refusal_at_start(server, "fsynced")).remedy


@pytest.mark.parametrize(("policy", "why"), [("everysec", "may answer before"), ("no", "never tells")])
async def test_the_start_fails_where_the_server_would_not_tell_the_truth_about_its_disk(policy, why):
    """Valkey acknowledges with `everysec` what its disk does not have yet."""
    with closing(RedisServer(port=True, travel=False, more=["--appendonly", "yes", "--appendfsync", policy]).start()) as server:
        error = await refusal_at_start(server, "fsynced")
        assert why in error.problem
        assert error.remedy.startswith("set `appendfsync always`")


async def test_a_server_that_does_not_tell_how_it_writes_is_warned_of(caplog):
    more = ["--appendonly", "yes", "--appendfsync", "always"]
    with closing(RedisServer(port=True, travel=False, more=more).start()) as server:
        await asyncio.to_thread(command, server, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config")
        durability, url = Durability(login="fsynced", replicas=0), f"redis://app:pw@127.0.0.1:{server.port}"
        async with TokenGuard(secret=SECRET, redis=url, timeout=10, durability=durability) as guard:
            assert await guard.login(USER)
        assert "does not tell its appendfsync" in caplog.text


async def test_the_start_fails_where_the_server_knows_no_waitaof(monkeypatch):
    """Debian 12 has Redis 7.0, which came just before."""
    need_command("redis-server")
    monkeypatch.setenv(BINARY_VARIABLE, "/usr/bin/redis-server")
    with closing(RedisServer(port=True, travel=False, more=["--appendonly", "yes"]).start()) as server:
        error = await refusal_at_start(server, "fsynced")
        assert "the server does not know WAITAOF" == error.problem
        assert "use 'replicated'" in error.remedy


@pytest.mark.parametrize(("durability", "word"), [("replicated", "wait"), ("fsynced", "waitaof")])
async def test_the_start_fails_where_the_servers_user_may_not_ask(durability, word):
    with closing(RedisServer(port=True, travel=False, more=["--appendonly", "yes"]).start()) as server:
        await asyncio.to_thread(command, server, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", f"-{word}")
        error = await refusal_at_start(server, durability, f"redis://app:pw@127.0.0.1:{server.port}")
        assert f"give it +{word}" == error.remedy


async def test_a_replica_that_is_away_at_the_start_is_warned_of(caplog):
    """It may come back, and to wait for it would be an outage of what needs no replica."""
    with closing(RedisServer(port=True, travel=False).start()) as server:
        durability = Durability(revocation="replicated", timeout=0.05)
        async with TokenGuard(secret=SECRET, redis=server.url, timeout=10, durability=durability) as guard:
            assert await guard.login(USER)
        assert "too few acknowledge now, WAIT is answered 0" in caplog.text


# --- A cluster


async def test_on_a_cluster_the_replica_of_the_owner_is_asked():
    key = session_key("tg", USER)
    with Cluster(2, replicas=True) as cluster:
        owner = cluster.owner(key)
        replica = cluster.replica_of(owner)
        async with client_of(cluster) as client:
            durability = impatient(login="replicated", revocation="replicated")
            async with TokenGuard(secret=SECRET, redis=client, cache=False, timeout=10, durability=durability) as guard:
                tokens = await guard.login(USER)
                replica.freeze()
                with pytest.raises(NotConfirmed):
                    await guard.revoke_all(USER)
                assert not await is_live(guard, tokens.access_token)
                replica.thaw()
                async with asyncio.timeout(30):  # it has to find its primary again
                    while True:
                        try:
                            await guard.revoke_all(USER)
                            break
                        except NotConfirmed:
                            await asyncio.sleep(0.1)


async def test_on_a_cluster_a_replica_that_is_away_harms_no_change_of_another_owner(caplog):
    """More of the one than may wait at a time, again and again; of the other every change is confirmed."""
    with Cluster(2, replicas=True) as cluster:
        sick = cluster.primaries[0]
        users = [f"user-{number}" for number in range(40)]
        of_sick = [user for user in users if cluster.owner(session_key("tg", user)) is sick]
        of_well = [user for user in users if user not in of_sick]
        cluster.replica_of(sick).freeze()
        async with client_of(cluster) as client:
            options = {"cache": False, "timeout": 4, "durability": Durability(revocation="replicated", timeout=0.5)}
            async with TokenGuard(secret=SECRET, redis=client, **options) as guard:
                refused = [asyncio.ensure_future(guard.revoke_all(user)) for user in of_sick]
                for _ in range(5):
                    for user in of_well[:4]:
                        async with asyncio.timeout(2):
                            await guard.revoke_all(user)
                    await asyncio.sleep(0.3)
                results = await asyncio.gather(*refused, return_exceptions=True)
        assert {NotConfirmed, StoreUnavailable} >= {type(each) for each in results}
        assert 1 == caplog.text.count("too few acknowledge them")
        assert 0 == caplog.text.count("acknowledged in time again")


@pytest.mark.parametrize("protocol", [2, 3])
async def test_on_a_cluster_every_primarys_disk_is_looked_at(protocol):
    with Cluster(2, more=["--appendonly", "yes", "--appendfsync", "always"]) as cluster:
        durability = Durability(login="fsynced", replicas=0)
        for policy in ("always", "everysec"):
            await asyncio.to_thread(command, cluster.primaries[1], "CONFIG", "SET", "appendfsync", policy)
            async with client_of(cluster, protocol=protocol) as client:
                guard = TokenGuard(secret=SECRET, redis=client, timeout=10, durability=durability)
                if policy == "always":
                    async with guard:
                        assert await guard.login(USER)
                else:
                    with pytest.raises(ConfigurationError, match="may answer before the disk"):
                        await guard.open()


async def test_on_a_cluster_a_change_that_follows_its_slot_is_confirmed_there():
    key = session_key("tg", USER)
    with Cluster(2, replicas=True) as cluster:
        async with client_of(cluster) as client:
            durability = Durability(revocation="replicated", timeout=4)
            async with TokenGuard(secret=SECRET, redis=client, cache=False, timeout=10, durability=durability) as guard:
                before, tokens = await guard.login(USER), await guard.login(USER)
                assert await guard.revoke(USER, before.session_id)  # both keys of the user are there: the script can run
                source = cluster.owner(key)
                target = next(each for each in cluster.primaries if each is not source)
                await asyncio.to_thread(move_by_keys, source, target, client.keyslot(key), finish=False)
                asked = commands(f"unix://{target.socket}")["wait"]
                assert await guard.revoke(USER, tokens.session_id)
                assert 1 <= commands(f"unix://{target.socket}")["wait"] - asked <= 2


# --- The question


def test_nobody_is_asked_to_wait_for_ever():
    """Redis takes 0 ms for that."""
    assert [("WAIT", 1, 1)] == [each.command for each in Confirmations(Durability.everywhere("replicated"), 0.0005).all]
    assert ("WAITAOF", 1, 2, 500) == Confirmation(Level.FSYNCED, 2, 500).command


@pytest.mark.parametrize(
    ("level", "answer", "expected"),
    [
        (Level.REPLICATED, 1, False), (Level.REPLICATED, 2, True), (Level.REPLICATED, 3, True),
        (Level.FSYNCED, [1, 2], True), (Level.FSYNCED, [0, 2], False), (Level.FSYNCED, [1, 1], False),
        (Level.FSYNCED, ValueError("no file"), False),
    ],
)  # fmt: skip
def test_so_many_have_to_acknowledge(level, answer, expected):
    assert expected == Confirmation(level, 2, 500).is_given(answer)
