"""
Every framework, with and without the guard, message by message: the difference is the headers that were promised.

Rule: an app that does not call `get_auth` is not changed by the guard but in the head of an answer that carries tokens.
"""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from support.frameworks import APPS, BODY
from support.stage import travelling
from support.wire import scope_of

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware

ASKED = [
    ("GET", "/text"),
    ("HEAD", "/text"),
    ("GET", "/stream"),
    ("GET", "/redirect"),
    ("POST", "/echo"),
    ("POST", "/text"),
    ("GET", "/nowhere"),
    ("GET", "/broken"),
]


@pytest.fixture(params=APPS, ids=lambda build: build.__name__)
def app(request):
    return request.param()


@pytest.fixture
async def guard(options, clock):
    async with travelling(TokenGuard(**options), clock) as guard:
        yield guard


async def exchange(app: Any, method: str, path: str, headers: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], str]:
    """All that *app* sends, and the error that it ends with; a body comes in pieces."""
    pieces = [BODY[:40_000], BODY[40_000:]] if method == "POST" else [b""]
    received = [{"type": "http.request", "body": piece, "more_body": piece is not pieces[-1]} for piece in pieces]
    sent: list[dict[str, Any]] = []
    over = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if received:
            return received.pop(0)
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(copy.deepcopy(message))
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            over.set()

    scope = scope_of(method, path, [*headers, ("content-type", "application/octet-stream")])
    error = "none"
    try:
        await app(scope, receive, send)
    except Exception as raised:  # noqa: BLE001 (compared below)
        error = repr(raised)
    return undated(sent), error


def undated(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the one thing that differs between two runs of an app."""
    return [
        message | {"headers": [pair for pair in message["headers"] if pair[0].lower() != b"date"]}
        if "headers" in message
        else message
        for message in messages
    ]


async def test_the_app_answers_by_itself(app):
    """So that two answers that are equal are no two failures."""
    answers = {}
    for method, path in ASKED:
        sent, _ = await exchange(app, method, path, [])
        body = b"".join(message["body"] for message in sent[1:] if "body" in message)
        answers[method, path] = (sent[0]["status"] if sent else 500, body)
    assert (200, b"text") == answers["GET", "/text"]
    assert (200, b"abc") == answers["GET", "/stream"]
    assert (200, BODY) == answers["POST", "/echo"]
    assert 404 == answers["GET", "/nowhere"][0]
    assert 500 == answers["GET", "/broken"][0]


async def test_without_a_session_the_app_is_not_reached(app, guard):
    for method, path in ASKED:
        sent, error = await exchange(TokenGuardMiddleware(app, guard=guard), method, path, [])
        assert ("none", 401) == (error, sent[0]["status"])
        assert b'"code": "token_required"' in sent[1]["body"]


@pytest.mark.parametrize(("method", "path"), ASKED)
async def test_a_live_token_changes_no_message(app, guard, method, path):
    tokens = await guard.login("user-1")
    headers = [("authorization", f"Bearer {tokens.access_token}"), ("cookie", f"__Host-refresh={tokens.refresh_token}")]
    expected = await exchange(app, method, path, headers)
    for _ in range(2):  # asked of Redis, and from memory
        assert expected == await exchange(TokenGuardMiddleware(app, guard=guard), method, path, headers)


@pytest.mark.parametrize(("method", "path"), ASKED)
async def test_nor_does_a_public_path(app, options, method, path):
    """Whatever comes with the request: an app may have cookies and tokens of its own."""
    headers = [("authorization", "Bearer of another issuer"), ("cookie", "__Host-refresh=none of ours")]
    async with TokenGuard(**options, public=["/*"]) as guard:
        assert await exchange(app, method, path, headers) == await exchange(
            TokenGuardMiddleware(app, guard=guard), method, path, headers
        )


@pytest.mark.parametrize(("method", "path"), ASKED)
async def test_a_rotation_adds_to_the_head_what_is_promised_and_no_more(app, guard, clock, method, path):
    tokens = await guard.login("user-1")
    clock.advance(901)
    headers = [("authorization", f"Bearer {tokens.access_token}"), ("cookie", f"__Host-refresh={tokens.refresh_token}")]
    expected, expected_error = await exchange(app, method, path, headers)
    (head, *rest), error = await exchange(TokenGuardMiddleware(app, guard=guard), method, path, headers)

    if not expected:  # a bare app that raises sends nothing, and the pair would be lost with what the server makes of it
        assert (expected_error, 500) == (error, head["status"])
        return
    assert expected_error == error
    assert expected[1:] == rest
    own = expected[0]["headers"]
    added = head["headers"][len(own) :]
    assert expected[0] == head | {"headers": head["headers"][: len(own)]}
    assert ["x-new-access-token", "access-control-expose-headers", "set-cookie", "cache-control"] == [
        name.decode() for name, _ in added
    ]
    assert [b"X-New-Access-Token", b"no-store"] == [added[1][1], added[3][1]]
    assert added[2][1].startswith(b"__Host-refresh=")
