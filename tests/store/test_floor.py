"""Servers that are too old are refused at start-up, with a remedy."""

from __future__ import annotations

from contextlib import closing

import pytest
from redis.asyncio import Redis
from support.cables import wire_to
from support.cluster import Cluster, command
from support.server import RedisServer
from support.stage import alive

from asgi_tokenguard import ConfigurationError, TokenGuard, TokenGuardMiddleware
from asgi_tokenguard.store.floor import check_version

SECRET = "a secret of more than thirty-two bytes, for tests only"
REMEDY = "use Redis 6.2 or later, or Valkey 8.0 or later"


@pytest.mark.parametrize("version", ["6.0.16", "5.0.7", "2.8"])
def test_an_older_redis_is_refused(version):
    with pytest.raises(ConfigurationError, match=REMEDY) as refused:
        check_version({"redis_version": version})
    assert f"redis: the server is Redis {version}; {REMEDY}" == str(refused.value)


def test_an_older_valkey_is_refused_whatever_redis_it_is_like():
    with pytest.raises(ConfigurationError, match=r"Valkey 7\.2\.5"):
        check_version({"redis_version": "7.2.4", "valkey_version": "7.2.5"})


@pytest.mark.parametrize(
    "server",
    [
        {"redis_version": "6.2.0"},
        {"redis_version": "10.0"},
        {"redis_version": "255.255.255"},  # built from a branch
        {"redis_version": "7.2.4", "valkey_version": "8.0.0"},
        {"redis_version": "unstable"},  # whoever says no number is not known to be too old
        {},
    ],
    ids=str,
)
def test_others_are_taken(server):
    check_version(server)


def as_old(data: bytes) -> bytes:
    """The answer of a server of version 6.0, in as many bytes."""
    for name in (b"redis_version:", b"valkey_version:"):
        if (at := data.find(name)) >= 0:
            start, end = at + len(name), data.index(b"\r", at)
            data = data[:start] + b"6.0".ljust(end - start, b"0") + data[end:]
    return data


@pytest.fixture(scope="module")
def own():
    server = RedisServer(port=True, travel=False).start()
    yield server
    server.close()


async def test_a_guard_does_not_open_with_a_server_that_is_too_old(own):
    async with wire_to(own) as wire:
        wire.told_as = as_old
        with pytest.raises(ConfigurationError, match=REMEDY):
            async with TokenGuard(secret=SECRET, redis=f"redis://127.0.0.1:{wire.port}"):
                pass


async def test_nor_does_its_app(own):
    async with wire_to(own) as wire:
        wire.told_as = as_old
        app = TokenGuardMiddleware(alive, secret=SECRET, redis=f"redis://127.0.0.1:{wire.port}")
        sent = []

        async def receive():
            return {"type": "lifespan.startup"}

        async def send(message):
            sent.append(message)

        with pytest.raises(ConfigurationError):
            await app({"type": "lifespan"}, receive, send)
        assert "lifespan.startup.failed" == sent[0]["type"]
        assert REMEDY in sent[0]["message"]


@pytest.fixture(scope="module")
def cluster():
    with Cluster(1) as cluster:
        yield cluster


@pytest.mark.thorough
async def test_a_url_of_a_node_of_a_cluster_is_refused_as_is_a_plain_client(cluster):
    url = "redis://{}:{}".format(*cluster.startup)
    async with Redis.from_url(url) as client:
        for source in (url, client):
            with pytest.raises(ConfigurationError, match="RedisCluster") as refused:
                async with TokenGuard(secret=SECRET, redis=source):
                    pass
            assert "redis" == refused.value.option


@pytest.mark.thorough
async def test_a_user_who_may_not_ask_for_the_mode_meets_no_refusal_at_the_start(cluster):
    command(cluster.primaries[0], "ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-info")
    async with TokenGuard(secret=SECRET, redis=f"redis://app:pass@127.0.0.1:{cluster.startup[1]}") as guard:
        assert (await guard.login("user-1")).access_token  # this node has all slots


async def test_a_server_whose_info_has_another_name_is_taken():
    server = RedisServer(travel=False, more=["--rename-command", "INFO", "ELSEWHERE"])
    with closing(server):
        server.start()
        async with TokenGuard(secret=SECRET, redis=server.url) as guard:
            assert (await guard.login("user-1")).access_token


async def test_a_user_who_may_not_ask_for_the_version_is_served(own):
    async with Redis(unix_socket_path=str(own.socket)) as redis:
        await redis.execute_command("ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-info")
    async with TokenGuard(secret=SECRET, redis=f"redis://app:pass@127.0.0.1:{own.port}") as guard:
        assert (await guard.login("user-1")).access_token


async def test_a_server_that_has_no_info_is_served():
    """Operators rename it, as some services do; scripts go on without the replication id that it would tell."""
    server = RedisServer(port=True, travel=False, more=["--rename-command", "INFO", ""])
    try:
        async with TokenGuard(secret=SECRET, redis=server.start().url) as guard:
            tokens = await guard.login("user-1")
            assert await guard.rotate(tokens.refresh_token)
            assert await guard.revoke("user-1", tokens.session_id)
    finally:
        server.close()
