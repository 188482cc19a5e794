"""From the `redis` option to a client; redis-py is set up here and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit
from weakref import WeakKeyDictionary

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.store.embedded import EmbeddedServer, embedded_server

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# Redis runs one command at a time: more connections would only wait there instead of here.  300 concurrent reads over 8 took
# 28 ms when this was chosen.
POOL: Final = 8
SCHEMES: Final = ("redis", "rediss", "unix", "embedded")
# What a URL may set beside host and database: TLS, names.  The rest would undo what `_open` sets (retries, timeouts, the
# size of the pool), or change replies (`decode_responses`).
ARGUMENTS: Final = ("db", "client_name", "protocol", "username", "password")


class Connector:
    """
    Hands out the client of the running event loop.

    Each loop has a client of its own, since connections belong to the loop that opened them.  A client that the user passed
    stays the user's: it is used as it is and never closed.
    """

    def __init__(self, source: str | Redis, timeout: float) -> None:
        self._timeout = timeout
        self._given: Redis | None = None
        self._url = ""
        self._server: EmbeddedServer | None = None
        self._is_doubtful = False
        self._clients: WeakKeyDictionary[AbstractEventLoop, Redis] = WeakKeyDictionary()
        if isinstance(source, str):
            self._url = _checked_url(source)
            self._server = embedded_server(source) if source.startswith("embedded:") else None
        else:
            self._given = _checked_client(source)

    async def client(self) -> Redis:
        if self._given is not None:
            return self._given
        client = self._clients.get(asyncio.get_running_loop())
        return await self._opened() if client is None or self._is_doubtful else client

    def doubt(self) -> None:
        """A connection broke: where the server is our own it may have been killed, and the next `client` starts it again."""
        self._is_doubtful = self._server is not None

    async def _opened(self) -> Redis:
        self._forget_ended_loops()
        self._is_doubtful = False
        loop = asyncio.get_running_loop()
        # Nothing is awaited between the look and the entry but the embedded server, which may be started twice.
        path = "" if self._server is None else await asyncio.to_thread(self._server.start)
        client = self._clients.get(loop)
        if client is None or (path and client.connection_pool.connection_kwargs["path"] != path):
            gone, client = client, _open(f"unix://{quote(path)}" if path else self._url, self._timeout)
            self._clients[loop] = client
            if gone is not None:
                await gone.aclose()
        return client

    async def aclose(self) -> None:
        """Close what was opened for this loop; a later call of `client` opens it again."""
        self._forget_ended_loops()
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
        if self._server is not None and not self._clients:
            await asyncio.to_thread(self._server.stop)

    def _forget_ended_loops(self) -> None:
        # Connections hold their loop, so that a weak key alone would keep both for ever: one connection for each request of a
        # bare test client, which makes a loop each time.
        for loop in [loop for loop in self._clients if loop.is_closed()]:
            del self._clients[loop]


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
        path = urlsplit(url).path.strip("/")
        if scheme != "unix" and path and not path.isdecimal():  # redis-py would take database 0, and say nothing
            raise ConfigurationError("redis", "the URL's path is no database number", "write redis://localhost:6379/0")
    return url


def _refuse_arguments(names: Iterable[str]) -> None:
    for name in names:
        if name not in ARGUMENTS and not name.startswith("ssl_"):
            raise ConfigurationError("redis", f"the URL sets {name[:40]!r}", "pass a client of redis.asyncio to set more")


def _checked_client(client: object) -> Redis:
    if isinstance(client, RedisCluster) or not isinstance(client, Redis):
        raise ConfigurationError(
            "redis", f"{type(client).__name__} is no redis.asyncio.Redis", "pass a URL or a client of redis.asyncio"
        )
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ConfigurationError("redis", "the client decodes responses, records are binary", "use decode_responses=False")
    return client
