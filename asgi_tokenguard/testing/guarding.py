"""An app, as it is, on the Redis of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette

from asgi_tokenguard.engine import Engine
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.guard import TokenGuard
from asgi_tokenguard.middleware import TokenGuardMiddleware
from asgi_tokenguard.store.embedded import SCHEME
from asgi_tokenguard.testing.clock import Clock
from asgi_tokenguard.testing.server import Keyspace, redis_for_tests

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Known to all who read this: good for nothing but tests.
SECRET: Final = "known to everybody who reads the code, so for tests only"  # noqa: S105
# A busy machine is no outage.
TIMEOUT: Final = 10.0
# Where frameworks keep what they wrap: middleware and mounts, Quart, Litestar.
_INSIDE: Final = ("app", "middleware_stack", "asgi_app", "asgi_handler")


@contextmanager
def guarded(app: ASGIApp, *, redis: str | None = None, clock: Clock | None = None, **options: Any) -> Iterator[ASGIApp]:
    """
    Give *app* under guard, on the Redis of the URL *redis* and at the time of *clock*, until the block ends.

    An app that has a guard already, outside or inside, keeps it with all its options: for as long as the block lasts its
    sessions are in a namespace of the test's own on that Redis, which is deleted at the end, and it waits for Redis for 10 s.
    So an app that was configured when it was imported can be tested as it is.  The guards of one app share the namespace.

    An app without one is wrapped, by default with a secret of no worth; *options* are those of `TokenGuardMiddleware`.

    Without *redis*: see `redis_for_tests`.  Raises `ConfigurationError` for *options* beside a guard that is there.
    """
    if redis is not None and redis.startswith(SCHEME):
        raise ConfigurationError("redis", f"{SCHEME} has no address until it is started", "leave it out: one is started")
    guards = guards_in(app)
    if guards and options:
        raise ConfigurationError(next(iter(options)), "the app's own guard has its options", "leave it out, or the guard")
    with ExitStack() as block:
        keyspace = Keyspace(redis or block.enter_context(redis_for_tests()))
        if not guards:
            secret = {} if "keys" in options else {"secret": SECRET}
            wrapped = TokenGuardMiddleware(app, **{**secret, **options, "redis": keyspace.url})
            app, guards = wrapped, [wrapped.guard]
        block.callback(keyspace.wipe)
        if clock is not None:
            clock.take(keyspace)
            block.callback(clock.drop, keyspace)
        for guard in guards:
            block.enter_context(_moved(guard, keyspace, clock))
        yield app


def guards_in(app: object) -> list[TokenGuard]:
    """Every guard in *app*, from the outermost, as far as frameworks show what they wrap."""
    found: dict[int, TokenGuard] = {}
    seen: dict[int, object] = {}

    def walk(inner: object) -> None:
        if inner is None or id(inner) in seen:
            return
        seen[id(inner)] = inner
        if isinstance(inner, TokenGuardMiddleware):
            found.setdefault(id(inner.guard), inner.guard)
        if isinstance(inner, Starlette) and inner.middleware_stack is None:
            inner.middleware_stack = inner.build_middleware_stack()  # as its first request does
        for name in _INSIDE:
            walk(getattr(inner, name, None))
        for route in _routes(inner):
            walk(getattr(route, "app", None))

    walk(app)
    return list(found.values())


def clock_of(guards: list[TokenGuard]) -> Clock | None:
    """The clock of *guards*; None for guards that live in the present."""
    clocks = (getattr(guard.engine, "clock", None) for guard in guards)
    return next((clock for clock in clocks if isinstance(clock, Clock)), None)


def _routes(inner: object) -> list[Any]:
    routes = getattr(inner, "routes", None)
    return routes if isinstance(routes, list) else []


@contextmanager
def _moved(guard: TokenGuard, keyspace: Keyspace, clock: Clock | None) -> Iterator[None]:
    from asgi_tokenguard.store.place_cache import RedisPlaceCache  # noqa: PLC0415 (redis costs 300 ms to import)
    from asgi_tokenguard.testing.travel import TravellingEngine  # noqa: PLC0415 (as above)

    own = guard.engine
    settings = replace(
        own.settings,
        redis=keyspace.url,
        namespace=keyspace.namespace,
        timeout=max(TIMEOUT, own.settings.timeout),
    )
    guard.engine = Engine(settings) if clock is None else TravellingEngine(settings, keyspace, clock)
    try:
        yield
    finally:
        guard.engine = own
        # An engine lends its Redis to the locator, which would keep the test's.
        share = getattr(settings.locator, "share", None)
        if share is not None:
            share(RedisPlaceCache(own.store))
