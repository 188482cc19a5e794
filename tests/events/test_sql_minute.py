"""Issue 4, point 7: the database is down for a minute and back, while users come and go; the table ends equal to the truth."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from support.postgres import PostgresServer
from support.truth import rows_in

from asgi_tokenguard import Lifetimes, TokenGuard
from asgi_tokenguard.events.rows import row_of
from asgi_tokenguard.events.sql import SqlMirror
from asgi_tokenguard.store.keyspace import session_key

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]

DOWN = 60.0
USERS = [f"user-{number}" for number in range(30)]
QUIET = "user-quiet"  # whose sessions end only by hand, so that nobody tells the mirror


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    database = PostgresServer()
    yield database.start()
    database.close()


class Traffic:
    """Logins, rotations from new networks and ends, at random, through a guard as an app has it."""

    def __init__(self, guard: TokenGuard) -> None:
        self.guard = guard
        self.chance = random.Random(4)
        self.held: list[tuple[str, Any]] = []
        self.longest = 0.0

    async def step(self) -> None:
        began = time.monotonic()
        match self.chance.randrange(4):
            case 0 | 1:
                user = self.chance.choice(USERS)
                self.held.append((user, await self.guard.login(user, {"role": "user"}, ip_address=self.address())))
            case 2 if self.held:
                user, tokens = self.held.pop(self.chance.randrange(len(self.held)))
                await self.guard.revoke(user, tokens.session_id)
            case 3 if self.held:
                index = self.chance.randrange(len(self.held))
                user, tokens = self.held[index]
                next_tokens = await self.guard.rotate(tokens.refresh_token, ip_address=self.address())
                if next_tokens.refresh_token is not None:
                    self.held[index] = (user, next_tokens)
        self.longest = max(self.longest, time.monotonic() - began)

    async def go_on(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await self.step()
            await asyncio.sleep(0.05)

    def address(self) -> str:
        return f"81.2.{self.chance.randrange(256)}.7"


async def truth_of(guard: TokenGuard) -> dict[str, list[dict[str, Any]]]:
    found = {user: await guard.sessions(user) for user in (*USERS, QUIET)}
    return {
        user: sorted((row_of(user, session) for session in sessions), key=lambda row: row["id"])
        for user, sessions in found.items()
        if sessions
    }


async def test_the_database_is_down_for_a_minute_and_the_table_ends_equal_to_the_truth(options, database):
    mirror = SqlMirror(database.url)
    await mirror.create()
    options |= {"lifetimes": Lifetimes(access=2, idle=3_600, absolute=36_000), "mirror": mirror}
    async with TokenGuard(**options) as guard, Redis.from_url(options["redis"]) as redis:
        outbox, traffic = guard.engine.background.outbox, Traffic(guard)
        gone, stays = await guard.login(QUIET), await guard.login(QUIET)
        await traffic.go_on(5)
        await asyncio.to_thread(database.stop)
        await traffic.go_on(DOWN)
        await redis.hdel(session_key(options["namespace"], QUIET), gone.session_id)
        assert outbox.pending > 10
        assert outbox.failed > 10
        assert traffic.longest < 5  # nobody waited for it; a busy machine has its pauses
        await asyncio.to_thread(database.start)
        await traffic.go_on(2)

        async with asyncio.timeout(180):  # retries are at most 30 s apart
            while outbox.pending:
                await asyncio.sleep(0.1)
        assert 0 == outbox.dropped
        truth, rows = await truth_of(guard), await rows_in(mirror)
        assert {gone.session_id, stays.session_id} == {row["id"] for row in rows.pop(QUIET)}  # nobody has told it
        assert [stays.session_id] == [row["id"] for row in truth[QUIET]]
        assert {user: truth[user] for user in truth if user != QUIET} == rows
        assert len(rows) > 10

        assert len(truth) == await guard.reconcile()
        assert truth == await rows_in(mirror)
