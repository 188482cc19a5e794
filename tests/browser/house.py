"""
A guarded app for real browsers, served twice on one port as by two workers, and what went over the wire to each.

It is reached as http://localhost: browsers keep `Secure` cookies of that host without TLS.  For them 127.0.0.1 is another site,
and another port of localhost another origin of the same site: two attackers (`Neighbour`) for nothing.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import redis
from starlette.websockets import WebSocket, WebSocketDisconnect
from support.actors import COOKIE
from support.apps import plain_app
from support.clock import TravelClock
from support.http import serving
from support.stage import Handler, Handlers, answer, travelling

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.core.records import Head, decode
from asgi_tokenguard.store.keyspace import session_key

T = TypeVar("T")

# A busy machine is no reason to fail; what is to come does come.
PATIENCE = 30
WORKERS = 2
HTML = [(b"content-type", b"text/html; charset=utf-8")]
SERVED = Path(__file__).parent / "served"
JAVASCRIPT = [(b"content-type", b"text/javascript; charset=utf-8")]
# What docs/browser.md asks for: nothing of the client needs more.
POLICY = (b"content-security-policy", b"default-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'")
BLANK = b"<!doctype html><meta charset=utf-8><title>a page</title><link rel=icon href=data:,>"


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request as it came in, and the head of its answer (status 0: there was none)."""

    kind: str  # "http" or "websocket"
    method: str
    path: str
    sent: dict[str, str]
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def had_cookie(self) -> bool:
        return f"{COOKIE}=" in self.sent.get("cookie", "")

    @property
    def token(self) -> str | None:
        return next((value for name, value in self.headers if name == "x-new-access-token"), None)

    @property
    def carried(self) -> str:
        """What the answer handed out, in a word."""
        cookie = any(name == "set-cookie" and value.startswith(f"{COOKIE}=") for name, value in self.headers)
        token = self.token is not None
        return {(True, True): "both", (True, False): "cookie", (False, True): "token", (False, False): "nothing"}[cookie, token]


def noted(scope: dict[str, Any]) -> Exchange:
    sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Exchange(kind=scope["type"], method=scope.get("method", "GET"), path=scope["path"], sent=sent)


class Gate:
    """Where something waits until a story lets it go on; for loops of several threads, so that it asks rather than waits."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.waiting = 0

    def open(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        self.waiting += 1
        async with asyncio.timeout(2 * PATIENCE):
            while not self._open.is_set():
                await asyncio.sleep(0.005)


class Wiretap:
    """Stands before the guard: notes what comes and goes, holds the answers in *gates* back, and loses those in *lost*."""

    def __init__(self, app: Any, log: list[Exchange], gates: dict[str, Gate], lost: set[str]) -> None:
        self.app, self.log, self.gates, self.lost = app, log, gates, lost

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        exchange = noted(scope)
        self.log.append(exchange)

        async def noting(message: dict[str, Any]) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                exchange.headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in message["headers"]]
                exchange.status = message["status"]
                await self._travel(exchange.path, receive)
            elif message["type"] == "websocket.accept":
                exchange.status = 101
            await send(message)

        await self.app(scope, receive, noting)

    async def _travel(self, path: str, receive: Any) -> None:
        """What happens to a head on its way: the guard has done with it."""
        if (gate := self.gates.get(path)) is not None:
            await gate.passed()
        if path in self.lost:
            while (await receive())["type"] != "http.disconnect":
                pass
            raise ConnectionError("the answer was lost on the way")


async def blank(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await answer(send, 200, BLANK, HTML)


async def app_page(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await answer(send, 200, (SERVED / "app.html").read_bytes(), [*HTML, POLICY])


async def free_page(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same without a policy: an app that calls others cannot have one as strict."""
    await answer(send, 200, (SERVED / "app.html").read_bytes(), HTML)


def script(name: str, *headers: tuple[bytes, bytes]) -> Handler:
    async def send_script(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await answer(send, 200, (SERVED / name).read_bytes(), [*JAVASCRIPT, *headers])

    return send_script


async def confirm(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The password is right."""
    auth = get_auth(scope)
    await auth.reauthenticated(str(auth.subject))
    await answer(send, 200, {"ok": True})


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A WebSocket that says who is there, and then whatever it hears."""
    websocket = WebSocket(scope, receive, send)
    await websocket.accept()
    await websocket.send_text(str(get_auth(scope).subject))
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


class House:
    """
    The app, its two guards, their Redis and their clock.

    `/` is a public page, `/page/...` are guarded ones.  `/open/app/...` are public pages that use the client, and `/app/...`
    guarded ones; `/open/free/...` have no policy.  `/ws` is a WebSocket, `/confirm` takes every password, and all else is the
    plain app.
    """

    def __init__(self, options: dict[str, Any], clock: TravelClock) -> None:
        # In the order of the options' precedence: a story's own come last.
        self.options = {"public": ["/", "/login", "/logout", "/open/*"], "endpoints": "/auth"} | options
        self.clock = clock
        self.url = ""
        self.log: list[Exchange] = []
        self.handlers = Handlers()
        self.on = self.handlers.on
        self.handlers.by_path |= {"/": blank, "/ws": echo, "/confirm": confirm}
        self.handlers.by_path["/open/app.js"] = script("app.js")
        for worker in ("worker.js", "modest-worker.js"):  # below /open, and yet for the whole house
            self.handlers.by_path[f"/open/{worker}"] = script(worker, (b"service-worker-allowed", b"/"))
        self.wire_gates: dict[str, Gate] = {}
        self.lost: set[str] = set()
        self.guards = [travelling(TokenGuard(**self.options), clock) for _ in range(WORKERS)]

    def worker(self, guard: TokenGuard, around: Callable[[Any], Any]) -> Wiretap:
        return Wiretap(around(TokenGuardMiddleware(self._app, guard=guard)), self.log, self.wire_gates, self.lost)

    async def _app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        pages = {"/page/": blank, "/app/": app_page, "/open/app/": app_page, "/open/free/": free_page}
        shown = [page for start, page in pages.items() if scope.get("path", "").startswith(start)]
        await (shown[0] if shown else self.handlers)(scope, receive, send)

    def slow_handler(self, path: str) -> Gate:
        """From now on the handler of *path* waits until the gate is opened: the guard has decided, the head has not left."""
        gate, handler = Gate(), self.handlers.by_path.get(path, plain_app)

        async def wait(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await gate.passed()
            await handler(scope, receive, send)

        self.handlers.by_path[path] = wait
        return gate

    def slow_wire(self, path: str) -> Gate:
        """From now on answers of *path* are on the wire until the gate is opened."""
        return self.wire_gates.setdefault(path, Gate())

    def advance(self, seconds: float) -> None:
        """Let time pass, once nothing is left to be done off the request path."""
        until(lambda: not any(guard.engine.background.outbox.pending for guard in self.guards))
        self.clock.advance(seconds)

    def let_access_expire(self) -> None:
        self.advance(self.lifetimes.access + 1)

    def in_a_job(self, work: Callable[[TokenGuard], Awaitable[T]]) -> T:
        """Let another process do *work*, as a job of the app's would: nothing of the workers is used."""

        async def run() -> T:
            async with travelling(TokenGuard(**self.options), self.clock) as guard:
                return await work(guard)

        return asyncio.run(run())

    @property
    def lifetimes(self) -> Any:
        return self.guards[0].engine.settings.lifetimes

    def heads(self, user: str = "user-1") -> list[Head]:
        """The sessions of *user* as they lie in Redis."""
        with redis.Redis.from_url(self.options["redis"]) as client:
            found = client.hvals(session_key(self.options["namespace"], user))
        return [record.head for raw in found if (record := decode(raw)) is not None]

    def rotations(self, user: str = "user-1") -> int:
        """How often the only session of *user* has rotated: generations are counted from 0."""
        (head,) = self.heads(user)
        return head.gen

    def exchanges(self, path: str) -> list[Exchange]:
        return [exchange for exchange in list(self.log) if exchange.path == path]


class Neighbour:
    """
    A server of somebody else, whom every page may ask for everything.

    *far* is its URL on another site than the house's, *near* the one on another origin of the same site.
    """

    def __init__(self) -> None:
        self.far = self.near = ""
        self.caught: list[Exchange] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.caught.append(noted(scope))
        allowed = [(b"access-control-allow-origin", b"*"), (b"access-control-allow-headers", b"authorization")]
        await answer(send, 200, BLANK, [*HTML, *allowed])


def until(met: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What *met* finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := met()):
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.005)
    return found


@contextmanager
def opened(options: dict[str, Any], clock: TravelClock, *, around: Callable[[Any], Any] = lambda app: app) -> Iterator[House]:
    """
    Serve a house, with a middleware *around* its guards.

    Both workers take from one port, as the kernel deals connections out.
    """
    house = House(options, clock)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for guard in house.guards:
            worker = house.worker(guard, around)
            base = stack.enter_context(serving(worker, lifespan="on", ws="websockets-sansio", listener=listener.dup()))
        house.url = base.replace("127.0.0.1", "localhost")
        yield house


@contextmanager
def neighbour() -> Iterator[Neighbour]:
    found = Neighbour()
    with serving(found, lifespan="off") as found.far:
        found.near = found.far.replace("127.0.0.1", "localhost")
        yield found
