"""From the `redis` option to a client; redis-py is set up here and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.loops import PerLoop
from asgi_tokenguard.store.cluster import owner, read_topology
from asgi_tokenguard.store.embedded import EmbeddedServer, embedded_server
from asgi_tokenguard.store.redis_py import address_of, decodes, primaries_of, reads_replicas
from asgi_tokenguard.store.tls_options import check_tls_options

if TYPE_CHECKING:
    from asgi_tokenguard.store.redis_py import Client

# Redis runs one command at a time: more connections would only wait there instead of here.  300 concurrent reads over 8 took
# 28 ms when this was chosen.
POOL: Final = 8
SCHEMES: Final = ("redis", "rediss", "unix", "embedded")
# What a URL may set beside host and database: TLS, names.  The rest would undo what `_open` sets (retries, timeouts, the
# size of the pool), or change replies (`decode_responses`).
ARGUMENTS: Final = ("db", "client_name", "protocol", "username", "password")
# A cluster's client that reads the topology anew closes its connections as it goes: a thousand requests that fail within one
# failover must not do that a thousand times.
READ_ANEW_SECONDS: Final = 1.0


class Connector:
    """
    Hands out the client of the running event loop.

    Each loop has a client of its own, since connections belong to the loop that opened them.  A client that the user passed
    stays the user's: it is used as it is and never closed.
    """

    def __init__(self, source: str | Client, timeout: float) -> None:
        self._timeout = timeout
        self._given: Client | None = None
        self._suspect = ""
        self._read_anew = -inf
        self._url = ""
        self._server: EmbeddedServer | None = None
        self._is_doubtful = False
        self._clients: PerLoop[Redis] = PerLoop()
        if isinstance(source, str):
            self._url = _checked_url(source)
            self._server = embedded_server(source) if source.startswith("embedded:") else None
        else:
            self._given = _checked_client(source)

    async def client(self) -> Client:
        if self._given is not None:
            if self._is_doubtful:
                await self._look_around(self._given)
            return self._given
        client = self._clients.found()
        return await self._opened() if client is None or self._is_doubtful else client

    def doubt(self, key: str = "") -> None:
        """A connection broke: where the server is our own it may have been killed, and the next `client` starts it again."""
        self._is_doubtful = self._server is not None
        self.doubt_owner(key)

    def doubt_owner(self, key: str) -> None:
        """No answer came: a cluster may have made another one the primary for *key*, and the next `client` asks."""
        if isinstance(self._given, RedisCluster):
            self._is_doubtful, self._suspect = True, self.owner(key)

    async def _opened(self) -> Redis:
        self._is_doubtful = False
        # Nothing is awaited between the look and the entry but the embedded server, which may be started twice.
        path = "" if self._server is None else await asyncio.to_thread(self._server.start)
        client = self._clients.found()
        if client is None or (path and client.connection_pool.connection_kwargs["path"] != path):
            gone, client = client, self._clients.put(_open(f"unix://{quote(path)}" if path else self._url, self._timeout))
            if gone is not None:
                await gone.aclose()
        return client

    def owner(self, key: str) -> str:
        """The name of the node of a cluster that is asked for *key*; empty where there is but one."""
        return owner(self._given, key) if isinstance(self._given, RedisCluster) else ""

    @property
    def knows_clusters(self) -> bool:
        return isinstance(self._given, RedisCluster)

    def is_asked(self, node: str) -> bool:
        """Whether *node* is (still) somebody whom the client asks for keys."""
        if not isinstance(self._given, RedisCluster):
            return True
        return any(primary.name == node for primary in primaries_of(self._given))

    def address(self, node: str) -> str:
        """Host and port of *node*, for the log; never a password.  Empty where nobody is known."""
        if isinstance(self._given, RedisCluster):
            return node
        client = self._given or self._clients.found()
        return "" if client is None else address_of(client)

    async def _look_around(self, client: Client) -> None:
        # redis-py itself does so after a command that failed, but not after a pipeline, nor where we did not wait for the end.
        now = asyncio.get_running_loop().time()
        if isinstance(client, RedisCluster) and now - self._read_anew >= READ_ANEW_SECONDS:
            self._read_anew, self._is_doubtful = now, False  # before it is read: a doubt that comes meanwhile is a new one
            try:
                await read_topology(client, self._suspect)
            except BaseException:  # given up by its request, too
                self._is_doubtful = True
                raise

    async def aclose(self) -> None:
        """Close what was opened for this loop; a later call of `client` opens it again."""
        client = self._clients.pop()
        if client is not None:
            await client.aclose()
        if self._server is not None and not self._clients.everywhere():
            await asyncio.to_thread(self._server.stop)


def _open(url: str, timeout: float) -> Redis:
    # No retries: a script that was sent may have run.  No timeouts of redis-py either: each request has one deadline for all
    # that it asks, and a command cut off by it costs its connection, as it must.  Waiting for a free connection, not failing:
    # redis-py's plain pool raises at its limit.
    options: dict[str, object] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": timeout,
    }
    if not url.startswith("unix:"):
        # With maintenance notifications on, redis-py 8.1.0 hands out idle connections that the server has closed.
        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    pool = BlockingConnectionPool.from_url(url, max_connections=POOL, timeout=None, **options)
    return Redis.from_pool(pool)


def _checked_url(url: str) -> str:
    # No part of the URL is shown, nor redis-py's own error: a password with a slash in it is read as host and port.
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigurationError("redis", "the URL has no scheme that is known", f"start it with one of {known}")
    if scheme != "embedded":
        try:
            BlockingConnectionPool.from_url(url)
        except (ValueError, TypeError):
            remedy = "write redis://user:password@host:6379/0, with / in a password as %2F, : as %3A, @ as %40"
            raise ConfigurationError("redis", "redis-py does not take the URL", remedy) from None
        _refuse_arguments(parse_qs(urlsplit(url).query, keep_blank_values=True))
        check_tls_options(url)
        path = urlsplit(url).path.strip("/")
        if scheme != "unix" and path and not path.isdecimal():  # redis-py would take database 0, and say nothing
            raise ConfigurationError("redis", "the URL's path is no database number", "write redis://localhost:6379/0")
    return url


def _refuse_arguments(names: Iterable[str]) -> None:
    for name in names:
        if name not in ARGUMENTS and not name.startswith("ssl_"):
            raise ConfigurationError("redis", f"the URL sets {name[:40]!r}", "pass a client of redis.asyncio to set more")


def _checked_client(client: object) -> Client:
    if not isinstance(client, Redis | RedisCluster):
        raise ConfigurationError(
            "redis", f"{type(client).__name__} is no client of redis.asyncio", "pass a URL, a Redis or a RedisCluster"
        )
    if decodes(client):
        raise ConfigurationError("redis", "the client decodes responses, records are binary", "use decode_responses=False")
    if reads_replicas(client):
        # A replica tells of a revocation when it pleases: no bound would hold.
        raise ConfigurationError("redis", "the client reads from replicas", "let it read from primaries: master_for(...)")
    return client
