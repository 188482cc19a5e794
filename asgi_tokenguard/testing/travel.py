"""
How a guard and its Redis come to live at the time of a `Clock`, without a server whose clock is wrong.

Rule: the scripts are those of production, to the letter.  What stands before them here is another `redis.call`: TIME tells
the clock's time, the commands that take a moment instead of a duration take it in that time, and INFO counts the leaps as time
that the server is up.  A server whose clock had been set would show the same; tests/testing/test_travel.py compares the two.

There is no switch for this in the guard or in its options: it is a client of another kind between guard and server, and only
an engine made here has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from asgi_tokenguard.engine import Engine
from asgi_tokenguard.store import scripts
from asgi_tokenguard.store.connect import Connector

if TYPE_CHECKING:
    from asgi_tokenguard.options import Settings
    from asgi_tokenguard.store.redis_py import Client
    from asgi_tokenguard.testing.clock import Clock
    from asgi_tokenguard.testing.server import Keyspace

# The last key holds how far the clock is ahead (ms): read by the server itself, since what is on its way while the clock is
# advanced must not bring an older time with it.  The last argument stands in where there is no such key, before the first leap
# and after an app's own FLUSHDB.  Our scripts count their keys and arguments from the first.
PRELUDE: Final = """
local server, key, sent = redis, table.remove(KEYS), table.remove(ARGV)
local ahead = tonumber(server.call('GET', key) or sent)
local redis = {sha1hex = server.sha1hex}
function redis.call(command, ...)
  if command == 'TIME' then
    local time = server.call('TIME')
    local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + ahead
    return {tostring(math.floor(ms / 1000)), tostring(ms % 1000 * 1000 + tonumber(time[2]) % 1000)}
  elseif command == 'EXPIREAT' then
    local key, at = ...
    return server.call('PEXPIREAT', key, at * 1000 - ahead)
  end
  return server.call(command, ...)
end
function redis.pcall(command, ...)
  local reply = server.pcall(command, ...)
  if type(reply) ~= 'string' then return reply end
  return (string.gsub(reply, 'uptime_in_seconds:(%d+)', function(seconds)
    return string.format('uptime_in_seconds:%.0f', tonumber(seconds) + math.floor(ahead / 1000))
  end))
end
"""
TIME: Final = f"{PRELUDE} return redis.call('TIME')"
_TEXTS: Final = {each.sha: each.text for each in vars(scripts).values() if isinstance(each, scripts.Script)}


class TravellingEngine(Engine):
    """An engine that lives at the time of *clock*, and sees its Redis live there."""

    def __init__(self, settings: Settings, keyspace: Keyspace, clock: Clock) -> None:
        super().__init__(settings, monotonic=clock.monotonic)
        self.clock = clock
        link = self.store._link  # noqa: SLF001 (no option leads here, and none should)
        link.connector = TravellingConnector(link.connector, keyspace, clock)


class TravellingConnector(Connector):
    """Hands out what *connector* does, as seen from *clock*'s time."""

    def __init__(self, connector: Connector, keyspace: Keyspace, clock: Clock) -> None:
        # Of its base it has the face alone; the clients are those of *connector*, which the channel of changes has as well.
        self._connector = connector
        self._key = keyspace.clock_key
        self._clock = clock

    async def client(self) -> Client:
        return cast("Client", TravellingClient(await self._connector.client(), self._clock, self._key))

    def doubt(self, key: str = "") -> None:
        self._connector.doubt(key)

    def doubt_owner(self, key: str) -> None:
        self._connector.doubt_owner(key)

    def owner(self, key: str) -> str:
        return self._connector.owner(key)

    @property
    def knows_clusters(self) -> bool:
        return self._connector.knows_clusters

    def is_asked(self, node: str) -> bool:
        return self._connector.is_asked(node)

    def address(self, node: str) -> str:
        return self._connector.address(node)

    async def aclose(self) -> None:
        await self._connector.aclose()


class TravellingClient:
    """As much of a client of redis-py as `store/link.py` uses."""

    def __init__(self, client: Any, clock: Clock, key: str) -> None:
        self._client = client
        self._clock = clock
        self._key = key

    async def execute_command(self, *command: Any) -> Any:
        return await self._client.execute_command(*self.translated(*command))

    def pipeline(self, *, transaction: bool) -> TravellingPipeline:
        return TravellingPipeline(self._client.pipeline(transaction=transaction), self)

    def translated(self, name: str, *args: Any) -> tuple[Any, ...]:
        ahead = self._clock.ahead_ms
        if name == "TIME":
            return "EVAL", TIME, 1, self._key, ahead
        if name == "EVALSHA":
            sha, number, *rest = args
            return "EVAL", PRELUDE + _TEXTS[sha], number + 1, *rest[:number], self._key, *rest[number:], ahead
        return name, *args


class TravellingPipeline:
    """Its pipeline."""

    def __init__(self, pipeline: Any, client: TravellingClient) -> None:
        self._pipeline = pipeline
        self._client = client

    def execute_command(self, *command: Any) -> None:
        self._pipeline.execute_command(*self._client.translated(*command))

    async def execute(self) -> Any:
        return await self._pipeline.execute()
