"""
What one rotation costs, beside the six commands that do the same naively.

    python benchmarks/rotation.py

"script" is the package's: one EVALSHA that judges the presented token and writes the successor, atomically.  "six commands" is
the usual sequence: EXISTS (revoked?), GET (the refresh token's record), DEL (the old one), SET x3 (new refresh token, new
access token, session), each a round trip, since each waits for what the one before it says; it is not atomic, which is why
parallel requests rotate twice there.  "request" is the whole way: read the cookie, verify it, rotate, sign two tokens, answer.

Each rotation is the first of a session of its own, whose access token has expired.  The server's own time for a rotation is
its count (`INFO commandstats`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import Iterator
from statistics import median
from typing import Any

import jwt
from _common import (
    CLAIMS,
    SECRET,
    Contender,
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

from asgi_tokenguard import Lifetimes, TokenGuard, TokenGuardMiddleware
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.rotation import Outcome, Shown

SCRIPT, SIX = "script", "six commands"
LIFETIMES = Lifetimes(access=1)
ACCESS, REFRESH = 900, 15 * 86400


class Naive:
    """The records of a naive session, and their rotation."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def login(self, user: str) -> str:
        refresh, access, sid = uuid.uuid4().hex, uuid.uuid4().hex, uuid.uuid4().hex
        await self.write(refresh, access, {"sub": user, "sid": sid, "claims": CLAIMS, "ip": "192.0.2.7"})
        return refresh

    async def rotate(self, old: str) -> tuple[str, str, dict[str, Any]]:
        if await self.client.exists(f"revoked:{old}"):
            raise PermissionError
        raw = await self.client.get(f"refresh:{old}")
        if raw is None:
            raise PermissionError
        record = json.loads(raw)
        await self.client.delete(f"refresh:{old}")
        refresh, access = uuid.uuid4().hex, uuid.uuid4().hex
        await self.write(refresh, access, record)
        return refresh, access, record

    async def write(self, refresh: str, access: str, record: dict[str, Any]) -> None:
        raw = json.dumps(record)
        await self.client.set(f"refresh:{refresh}", raw, ex=REFRESH)
        await self.client.set(f"access:{access}", record["sid"], ex=ACCESS)
        await self.client.set(f"session:{record['sid']}", raw, ex=REFRESH)


class NaiveMiddleware:
    def __init__(self, app: Any, naive: Naive) -> None:
        self.app = app
        self.naive = naive

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        cookies = dict(pair.split("=", 1) for name, value in scope["headers"] if name == b"cookie" for pair in [value.decode()])
        claims = jwt.decode(cookies["refresh"], SECRET, algorithms=["HS256"])
        refresh, access, record = await self.naive.rotate(claims["jti"])

        async def send_with_tokens(message: Any) -> None:
            if message["type"] == "http.response.start":
                cookie = f"refresh={sign(record, refresh, REFRESH)}; Max-Age={REFRESH}; Path=/; Secure; HttpOnly; SameSite=Lax"
                more = [(b"x-new-access-token", sign(record, access, ACCESS).encode()), (b"set-cookie", cookie.encode())]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, send_with_tokens)


def sign(record: dict[str, Any], jti: str, lasts: int) -> str:
    now = int(time.time())
    more = record["claims"] if lasts == ACCESS else {}
    own = {"sub": record["sub"], "sid": record["sid"], "jti": jti, "iat": now, "exp": now + lasts}
    return jwt.encode(own | more, SECRET)


async def main() -> None:
    asked = parser(__doc__, rounds=40, requests=100).parse_args()
    rounds, requests = (4, 10) if asked.quick else (asked.rounds, asked.requests)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        guarded = TokenGuardMiddleware(bare_app, secret=SECRET, redis=url, timeout=30, lifetimes=LIFETIMES)
        await stack.enter_async_context(guarded.guard)
        naive = Naive(await stack.enter_async_context(Redis.from_url(url)))
        # One round more for the warm-up, and one for the server's own time.
        number = (rounds + 2) * requests
        contenders = [
            Contender(SIX, six_commands(naive, await naive_tokens(naive, number), requests)),
            Contender(SCRIPT, one_script(guarded.guard, await our_tokens(guarded.guard, number), requests)),
            Contender(f"request, {SIX}", naive_requests(naive, await naive_tokens(naive, number), requests)),
            Contender(f"request, {SCRIPT}", our_requests(guarded, await our_tokens(guarded.guard, number), requests)),
        ]
        await asyncio.sleep(LIFETIMES.access + 0.1)  # all access tokens have expired now
        await run_rounds(contenders, rounds=rounds, requests=requests)
        at_server = {contender.name: await server_time(naive.client, contender) / requests for contender in contenders}
        setting = facts(await server_name(naive.client))
    rows = compared(contenders, at_server)
    print(f"{setting['server']}, Python {setting['python']}, {rounds} rounds of {requests} rotations\n")
    columns = {
        "rotation_us": "µs",
        "middle_half": "middle half",
        "to_naive": "to six commands",
        "server_us": "µs in the server",
    }
    show(rows, {"name": "one rotation"} | columns)
    write({"benchmark": "rotation", **setting, "rounds": rounds, "requests": requests, "rows": rows}, asked.json)


async def naive_tokens(naive: Naive, number: int) -> Iterator[str]:
    return iter([await naive.login(f"user-{n:06}") for n in range(number)])


async def our_tokens(guard: TokenGuard, number: int) -> Iterator[str]:
    kind = uuid.uuid4().hex[:4]  # each session has a user of its own
    logins = [await guard.login(f"user-{kind}-{n:06}", CLAIMS, ip_address="192.0.2.7") for n in range(number)]
    return iter([login.refresh_token for login in logins if login.refresh_token is not None])


def six_commands(naive: Naive, tokens: Iterator[str], requests: int) -> Any:
    async def measure() -> None:
        for _ in range(requests):
            await naive.rotate(next(tokens))

    return measure


def one_script(guard: TokenGuard, tokens: Iterator[str], requests: int) -> Any:
    """From verified claims to the new record: the naive row verifies no signature either."""
    engine = guard.engine
    presented = iter([engine.codec.read_refresh(token) for token in tokens])

    async def measure() -> None:
        for _ in range(requests):
            claims = next(presented)
            shown = Shown(gen=claims.gen, jti=claims.jti, issued=claims.iat)
            new = await engine.new_ids()
            found = await engine.store.present(claims.sub, claims.sid, shown, caller=Caller.SCRIPT, new=new)
            if found.outcome is not Outcome.ROTATE:
                raise RuntimeError(f"{found.outcome}: there is nothing to compare")

    return measure


def naive_requests(naive: Naive, tokens: Iterator[str], requests: int) -> Any:
    app = NaiveMiddleware(bare_app, naive)
    scopes = iter([scope_of([("cookie", f"refresh={sign({'sub': 'u', 'sid': 's'}, jti, REFRESH)}")]) for jti in tokens])
    return requesting(app, scopes, requests)


def our_requests(app: TokenGuardMiddleware, tokens: Iterator[str], requests: int) -> Any:
    return requesting(app, iter([scope_of([("cookie", f"__Host-refresh={token}")]) for token in tokens]), requests)


def requesting(app: Any, scopes: Iterator[dict[str, Any]], requests: int) -> Any:
    async def measure() -> None:
        for _ in range(requests):
            sent = await ask(app, next(scopes))
            header(sent, b"x-new-access-token")
            header(sent, b"set-cookie")

    return measure


async def server_time(client: Any, contender: Contender) -> float:
    """Microseconds that the server worked for one more round; what a script calls is in the script's own figure."""
    await client.config_resetstat()
    await contender.measure()
    statistics = await client.info("commandstats")
    names = {"cmdstat_evalsha"} if "cmdstat_evalsha" in statistics else statistics.keys() - {"cmdstat_config|resetstat"}
    return sum(statistics[name]["usec"] for name in names)


def compared(contenders: list[Contender], at_server: dict[str, float]) -> list[dict[str, Any]]:
    base = {name: median(contender.rounds) for contender in contenders if SIX in (name := contender.name)}
    return [
        {
            "name": contender.name,
            "rotation_us": round(contender.median, 1),
            "middle_half": spread(contender.rounds),
            "to_naive": round(contender.median / base[contender.name.replace(SCRIPT, SIX)], 2),
            "server_us": round(at_server[contender.name], 1),
        }
        for contender in contenders
    ]


if __name__ == "__main__":
    random.seed(20261101)  # the same shuffles each time
    asyncio.run(main())
