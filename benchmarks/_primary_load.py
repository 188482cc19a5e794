"""What `primary.py` sends: commands packed beforehand, over plain sockets, so that the sender is never the slower one."""

from __future__ import annotations

import random
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any

from _capacity_town import Town, packed

from asgi_tokenguard import TokenGuard
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.rotation import Shown
from asgi_tokenguard.store.keyspace import session_key

PATIENCE = 30.0
AT_ONCE = 4
# How often the commands are sent where nothing paces them: enough to be measured.
AS_FAST = 20
# A reply is read in pieces of at most this, more than any batch here is answered with.
PIECE = 2**20


def checks(town: Town, numbers: Sequence[int]) -> list[bytes]:
    """The read behind a cold request."""
    return [packed(b"HGET", key_of(town, number), town.sid(number).encode()) for number in numbers]


def leases(count: int) -> list[bytes]:
    return [packed(b"PING")] * count


def changes(town: Town, numbers: Sequence[int]) -> list[bytes]:
    """The least that is pushed: what counts is the push, not what was written."""
    return [packed(b"HSET", key_of(town, number), b"~", b"") for number in numbers]


def records(town: Town, numbers: Sequence[int]) -> list[bytes]:
    """The write of a rotation: a whole record."""
    return [packed(b"HSET", key_of(town, number), town.sid(number).encode(), town.raw) for number in numbers]


async def rotations(town: Town, guard: TokenGuard, numbers: Sequence[int]) -> list[bytes]:
    """The script of a rotation as *guard* would send it, for the head of each user."""
    engine = guard.engine
    caught: list[bytes] = []

    class CaughtError(Exception):
        pass

    async def catch(script: Any, keys: tuple[str, ...], *args: Any) -> Any:
        words = ["EVALSHA", script.sha, len(keys), *keys, *args]
        caught.append(packed(*(word if isinstance(word, bytes) else str(word).encode() for word in words)))
        raise CaughtError

    link = engine.store._link
    link.run = catch
    try:
        for number in numbers:
            shown = engine.codec.read_refresh(town.refresh_token(guard, number))
            try:
                await engine.store.present(
                    shown.sub,
                    shown.sid,
                    Shown(gen=shown.gen, jti=shown.jti, issued=shown.iat),
                    caller=Caller.SCRIPT,
                    new=await engine.new_ids(),
                )
            except CaughtError:
                continue
    finally:
        del link.run
    return caught


def key_of(town: Town, number: int) -> bytes:
    return session_key("tg", town.subject(number)).encode()


def shuffled(first: int, count: int) -> list[int]:
    """Users from *first* on, in no order: neighbours would lie in the processor's caches."""
    return random.sample(range(first, first + count), count)


def opened(town: Town) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(town.url.removeprefix("unix://"))
    return connection


def send(town: Town, commands: Sequence[bytes], *, together: int, rate: float = 0) -> float:
    """Send *together* at a time, and no more than *rate* a second; the seconds that it took."""
    with opened(town) as connection:
        size = _answer_to(connection, commands[0])
        began = time.perf_counter()
        for first in range(1, len(commands), together):
            batch = commands[first : first + together]
            connection.sendall(b"".join(batch))
            _read(connection, size * len(batch))
            if rate:
                time.sleep(max(0.0, began + (first + together) / rate - time.perf_counter()))
        return time.perf_counter() - began


def flood(town: Town, commands: Sequence[bytes], *, together: int) -> float:
    """Send from several connections, so that the server always has more to do; commands a second."""
    connections = [opened(town) for _ in range(AT_ONCE)]
    try:
        size = _answer_to(connections[0], commands[0])
        batches = [b"".join(commands[first : first + together]) for first in range(1, len(commands) - together, together)]
        waiting = iter(batches)
        missing = {}
        began = time.perf_counter()
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                selector.register(connection, selectors.EVENT_READ)
                connection.sendall(next(waiting))
                missing[connection] = size * together
            while missing:
                for ready, _ in selector.select(PATIENCE):
                    connection = ready.fileobj
                    missing[connection] -= len(connection.recv(PIECE))  # type: ignore[index, union-attr]
                    if missing[connection] == 0:  # type: ignore[index]
                        batch = next(waiting, None)
                        if batch is None:
                            del missing[connection]  # type: ignore[arg-type]
                        else:
                            connection.sendall(batch)  # type: ignore[union-attr]
                            missing[connection] = size * together  # type: ignore[index]
        return len(batches) * together / (time.perf_counter() - began)
    finally:
        for connection in connections:
            connection.close()


def _answer_to(connection: socket.socket, command: bytes) -> int:
    """The bytes of an answer; all commands of one kind are answered with as many."""
    connection.sendall(command)
    answer = connection.recv(PIECE)
    if answer.startswith(b"-"):
        raise RuntimeError(answer.decode())
    return len(answer)


def _read(connection: socket.socket, size: int) -> None:
    while size > 0:
        piece = connection.recv(PIECE)
        if not piece:
            raise RuntimeError("the server has closed the connection")
        size -= len(piece)
