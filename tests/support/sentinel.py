"""A real Sentinel that watches a primary and its replica, on loopback."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

from redis import Redis

from asgi_tokenguard.store.embedded import find_binary
from support.cluster import command, until
from support.server import RedisServer

NAME = "main"


class SentinelServer(RedisServer):
    """A Sentinel of its own: one vote is enough, and half a second without an answer."""

    def __init__(self, primary: RedisServer) -> None:
        super().__init__(port=True, travel=False)
        self._primary = primary

    def _command(self) -> list[str]:
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\nunixsocket {self.socket}\ndir {self.folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self._primary.port} 1\n"
            f"sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 2000\n"
        )
        return [find_binary(), str(settings), "--sentinel"]


class Watched:
    """A primary that refuses writes without its replica, and a Sentinel; `start` and `close`, or a `with` block."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            # Lag is looked at once a second, so that writes are refused one to two seconds after the replica has gone.
            careful = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1", "--repl-diskless-sync-delay", "0"]
            self.primary = _started(RedisServer(port=True, travel=False, more=careful), undo)
            more = ["--replicaof", f"127.0.0.1 {self.primary.port}", "--repl-diskless-sync-delay", "0"]
            self.replica = _started(RedisServer(port=True, travel=False, more=more), undo)
            until(lambda: command(self.primary, "SET", "x", "y"), "the primary takes writes")
            self.sentinel = _started(SentinelServer(self.primary), undo)
            until(lambda: self._state()["num-slaves"] == 1, "Sentinel knows the replica")
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @property
    def named(self) -> int:
        """The port of the primary that Sentinel names."""
        return int(self._state()["port"])

    def _state(self) -> dict[str, Any]:
        with Redis(unix_socket_path=str(self.sentinel.socket), socket_timeout=10) as client:
            return client.sentinel_master(NAME)


def _started(server: RedisServer, undo: ExitStack) -> RedisServer:
    undo.callback(server.close)
    return server.start()
