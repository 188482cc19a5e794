"""This package among the contenders: warm, cold, at the very first use of a token, and without its cache."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

from _common import CLAIMS, SECRET, ask, bare_app, header, scope_of
from _contenders import SUBJECT, Built, Headers, World, bearer, contender

from asgi_tokenguard import TokenGuardMiddleware, get_auth

WARM: Final = "asgi_tokenguard"
COLD: Final = "asgi_tokenguard, cold"


@contender("asgi_tokenguard, first use")
async def first_use(world: World) -> AsyncIterator[Built]:
    """Each token comes back for the first time, which Redis is told by a script after the read."""
    async with guarded(world.url) as app:
        fresh: list[Headers] = []
        users = itertools.count()

        async def prepare() -> None:
            fresh[:] = [await login(app, f"{SUBJECT}-{next(users)}") for _ in range(world.requests)]
            await settled(app)

        await prepare()
        revoked = await revoked_login(app)
        yield Built(app=app, asked=fresh, refused=revoked, revocable=True, prepare=prepare)


@contender(COLD)
async def cold(world: World) -> AsyncIterator[Built]:
    """Each token is known to Redis as seen and unknown to this process, as after a deployment: one read, then it is kept."""
    async with guarded(world.url) as app:
        seen = [await login(app, f"{SUBJECT}-{number}") for number in range(world.requests)]
        await settled(app)
        await until_known(app, seen)
        revoked = await revoked_login(app)

        async def prepare() -> None:
            forget(app)

        yield Built(app=app, asked=seen, refused=revoked, revocable=True, prepare=prepare)


@contender("asgi_tokenguard, cache=False")
async def uncached(world: World) -> AsyncIterator[Built]:
    async with guarded(world.url, cache=False) as app:
        headers = await login(app, SUBJECT)
        yield Built(app=app, asked=[headers], refused=await revoked_login(app), revocable=True)


@contender(WARM)
async def warm(world: World) -> AsyncIterator[Built]:
    async with guarded(world.url) as app:
        headers = await login(app, SUBJECT)
        revoked = await revoked_login(app)
        await until_known(app, [headers])
        yield Built(app=app, asked=[headers], refused=revoked, revocable=True)


@contextlib.asynccontextmanager
async def guarded(url: str, **options: Any) -> AsyncIterator[TokenGuardMiddleware]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/login/"):
            await get_auth(scope).login(scope["path"].removeprefix("/login/"), CLAIMS)
        await bare_app(scope, receive, send)

    # A namespace of its own, or the guards would hear of each other's logins.
    namespace = f"tg-{uuid.uuid4().hex[:8]}"
    wrapped = TokenGuardMiddleware(
        app, secret=SECRET, redis=url, namespace=namespace, public=["/login/*"], timeout=30, **options
    )
    async with wrapped.guard:
        yield wrapped


async def login(app: TokenGuardMiddleware, user: str) -> Headers:
    sent = await ask(app, scope_of([("origin", "https://app.example")], path=f"/login/{user}", method="POST"))
    return bearer(header(sent, b"x-new-access-token"))


async def settled(app: TokenGuardMiddleware) -> None:
    """What logins have left to be done in the background is done, and not while something is measured."""
    await app.guard.engine.background.outbox.flush(30)
    await asyncio.sleep(0.05)  # for the pushes that tell of it


async def revoked_login(app: TokenGuardMiddleware) -> Headers:
    headers = await login(app, "user-who-left")
    await app.guard.revoke_all("user-who-left")
    return headers


async def until_known(app: TokenGuardMiddleware, asked: list[Headers]) -> None:
    """A token is known once its generation was seen and the channel of changes is trusted."""
    while any(app.guard.engine.liveness.known(field_of(headers)) is None for headers in asked):
        for headers in asked:
            await ask(app, scope_of(headers))
        await asyncio.sleep(0.02)


def forget(app: TokenGuardMiddleware) -> None:
    caches = app.guard.engine.liveness._caches
    if caches is None:
        raise RuntimeError("there is no cache to forget")
    caches.here().forget()


def field_of(headers: Headers) -> bytes:
    return dict(headers)["authorization"].encode()
