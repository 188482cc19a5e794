"""
Other ways to know who asks, each set up as its own documentation does.

FastAPI and Litestar judge tokens behind their own routing, so such a row is compared with the same framework's app without a
guard: what is "added" is the check alone.  No row includes the app's database: users lie in a dictionary.
"""

# Without `from __future__ import annotations`: FastAPI and Litestar read the annotations of functions within functions.

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from _common import CLAIMS, SECRET, ask, bare_app, header, scope_of
from _contenders import SUBJECT, Built, World, bearer, contender, forged, refuse
from redis.asyncio import Redis

FASTAPI: Final = "FastAPI app"
LITESTAR: Final = "Litestar app"
WEEK: Final = 7 * 86400
# The packages whose versions a report names.
PACKAGES: Final = ("fastapi", "fastapi-users", "authx", "litestar", "starsessions")


@dataclass
class User:
    id: uuid.UUID
    email: str = "ada@app.example"
    hashed_password: str = ""
    is_active: bool = True
    is_verified: bool = True
    is_superuser: bool = False


# --- starsessions


@contender("starsessions, Redis", needs="starsessions")
async def starsessions(world: World) -> AsyncIterator[Built]:
    """A session without a token: read from Redis and, as the package does on every answer, written back."""
    from starsessions import SessionAutoloadMiddleware, SessionMiddleware
    from starsessions.stores.redis import RedisStore

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/login":
            scope["session"].update({"user": SUBJECT, **CLAIMS})
        if "user" in scope["session"]:
            await bare_app(scope, receive, send)
        else:
            await refuse(send)

    async with Redis.from_url(world.url) as client:
        guarded = SessionMiddleware(SessionAutoloadMiddleware(app), store=RedisStore(connection=client), lifetime=WEEK)

        async def cookie() -> str:
            sent = await ask(guarded, scope_of([], path="/login", method="POST"))
            return header(sent, b"set-cookie").partition(";")[0]

        live, revoked = await cookie(), await cookie()
        await client.delete("starsessions." + revoked.partition("=")[2])
        yield Built(app=guarded, asked=[[("cookie", live)]], refused=[("cookie", revoked)], revocable=True)


# --- on FastAPI


@contender(FASTAPI, over=None, needs="fastapi")
async def fastapi(world: World) -> AsyncIterator[Built]:
    yield Built(app=fastapi_app(), asked=[bearer("unread")])


@contender("fastapi-users, RedisStrategy", over=FASTAPI, needs="fastapi_users")
async def fastapi_users(world: World) -> AsyncIterator[Built]:
    """As documented: its `def get_redis_strategy` is run in a thread by FastAPI."""
    async with Redis.from_url(world.url, decode_responses=True) as client:
        from fastapi_users.authentication import RedisStrategy

        def get_redis_strategy() -> RedisStrategy:
            return RedisStrategy(client, lifetime_seconds=3600)

        async with with_fastapi_users(get_redis_strategy, RedisStrategy(client, lifetime_seconds=3600)) as built:
            yield built


@contender("fastapi-users, async def", over=FASTAPI, needs="fastapi_users")
async def fastapi_users_without_thread(world: World) -> AsyncIterator[Built]:
    """The same, with the strategy from an `async def`, which needs no thread."""
    async with Redis.from_url(world.url, decode_responses=True) as client:
        from fastapi_users.authentication import RedisStrategy

        async def get_redis_strategy() -> RedisStrategy:
            return RedisStrategy(client, lifetime_seconds=3600)

        async with with_fastapi_users(get_redis_strategy, RedisStrategy(client, lifetime_seconds=3600)) as built:
            yield built


@contextlib.asynccontextmanager
async def with_fastapi_users(get_redis_strategy: Any, strategy: Any) -> AsyncIterator[Built]:
    from fastapi import Depends
    from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
    from fastapi_users.authentication import AuthenticationBackend, BearerTransport
    from fastapi_users.db import BaseUserDatabase

    user = User(uuid.uuid4())
    table = {user.id: user}

    class Database(BaseUserDatabase[User, uuid.UUID]):
        async def get(self, id: uuid.UUID) -> User | None:  # noqa: A002 (the package's name)
            return table.get(id)

    class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
        reset_password_token_secret = verification_token_secret = SECRET

    async def get_user_db() -> AsyncIterator[Any]:
        yield Database()

    async def get_user_manager(user_db: Any = Depends(get_user_db)) -> AsyncIterator[Any]:  # noqa: B008
        yield UserManager(user_db)

    transport = BearerTransport(tokenUrl="auth/login")
    backend = AuthenticationBackend(name="redis", transport=transport, get_strategy=get_redis_strategy)
    users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])
    app = fastapi_app(Depends(users.current_user(active=True)))
    live, revoked = await strategy.write_token(user), await strategy.write_token(user)
    await strategy.destroy_token(revoked, user)
    yield Built(app=app, asked=[bearer(live)], refused=bearer(revoked), revocable=True)


@contender("authx", over=FASTAPI, needs="authx")
async def authx(world: World) -> AsyncIterator[Built]:
    app, auth = with_authx()
    live = auth.create_access_token(uid=SUBJECT, data=CLAIMS)
    yield Built(app=app, asked=[bearer(live)], refused=bearer(forged(live)))


@contender("authx + EXISTS", over=FASTAPI, needs="authx")
async def authx_revocable(world: World) -> AsyncIterator[Built]:
    """With the callback for revoked tokens; its documentation says to ask Redis or a database there."""
    app, auth = with_authx()
    async with Redis.from_url(world.url) as client:

        @auth.set_callback_token_blocklist
        async def is_token_revoked(token: str) -> bool:
            return bool(await client.exists(f"authx:{token}"))

        live, revoked = [auth.create_access_token(uid=SUBJECT, data=CLAIMS) for _ in range(2)]
        await client.set(f"authx:{revoked}", 1, ex=900)
        yield Built(app=app, asked=[bearer(live)], refused=bearer(revoked), revocable=True)


def with_authx() -> tuple[Any, Any]:
    from authx import AuthX, AuthXConfig
    from fastapi import Depends

    auth = AuthX(config=AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["headers"]))
    app = fastapi_app(Depends(auth.access_token_required))
    auth.handle_errors(app)
    return app, auth


def fastapi_app(*dependencies: Any) -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/me", dependencies=dependencies)
    async def me() -> dict[str, bool]:
        return {"ok": True}

    return app


# --- on Litestar


@contender(LITESTAR, over=None, needs="litestar")
async def litestar(world: World) -> AsyncIterator[Built]:
    yield Built(app=litestar_app(), asked=[bearer("unread")])


@contender("Litestar JWTAuth", over=LITESTAR, needs="litestar")
async def litestar_jwt(world: World) -> AsyncIterator[Built]:
    auth = litestar_auth()
    app = litestar_app(auth.on_app_init)
    live = auth.create_token(identifier=SUBJECT, token_extras=dict(CLAIMS))
    yield Built(app=app, asked=[bearer(live)], refused=bearer(forged(live)))


@contender("Litestar JWTAuth + EXISTS", over=LITESTAR, needs="litestar")
async def litestar_revocable(world: World) -> AsyncIterator[Built]:
    """With its `revoked_token_handler`, which is the app's to write."""
    async with Redis.from_url(world.url) as client:

        async def is_revoked(token: Any, connection: Any) -> bool:
            return bool(await client.exists(f"litestar:{token.jti}"))

        auth = litestar_auth(revoked_token_handler=is_revoked)
        app = litestar_app(auth.on_app_init)
        live, revoked = [
            auth.create_token(identifier=SUBJECT, token_unique_jwt_id=jti, token_extras=dict(CLAIMS))
            for jti in ("live", "revoked")
        ]
        await client.set("litestar:revoked", 1, ex=900)
        yield Built(app=app, asked=[bearer(live)], refused=bearer(revoked), revocable=True)


def litestar_auth(**options: Any) -> Any:
    from litestar.security.jwt import JWTAuth

    users = {SUBJECT: User(uuid.uuid4())}

    async def retrieve_user_handler(token: Any, connection: Any) -> User | None:
        return users.get(token.sub)

    return JWTAuth[User](
        retrieve_user_handler=retrieve_user_handler, token_secret=SECRET, exclude=["/login", "/schema"], **options
    )


def litestar_app(*on_app_init: Any) -> Any:
    from litestar import Litestar, get

    @get("/me")
    async def me() -> dict[str, bool]:
        return {"ok": True}

    return Litestar([me], on_app_init=list(on_app_init))
