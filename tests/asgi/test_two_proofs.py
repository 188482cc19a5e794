"""I15, I16: two passwords at once, around a redelivered rotation; the explorer's `TWO_PROOFS`, over the wire."""

from __future__ import annotations

import pytest
from support.desk import PASSWORD, Desk
from support.stage import answer, staged

from asgi_tokenguard import get_auth

CONFIRM = f"/desk/confirm?password={PASSWORD.replace(' ', '+')}"


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock) as stage:
        Desk(stage.handlers)
        yield stage


async def first_proof(stage, tab, checking):
    """
    The answer to a password that was sent with the predecessor: it is being checked for *checking* seconds.

    Meanwhile the successor arrives, and is seen.
    """
    stage.clock.advance(901)
    rotated = await tab.ask("/me")

    @stage.on("/checked")
    async def checked(scope, receive, send):
        tab.take(rotated)
        assert 200 == (await tab.get("/me")).status
        stage.clock.advance(checking)
        await get_auth(scope).reauthenticated("user-1")
        await answer(send)

    tab.reload()
    return await tab.ask("/checked", method="POST")


async def test_i15_a_proof_sends_no_cookie_of_a_head_that_was_seen(stage):
    tab = await stage.logged_in()
    proved = await first_proof(stage, tab, checking=16)
    assert 200 == proved.status
    assert None is proved.cookie()


async def test_i15_i16_a_second_proof_while_the_first_answer_is_late_logs_nobody_out(stage):
    """Each message is on the wire for less than the grace of 30 s."""
    tab = await stage.logged_in()
    first = await first_proof(stage, tab, checking=16)
    stage.clock.advance(15)  # the head was seen 31 s ago, so that the second proof rotates
    assert 200 == (await tab.post(CONFIRM)).status
    assert 200 == (await tab.get("/me")).status
    stage.clock.advance(13)
    tab.take(first)  # 28 s after it left
    stage.clock.advance(20)
    assert 200 == (await tab.get("/me")).status
