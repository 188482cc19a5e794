"""A real cluster of three: every step works, every primary is heard, and one that is away harms nobody else's sessions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from redis.asyncio import RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError
from support.cluster import Cluster, client_of, command, listeners, move_by_keys, settle_slot, until
from support.holder import Holder
from support.server import RedisServer

from asgi_tokenguard import NotAuthenticated, StoreUnavailable, TokenGuard, Tracking
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.store import cluster as ask
from asgi_tokenguard.store.keyspace import session_key, tombstone_key
from asgi_tokenguard.store.place_cache import RedisPlaceCache
from asgi_tokenguard.store.primaries import primaries

SECRET = "a secret of more than thirty-two bytes, for tests only"
# Enough that each of three primaries has some of them.
USERS = [f"user-{number}" for number in range(24)]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(3, spare=1) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster) -> AsyncIterator[RedisCluster]:
    async with client_of(cluster) as client:
        yield client


def guarded(client: RedisCluster, **options) -> TokenGuard:
    # Generous: a busy machine is no outage, unless the test is about one.
    defaults = {"namespace": f"t{next(_numbers)}", "staleness": 2, "timeout": 10}
    return TokenGuard(secret=SECRET, redis=client, **defaults | options)


@pytest.fixture
async def guard(client) -> AsyncIterator[TokenGuard]:
    async with guarded(client) as guard:
        yield guard


def key_of(guard: TokenGuard, user: str) -> str:
    return session_key(guard.engine.settings.namespace, user)


async def eventually(met, what: str) -> None:
    async with asyncio.timeout(20):
        while not met():
            await asyncio.sleep(0.005)


async def logged_in(guard: TokenGuard, users=USERS) -> dict[str, Holder]:
    tokens = await asyncio.gather(*(guard.login(user) for user in users))
    holders = [Holder(guard, each.access_token) for each in tokens]
    await asyncio.gather(*(holder.settle() for holder in holders))
    return dict(zip(users, holders, strict=True))


async def test_every_step_works_for_users_on_every_primary(cluster, guard):
    assert {member.port for member in cluster.primaries} == {cluster.owner(key_of(guard, user)).port for user in USERS}
    for user in USERS:
        first, second = await guard.login(user, {"role": "user"}), await guard.login(user, {"role": "user"})
        assert user == (await guard.authenticate(first.access_token)).subject
        assert 2 == len(await guard.sessions(user))
        assert 2 == await guard.update_claims(user, {"role": "admin"})
        rotated = await guard.rotate(second.refresh_token)
        assert {"role": "admin"} == dict((await guard.authenticate(rotated.access_token)).claims)
        assert 1 == await guard.revoke_others(user, second.session_id)
        with pytest.raises(NotAuthenticated) as refused:
            await guard.authenticate(first.access_token)
        assert 1 == await guard.revoke_all(user)
        assert (401, 2) == (refused.value.status_code, len(await guard.endings(user)))


async def test_shared_places_are_kept_in_a_cluster_as_well(guard):
    places = RedisPlaceCache(guard.engine.store)
    vienna = Place(latitude=48.2, longitude=16.4, city="Vienna", country="AT")
    for number in range(9):
        await places.put(f"192.0.2.{number}", vienna, 60)
    assert ["Vienna"] * 9 == [(await places.get(f"192.0.2.{number}")).city for number in range(9)]


async def test_the_users_client_stays_open(client):
    async with guarded(client) as guard:
        await logged_in(guard, USERS[:1])
    assert await client.ping()


async def test_each_primary_has_one_listener_and_a_change_at_any_of_them_is_heard(cluster, guard):
    holders = await logged_in(guard)
    assert Tracking.ON == guard.tracking
    assert [1, 1, 1] == [len(listeners(member)) for member in cluster.primaries]
    for user, holder in holders.items():
        command(cluster.owner(key_of(guard, user)), "DEL", key_of(guard, user))
        await eventually(lambda holder=holder: not holder.is_served, "the change is heard")
    assert Tracking.ON == guard.tracking  # they were told, and not dropped because a channel was lost


async def test_one_lost_channel_drops_all_and_all_come_back(cluster, guard):
    """Which verdicts came from which node is not remembered; that costs a moment of asking, and no rule that could be wrong."""
    holders = await logged_in(guard)
    (lost,) = listeners(cluster.primaries[1])
    command(cluster.primaries[1], "CLIENT", "KILL", "ID", lost["id"])
    await eventually(lambda: not any(holder.is_served for holder in holders.values()), "all are dropped")
    await asyncio.gather(*(holder.settle() for holder in holders.values()))
    assert [1, 1, 1] == [len(listeners(member)) for member in cluster.primaries]


async def test_questions_of_one_tick_go_out_as_one_for_each_node(cluster, guard, monkeypatch):
    tokens = await asyncio.gather(*(guard.login(user) for user in USERS))
    await asyncio.gather(*(guard.authenticate(each.access_token) for each in tokens))  # marks them seen
    sent: list[set[int]] = []
    execute_all = ask.execute_all

    async def counting(client, commands):
        sent.append({cluster.owner(key).port for _, key, _ in commands})
        return await execute_all(client, commands)

    monkeypatch.setattr(ask, "execute_all", counting)
    await asyncio.gather(*(guard.authenticate(each.access_token) for each in tokens))
    assert sorted([{member.port} for member in cluster.primaries], key=min) == sorted(sent, key=min)


async def test_one_node_that_stands_still_makes_nobody_else_wait(cluster, client):
    """Its own users get their 503 in time; those of the two others do not notice."""
    frozen = cluster.primaries[2]
    async with guarded(client, timeout=2, cache=False) as guard:
        tokens = {user: await guard.login(user) for user in USERS}
        on_it = {user for user in USERS if cluster.owner(key_of(guard, user)) is frozen}
        frozen.freeze()
        try:
            questions = (guard.authenticate(tokens[user].access_token) for user in USERS)
            answers = dict(zip(USERS, await asyncio.gather(*questions, return_exceptions=True), strict=True))
        finally:
            frozen.thaw()
        assert on_it == {user for user, answer in answers.items() if isinstance(answer, StoreUnavailable)}
        assert {"user-0", "user-1"} - on_it
        for user in USERS:
            assert user == (await guard.authenticate(tokens[user].access_token)).subject


async def test_who_hangs_up_on_a_cluster_that_is_well_costs_its_own_connection(cluster, client):
    """To doubt the owner then would have the client read the topology anew, and open all of its connections again."""
    async with guarded(client, timeout=2, cache=False) as guard:
        await asyncio.gather(*(guard.login(user) for user in USERS))
        owner, asked = cluster.owner(key_of(guard, "user-1")), topology_asked(cluster)
        for _ in range(3):
            owner.freeze()  # for a moment, so that the answer is not there yet
            question = asyncio.ensure_future(guard.sessions("user-1"))
            await asyncio.sleep(0.05)
            question.cancel()
            owner.thaw()
            await asyncio.gather(question, return_exceptions=True)
            assert "user-1" == (await guard.sessions("user-1"))[0].subject
        assert asked == topology_asked(cluster)


def topology_asked(cluster: Cluster) -> int:
    stats = (command(member, "INFO", "commandstats") for member in cluster.primaries)
    return sum(each.get("cmdstat_cluster|slots", {"calls": 0})["calls"] for each in stats)


async def test_a_script_whose_answer_was_lost_is_not_sent_again(cluster):
    """redis-py's default client of a cluster would: it has its retries, whatever we were told."""
    async with client_of(cluster, retry=None, socket_timeout=0.3) as client, guarded(client, cache=False) as guard:
        await guard.login("user-1")
        owner = cluster.owner(key_of(guard, "user-1"))
        command(owner, "CONFIG", "RESETSTAT")
        owner.freeze()
        second = asyncio.ensure_future(guard.login("user-1"))
        await asyncio.sleep(0.5)
        owner.thaw()  # it finds what was sent in its buffers, and a client that has given up and may come back
        with suppress(StoreUnavailable):
            await second
        await asyncio.to_thread(until, lambda: scripts_run(owner), "it has run")
        await asyncio.sleep(0.2)
        assert 1 == scripts_run(owner)


def scripts_run(server: RedisServer) -> int:
    return command(server, "INFO", "commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


async def test_who_the_client_reads_from_unheard_is_noticed_before_the_cluster_tells(cluster, client, guard):
    """Nodes tell each other of a new primary as they please; the client knows it from the moment it was sent there."""
    await guard.login("user-1")
    heard = await primaries(client, "tg", anew=False)
    assert 3 == len(heard)
    for primary in heard:
        primary.compare()
    key, spare = key_of(guard, "user-1"), cluster.spare[0]
    source, slot = cluster.owner(key), key_slot(key.encode())
    await asyncio.to_thread(move_by_keys, source, spare, slot)
    try:
        assert 1 == len(await guard.sessions("user-1"))
        for primary in heard:
            with pytest.raises(RedisError, match="nobody listens"):
                primary.compare()
    finally:
        await asyncio.to_thread(move_by_keys, spare, source, slot)


async def test_three_hundred_at_once_wait_for_a_connection(cluster):
    async with client_of(cluster, max_connections=4) as client, guarded(client) as guard:
        assert 300 == len(await asyncio.gather(*(guard.login(f"user-{number}") for number in range(300))))
        await asyncio.gather(*(guard.sessions("user-1") for _ in range(300)))


async def test_who_leaves_early_leaves_no_answer_behind_for_another(guard):
    tokens = {user: await guard.login(user) for user in USERS}
    for _ in range(10):
        asked = [asyncio.ensure_future(guard.authenticate(each.access_token)) for each in tokens.values()]
        scripts = [asyncio.ensure_future(guard.sessions(user)) for user in USERS]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in (*asked[::2], *scripts[::2]):
            task.cancel()
        await asyncio.gather(*asked, *scripts, return_exceptions=True)
        for user, task in zip(USERS[1::2], asked[1::2], strict=True):
            assert user == task.result().subject
        for user, task in zip(USERS[1::2], scripts[1::2], strict=True):
            assert [user] == [session.subject for session in task.result()]


@pytest.mark.parametrize("to", ["another primary", "a node without a slot"])
async def test_a_user_whose_slot_is_on_its_way_is_still_answered(cluster, guard, to):
    """Many at once, over several connections: redis-py's own way to follow ASK reaches nothing then."""
    tokens, kept = await guard.login("user-1"), await guard.login("user-1")
    await guard.revoke("user-1", tokens.session_id)  # both of the user's keys are there
    key = key_of(guard, "user-1")
    assert key_slot(key.encode()) == key_slot(tombstone_key(guard.engine.settings.namespace, "user-1").encode())
    source, slot = cluster.owner(key), key_slot(key.encode())
    target = (
        cluster.spare[0] if to == "a node without a slot" else next(each for each in cluster.primaries if each is not source)
    )
    await asyncio.gather(*(guard.login(user) for user in USERS[2:]))  # opens connections
    await asyncio.to_thread(move_by_keys, source, target, slot, finish=False)
    try:
        found = await asyncio.gather(*(guard.authenticate(kept.access_token) for _ in range(20)))
        assert {"user-1"} == {identity.subject for identity in found}
        listed = await asyncio.gather(*(guard.sessions("user-1") for _ in range(20)))
        assert {kept.session_id} == {session.id for sessions in listed for session in sessions}
    finally:
        await asyncio.to_thread(settle_slot, source, target, slot)
        await asyncio.to_thread(move_by_keys, target, source, slot)
    assert 1 == await guard.revoke_all("user-1")


async def test_what_one_process_finds_out_of_a_nodes_lineage_all_others_read(cluster, client):
    """Each node keeps it itself, so that no other node has to be there for it."""
    namespace = f"t{next(_numbers)}"
    async with (
        client_of(cluster) as another,
        guarded(client, namespace=namespace) as one,
        guarded(another, namespace=namespace) as two,
    ):
        learned = {}
        for guard, guess in ((one, "1000"), (two, "2000")):
            lineages = guard.engine.store.lineages
            for member in cluster.primaries:
                node = f"127.0.0.1:{member.port}"
                await lineages.learn(node, f"{'a' * 39}{member.port % 10} {guess}".encode())
                learned.setdefault(node, []).append(lineages.of(node)[1])
        assert [["1000", "1000"]] * 3 == list(learned.values())
        for member in cluster.primaries:
            (key,) = command(member, "KEYS", f"{namespace}:n:*")
            assert 7_000_000_000 < command(member, "PTTL", key)  # until no session is left that began before
