"""A stage for stories: the plain app with handlers of the test's own, under a guard whose clock travels."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware, get_auth
from support.actors import Browser, Tab
from support.apps import plain_app
from support.clock import TravelClock
from support.wire import Answer

Handler = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
# What opening a connection, the channel of changes, looking at the counters and moving the clock cost.
_UPKEEP = {"hello", "client|setinfo", "client|tracking", "info", "ping", "select"}


async def answer(
    send: Any, status: int = 200, body: bytes | object = b"", headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Send a whole response; a *body* that is no bytes goes as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": headers or []})
    await send({"type": "http.response.body", "body": raw})


async def alive(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A lifespan in which nothing happens."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class Handlers:
    """`plain_app`, but for the paths that a test gives handlers to; counts its calls."""

    def __init__(self) -> None:
        self.by_path: dict[str, Handler] = {}
        self.calls: Counter[str] = Counter()

    def on(self, path: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.by_path[path] = handler
            return handler

        return register

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await alive(scope, receive, send)
            return
        self.calls[scope["path"]] += 1
        await self.by_path.get(scope["path"], plain_app)(scope, receive, send)


class Stage:
    """One guarded app, and all that a story needs around it."""

    def __init__(self, options: dict[str, Any], clock: TravelClock) -> None:
        self.options = {"public": ["/login", "/logout"], "optional": ["/open/*"]} | options
        self.clock = clock
        self.handlers = Handlers()
        self.on = self.handlers.on
        self.guard = travelling(TokenGuard(**self.options), clock)
        self.app = TokenGuardMiddleware(self.handlers, guard=self.guard)

    def another_process(self) -> TokenGuard:
        """A guard with the same options, as in another worker; close it."""
        return travelling(TokenGuard(**self.options), self.clock)

    async def logged_in(self, user: str = "user-1", kind: str = "fetch") -> Tab:
        """A tab of a new browser whose user has just logged in."""
        tab = Browser(self.app).tab()
        message = await tab.post(f"/login?user={user}", kind=kind)
        if message.status != 200:  # no assert: the suite also runs under `python -O`
            raise RuntimeError(f"the login was answered {message.status}")
        await self.quiet()
        return tab

    async def quiet(self) -> None:
        """Return once nothing is left to be done off the request path."""
        await self.guard.engine.background.outbox.flush(10)

    async def knows_its_server(self) -> None:
        """Rotate once, for somebody else: a process asks at its first rotation since when the server is what it is."""
        await (await self.expired("somebody-else")).get()

    async def expired(self, user: str = "user-1") -> Tab:
        """A tab that was logged in so long ago that its next request rotates."""
        tab = await self.logged_in(user)
        self.clock.advance(self.guard.engine.settings.lifetimes.access + 1)
        return tab

    async def head(self, tab: Tab, user: str = "user-1") -> Any:
        """The head of the session whose cookie *tab*'s browser holds, or None where it is over."""
        claims = self.guard.engine.codec.read_refresh(tab.browser.jar)
        record = await self.guard.engine.store.check(user, claims.sid)
        return None if record is None else record.head

    def commands(self) -> Counter[str]:
        """How often the server has run each command so far, without upkeep; subtract two of these."""
        return commands(self.options["redis"])


@asynccontextmanager
async def staged(options: dict[str, Any], clock: TravelClock, **more: Any) -> AsyncIterator[Stage]:
    stage = Stage(options | more, clock)
    async with stage.guard:
        yield stage


def travelling(guard: TokenGuard, clock: TravelClock) -> TokenGuard:
    """Let *guard* read its time from *clock*, as the server does."""
    guard.engine.monotonic = guard.engine.store.clock.monotonic = clock.monotonic
    return guard


def commands(url: str) -> Counter[str]:
    with redis.Redis.from_url(url) as client:
        stats = client.info("commandstats")
    counted = {name.removeprefix("cmdstat_"): line["calls"] for name, line in stats.items()}
    return Counter({name: calls for name, calls in counted.items() if name not in _UPKEEP})


def connections(url: str, expected: int | None = None) -> int:
    """How many clients the server has; one that has just gone may still be counted for a moment."""
    with redis.Redis.from_url(url) as client:
        for _ in range(100):
            found = len(client.client_list()) - 1
            if expected in {None, found}:
                break
            time.sleep(0.01)
        return found


def carried(message: Answer) -> str:
    """What an answer hands out, in a word: `both`, `cookie`, `token` or `nothing`."""
    has = (message.cookie() not in {None, ""}, message.new_token is not None)
    return {(True, True): "both", (True, False): "cookie", (False, True): "token", (False, False): "nothing"}[has]


async def who(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A handler that says who asks and does nothing else."""
    await answer(send, 200, {"subject": get_auth(scope).subject})
