"""A real cluster for tests: primaries, and a replica of each where asked for, on loopback ports."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Self

from redis import Redis
from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError

from support.clock import TravelClock
from support.server import RedisServer

SLOTS = 16_384
# The cluster bus listens on the port of the clients plus so many; ports above 32,767 are handed out to everybody's clients.
BUS = 10_000
PORTS = range(11_000, 22_000)


def until(met: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Wait for a condition; what it raises meanwhile is "not yet"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := met():
                return found
        except (RedisError, OSError):
            pass
        time.sleep(0.01)
    raise RuntimeError(f"waited in vain: {what}")


class Cluster:
    """*primaries* servers that share the slots; `replicas` adds one for each, *spare* members without a slot."""

    def __init__(
        self, primaries: int = 3, *, replicas: bool = False, spare: int = 0, more: Sequence[str] = (), travel: bool = False
    ) -> None:
        self._more = [
            "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no",
            "--repl-diskless-sync-delay", "0", "--cluster-allow-replica-migration", "no", *more,
        ]  # fmt: skip
        self._number = primaries
        self._travel = travel
        self._clock: TravelClock | None = None  # one for all
        self._with_replicas, self._spare_number = replicas, spare
        self.primaries: list[RedisServer] = []
        self.replicas: list[RedisServer] = []
        self.spare: list[RedisServer] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.close)
            self.primaries = [self._member() for _ in range(self._number)]
            self.replicas = [self._member() for _ in self.primaries if self._with_replicas]
            self.spare = [self._member() for _ in range(self._spare_number)]
            self._meet()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def members(self) -> list[RedisServer]:
        return [*self.primaries, *self.replicas, *self.spare]

    @property
    def startup(self) -> tuple[str, int]:
        return "127.0.0.1", self.primaries[0].port

    def close(self) -> None:
        for member in self.members:
            member.close()

    def owner(self, key: str) -> RedisServer:
        """Whoever of the members says that the slot of *key* is its own."""
        return self.owner_of(key_slot(key.encode()))

    def owner_of(self, slot: int) -> RedisServer:
        for member in self.members:
            if any(first <= slot <= last for first, last in own_slots(member)):
                return member
        raise RuntimeError(f"nobody owns {slot}")

    def replica_of(self, primary: RedisServer) -> RedisServer | None:
        name = node_id(primary)
        own_lines = ((member, line) for member in self.members for line in nodes(member) if "myself" in line[2])
        return next((member for member, line in own_lines if line[3] == name), None)

    def _member(self) -> RedisServer:
        for _ in range(20):
            server = RedisServer(port=free_pair(), travel=self._travel, more=self._more)
            server.clock = self._clock or server.clock
            try:
                server.start()
            except RuntimeError:  # somebody took one of the two ports meanwhile
                server.close()
            else:
                self._clock = server.clock
                return server
        raise RuntimeError("no member of the cluster started")

    def _meet(self) -> None:
        first, *others = self.members
        for number, member in enumerate(self.primaries):
            share = (SLOTS * number // self._number, SLOTS * (number + 1) // self._number - 1)
            command(member, "CLUSTER", "ADDSLOTSRANGE", *share)
        for number, member in enumerate(self.members, 1):
            command(member, "CLUSTER", "SET-CONFIG-EPOCH", number)
        for member in others:
            command(member, "CLUSTER", "MEET", "127.0.0.1", first.port)
        for member in self.members:
            until(lambda member=member: len(nodes(member)) == len(self.members), "all members know each other")
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            command(replica, "CLUSTER", "REPLICATE", node_id(primary))
        for member in self.members:
            until(lambda member=member: b"cluster_state:ok" in command(member, "CLUSTER", "INFO"), "the cluster is up")
        for replica in self.replicas:
            until(lambda replica=replica: command(replica, "INFO", "replication")["master_link_status"] == "up", "replicas")
        for member in self.members:
            until(lambda member=member: sum(len(line) > 8 for line in nodes(member)) == self._number, "who owns what is known")


@asynccontextmanager
async def client_of(cluster: Cluster, **settings: Any) -> AsyncIterator[RedisCluster]:
    """A client as our documents ask for it, unless *settings* say otherwise."""
    client = RedisCluster(*cluster.startup, **{"retry": Retry(NoBackoff(), 0)} | settings)
    try:
        yield client
    finally:
        await client.aclose()


def move_by_keys(source: RedisServer, target: RedisServer, slot: int, *, finish: bool = True) -> None:
    """Move *slot* as operators have since Redis 3: key by key, with redirections meanwhile."""
    command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
    command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))
    while keys := command(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
        command(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    if finish:
        settle_slot(source, target, slot)


def settle_slot(source: RedisServer, target: RedisServer, slot: int) -> None:
    for member in (target, source):
        command(member, "CLUSTER", "SETSLOT", slot, "NODE", node_id(target))


def move_at_once(source: RedisServer, target: RedisServer, slot: int) -> None:
    """Move *slot* as Valkey 9 can: nothing is to be seen of it until all of it has moved."""
    command(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", node_id(target))
    until(lambda: any(slot in range(first, last + 1) for first, last in own_slots(target)), "the slot has moved")


def listeners(server: RedisServer) -> list[dict[str, str]]:
    """The connections on which *server* tells of changes."""
    return [client for client in command(server, "CLIENT LIST") if "t" in client["flags"]]


def command(server: RedisServer, *words: str | bytes | int) -> Any:
    with Redis(unix_socket_path=str(server.socket), socket_timeout=10) as client:
        return client.execute_command(*words)


def nodes(server: RedisServer) -> list[list[str]]:
    """The lines of `CLUSTER NODES`, in words."""
    with Redis(unix_socket_path=str(server.socket), socket_timeout=10) as client:
        raw: bytes = client.execute_command("CLUSTER", "NODES")
    return [line.split() for line in raw.decode().splitlines()]


def node_id(server: RedisServer) -> str:
    found: bytes = command(server, "CLUSTER", "MYID")
    return found.decode()


def own_slots(server: RedisServer) -> Iterator[tuple[int, int]]:
    for line in nodes(server):
        if "myself" in line[2]:
            for word in line[8:]:
                if not word.startswith("["):
                    first, _, last = word.partition("-")
                    yield int(first), int(last or first)


def free_pair() -> int:
    """A port that is free, as is the one of its cluster bus."""
    for _ in range(200):
        port = random.choice(PORTS)
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + BUS))
            except OSError:
                continue
            return port
    raise RuntimeError("no two ports are free")
