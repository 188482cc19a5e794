"""A client hangs up, a deadline passes: whatever a step awaits is cut once, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

import pytest
from support.actors import Browser
from support.stage import Stage, answer, staged

from asgi_tokenguard import NotAuthenticated, TokenGuard, get_auth

SOMEBODYS = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
# More often than any step awaits; who needs more has begun to wait in circles.
MOST = 200


@types.coroutine
def cut_at(step: Coroutine[Any, Any, Any], number: int) -> Generator[Any, Any, bool]:
    """Run *step*, cancel it while it awaits for the time *number*; whether it came to that."""
    task = asyncio.current_task()
    sent: Any = None
    error: BaseException | None = None
    for awaited in range(1, MOST):
        try:
            waiting = step.send(sent) if error is None else step.throw(error)
        except StopIteration:
            return False
        except asyncio.CancelledError:
            return True
        if awaited == number:
            # Once the task waits for it, as whoever cancels a request finds it.
            asyncio.get_running_loop().call_soon(task.cancel)
        error = None
        try:
            sent = yield waiting
        except BaseException as thrown:  # noqa: BLE001 (it is the step's)
            error = thrown
    raise RuntimeError("it awaits for ever")


async def cuts(step: Any) -> int:
    """Run what *step* makes, cut at its first await, at its second ...; how many there were to cut."""
    for number in range(1, MOST):
        task = asyncio.ensure_future(cut_at(step(), number))
        (was_cut,) = await asyncio.gather(task, return_exceptions=True)
        if was_cut is False:
            return number - 1
    raise RuntimeError("it was cut for ever")


async def is_whole(guard: TokenGuard) -> None:
    """No connection is held by a step that is over, the pool serves more at once than it has, and no task is left."""
    await guard.engine.background.outbox.flush(10)
    pool = (await guard.engine.store._link.connector.client()).connection_pool
    assert not pool._in_use_connections
    await asyncio.gather(*(guard.sessions("user-1") for _ in range(32)))
    assert not pool._in_use_connections
    async with asyncio.timeout(30):
        while {asyncio.current_task()} != asyncio.all_tasks():
            await asyncio.sleep(0.01)


@pytest.fixture
async def guard(options) -> AsyncIterator[TokenGuard]:
    async with TokenGuard(**options, cache=False) as guard:
        yield guard


STEPS = {
    "authenticate": lambda guard, tokens: guard.authenticate(tokens.access_token),
    "rotate": lambda guard, tokens: guard.rotate(tokens.refresh_token),
    "login": lambda guard, _: guard.login("user-1"),
    "sessions": lambda guard, _: guard.sessions("user-1"),
    "endings": lambda guard, _: guard.endings("user-1"),
    "revoke": lambda guard, _: guard.revoke("user-1", SOMEBODYS),
    "revoke_others": lambda guard, tokens: guard.revoke_others("user-1", tokens.session_id),
    "revoke_all": lambda guard, _: guard.revoke_all("user-2"),
    "update_claims": lambda guard, _: guard.update_claims("user-1", {"role": "admin"}),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_is_cut_anywhere_leaks_no_connection_and_loses_no_session(guard, step):
    tokens = await guard.login("user-1")
    assert await cuts(lambda: STEPS[step](guard, tokens)) >= 1
    await is_whole(guard)
    assert tokens.session_id in {session.id for session in await guard.sessions("user-1")}
    assert (await guard.rotate(tokens.refresh_token)).session_id == tokens.session_id


@pytest.fixture
async def stage(options, clock) -> AsyncIterator[Stage]:
    async with staged(options, clock, cache=False) as stage:

        @stage.on("/confirm")
        async def confirm(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        @stage.on("/slow")
        async def slow(scope, receive, send):
            stage.clock.advance(2)  # the head leaves late, and looks once more
            await answer(send)

        yield stage


@pytest.mark.parametrize(("method", "path"), [("GET", "/me"), ("GET", "/slow"), ("POST", "/confirm"), ("GET", "/sessions")])
async def test_a_request_that_is_cut_anywhere_loses_no_session(stage, method, path):
    """Rotations on the way in among them: the successor that nobody received is handed out again."""
    tab = await stage.expired()

    async def request():
        stage.clock.advance(stage.guard.engine.settings.lifetimes.access + 1)
        await tab.ask(path, method=method)  # the answer is lost, where there is one

    assert await cuts(request) >= 1
    await is_whole(stage.guard)
    assert 200 == (await tab.get()).status
    assert 1 == len(await stage.guard.sessions("user-1"))


@pytest.mark.parametrize("user", ["user-1", "user-2"])
async def test_a_login_that_is_cut_anywhere_can_be_asked_for_again(stage, user):
    """Over one's own session, and over another user's, which ends in a script of its own, first."""
    tab = await stage.logged_in()
    assert await cuts(lambda: tab.ask(f"/login?user={user}", method="POST")) >= 1
    await is_whole(stage.guard)
    assert 200 == (await tab.post(f"/login?user={user}")).status
    assert user == (await tab.get()).json()["subject"]


async def test_a_logout_that_is_cut_anywhere_can_be_asked_for_again(stage):
    tab = await stage.logged_in()
    thief = Browser(stage.app)
    thief.jar = tab.browser.jar
    assert await cuts(lambda: tab.ask("/logout", method="POST")) >= 1
    assert 204 == (await tab.post("/logout")).status
    assert 401 == (await thief.tab().get()).status
    with pytest.raises(NotAuthenticated):
        await stage.guard.authenticate(tab.token)
    await is_whole(stage.guard)
