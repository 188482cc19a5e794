"""
What a slow sink adds to a login: nothing.

    python benchmarks/outbox.py

Each contender is a guard with another mirror of its sessions table: none, one that answers at once, one that takes five
seconds for every user, one that fails at once.  Logins, since each puts jobs into the outbox (device, place, mirror).  The
answer's time is what is measured, so the jobs run between the logins, or after them; "left" is how many users the mirror has
not been told of when the last answer was there.

A mirror that answers at once costs what any work on the same event loop costs: it reads the sessions from Redis once more.
One that is slow costs less, since its jobs wait: at most four run at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from _common import (
    CLAIMS,
    SECRET,
    Contender,
    ask,
    facts,
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

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware, get_auth

SLOW_SECONDS = 5.0
NAMES = ("no mirror", "mirror at once", "mirror of 5 s", "mirror that fails")


class Mirror:
    """A sink that takes *seconds* for each user, or fails."""

    def __init__(self, seconds: float = 0.0, *, fails: bool = False) -> None:
        self.seconds, self.fails = seconds, fails

    async def sync(self, subject: str, read: Any) -> None:
        if self.fails:
            raise ConnectionRefusedError
        await read(subject)
        if self.seconds:
            await asyncio.sleep(self.seconds)

    async def subjects(self) -> Any:
        return
        yield

    async def aclose(self) -> None:
        pass


async def app(scope: Any, _receive: Any, send: Any) -> None:
    await get_auth(scope).login(scope["path"][1:], CLAIMS)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def contender(name: str, guard: TokenGuard, requests: int) -> Contender:
    guarded = TokenGuardMiddleware(app, guard=guard)

    async def measure() -> None:
        for number in range(requests):
            sent = await ask(guarded, scope_of([], path=f"/user-{number}", method="POST"))
            if sent[0]["status"] != 200:
                raise RuntimeError(f"a login was answered {sent[0]['status']}")

    async def prepare() -> None:
        await guard.engine.background.outbox.flush(0.2)  # what a round left is not the next one's

    return Contender(name, measure, prepare)


async def main() -> None:
    asked = parser(__doc__, rounds=30, requests=200).parse_args()
    rounds, requests = (3, 20) if asked.quick else (asked.rounds, asked.requests)
    mirrors = dict(zip(NAMES, (None, Mirror(), Mirror(SLOW_SECONDS), Mirror(fails=True)), strict=True))
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(real_server(asked.server))
        client = await stack.enter_async_context(Redis.from_url(url))
        contenders, guards = [], {}
        for name, mirror in mirrors.items():
            options: dict[str, Any] = {} if mirror is None else {"mirror": mirror}
            # All paths are public: nothing but the login is measured.
            guard = TokenGuard(secret=SECRET, redis=url, namespace=name.replace(" ", "-"), timeout=10, public=["/*"], **options)
            stack.push_async_callback(guard.engine.store.aclose)
            guards[name] = guard
            contenders.append(contender(name, guard, requests))
        await run_rounds(contenders, rounds=rounds, requests=requests)
        base = contenders[0].median
        rows = [
            {
                "name": each.name,
                "login_us": round(each.median, 1),
                "middle_half": spread(each.rounds),
                "ratio": round(each.median / base, 2),
                "left": guards[each.name].engine.background.outbox.pending,
            }
            for each in contenders
        ]
        report = {"benchmark": "outbox", **facts(await server_name(client)), "rounds": rounds, "requests": requests}
    columns = {"name": "sink", "login_us": "login us", "middle_half": "middle half", "ratio": "ratio", "left": "left"}
    show(rows, columns)
    write({**report, "rows": rows}, asked.json)


if __name__ == "__main__":
    asyncio.run(main())
