"""A guarded app behind a proxy, over real HTTP, and visitors of it who have addresses and machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware
from asgi_tokenguard.core.records import decode
from asgi_tokenguard.store.keyspace import session_key
from support.actors import COOKIE, FRESH, METADATA, OWN
from support.clock import TravelClock
from support.desk import Desk
from support.forge import claims_of
from support.http import send, serving
from support.stage import Handlers, travelling
from support.wire import Answer

PROXY = "127.0.0.1"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Town:
    """The app, where it is served, and its clock."""

    def __init__(self, options: dict[str, Any], clock: TravelClock) -> None:
        self.options = {
            "public": ["/login", "/logout"],
            "optional": ["/open/*"],
            "reauthentication": ["/desk/confirm", "/desk/state"],
            "trusted_proxies": [PROXY],
            "timeout": 10,
        } | options
        self.clock = clock
        self.url = ""
        self.handlers = Handlers()
        self.desk = Desk(self.handlers)
        self.guard = travelling(TokenGuard(**self.options), clock)

    def head(self, sid: str, user: str = "user-1") -> Any:
        """The head of a session as it lies in Redis, or None where it is over."""
        with redis.Redis.from_url(self.options["redis"]) as client:
            raw = client.hget(session_key(self.options["namespace"], user), sid)
        record = None if raw is None else decode(raw)
        return None if record is None else record.head

    def visitor(self, address: str, **machine: Any) -> Visitor:
        return Visitor(self, address, **machine)

    def resident(self, address: str, *, user: str = "user-1", **machine: Any) -> Visitor:
        """A visitor who has just logged in."""
        visitor = self.visitor(address, **machine)
        message = visitor.post(f"/login?user={user}")
        if message.status != 200:
            raise RuntimeError(f"the login was answered {message.status}")
        self.quiet()
        return visitor

    def quiet(self) -> None:
        """Return once nothing is left to be done off the request path: a clock that leaps meanwhile would be misread."""
        deadline = time.monotonic() + 10
        while self.guard.engine.background.outbox.pending:
            if time.monotonic() > deadline:
                raise RuntimeError("the work in the background is not done after 10 s")
            time.sleep(0.002)

    def advance(self, seconds: float) -> None:
        self.quiet()
        self.clock.advance(seconds)

    def let_access_expire(self) -> None:
        self.advance(self.guard.engine.settings.lifetimes.access + 1)


@contextmanager
def town(options: dict[str, Any], clock: TravelClock, **more: Any) -> Iterator[Town]:
    found = Town(options | more, clock)
    # uvicorn believes forwarded headers from 127.0.0.1 itself unless it is told not to.
    app = TokenGuardMiddleware(found.handlers, guard=found.guard)
    with serving(app, lifespan="on", proxy_headers=False) as found.url:
        yield found


class Visitor:
    """
    One browser, or a program that looks like one, at *address*.

    Behind the proxy, which writes that address into `X-Forwarded-For`; or connected directly from the loopback address *peer*.
    """

    def __init__(self, town: Town, address: str, *, agent: str = FIREFOX, peer: str | None = None) -> None:
        self.town = town
        self.address = address
        self.agent = agent
        self.peer = peer
        self.jar: str | None = None
        self.fresh: str | None = None
        self.token: str | None = None

    def copy(self, address: str, **machine: Any) -> Visitor:
        """A thief at *address* with a copy of the refresh cookie."""
        thief = Visitor(self.town, address, **{"agent": self.agent, "peer": self.peer} | machine)
        thief.jar = self.jar
        return thief

    @property
    def sid(self) -> str:
        return claims_of(self.jar)["sid"]

    @property
    def head(self) -> Any:
        return self.town.head(self.sid)

    def reload(self) -> None:
        self.token = None

    def ask(
        self, path: str = "/me", *, method: str = "GET", kind: str = "fetch", headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request; the answer is still on the wire."""
        sent = {"user-agent": self.agent, **METADATA[kind], **(headers or {})}
        if kind == "fetch" and method not in {"GET", "HEAD"}:
            sent.setdefault("origin", OWN)
        jar = {COOKIE: self.jar, FRESH: self.fresh}
        if cookies := "; ".join(f"{name}={value}" for name, value in jar.items() if value is not None):
            sent["cookie"] = cookies
        if self.token is not None and kind in {"fetch", "bare", "cross-fetch"}:
            sent["authorization"] = f"Bearer {self.token}"
        if self.peer is None:
            # As proxies do: what the client says of itself stays on the left.
            told = sent.pop("x-forwarded-for", "")
            sent["x-forwarded-for"] = f"{told}, {self.address}" if told else self.address
        return send(self.town.url, method, path, sent.items(), peer=self.peer or PROXY)

    def take(self, answer: Answer) -> Answer:
        """The answer arrives."""
        for name in (COOKIE, FRESH):
            if (value := answer.cookie(name)) is not None:
                setattr(self, "jar" if name == COOKIE else "fresh", value or None)
        self.token = answer.new_token or self.token
        return answer

    def get(self, path: str = "/me", **options: Any) -> Answer:
        return self.take(self.ask(path, **options))

    def post(self, path: str, **options: Any) -> Answer:
        return self.take(self.ask(path, method="POST", **options))
