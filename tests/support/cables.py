"""Ways to a server that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from support.server import RedisServer


class Wire:
    """A way to the server that can be cut without a word: nothing arrives, nothing is closed."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open = asyncio.Event()
        self._open.set()
        self._channel_is_heard = asyncio.Event()
        self._channel_is_heard.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._callers: set[asyncio.StreamWriter] = set()
        self._lost: tuple[bytes, ...] = ()
        self.port = 0
        self.slowness = 0.0  # seconds for each piece of an answer, of each connection one after the other
        self.told_as: Callable[[bytes], bytes] = lambda data: data  # what becomes of answers on their way

    def cut(self) -> None:
        self._open.clear()

    def lead_to(self, port: int) -> None:
        """From now on the way leads to another server; what is connected is cut off."""
        self._to = port
        for writer in self._writers:
            writer.close()

    def silence_channel(self) -> None:
        """From now on nothing comes over connections on which changes are told; all others work."""
        self._channel_is_heard.clear()

    def lose_answers_to(self, *names: bytes) -> None:
        """From now on these commands arrive, and in place of their answers comes the end of their connection."""
        self._lost = names

    def mend(self) -> None:
        self._lost = ()
        self._open.set()
        self._channel_is_heard.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [back, writer]
        self._callers.add(writer)
        said: set[bytes] = set()
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._pump(source, sink, said))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, said: set[bytes]) -> None:
        while data := await source.read(65_536):
            await self._open.wait()
            if sink in self._callers and b"LOST" in said:
                break
            said |= {b"LOST"} if any(name in data for name in self._lost) else set()
            said |= {b"TRACKING"} if b"TRACKING" in data else set()
            if b"TRACKING" in said:
                await self._channel_is_heard.wait()
            if self.slowness and sink in self._callers:
                await asyncio.sleep(self.slowness)
            sink.write(self.told_as(data) if sink in self._callers else data)
        sink.close()

    async def close(self) -> None:
        for task in list(self._pumps):
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@asynccontextmanager
async def wire_to(server: RedisServer) -> AsyncIterator[Wire]:
    wire = Wire(server.port)
    listener = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = listener.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        listener.close()
        await wire.close()
