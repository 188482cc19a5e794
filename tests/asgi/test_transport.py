"""Every kind of response carries the pair of a rotation, and differs from the bare app's in nothing else."""

from __future__ import annotations

import asyncio

import pytest
from support.actors import COOKIE
from support.stage import answer, carried
from support.wire import Answer, call

from asgi_tokenguard import Code, NotAuthenticated, StoreUnavailable

START, BODY = "http.response.start", "http.response.body"
PROMISED = [b"x-new-access-token", b"access-control-expose-headers", b"set-cookie", b"cache-control"]


def head(status=200, *headers):
    return {"type": START, "status": status, "headers": list(headers)}


def body(content=b"", **more):
    return {"type": BODY, "body": content} | more


# What apps send, message by message.
RESPONSES = {
    "200": [head(200, (b"content-length", b"2")), body(b"ok")],
    "204": [head(204), body()],
    "redirect": [head(303, (b"location", b"/next")), body()],
    "304": [head(304, (b"etag", b'"x"')), body()],
    "404": [head(404), body(b"not here")],
    "401 of the app": [head(401, (b"www-authenticate", b'Basic realm="x"')), body()],
    "422": [head(422), body(b"{}")],
    "500 of the app": [head(500), body(b"sorry")],
    "503 of the app": [head(503, (b"retry-after", b"9")), body()],
    "stream": [head(), body(b"a", more_body=True), body(b"b", more_body=True), body(b"c")],
    "event stream": [head(200, (b"content-type", b"text/event-stream")), body(b"data: 1\n\n", more_body=True), body()],
    "file": [head(200, (b"content-length", b"5")), {"type": "http.response.pathsend", "path": "/tmp/x"}],
    "zero copy": [head(), {"type": "http.response.zerocopysend", "file": 7}],
    "trailers": [head() | {"trailers": True}, body(b"x"), {"type": "http.response.trailers", "headers": [(b"a", b"b")]}],
    "early hint": [{"type": "http.response.early_hint", "links": [b"</a.css>"]}, head(), body()],
    "debug": [{"type": "http.response.debug", "info": {"template": "x"}}, head(), body()],
    "push": [{"type": "http.response.push", "path": "/a.css", "headers": []}, head(), body()],
    "its own cookies": [head(200, (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")), body()],
    "its own cache control": [head(200, (b"cache-control", b"public, max-age=60")), body()],
    "its own exposed headers": [head(200, (b"access-control-expose-headers", b"X-Total")), body()],
    "no headers at all": [{"type": START, "status": 200}, body()],
    "headers of another type": [{"type": START, "status": 200, "headers": ((b"a", b"b"),)}, body()],
}


def app_of(messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


@pytest.mark.parametrize("kind", RESPONSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_every_kind_of_response_carries_the_pair_and_is_otherwise_the_apps_own(stage, kind, method):
    messages = RESPONSES[kind]
    stage.on("/answer")(app_of(messages))
    tab = await stage.expired()
    result = await tab.get("/answer", method=method)

    assert "both" == carried(result)
    assert len(messages) == len(result.messages)
    for ours, theirs in zip(result.messages, messages, strict=True):
        if theirs["type"] == START:
            own = list(theirs.get("headers", ()))
            assert own == ours["headers"][: len(own)]
            assert PROMISED == [name for name, _ in ours["headers"][len(own) :]]
            assert {**theirs, "headers": ours["headers"]} == ours
        else:
            assert ours is theirs
    assert 200 == (await tab.get()).status


@pytest.mark.parametrize("kind", RESPONSES)
async def test_a_response_that_carries_nothing_is_the_very_messages_of_the_app(stage, kind):
    messages = RESPONSES[kind]
    stage.on("/answer")(app_of(messages))
    result = await (await stage.logged_in()).ask("/answer")
    assert all(ours is theirs for ours, theirs in zip(result.messages, messages, strict=True))


async def test_the_request_reaches_the_app_as_it_was(stage):
    """Path, headers and body are untouched; the body is never read."""
    seen = []

    @stage.on("/upload")
    async def handler(scope, receive, send):
        seen.append((scope["headers"], receive, await receive()))
        await answer(send)

    tab = await stage.expired()
    await tab.post("/upload")
    ((headers, receive, message),) = seen
    assert (b"cookie", f"{COOKIE}={tab.browser.jar}".encode()) not in headers  # the old one is there, as it was sent
    assert any(name == b"cookie" for name, _ in headers)
    assert "receive" == receive.__name__
    assert {"type": "http.request", "body": b"", "more_body": False} == message


class Broken(Exception):
    pass


async def raising(scope, receive, send):
    raise Broken


class TestTheAppRaises:
    async def test_after_a_rotation_the_pair_leaves_with_the_500(self, stage):
        """And the error goes on to the server, which logs it."""
        stage.on("/broken")(raising)
        tab, result = await stage.expired(), Answer()
        with pytest.raises(Broken):
            await tab.ask("/broken", answer=result)
        tab.take(result)
        assert (500, "both", b"Internal Server Error") == (result.status, carried(result), result.body)
        assert 1 == stage.handlers.calls["/broken"]
        assert 200 == (await tab.get()).status

    async def test_with_nothing_to_carry_the_server_answers_as_ever(self, stage):
        stage.on("/broken")(raising)
        tab, result = await stage.logged_in(), Answer()
        with pytest.raises(Broken):
            await tab.ask("/broken", answer=result)
        assert [] == result.messages

    async def test_after_its_head_nothing_is_added(self, stage):
        @stage.on("/broken")
        async def handler(scope, receive, send):
            await send(head())
            await send(body(b"half", more_body=True))
            raise Broken

        tab, result = await stage.expired(), Answer()
        with pytest.raises(Broken):
            await tab.ask("/broken", answer=result)
        assert [START, BODY] == [message["type"] for message in result.messages]
        assert "both" == carried(tab.take(result))

    async def test_a_cancelled_request_sends_nothing(self, stage):
        """Its client is gone; the next request is redelivered the pair."""

        @stage.on("/cancelled")
        async def handler(scope, receive, send):
            raise asyncio.CancelledError

        tab, result = await stage.expired(), Answer()
        with pytest.raises(asyncio.CancelledError):
            await tab.ask("/cancelled", answer=result)
        assert [] == result.messages
        assert "both" == carried(await tab.get())

    @pytest.mark.parametrize(
        ("error", "status"), [(StoreUnavailable(), 503), (NotAuthenticated(Code.SESSION_ENDED), 401)], ids=["503", "401"]
    )
    async def test_a_refusal_is_answered_in_json_and_carries_the_pair(self, stage, error, status):
        @stage.on("/refuses")
        async def handler(scope, receive, send):
            raise error

        tab = await stage.expired()
        result = await tab.get("/refuses")
        assert (status, error.code.value, "both") == (result.status, result.code, carried(result))
        assert {"detail", "code"} == result.json().keys()
        assert {name.lower(): value for name, value in error.headers.items()}.items() <= dict(result.headers).items()
        assert str(len(result.body)) == result.get("content-length")

    async def test_a_refusal_after_the_head_goes_to_the_server(self, stage):
        @stage.on("/late")
        async def handler(scope, receive, send):
            await send(head())
            raise StoreUnavailable

        tab, result = await stage.logged_in(), Answer()
        with pytest.raises(StoreUnavailable):
            await tab.ask("/late", answer=result)
        assert [START] == [message["type"] for message in result.messages]


async def test_a_second_head_is_not_dressed_as_well(stage):
    """Servers refuse it; the tokens are in the first."""
    stage.on("/twice")(app_of([head(), head(), body()]))
    result = await (await stage.expired()).ask("/twice")
    first, second = (message for message in result.messages if message["type"] == START)
    assert PROMISED == [name for name, _ in first["headers"]]
    assert [] == second["headers"]


async def test_a_client_that_has_gone_is_no_error_of_ours(stage):
    """A server's `send` may raise; the guard lets that through and sends nothing more."""
    stage.on("/gone")(app_of([head(), body()]))
    tab, sent = await stage.expired(), []

    async def closed(scope, receive, send):
        async def gone(message):
            sent.append(message["type"])
            raise OSError("connection lost")

        await stage.app(scope, receive, gone)

    with pytest.raises(OSError, match="connection lost"):
        await call(closed, "GET", "/gone", [("cookie", f"{COOKIE}={tab.browser.jar}")])
    assert [START] == sent
    assert "both" == carried(await tab.get())
