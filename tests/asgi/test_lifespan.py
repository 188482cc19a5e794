"""The engine opens and closes with the app, and by itself where there is no lifespan."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.actors import Browser
from support.http import send, serving
from support.server import RedisServer
from support.stage import Handlers, alive, connections, travelling
from support.wire import call

from asgi_tokenguard import TokenGuardMiddleware
from asgi_tokenguard.store.embedded import EmbeddedServerError


class Lifespan:
    """A server's side of the lifespan protocol."""

    def __init__(self, app):
        self._inbox, self._outbox = asyncio.Queue(), asyncio.Queue()
        self.task = asyncio.create_task(app({"type": "lifespan", "state": {}}, self._inbox.get, self._outbox.put))

    async def tell(self, event):
        await self._inbox.put({"type": f"lifespan.{event}"})
        return (await asyncio.wait_for(self._outbox.get(), 5))["type"]


@pytest.fixture
async def app(options, clock):
    app = TokenGuardMiddleware(Handlers(), **options, public=["/login"])
    travelling(app.guard, clock)
    yield app
    await app.guard.aclose()


async def test_it_opens_before_the_app_starts_and_closes_after_it_has_ended(app, options):
    before = connections(options["redis"])
    lifespan = Lifespan(app)
    assert "lifespan.startup.complete" == await lifespan.tell("startup")
    assert before + 1 == connections(options["redis"])
    assert 200 == (await Browser(app).tab().post("/login")).status
    assert "lifespan.shutdown.complete" == await lifespan.tell("shutdown")
    await lifespan.task
    assert before == connections(options["redis"], before)


async def test_the_state_and_the_messages_of_the_app_pass(options):
    seen, sent = [], []

    async def app(scope, receive, send):
        seen.append((scope, receive))
        await send({"type": "lifespan.startup.complete"})

    async def send(message):
        sent.append(message)

    scope = {"type": "lifespan", "state": {}}

    async def receive():
        return {"type": "lifespan.shutdown"}

    await TokenGuardMiddleware(app, **options)(scope, receive, send)
    ((seen_scope, seen_receive),) = seen
    assert scope is seen_scope
    assert {"type": "lifespan.shutdown"} == await seen_receive()
    assert [{"type": "lifespan.startup.complete"}] == sent
    assert scope == {"type": "lifespan", "state": {}}


@pytest.mark.parametrize("end", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
async def test_it_is_closed_before_the_server_hears_of_the_end(options, end):
    """A server may end the loop as soon as the shutdown is complete."""
    before = connections(options["redis"])
    at_the_end = []

    async def app(scope, receive, send):
        await send({"type": end})

    async def send(message):
        at_the_end.append((message["type"], connections(options["redis"], before)))

    await TokenGuardMiddleware(app, **options)({"type": "lifespan"}, object(), send)
    assert [(end, before)] == at_the_end


async def test_without_a_lifespan_it_opens_at_the_first_request(app, options):
    before = connections(options["redis"])
    assert 401 == (await call(app, "GET", "/me")).status
    assert before == connections(options["redis"], before)
    assert 200 == (await Browser(app).tab().post("/login")).status
    assert before < connections(options["redis"])


async def test_it_opens_again_after_it_was_closed(app):
    tab = Browser(app).tab()
    await tab.post("/login")
    await app.guard.aclose()
    assert 200 == (await tab.get()).status


async def test_the_guard_answers_for_an_app_that_knows_no_lifespan(options, clock):
    """Servers take an error as an answer, and would then never tell us of the end."""

    async def http_only(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await Handlers()(scope, receive, send)

    app = TokenGuardMiddleware(http_only, **options, public=["/login"])
    travelling(app.guard, clock)
    before = connections(options["redis"])
    lifespan = Lifespan(app)
    assert "lifespan.startup.complete" == await lifespan.tell("startup")
    tab = Browser(app).tab()
    assert 200 == (await tab.post("/login")).status
    assert 200 == (await tab.get()).status
    assert "lifespan.shutdown.complete" == await lifespan.tell("shutdown")
    await lifespan.task
    assert before == connections(options["redis"], before)


@pytest.mark.parametrize("when", ["startup", "shutdown"])
async def test_an_app_that_fails_leaves_nothing_open(options, when):
    async def failing(scope, receive, send):
        while (message := await receive())["type"] != f"lifespan.{when}":
            await send({"type": f"{message['type']}.complete"})
        raise OSError(when)

    before = connections(options["redis"])
    lifespan = Lifespan(TokenGuardMiddleware(failing, **options))
    if when == "shutdown":
        await lifespan.tell("startup")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(lifespan.tell(when), 0.05)
    with pytest.raises(OSError, match=when):
        await lifespan.task
    assert before == connections(options["redis"], before)


async def test_an_app_starts_while_redis_is_away(options, caplog):
    """Redis may come later than the app; until then requests with credentials get 503."""
    server = RedisServer()
    with contextlib.closing(server):
        app = TokenGuardMiddleware(Handlers(), **options | {"redis": server.url, "timeout": 0.3}, public=["/login"])
        travelling(app.guard, server.clock)
        lifespan = Lifespan(app)
        assert "lifespan.startup.complete" == await lifespan.tell("startup")
        assert "Redis is away at start-up" in caplog.text
        tab = Browser(app).tab()
        assert 503 == (await tab.post("/login")).status
        server.start()
        assert 200 == (await tab.post("/login")).status
        assert "lifespan.shutdown.complete" == await lifespan.tell("shutdown")
        await lifespan.task


@pytest.mark.parametrize("lifespan", ["on", "off", "auto"])
def test_under_a_real_server_with_and_without_lifespan(options, lifespan):
    inner = Handlers()

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await alive(scope, receive, send)
        else:
            await inner(scope, receive, send)
            if lifespan == "off" and scope["path"] == "/close":
                await guarded.guard.aclose()

    guarded = TokenGuardMiddleware(app, **options, public=["/login", "/close"])
    before = connections(options["redis"])
    with serving(guarded, lifespan=lifespan) as url:
        assert "token_required" == send(url, "GET", "/me").code
        token = send(url, "POST", "/login").new_token
        assert 200 == send(url, "GET", "/me", [("Authorization", f"Bearer {token}")]).status
        send(url, "GET", "/close")
    assert before == connections(options["redis"], before)


async def test_an_embedded_server_that_cannot_start_fails_the_start_up_and_says_why(tmp_path, monkeypatch):
    """
    Raising alone would look like an app that knows no lifespan, and the server would go on without the app's own start-up.

    Starlette's TestClient goes on unless the app raises as well.
    """
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\necho out of luck; exit 3\n")
    server.chmod(0o700)
    monkeypatch.setenv("TOKENGUARD_REDIS_SERVER", str(server))
    app = TokenGuardMiddleware(Handlers(), secret="s" * 32, redis="embedded://", public=["/login"])
    sent = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def take(message):
        sent.append(message)

    with pytest.raises(EmbeddedServerError):
        await app({"type": "lifespan", "state": {}}, receive, take)
    assert ["lifespan.startup.failed"] == [message["type"] for message in sent]
    assert "embedded server" in sent[0]["message"]
    assert 503 == (await Browser(app).tab().post("/login")).status
