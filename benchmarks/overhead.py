"""
What a guarded request costs more than a bare one, beside what else an app could do.

    python benchmarks/overhead.py

The same app and the same request, called directly, without HTTP: bare; under a middleware that does nothing; under one that
checks a JWT with PyJWT and asks nobody (such tokens cannot be revoked); under one that also asks Redis by EXISTS whether the
token was revoked; and under this package, with a live access token: without its cache (one signature check, one HGET), and
with it (one look-up in a dictionary, into which Redis pushes every change).  Sequential by default: each request waits for its
own round trip.  With `--in-flight 32`, 32 tasks ask at the same time.

A row is a contender of `CONTENDERS`; to add a peer, write one more function there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import jwt
from _common import (
    CLAIMS,
    SECRET,
    Contender,
    added,
    ask,
    bare_app,
    facts,
    header,
    parser,
    real_server,
    run_rounds,
    scope_of,
    server_name,
    show,
    spread,
    write,
)
from redis.asyncio import Redis

from asgi_tokenguard import TokenGuardMiddleware, get_auth

# An app, and the headers of a request that it serves; the contender is alive inside the `async with`.
Built = tuple[Any, list[tuple[str, str]]]
CONTENDERS: dict[str, Callable[[str], contextlib.AbstractAsyncContextManager[Built]]] = {}


def contender(name: str) -> Callable[[Callable[[str], AsyncIterator[Built]]], Any]:
    def add(build: Callable[[str], AsyncIterator[Built]]) -> Any:
        CONTENDERS[name] = asynccontextmanager(build)
        return build

    return add


@contender("bare app")
async def bare(url: str) -> AsyncIterator[Built]:
    yield bare_app, bearer(token())


@contender("no-op middleware")
async def no_op(url: str) -> AsyncIterator[Built]:
    yield NoOp(bare_app), bearer(token())


@contender("stateless PyJWT")
async def stateless(url: str) -> AsyncIterator[Built]:
    yield Stateless(bare_app), bearer(token())


@contender("naive PyJWT + EXISTS")
async def naive(url: str) -> AsyncIterator[Built]:
    async with Redis.from_url(url) as client:
        yield Naive(bare_app, client), bearer(token())


@contender("asgi_tokenguard, cache=False")
async def uncached(url: str) -> AsyncIterator[Built]:
    async with guarded(url, cache=False) as built:
        yield built


@contender("asgi_tokenguard")
async def tokenguard(url: str) -> AsyncIterator[Built]:
    async with guarded(url) as built:
        # A token is known once its generation was seen and the channel of changes is trusted.
        app, headers = built
        field = dict(headers)["authorization"].encode()
        while app.guard.engine.liveness.known(field) is None:
            await ask(app, scope_of(headers))
            await asyncio.sleep(0.02)
        yield built


@asynccontextmanager
async def guarded(url: str, **options: Any) -> AsyncIterator[Built]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/login":
            await get_auth(scope).login("user-123456", CLAIMS)
        await bare_app(scope, receive, send)

    wrapped = TokenGuardMiddleware(app, secret=SECRET, redis=url, public=["/login"], **options)
    async with wrapped.guard:
        login = await ask(wrapped, scope_of([("origin", "https://app.example")], path="/login", method="POST"))
        yield wrapped, bearer(header(login, b"x-new-access-token"))


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
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
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


def token() -> str:
    """An access token with the fields that ours has, so that all verify and parse as many bytes."""
    now = int(time.time())
    own = {"sub": "user-123456", "sid": uuid.uuid4().hex[:26], "gen": 0, "jti": uuid.uuid4().hex[:26]}
    return jwt.encode(own | {"iat": now, "exp": now + 900, "auth_time": now, **CLAIMS}, SECRET, headers={"kid": "12345678"})


def bearer(token: str) -> list[tuple[str, str]]:
    """The headers of a request: the token, and a cookie of the size of a refresh token, which nobody has to read."""
    return [("authorization", f"Bearer {token}"), ("cookie", f"theme=dark; __Host-refresh={token[:280]}")]


async def main() -> None:
    arguments = parser(__doc__, rounds=60, requests=400)
    arguments.add_argument("--in-flight", type=int, default=1, help="requests at the same time (default: %(default)s)")
    asked = arguments.parse_args()
    rounds, requests, in_flight = (3, 60, asked.in_flight) if asked.quick else (asked.rounds, asked.requests, asked.in_flight)
    async with real_server(asked.server) as url, contextlib.AsyncExitStack() as stack:
        contenders = []
        for name, build in CONTENDERS.items():
            app, headers = await stack.enter_async_context(build(url))
            scope = scope_of(headers)
            status = (await ask(app, scope))[0]["status"]
            if status != 200:
                raise RuntimeError(f"{name} answers {status}: there is nothing to compare")
            contenders.append(Contender(name, work(app, scope, requests // in_flight, in_flight)))
        client = await stack.enter_async_context(Redis.from_url(url))
        await run_rounds(contenders, rounds=rounds, requests=requests // in_flight * in_flight)
        setting = facts(await server_name(client))
    rows = compared(contenders)
    print(f"{setting['server']}, Python {setting['python']}, {rounds} rounds of {requests} requests, {in_flight} in flight\n")
    show(
        rows,
        {
            "name": "",
            "request_us": "µs a request",
            "added_us": "µs added",
            "middle_half": "middle half",
            "to_stateless": "to stateless",
            "to_naive": "to naive",
        },
    )
    parameters = {"rounds": rounds, "requests": requests, "in_flight": in_flight}
    write({"benchmark": "overhead", **setting, **parameters, "rows": rows}, asked.json)


def work(app: Any, scope: dict[str, Any], requests: int, in_flight: int) -> Any:
    async def one_after_another() -> None:
        for _ in range(requests):
            await ask(app, scope)

    async def side_by_side() -> None:
        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))

    return one_after_another if in_flight == 1 else side_by_side


def compared(contenders: list[Contender]) -> list[dict[str, Any]]:
    by_name = {contender.name: contender for contender in contenders}
    base = by_name["bare app"]
    extra = {name: added(contender, base) for name, contender in by_name.items()}
    rows = []
    for name, contender in by_name.items():
        row: dict[str, Any] = {"name": name, "request_us": round(contender.median, 2)}
        if contender is not base:
            row |= {
                "added_us": round(median(extra[name]), 2),
                "middle_half": spread(extra[name]),
                "to_stateless": round(median(extra[name]) / median(extra["stateless PyJWT"]), 2),
                "to_naive": round(median(extra[name]) / median(extra["naive PyJWT + EXISTS"]), 2),
            }
        rows.append(row)
    return rows


if __name__ == "__main__":
    random.seed(20261101)  # the same shuffles each time
    asyncio.run(main())
