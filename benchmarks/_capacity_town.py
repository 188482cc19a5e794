"""The users of `capacity.py`: a server with as many sessions as are wanted, all copies of a genuine one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from _common import SECRET
from memory import NAME, PART, claims_of
from redis.asyncio import Redis

from asgi_tokenguard import Lifetimes, TokenGuard
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.devices import DeviceHeaders
from asgi_tokenguard.core.records import Record, decode, new_ulid, ulid_text
from asgi_tokenguard.core.sessions import pack_address
from asgi_tokenguard.parcels import Source
from asgi_tokenguard.store.keyspace import session_key

# Nothing expires within a run.
LIFETIMES = Lifetimes(access=6 * 3600)
TEMPLATE = "template"
AT_ONCE = 5_000


@dataclass(frozen=True)
class Town:
    """
    *size* users on the server at *url*, numbered from 0, each with one session.

    *raw* is the record of a genuine login that was described and seen; every user has a copy of it in a session of their own,
    which takes scripts and requests in as it takes any other.
    """

    url: str
    size: int
    raw: bytes
    idle: int = LIFETIMES.idle

    @property
    def record(self) -> Record:
        record = decode(self.raw)
        if record is None:
            raise RuntimeError("the template is no record")
        return record

    @staticmethod
    def subject(number: int) -> str:
        return f"user-{number:07}"

    def sid(self, number: int) -> str:
        return ulid_text(new_ulid(self.record.head.mark, number.to_bytes(10, "big")))

    async def fill(self) -> None:
        """Write all users: what `save` in store/lua/record.lua writes, the field and when its key ends."""
        reader, writer = await asyncio.open_unix_connection(self.url.removeprefix("unix://"))
        ends = str(self.record.head.ends_at(self.idle)).encode()
        began = self.record.head.mark
        for first in range(0, self.size, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, self.size))
            for number in numbers:
                key = session_key("tg", self.subject(number)).encode()
                sid = ulid_text(new_ulid(began, number.to_bytes(10, "big"))).encode()
                writer.write(packed(b"HSET", key, sid, self.raw) + packed(b"EXPIREAT", key, ends))
            if await reader.readexactly(len(numbers) * 8) != b":1\r\n" * 2 * len(numbers):
                raise RuntimeError("a user was there before")
        writer.close()

    async def restore(self, client: Any, numbers: Iterable[int]) -> None:
        """Give users whose session was rotated the old record back."""
        pipeline = client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hset(session_key("tg", self.subject(number)), self.sid(number), self.raw)
        await pipeline.execute()

    def some(self, count: int, *, half: int) -> list[int]:
        """Different users at random: of the even ones (*half* 0), who are never rotated, or of the odd ones (1)."""
        return [number * 2 + half for number in random.sample(range(self.size // 2), count)]

    def guard(self, **options: Any) -> TokenGuard:
        return TokenGuard(**{"secret": SECRET, "redis": self.url, "timeout": 60, "lifetimes": LIFETIMES} | options)

    def access_token(self, guard: TokenGuard, number: int) -> str:
        return guard.engine.codec.access_token(self.subject(number), self.sid(number), self.record)

    def refresh_token(self, guard: TokenGuard, number: int) -> str:
        return guard.engine.codec.refresh_token(self.subject(number), self.sid(number), self.record)


def packed(*parts: bytes) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


async def found(url: str, size: int) -> Town:
    """The town, or, on an empty server, the ground for it: one genuine session."""
    subject = TEMPLATE
    async with Redis.from_url(url) as client:
        sessions = await client.hgetall(session_key("tg", subject))
        if not sessions:
            await _template(url)
            sessions = await client.hgetall(session_key("tg", subject))
    return Town(url, size, next(iter(sessions.values())))


async def _template(url: str) -> None:
    async with TokenGuard(secret=SECRET, redis=url, timeout=60, lifetimes=LIFETIMES) as guard:
        engine, address = guard.engine, pack_address("2001:db8::7")
        engine.background.describe = lambda *_: None  # done by hand, with parts of a fixed size
        source = Source(address=address, device=DeviceHeaders())
        identity, delivery = await engine.login(TEMPLATE, claims_of(120), caller=Caller.SCRIPT, source=source)
        sid, head = identity.session_id, delivery.record.head
        described = {"name": NAME, "device": b"d" * PART, "address": address, "place": b"p" * PART}
        if not (
            await engine.store.describe(TEMPLATE, sid, **described)
            and await engine.store.see(TEMPLATE, sid, gen=head.gen, access_jti=head.access_jti)
        ):
            raise RuntimeError("the template was not written")
