"""
What `overhead.py` and `cold.py` compare: apps, the requests that they serve, and a request that they refuse.

A contender is a function that builds one; to add one, write a function more, here or in `_peers.py`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from _common import CLAIMS, SECRET, ask, bare_app, scope_of
from redis.asyncio import Redis

Headers = list[tuple[str, str]]
SUBJECT: Final = "user-123456"
BARE: Final = "bare app"
STATELESS: Final = "stateless PyJWT"
NAIVE: Final = "naive PyJWT + EXISTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where contenders live: a Redis of their own, and how many requests a round asks."""

    url: str
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """
    An app, and *asked*: the headers of requests that it serves, one after the other.

    *refused* are headers that it must refuse: of a token that was revoked where *revocable* says that it can be, else of a
    forged one.  *prepare* runs before each round, untimed.
    """

    app: Any
    asked: list[Headers]
    refused: Headers | None = None
    revocable: bool = False
    prepare: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row to be: what builds it, the row *over* whose app it lies (None: it is such an app), the module that it *needs*."""

    build: Callable[[World], contextlib.AbstractAsyncContextManager[Built]]
    over: str | None
    needs: str | None

    @property
    def is_missing(self) -> bool:
        return self.needs is not None and importlib.util.find_spec(self.needs) is None


CONTENDERS: dict[str, Entry] = {}


def contender(name: str, *, over: str | None = BARE, needs: str | None = None) -> Callable[[Any], Any]:
    def add(build: Callable[[World], AsyncIterator[Built]]) -> Any:
        CONTENDERS[name] = Entry(build=contextlib.asynccontextmanager(build), over=over, needs=needs)
        return build

    return add


async def check(name: str, built: Built) -> None:
    """Nothing is measured that lets everybody in, or nobody."""
    status = await status_of(built.app, built.asked[0])
    if status != 200:
        raise RuntimeError(f"{name} answers {status} where it has to serve")
    if built.refused is not None:
        status = await status_of(built.app, built.refused)
        if status not in {401, 403, 422}:  # authx says 422 for a forged token
            raise RuntimeError(f"{name} answers {status} where it has to refuse")


async def status_of(app: Any, headers: Headers) -> int:
    status: int = (await ask(app, scope_of(headers)))[0]["status"]
    return status


# --- the plain ones


@contender(BARE, over=None)
async def bare(world: World) -> AsyncIterator[Built]:
    yield Built(app=bare_app, asked=[bearer(token())])


@contender("no-op middleware")
async def no_op(world: World) -> AsyncIterator[Built]:
    yield Built(app=NoOp(bare_app), asked=[bearer(token())])


@contender(STATELESS)
async def stateless(world: World) -> AsyncIterator[Built]:
    yield Built(app=Stateless(bare_app), asked=[bearer(token())], refused=bearer(forged(token())))


@contender(NAIVE)
async def naive(world: World) -> AsyncIterator[Built]:
    async with Redis.from_url(world.url) as client:
        revoked = token()
        await client.set(f"revoked:{jwt.decode(revoked, options={'verify_signature': False})['jti']}", 1, ex=900)
        yield Built(app=Naive(bare_app, client), asked=[bearer(token())], refused=bearer(revoked), revocable=True)


class NoOp:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Stateless(NoOp):
    """As many apps do it: decode, let PyJWT judge, put the claims into the scope."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        claims = self.claims(scope)
        if claims is None or not await self.is_live(claims):
            await refuse(send)
            return
        scope["user"] = claims
        await self.app(scope, receive, send)

    def claims(self, scope: Any) -> Any:
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                try:
                    return jwt.decode(value[7:], SECRET, algorithms=["HS256"], options={"require": ["exp", "sub", "jti"]})
                except jwt.PyJWTError:
                    return None
        return None

    async def is_live(self, claims: Any) -> bool:
        return True


class Naive(Stateless):
    """The usual remedy: one question to Redis, with redis-py as it comes."""

    def __init__(self, app: Any, client: Any) -> None:
        super().__init__(app)
        self.client = client

    async def is_live(self, claims: Any) -> bool:
        return not await self.client.exists(f"revoked:{claims['jti']}")


async def refuse(send: Any) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def token() -> str:
    """An access token with the fields that ours has, so that all verify and parse as many bytes."""
    now = int(time.time())
    own = {"sub": SUBJECT, "sid": uuid.uuid4().hex[:26], "gen": 0, "jti": uuid.uuid4().hex[:26]}
    return jwt.encode(own | {"iat": now, "exp": now + 900, "auth_time": now, **CLAIMS}, SECRET, headers={"kid": "12345678"})


def forged(token: str) -> str:
    """*token* with the signature of another secret."""
    head, payload, _ = token.split(".")
    other = jwt.encode({}, SECRET[::-1])
    return f"{head}.{payload}.{other.rpartition('.')[2]}"


def bearer(token: str) -> Headers:
    """The headers of a request: the token, and a cookie of the size of a refresh token, which nobody has to read."""
    return [("authorization", f"Bearer {token}"), ("cookie", f"theme=dark; __Host-refresh={'r' * 280}")]
