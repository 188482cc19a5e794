"""The demo's app: an app like any other, so only what is its own is tested here."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

import httpx
import pytest

from asgi_tokenguard import Lifetimes
from asgi_tokenguard.demo import app as demo

FORM = [("content-type", "application/x-www-form-urlencoded")]
JSON = [("content-type", "application/json; charset=utf-8")]
PAGE = [
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("origin", "https://app.example"),
]


async def ask(app, method, path, headers=(), content=b""):
    """One request, with no cookie jar between."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app.example") as client:
        return await client.request(method, path, headers=list(headers), content=content)


def carrying(answer):
    """The header that a browser sends after *answer*."""
    return [("cookie", answer.headers["set-cookie"].partition(";")[0])]


@pytest.fixture
async def app(server, options):
    guarded = demo.build(redis=server.url, lifetimes=Lifetimes(access=30), namespace=options["namespace"])
    async with guarded.guard:
        yield guarded


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"user=ada&password=lovelace", FORM, 200),
        (b"user=alan&password=turing", [], 200),
        (b'{"user": "ada", "password": "lovelace"}', JSON, 200),
        (b"user=ada&password=turing", FORM, 401),
        (b"user=ada", FORM, 401),
        (b"user=eve&password=", FORM, 401),  # nobody's password is not the empty one
        (b"", FORM, 401),
        (b"\xff\xfe", FORM, 401),
        (b'{"user": "eve", "password": ""}', JSON, 401),
        (b'{"user": ["ada"], "password": null}', JSON, 401),
        (b'["ada", "lovelace"]', JSON, 401),
        (b"{", JSON, 401),
        (b"\xff", JSON, 401),
        (b"[" * 100_000, JSON, 401),
        (b'{"user": "\\ud800", "password": ""}', JSON, 401),
        (b'{"user": "ada", "password": "\\ud800"}', JSON, 401),
    ],
)
async def test_a_login_takes_forms_and_json_and_nothing_else(app, body, headers, status):
    answer = await ask(app, "POST", "/login", headers, body)
    assert status == answer.status_code
    assert (status == 200) is ("x-new-access-token" in answer.headers)


async def test_a_browser_without_scripts_logs_in_and_out_by_forms(app):
    """A navigation is handed the cookie, the page greets, and the cookie goes at the end."""
    login = await ask(app, "POST", "/login", PAGE + FORM, b"user=ada&password=lovelace")
    assert (303, "/") == (login.status_code, login.headers["location"])
    assert "x-new-access-token" not in login.headers
    cookie = carrying(login)

    assert "signed in as <b>ada</b>" in (await ask(app, "GET", "/", PAGE[:4] + cookie)).text
    assert "ada" == (await ask(app, "GET", "/api/me", PAGE[:4] + cookie)).json()["user"]

    logout = await ask(app, "POST", "/logout", PAGE + cookie)
    assert (303, "/") == (logout.status_code, logout.headers["location"])
    assert "__Host-refresh=; Max-Age=0;" in logout.headers["set-cookie"]
    assert "not signed in" in (await ask(app, "GET", "/", PAGE[:4] + cookie)).text


async def test_the_page_can_run_nothing(app):
    """Its policy names its own style by digest and allows two forms, no script, no frame around it."""
    answer = await ask(app, "GET", "/")
    policy, page = answer.headers["content-security-policy"], answer.text
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert {
        "default-src 'none'",
        "connect-src 'self'",
        f"style-src 'sha256-{digest}'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    } == set(policy.split("; "))
    assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:", page, flags=re.IGNORECASE)
    # With `no-referrer`, browsers would send the forms with `Origin: null`, which is foreign.
    assert "same-origin" == answer.headers["referrer-policy"]


async def test_the_page_escapes_what_it_shows(app, monkeypatch):
    monkeypatch.setitem(demo.USERS, "<i>", "x")
    login = await ask(app, "POST", "/login", JSON, json.dumps({"user": "<i>", "password": "x"}).encode())
    answer = await ask(app, "GET", "/", carrying(login))
    assert "<b>&lt;i&gt;</b>" in answer.text


async def test_the_secret_is_the_process_own(app, server, options):
    """A second start does not know the first one's tokens: they end with the demo."""
    login = await ask(app, "POST", "/login", FORM, b"user=ada&password=lovelace")
    other = demo.build(redis=server.url, lifetimes=Lifetimes(access=30), namespace=options["namespace"])
    async with other.guard:
        answer = await ask(other, "GET", "/api/me", [("authorization", f"Bearer {login.headers['x-new-access-token']}")])
    assert 401 == answer.status_code
