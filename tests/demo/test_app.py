"""The demo's app: an app like any other, so only what is its own is tested here."""

from __future__ import annotations

import re

import httpx
import pytest

from asgi_tokenguard import Lifetimes
from asgi_tokenguard.demo import app as demo
from asgi_tokenguard.demo import files

FORM = [("content-type", "application/x-www-form-urlencoded")]
JSON = [("content-type", "application/json; charset=utf-8")]


async def ask(app, method, path, headers=(), content=b""):
    """One request, with no cookie jar between."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8000") as client:
        return await client.request(method, path, headers=list(headers), content=content)


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


async def test_the_page_may_do_what_it_does_and_nothing_else(app):
    """No inline script or style, nothing from elsewhere; it frames the two names of this computer, and nobody frames it."""
    answer = await ask(app, "GET", "/")
    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    names = "http://localhost:8000 http://127.0.0.1:8000"
    assert {
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        f"frame-src {names}",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    } == set(answer.headers["content-security-policy"].split("; "))
    assert "nosniff" == answer.headers["x-content-type-options"]


async def test_nothing_of_the_request_gets_into_a_policy(server, options):
    """`Host` is written by whoever asks; a policy that echoed it would allow what an attacker names."""
    open_to_all = demo.build(redis=server.url, lifetimes=Lifetimes(access=30), namespace=options["namespace"], loopback=False)
    for path in ("/", "/demo/foreign"):
        answer = await ask(open_to_all, "GET", path, [("host", "evil.example; script-src *")])
        assert 200 == answer.status_code
        assert "evil" not in answer.headers["content-security-policy"]


async def test_the_page_of_another_site_is_framed_by_the_demo_alone(app):
    policy = (await ask(app, "GET", "/demo/foreign")).headers["content-security-policy"]
    assert "frame-ancestors http://localhost:8000 http://127.0.0.1:8000;" in policy
    assert "script-src 'self';" in policy


@pytest.mark.parametrize("name", [name for name in files.FILES if name.endswith((".html", ".js"))])
def test_no_file_of_the_page_needs_more_than_its_policy_allows(name):
    text = files.FILES[name].content.decode()
    assert not re.search(
        r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:|innerHTML|insertAdjacentHTML|\beval\(", text
    )
    assert not re.search(r"""(src|href|from)\s*=?\s*["'](https?:)?//""", text), "it loads from elsewhere"


async def test_files_are_served_by_name_with_their_type_and_asked_for_again(app):
    first = await ask(app, "GET", "/static/demo.js")
    assert (200, "text/javascript; charset=utf-8") == (first.status_code, first.headers["content-type"])
    assert "no-cache" == first.headers["cache-control"]
    again = await ask(app, "GET", "/static/demo.js", [("if-none-match", f"W/{first.headers['etag']}")])
    assert (304, b"", first.headers["etag"]) == (again.status_code, again.content, again.headers["etag"])


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e%2fapp.py", "app.py", "demo.js%00", "Demo.js"])
async def test_no_other_file_is_served(app, name):
    """What could be read in two ways opens no public path, so that the guard already refuses it (I14)."""
    answer = await ask(app, "GET", f"/static/{name}")
    assert answer.status_code in {401, 404}
    assert len(answer.content) < 200


async def test_the_page_is_told_where_it_is_served(app, server, options):
    assert (await ask(app, "GET", "/demo/about")).json()["loopback"] is True
    open_to_all = demo.build(redis=server.url, lifetimes=Lifetimes(access=30), namespace=options["namespace"], loopback=False)
    async with open_to_all.guard:
        assert (await ask(open_to_all, "GET", "/demo/about")).json()["loopback"] is False


async def test_the_secret_is_the_process_own(app, server, options):
    """A second start does not know the first one's tokens: they end with the demo."""
    login = await ask(app, "POST", "/login", FORM, b"user=ada&password=lovelace")
    other = demo.build(redis=server.url, lifetimes=Lifetimes(access=30), namespace=options["namespace"])
    async with other.guard:
        answer = await ask(other, "GET", "/api/me", [("authorization", f"Bearer {login.headers['x-new-access-token']}")])
    assert 401 == answer.status_code
