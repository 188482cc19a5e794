"""
How a cluster is asked: each question at the node that owns its key, and sent once.

redis-py's own way is not taken for four reasons.  It sends a command again after a lost answer, when a script may have run.
Of a pipeline it loses all answers where one node gives none.  And it sends ASKING over one connection and the command over
another, so that under load nothing that moves is ever reached.  And where all its connections are taken it raises, and does
not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.exceptions import AskError, ClusterError, MovedError, TryAgainError

from asgi_tokenguard.store.redis_py import LOSSES

if TYPE_CHECKING:
    from redis.asyncio import RedisCluster

Command: TypeAlias = tuple[str | bytes | int, ...]

# A slot moves while we ask, and perhaps once more; who is sent on and on meets two nodes that each name the other.
MOST_REDIRECTIONS: Final = 5
# As redis-py waits for keys of one slot to be together again.
TRY_AGAIN_SECONDS: Final = 0.05


async def execute(client: RedisCluster, key: str, *command: str | bytes | int) -> Any:
    """
    Execute *command* where *key* is, which may be on its way.

    It waits while one key of a user has moved to another node and the other has not; the caller's deadline bounds that.
    """
    answers = await _execute(client, key, [command])
    return answers[0]


async def execute_then(
    client: RedisCluster, key: str, then: tuple[str | int, ...], *command: str | bytes | int
) -> tuple[Any, Any]:
    """The answers to *command*, as of `execute`, and to *then*, sent right behind it; the second may be an error."""
    reply, answer = await _execute(client, key, [command, then])
    return reply, answer


async def _execute(client: RedisCluster, key: str, commands: list[Command]) -> list[Any]:
    """The answers to *commands*, the first of which is about *key* and decides where all go; sent together."""
    await client.initialize()  # nothing, where it has been
    node = client.get_node_from_key(key) if key else client.get_default_node()
    redirections = 0
    while True:
        try:
            return await _sent_on(client, node, commands)
        except TryAgainError:
            await asyncio.sleep(TRY_AGAIN_SECONDS)
        except MovedError as moved:
            redirections += 1
            if redirections > MOST_REDIRECTIONS:
                raise ClusterError("sent from node to node") from moved
            await client.nodes_manager.move_slot(moved)
            node = client.get_node_from_key(key)


async def execute_all(client: RedisCluster, commands: Sequence[tuple[str, ...]]) -> list[Any]:
    """The answers to *commands*, each of one key, its second word, or of none; sent together to the owner of the first."""
    await client.initialize()
    asked = [PipelineCommand(number, *command) for number, command in enumerate(commands)]
    node: Any = client.get_node_from_key(commands[0][1])
    await node.execute_pipeline(asked)
    for one in asked:
        if isinstance(one.result, AskError):  # MOVED as well: its key is elsewhere by now
            one.result = await execute(client, one.args[1], *one.args)
    return [_result(one) for one in asked]


def owner(client: RedisCluster, key: str) -> str:
    """The name of the node that would be asked for *key*; empty where none is known."""
    nodes = client.nodes_manager.slots_cache.get(client.keyslot(key))
    return nodes[0].name if nodes else ""


async def read_topology(client: RedisCluster, suspect: str = "") -> None:
    """Let *client* ask the cluster anew who owns what, and *suspect* last: it may be frozen."""
    await client.initialize(last_failed_node_name=suspect or None)
    await client.nodes_manager.initialize(last_failed_node_name=suspect or None)


async def _sent_on(client: RedisCluster, node: Any, commands: list[Command]) -> list[Any]:
    try:
        if len(commands) == 1:
            return [await node.execute_command(*commands[0])]
        return await _together(node, commands)
    except MovedError:
        raise
    except AskError as error:
        target = client.get_node(error.host, error.port)
        if target is not None:
            return await _asking(target, commands)
        # A node without a slot is in nobody's list yet.
        stranger = ClusterNode(error.host, error.port, **client.connection_kwargs)
        try:
            return await _asking(stranger, commands)
        finally:
            await stranger.disconnect()


async def _asking(node: ClusterNode, commands: list[Command]) -> list[Any]:
    return (await _together(node, [("ASKING",), *commands], decides=1))[1:]


async def _together(node: ClusterNode, commands: list[Command], *, decides: int = 0) -> list[Any]:
    """The answers of one node over one connection; what the one that *decides* raises is raised, of others it is an answer."""
    asked = [PipelineCommand(number, *command) for number, command in enumerate(commands)]
    await node.execute_pipeline(asked)
    _result(asked[decides])
    for one in asked:
        if isinstance(one.result, LOSSES):  # the connection broke behind the first answer
            raise one.result
    return [one.result for one in asked]


def _result(asked: PipelineCommand) -> Any:
    if isinstance(asked.result, Exception):
        raise asked.result
    return asked.result
