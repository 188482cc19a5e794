"""The ways in which an app reaches Redis, each with real servers whose clock travels; the contract suite runs on each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from support.acl import rights
from support.certificates import Certificates
from support.clock import TravelClock
from support.cluster import Cluster, client_of, command, until
from support.sentinel import NAME, SentinelServer
from support.server import RedisServer

# The clock of a test leaps over days, which to servers is a silence.
PATIENT = ("--repl-timeout", "100000000", "--repl-diskless-sync-delay", "0")
USER, PASSWORD = "tokenguard", "a password"


class Reached:
    """Servers that are up, and how a guard and a test reach them; *source* is the option `redis`, as a context."""

    def __init__(self, members: Sequence[RedisServer], source: Callable[[], Any], replicas: Sequence[RedisServer] = ()) -> None:
        self.members = members
        self.source = source
        self.travels = members[0].travels
        self.clock = TravelClock(members[0].clock.file, lambda: [member.nudge() for member in (*members, *replicas)])

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Any]:
        """A client past all that the guard's goes through; it may do everything."""
        first, *others = self.members
        client = cluster_client(first.port) if others else Redis(unix_socket_path=str(first.socket))
        try:
            yield client
        finally:
            await client.aclose()


def cluster_client(port: int) -> RedisCluster:
    return RedisCluster("127.0.0.1", port, retry=Retry(NoBackoff(), 0))


@asynccontextmanager
async def _url(url: str) -> AsyncIterator[str]:
    yield url


@contextmanager
def _single(url: str = "", **settings: Any) -> Iterator[Reached]:
    server = RedisServer(**settings).start()
    try:
        yield Reached([server], lambda: _url(url.format(port=server.port) or server.url))
    finally:
        server.close()


def unix_socket() -> Any:
    return _single()


def standalone() -> Any:
    return _single(port=True)


@contextmanager
def least_rights() -> Iterator[Reached]:
    """A user with the rights that docs/redis.md names and no others."""
    with _single(f"redis://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{{port}}", port=True) as reached:
        command(reached.members[0], "ACL", "SETUSER", USER, "on", f">{PASSWORD}", *rights(namespace="t*"))
        yield reached


@contextmanager
def tls(*, mutual: bool = False) -> Iterator[Reached]:
    """The server's certificate is checked; *mutual*: so is the client's."""
    with Certificates() as made:
        more = ["--tls-port", "{port}", "--tls-cert-file", made.server, "--tls-key-file", made.server, "--tls-ca-cert-file",
                made.authority, "--tls-auth-clients", "yes" if mutual else "no"]  # fmt: skip
        query = f"ssl_ca_certs={made.authority}"
        if mutual:
            query += f"&ssl_certfile={made.client}&ssl_keyfile={made.client}"
        with _single(f"rediss://localhost:{{port}}?{query}", port=True, tls=True, more=more) as reached:
            yield reached


def mutual_tls() -> Any:
    return tls(mutual=True)


@contextmanager
def sentinel() -> Iterator[Reached]:
    with ExitStack() as undo:
        primary = RedisServer(port=True, more=PATIENT)
        replica = RedisServer(port=True, more=[*PATIENT, "--replicaof", f"127.0.0.1 {primary.port}"])
        replica.clock = primary.clock
        watcher = SentinelServer(primary)
        for server in (primary, replica, watcher):
            undo.callback(server.close)
            server.start()
        until(lambda: _watched(watcher)["num-slaves"] == 1, "Sentinel knows the replica")
        yield Reached([primary], lambda: _primary_of(watcher), [replica])


def _watched(watcher: SentinelServer) -> dict[str, Any]:
    with BlockingRedis(unix_socket_path=str(watcher.socket), socket_timeout=10) as client:
        found: dict[str, Any] = client.sentinel_master(NAME)
    return found


@asynccontextmanager
async def _primary_of(watcher: SentinelServer) -> AsyncIterator[Redis]:
    sentinel = Sentinel([("127.0.0.1", watcher.port)], socket_timeout=5)
    client = sentinel.master_for(NAME, retry=Retry(NoBackoff(), 0))
    try:
        yield client
    finally:
        await client.aclose()
        await sentinel.aclose()


@contextmanager
def cluster() -> Iterator[Reached]:
    """Three primaries and a replica of each."""
    more = (*PATIENT, "--cluster-node-timeout", "100000000")
    with Cluster(3, replicas=True, more=more, travel=True) as cluster:
        yield Reached(cluster.primaries, lambda: client_of(cluster), cluster.replicas)


TOPOLOGIES: dict[str, Callable[[], Any]] = {
    "unix-socket": unix_socket,
    "standalone": standalone,
    "tls": tls,
    "mutual-tls": mutual_tls,
    "least-rights": least_rights,
    "sentinel": sentinel,
    "cluster": cluster,
}
