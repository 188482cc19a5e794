"""I3 as a table over real HTTP; the rows are in `support/bad_input.py`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.actors import COOKIE, METADATA, OWN
from support.bad_input import ROWS, Row, tokens
from support.http import send, serving
from support.stage import Handlers, commands, travelling
from support.wire import Answer, call

from asgi_tokenguard import TokenGuardMiddleware

SECRET = "a secret of more than thirty-two bytes, for tests only"


@pytest.fixture(scope="module")
def site(server) -> Iterator[Any]:
    """The plain app under uvicorn with two users logged in, and every token that a row names."""
    paths = {"public": ["/login", "/logout", "/static/*"], "optional": ["/open/*"]}
    app = TokenGuardMiddleware(
        Handlers(), secret=SECRET, redis=server.url, namespace="bad-input", timeout=10, cache=False, **paths
    )
    travelling(app.guard, server.clock)
    with serving(app) as url:
        logins = [send(url, "POST", f"/login?user={user}") for user in ("user-1", "user-2")]
        while app.guard.engine.background.outbox.pending:
            time.sleep(0.01)  # what runs off the request path would count as asked
        live, cookie, stranger = logins[0].new_token, logins[0].cookie(), logins[1].new_token
        yield SimpleNamespace(
            url=url, redis=server.url, live=live, cookie=cookie, tokens=tokens(live, cookie, stranger, SECRET)
        )


def filled(text: str, site: Any) -> str:
    return re.sub("<([^<>]+)>", lambda found: site.tokens[found[1]], text)


def verdict(answer: Answer) -> str:
    return f"{answer.status} {answer.code or ''}".strip()


def test_the_table_is_long_and_its_rows_have_names_of_their_own():
    assert 300 <= len(ROWS)
    assert len(ROWS) == len({row.name for row in ROWS})


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_i3_bad_input_has_its_exact_answer_and_harms_nobody(row: Row, site):
    """Also I14: what has no good signature is never heard of in Redis.  And P58: no refusal touches the cookie."""
    headers = [(name, filled(value, site)) for name, value in row.headers]
    before = commands(site.redis)
    answer = send(site.url, row.method, filled(row.target, site), headers, host=row.host)
    asked = commands(site.redis) - before

    assert row.expected == verdict(answer)
    assert row.asks == bool(asked), asked
    if answer.code is not None:
        assert {"detail", "code"} == answer.json().keys()
        assert [] == answer.all("set-cookie")
        assert ["no-store"] == answer.all("cache-control")
        assert (answer.status in {400, 401}) == bool(answer.all("www-authenticate"))
    assert 200 == send(site.url, "GET", "/me", [("Authorization", f"Bearer {site.live}")]).status
    assert 200 == send(site.url, "GET", "/me", [("Cookie", f"{COOKIE}={site.cookie}")]).status


# Servers refuse these bytes in a header; an in-process caller may still send them.
RAW = [
    (b"authorization", b"Bearer \0", "401 invalid_token"),
    (b"authorization", b"Bearer a\r\nset-cookie: x=y", "401 invalid_token"),
    (b"authorization", b"\0\xff\xfe", "401 token_required"),
    (b"authorization", b"Bearer \x0b\x0c", "401 invalid_token"),
    (b"cookie", b"__Host-refresh=\0", "401 invalid_token"),
    (b"cookie", b"__Host-refresh=a\nb", "401 invalid_token"),
    (b"cookie", b"\0\xff\r\n=;=;;", "401 token_required"),
]


@pytest.mark.parametrize(("name", "value", "expected"), RAW)
async def test_i3_bytes_that_no_server_lets_through_are_refused_as_well(stage, name, value, expected):
    assert expected == verdict(await call(stage.app, "GET", "/me", [(name, value)]))


@pytest.mark.parametrize("origin", [b"\0", b"https://app.example\n", b"https://app.example\0", b"\r\n", b"\xff"])
async def test_i3_an_origin_of_stray_bytes_is_foreign(stage, origin):
    tab = await stage.logged_in()
    cookie = f"{COOKIE}={tab.browser.jar}"
    assert "403 cross_site_request" == verdict(await call(stage.app, "POST", "/me", [("cookie", cookie), (b"origin", origin)]))
    assert "200" == verdict(await call(stage.app, "POST", "/me", [("cookie", cookie), ("origin", OWN)]))


@pytest.mark.parametrize(
    "client", [None, ["192.0.2.7", 5], ("192.0.2.7", "5"), ("", 0), ("no address", 0), ("fe80::1%eth0", 1)]
)
async def test_i3_whatever_the_server_calls_the_client_a_login_works(stage, client):
    answer = await call(stage.app, "POST", "/login", METADATA["bare"].items(), client=client)
    assert 200 == answer.status
