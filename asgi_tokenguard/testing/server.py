"""The Redis of tests, and the two things that are done to all keys of one of them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from asgi_tokenguard.store.embedded import EmbeddedServer

REDIS_VARIABLE: Final = "TOKENGUARD_TEST_REDIS"

# SCAN may name a key twice, and a key must not age twice: they are collected before any is touched.
_EACH_KEY: Final = """
local keys, cursor = {}, '0'
repeat
  local found = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. ':*', 'COUNT', 1000)
  cursor = found[1]
  for _, key in ipairs(found[2]) do keys[key] = true end
until cursor == '0'
"""
# What has less left than that is gone, as it would be had the server lived through it.  The clock's lead is set with it, so
# that no script runs between the two.
_AGE: Final = f"""{_EACH_KEY}
redis.call('SET', KEYS[1], ARGV[3])
for key in pairs(keys) do
  local left = redis.call('PTTL', key)
  if left >= 0 then redis.call('PEXPIRE', key, left - tonumber(ARGV[2])) end
end
"""
_WIPE: Final = f"""{_EACH_KEY}
for key in pairs(keys) do redis.call('DEL', key) end
"""


@contextmanager
def redis_for_tests() -> Iterator[str]:
    """
    Give the URL of a Redis until the block ends.

    That is the one named in the environment variable `TOKENGUARD_TEST_REDIS` (a single server; no key is touched but those
    of namespaces made up by `guarded`), else an embedded one of the block's own, which takes 0.1 s to start.

    Raises `ConfigurationError` where there is neither.
    """
    named = os.environ.get(REDIS_VARIABLE)
    if named:
        yield named
        return
    server = EmbeddedServer()
    try:
        yield f"unix://{quote(server.start())}"
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of one test."""

    url: str = field(repr=False)  # it may hold a password
    # 64 bits: two tests that run side by side on one server never meet.
    namespace: str = field(default_factory=lambda: f"test-{secrets.token_hex(8)}")

    @property
    def clock_key(self) -> str:
        """The key that holds how far its clock is ahead, in milliseconds."""
        return f"{self.namespace}:ahead"

    def age(self, ms: int, ahead_ms: int) -> None:
        """Let *ms* milliseconds of the life of every key pass, at the end of which the clock is *ahead_ms*."""
        self._run(_AGE, ms, ahead_ms)

    def wipe(self) -> None:
        """Delete every key."""
        self._run(_WIPE)

    def _run(self, script: str, *args: int) -> None:
        from redis import Redis  # noqa: PLC0415 (redis costs 300 ms to import)

        # Blocking, also in a test that is a coroutine: time does not go on while the test does something else.
        with Redis.from_url(self.url) as client:
            client.eval(script, 1, self.clock_key, self.namespace, *args)
