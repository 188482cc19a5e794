"""A step ran and its answer was lost: it is not sent again by us, and the client's own repeat is harmless."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.actors import Browser
from support.cables import Wire, wire_to
from support.server import RedisServer
from support.stage import Stage, answer, commands, staged

from asgi_tokenguard import get_auth

SECRET = "a secret of more than thirty-two bytes, for tests only"


@asynccontextmanager
async def behind_a_wire() -> AsyncIterator[tuple[Stage, Wire, RedisServer]]:
    server = RedisServer(port=True).start()
    try:
        async with wire_to(server) as wire:
            options = {"secret": SECRET, "redis": f"redis://127.0.0.1:{wire.port}", "timeout": 10}
            async with staged(options, server.clock) as stage:
                yield stage, wire, server
    finally:
        server.close()


async def test_i8_a_rotation_is_redelivered_and_burns_no_family():
    async with behind_a_wire() as (stage, wire, server):
        tab = await stage.expired()
        await stage.quiet()
        wire.lose_answers_to(b"EVALSHA")
        before = commands(server.url)
        assert 503 == (await tab.ask()).status
        assert 1 == (commands(server.url) - before)["evalsha"], "a script is sent once"
        wire.mend()
        repeated = await tab.get()
        assert (200, 1) == (repeated.status, (await stage.head(tab)).gen)
        assert repeated.cookie()
        assert repeated.new_token
        stage.clock.advance(901)
        assert 200 == (await tab.get()).status
        assert 2 == (await stage.head(tab)).gen


async def test_a_confirmed_password_is_renewed_by_the_repeat():
    async with behind_a_wire() as (stage, wire, _):

        @stage.on("/confirm")
        async def confirm(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        tab = await stage.logged_in()
        assert 200 == (await tab.get()).status
        wire.lose_answers_to(b"EVALSHA")
        assert 503 == (await tab.ask("/confirm", method="POST")).status
        wire.mend()
        assert 200 == (await tab.post("/confirm")).status
        assert tab.browser.fresh
        assert 200 == (await tab.get()).status


async def test_a_revocation_has_happened_and_may_be_repeated():
    async with behind_a_wire() as (stage, wire, _):
        tab = await stage.logged_in()
        assert 200 == (await tab.get()).status
        await stage.guard.revoke_all("nobody")  # now the server knows the script
        wire.lose_answers_to(b"EVALSHA")
        with pytest.raises(Exception, match="does not answer"):
            await stage.guard.revoke_all("user-1")
        wire.mend()
        assert 0 == await stage.guard.revoke_all("user-1")
        assert 401 == (await tab.get()).status


async def test_a_login_leaves_a_session_that_nobody_holds_and_that_is_listed():
    """It is seen by its user like any other, and ends when it was idle for as long as others may be."""
    async with behind_a_wire() as (stage, wire, server):
        await stage.logged_in()
        wire.lose_answers_to(b"EVALSHA")
        lost = await Browser(stage.app).tab().ask("/login?user=user-2", method="POST")
        assert 503 == lost.status
        assert not lost.cookie()
        wire.mend()
        assert 1 == len(await stage.guard.sessions("user-2"))
        server.clock.advance(stage.guard.engine.settings.lifetimes.idle + 1)
        assert [] == await stage.guard.sessions("user-2")
