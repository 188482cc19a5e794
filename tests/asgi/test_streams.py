"""Responses that go on and on end with their session (I6), and nothing is held back on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.sockets import PATIENCE, bearer
from support.stage import staged
from support.streams import LAST, Reader, Ticker, reading
from support.wire import scope_of

from asgi_tokenguard import Lifetimes


@pytest.fixture
def ticker(stage):
    return stage.on("/events")(Ticker())


async def test_i6_a_revoked_session_ends_its_event_streams_and_no_others(stage, ticker):
    tab, other = await stage.logged_in(), await stage.logged_in("user-2")
    async with reading(stage, tab) as mine, reading(stage, other) as theirs:
        assert mine.sent[0] is ticker.head
        await stage.guard.revoke_all("user-1")
        await mine.ended()
        assert LAST == mine.sent[-1]
        assert 1 == sum(not message.get("more_body", True) for message in mine.sent)
        assert isinstance(ticker.raised[0], OSError)
        await theirs.flows()


@pytest.mark.parametrize("name", [b"content-type", b"Content-Type"])
async def test_i6_a_download_is_cut_off_where_the_app_wants_that(options, clock, name):
    """It must not look whole: no last part is sent, and the server closes the connection."""
    async with staged(options, clock, streams=["*/*"]) as stage:
        stage.on("/events")(Ticker("application/zip", name))
        tab = await stage.logged_in()
        async with reading(stage, tab) as reader:
            await stage.guard.revoke_all("user-1")
            await reader.ended()
            assert all(message["more_body"] for message in reader.sent[1:])


async def test_i6_a_stream_ends_after_the_lifetime_of_sockets(options, clock):
    async with staged(options, clock, lifetimes=Lifetimes(socket=3600)) as stage:
        stage.on("/events")(Ticker())
        tab = await stage.logged_in()
        async with reading(stage, tab) as reader:
            clock.advance(3590)
            await reader.flows()
            clock.advance(11)
            await reader.ended()
            assert LAST == reader.sent[-1]


async def test_a_stream_of_nobody_belongs_to_no_session(stage):
    stage.on("/open/events")(Ticker())
    tab = await stage.logged_in()
    tab.token = "of another scheme"
    reader = Reader(stage.app, [], "/open/events")
    await reader.flows()
    reader.task.cancel()
    await asyncio.gather(reader.task, return_exceptions=True)
    assert stage.guard.engine.vigil._watches.found() is None


async def test_i6_a_stream_that_is_silent_ends_as_well_and_tells_nobody_its_news(stage):
    """It is one from its head on: an app may wait for hours for what it has to tell first."""
    news, asked = asyncio.Event(), []

    @stage.on("/events")
    async def silent(scope, receive, send):
        await send(Ticker().head)
        asked.append(scope["path"])
        await news.wait()
        await send({"type": "http.response.body", "body": b"data: a secret\n\n", "more_body": True})

    tab = await stage.logged_in()
    reader = Reader(stage.app, bearer(tab), "/events")
    async with asyncio.timeout(PATIENCE):
        while not asked:
            await asyncio.sleep(0.005)
        await stage.guard.revoke_all("user-1")
        while reader.sent[-1] != LAST:
            await asyncio.sleep(0.005)
    news.set()
    await reader.ended()
    assert LAST == reader.sent[-1]
    assert not any(message.get("body") for message in reader.sent)


async def test_i6_a_download_whose_length_is_known_is_cut_off_as_well(options, clock):
    async with staged(options, clock, streams=["application/zip"]) as stage:
        ticker = Ticker("application/zip")
        ticker.head["headers"].append((b"Content-Length", b"1000000"))
        stage.on("/events")(ticker)
        tab = await stage.logged_in()
        async with reading(stage, tab) as reader:
            await stage.guard.revoke_all("user-1")
            await reader.ended()
            assert all(message["more_body"] for message in reader.sent[1:])


async def test_a_whole_response_is_not_watched(stage):
    @stage.on("/events")
    async def whole(scope, receive, send):
        await send({**Ticker().head, "headers": [*Ticker().head["headers"], (b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"data: x\n\n"})

    tab = await stage.logged_in()
    reader = Reader(stage.app, bearer(tab), "/events")
    await reader.ended()
    assert stage.guard.engine.vigil._watches.found() is None


async def test_an_app_that_ends_its_stream_is_not_watched_any_more(stage):
    @stage.on("/events")
    async def short(scope, receive, send):
        await send(Ticker().head)
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await send(LAST)

    tab = await stage.logged_in()
    reader = Reader(stage.app, bearer(tab), "/events")
    await reader.ended()
    assert [True, False] == [message["more_body"] for message in reader.sent[1:]]
    assert not stage.guard.engine.vigil._watches.found()._guests


async def test_an_error_in_a_stream_that_lives_is_the_servers(stage):
    @stage.on("/events")
    async def broken(scope, receive, send):
        await send(Ticker().head)
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        raise ZeroDivisionError

    tab = await stage.logged_in()
    reader = Reader(stage.app, bearer(tab), "/events")
    with pytest.raises(ZeroDivisionError):
        await reader.ended()


async def test_nothing_is_buffered_and_extensions_pass_through_as_they_are(stage):
    """Each part leaves before the next one is made; what the guard does not know is the server's and the app's."""
    messages = [
        {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]},
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")], "trailers": True},
        {"type": "http.response.body", "body": b"1", "more_body": True},
        {"type": "http.response.body", "body": b"2", "more_body": True},
        {"type": "http.response.pathsend", "path": "/tmp/x"},
        {"type": "http.response.zerocopysend", "file": 3},
        {"type": "http.response.push", "path": "/x", "headers": []},
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": False},
    ]
    sent: list[dict[str, Any]] = []
    arrived = []

    @stage.on("/parts")
    async def parts(scope, receive, send):
        assert receive is the_receive
        for message in messages:
            await send(message)
            arrived.append(sent[-1] is message)

    async def the_receive():
        raise AssertionError("the guard read the body")

    async def send(message):
        sent.append(message)

    tab = await stage.logged_in()
    await stage.app(scope_of("POST", "/parts", bearer(tab)), the_receive, send)
    assert [True] * len(messages) == arrived
    assert messages == sent
