"""A primary and its replica, each behind a wire of its own, and the failover that loses what the replica has not heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from support.cables import Wire, wire_to
from support.clock import TravelClock
from support.server import RedisServer

# The clock travels further than a replica would wait for its primary.
PATIENT = ("--repl-timeout", "1000000", "--repl-diskless-sync-delay", "0")


class Pair:
    """Clients come over *wire*, to whoever is the primary; the replica hears of it over *cable*."""

    def __init__(self, primary: RedisServer, replica: RedisServer, wire: Wire, cable: Wire) -> None:
        self.primary, self.replica = primary, replica
        self.wire, self.cable = wire, cable
        self.clock = primary.clock

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.wire.port}"

    async def fail_over(self) -> None:
        """The replica takes the primary's place with what it has heard at this moment, and the primary dies."""
        self.cable.cut()
        async with Redis(unix_socket_path=str(self.replica.socket)) as redis:
            await redis.replicaof("NO", "ONE")
        self.wire.lead_to(self.replica.port)  # before the primary dies: nobody is refused, and left waiting, in between
        self.primary.kill()

    async def in_step(self) -> None:
        """Return once the replica has all that was written."""
        async with Redis(unix_socket_path=str(self.primary.socket)) as redis:
            await redis.set("last", "write")
            if await redis.execute_command("WAIT", 1, 10_000) != 1:
                raise RuntimeError("the replica does not follow")


@asynccontextmanager
async def replicated(more: Sequence[str] = ()) -> AsyncIterator[Pair]:
    primary, replica = (RedisServer(port=True, more=[*PATIENT, *more]) for _ in range(2))
    # Whoever is left after a failover has to have taken the new time, too.
    primary.clock = replica.clock = TravelClock(primary.clock.file, lambda: [each.nudge() for each in (primary, replica)])
    try:
        await asyncio.to_thread(primary.start)
        await asyncio.to_thread(replica.start)
        async with wire_to(primary) as wire, wire_to(primary) as cable:
            async with Redis(unix_socket_path=str(replica.socket)) as redis:
                await redis.replicaof("127.0.0.1", str(cable.port))
            pair = Pair(primary, replica, wire, cable)
            await pair.in_step()
            yield pair
    finally:
        primary.close()
        replica.close()
