"""The demo's app under uvicorn, in this process."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.demo import app, hints
from asgi_tokenguard.errors import StoreUnavailable, TokenGuardError

if TYPE_CHECKING:
    from asgi_tokenguard.demo.bystander import Bystander
    from asgi_tokenguard.guard import TokenGuard

# Lets a reader replay a superseded cookie after seconds, not after half a minute.
GRACE: Final = 5.0
# How often a start is looked at; it takes 20 ms.
LOOK_SECONDS: Final = 0.005


class DemoError(TokenGuardError, RuntimeError):
    """The demo cannot be served here; the message says why and what to do."""


def check_installed() -> None:
    """Raise `DemoError` where what the demo needs beyond the package is missing, before anything else is complained about."""
    if any(importlib.util.find_spec(name) is None for name in ("uvicorn", "websockets")):
        raise DemoError('the demo needs uvicorn and websockets: pip install "asgi-tokenguard[demo]"')


def main(*, host: str, port: int, redis: str, access: int) -> int:
    """Serve until Ctrl-C; the exit code."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(host, port, redis, Lifetimes(access=access, grace=min(GRACE, access / 2))))
    return 0


async def _serve(host: str, port: int, redis: str, lifetimes: Lifetimes) -> None:
    guarded = app.build(redis=redis, lifetimes=lifetimes, loopback=host in hints.LOCAL)
    async with serving(guarded, host, port) as (server, listening):
        print(hints.text(host, listening, lifetimes), flush=True)
        await server


@asynccontextmanager
async def serving(guarded: Bystander, host: str, port: int) -> AsyncIterator[tuple[asyncio.Task[None], int]]:
    """
    Serve *guarded*, in this event loop, until the block ends: the server's task, and the port that it listens on.

    Raises `DemoError` where the address cannot be had or Redis does not answer.
    """
    import uvicorn

    # A guard opens with its app; this one opens before, since a server that does not answer is an error here, not an outage.
    with _listener(host, port) as listener:
        async with _opened(guarded.guard):
            server = uvicorn.Server(
                uvicorn.Config(
                    guarded,
                    log_level="warning",
                    lifespan="on",
                    ws="websockets-sansio",  # the page's socket; what "auto" chooses is deprecated by websockets itself
                    timeout_graceful_shutdown=1,
                    # Longer than any pause of the self-test: a connection that is closed just as it is used again is a lost
                    # answer, which is not what is shown.
                    timeout_keep_alive=75,
                    # Uvicorn would believe forwarded headers from this machine and hide the proxy from the guard.
                    proxy_headers=False,
                )
            )
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                while not (server.started or task.done()):  # noqa: ASYNC110 (uvicorn has no event for it)
                    await asyncio.sleep(LOOK_SECONDS)
                if not server.started:
                    raise DemoError("the server did not start; the lines above say why")
                yield task, listener.getsockname()[1]
            finally:
                server.should_exit = True
                await task


@asynccontextmanager
async def _opened(guard: TokenGuard) -> AsyncIterator[None]:
    try:
        await guard.open()
    except StoreUnavailable as error:
        raise DemoError("the Redis of --redis does not answer; start it, or leave --redis out") from error
    try:
        yield
    finally:
        await guard.aclose()


def _listener(host: str, port: int) -> socket.socket:
    """The socket, bound before anything is started, so that a busy port is one line and not a server's log."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # The protocol must be named, or asyncio leaves TCP_NODELAY out and each answer waits 40 ms for an acknowledgement.
        with ExitStack() as on_failure:
            listener = on_failure.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            on_failure.pop_all()
    except OSError as error:
        remedy = "choose another --host" if isinstance(error, socket.gaierror) else "choose another --port"
        raise DemoError(f"cannot listen on {host} port {port} ({error.strerror}); {remedy}") from error
    return listener
