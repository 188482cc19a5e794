"""What we use of redis-py beyond its documented face is there and does what we think; an upgrade fails here first."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, LoadBalancingStrategy, PipelineCommand
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import AskError, MovedError
from support.cluster import Cluster, client_of, command

from asgi_tokenguard.store.redis_py import decodes, dedicated_connection, hear_pushes, primaries_of, reads_replicas


@pytest.fixture(scope="module")
def cluster():
    with Cluster(1) as cluster:
        yield cluster


@pytest.mark.parametrize("protocol", [2, 3, None])
async def test_a_dedicated_connection_speaks_resp3_and_hears_pushes(server, protocol):
    heard = []

    async def push(message):
        heard.append(message)

    async with Redis.from_url(server.url, protocol=protocol) as client:
        connection = dedicated_connection(client.connection_pool)
        await connection.connect()
        hear_pushes(connection, push)
        await connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "pin:")
        assert b"OK" == await connection.read_response(push_request=True)
        await client.set("pin:1", "x")
        async with asyncio.timeout(10):
            while not heard:
                assert await connection.read_response(timeout=inf, push_request=True) is None  # a push is no answer
        assert [b"invalidate", [b"pin:1"]] == heard[0]
        await connection.disconnect(nowait=True)


async def test_a_cluster_says_whom_it_reads_from_and_learns_of_others_by_moved(cluster):
    async with client_of(cluster) as client:
        await client.initialize()
        assert [cluster.primaries[0].port] == [node.port for node in primaries_of(client)]
        await client.nodes_manager.move_slot(MovedError("5 127.0.0.1:1"))
        assert {1, cluster.primaries[0].port} == {node.port for node in primaries_of(client)}
        assert 1 == client.nodes_manager.slots_cache[5][0].port
        await client.nodes_manager.initialize(last_failed_node_name="127.0.0.1:1")
        assert [cluster.primaries[0].port] == [node.port for node in primaries_of(client)]


async def test_commands_of_a_nodes_pipeline_share_a_connection_and_keep_errors_apart(cluster):
    async with client_of(cluster) as client:
        await client.initialize()
        (node,) = primaries_of(client)
        asked = [PipelineCommand(0, "CLIENT", "ID"), PipelineCommand(1, "NOSUCH"), PipelineCommand(2, "CLIENT", "ID")]
        await asyncio.gather(*(node.execute_command("PING") for _ in range(5)))  # five connections are free
        await node.execute_pipeline(asked)
        first, wrong, second = (one.result for one in asked)
        assert (first, True) == (second, isinstance(wrong, Exception))


async def test_a_connection_to_a_node_is_set_up_as_the_clients_are(cluster):
    command(cluster.primaries[0], "ACL", "SETUSER", "named", "on", ">pass", "~*", "+@all")
    async with client_of(cluster, username="named", password="pass") as client:
        await client.initialize()
        connection = dedicated_connection(primaries_of(client)[0])
        await connection.connect()
        await connection.send_command("ACL", "WHOAMI")
        assert b"named" == await connection.read_response()
        await connection.disconnect(nowait=True)
        stranger = ClusterNode("127.0.0.1", cluster.primaries[0].port, **client.connection_kwargs)
        assert b"named" == await stranger.execute_command("ACL", "WHOAMI")
        await stranger.disconnect()


def test_redirections_are_told_apart():
    assert issubclass(MovedError, AskError)
    asked = AskError("7 127.0.0.1:7001")
    assert (7, "127.0.0.1", 7001) == (asked.slot_id, asked.host, asked.port)


def test_settings_that_would_break_the_bound_are_seen():
    sentinel = Sentinel([("localhost", 26379)])
    node = {"host": "127.0.0.1", "port": 1}
    assert [False, False, False] == [
        reads_replicas(client) for client in (Redis(), sentinel.master_for("main"), RedisCluster(**node))
    ]
    with pytest.warns(DeprecationWarning, match="load_balancing_strategy"):
        old = RedisCluster(**node, read_from_replicas=True)
    new = RedisCluster(**node, load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN)
    assert [True] * 3 == [reads_replicas(client) for client in (sentinel.slave_for("main"), old, new)]
    assert [True, True] == [decodes(kind(**node, decode_responses=True)) for kind in (Redis, RedisCluster)]
    assert [False, False] == [decodes(kind(**node)) for kind in (Redis, RedisCluster)]
