"""An app as a server runs it: in one event loop, with its lifespan, asked by any number of clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from asgi_tokenguard.testing.guarding import guards_in

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")
_ASGI: Final = {"version": "3.0", "spec_version": "2.0"}


class RunningApp:
    """
    Runs the lifespan of *app* between `start` and `stop`, and gives each request a copy of its state.

    An app that raises before it has read a message knows no lifespan (ASGI specification, lifespan) and runs without.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.guards = guards_in(app)
        self.portal: BlockingPortal | None = None  # where it runs in a thread
        self._state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "state": self._state.copy()}, receive, send)

    async def start(self) -> None:
        """Return once the app has started; raises what it raises, and RuntimeError where it says that it cannot."""
        self._task = asyncio.create_task(self._live())
        await self._say("lifespan.startup", self._task)

    async def stop(self) -> None:
        try:
            if self._task is not None and not self._task.done():
                await self._say("lifespan.shutdown", self._task)
                await self._task
        finally:
            # One that no lifespan reaches (in a mounted app) would leave its connections to an event loop that is gone.
            for guard in self.guards:
                await guard.aclose()

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": _ASGI, "state": self._state}
        try:
            await self.app(scope, self._inbox.get, self._answers.put)
        except Exception:
            if self._inbox.empty():  # else it knows no lifespan, and raises before it reads (ASGI specification)
                raise
        finally:
            self._answers.put_nowait(None)

    async def _say(self, kind: str, task: asyncio.Task[None]) -> None:
        self._inbox.put_nowait({"type": kind})
        answer = await self._answers.get()
        if answer is None:
            await task
        elif answer["type"] == f"{kind}.failed":
            await asyncio.wait([task])  # it may raise what its message tells
            raise RuntimeError(f"{kind}: {answer.get('message', '')}") from task.exception()


class AsyncWire(httpx.AsyncBaseTransport):
    """One browser's way to *running*, from *address*; the first one starts it and stops it."""

    def __init__(self, running: RunningApp, address: str, *, is_first: bool) -> None:
        self.running = running
        self.address = address
        self._is_first = is_first

    async def __aenter__(self) -> Self:
        if self._is_first:
            await self.running.start()
        return self

    async def aclose(self) -> None:
        if self._is_first:
            await self.running.stop()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # A new port for each would say no more: nothing here looks at it.
        return await httpx.ASGITransport(self.running, client=(self.address, 50000)).handle_async_request(request)


class Wire(httpx.BaseTransport):
    """The same for tests that are no coroutines: the app runs in an event loop of its own, in a thread."""

    def __init__(self, running: RunningApp, address: str, *, is_first: bool) -> None:
        self.running = running
        self.address = address
        self._is_first = is_first
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._is_first:
            with ExitStack() as opening:
                portal = opening.enter_context(start_blocking_portal("asyncio"))
                portal.call(self.running.start)
                opening.callback(self._leave, portal)
                self.running.portal, self._open = portal, opening.pop_all()
        return self

    def close(self) -> None:
        self._open.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.call(self._ask, request.method, request.url, request.headers, request.read())

    def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The result of `await function(*args)` in the app's event loop."""
        if self.running.portal is None:
            raise RuntimeError("the app does not run: write `with AuthClient(app) as client:`")
        return self.running.portal.call(function, *args)

    def _leave(self, portal: BlockingPortal) -> None:
        self.running.portal = None
        portal.call(self.running.stop)

    async def _ask(self, method: str, url: httpx.URL, headers: httpx.Headers, content: bytes) -> httpx.Response:
        # Both are made anew: a request and a response of httpx can be read either in coroutines or outside of them.
        request = httpx.Request(method, url, headers=headers, content=content)
        answer = await httpx.ASGITransport(self.running, client=(self.address, 50000)).handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())
