"""One exchange with a provider, over real HTTP: what it may do to us."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import httpx
import httpx2
import pytest
from support.http import serving
from support.provider import BERLIN, ProviderApp, drips, floods, hangs, says

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.geo import Fields
from asgi_tokenguard.geo.endpoint import Endpoint
from asgi_tokenguard.geo.provider import LARGEST_ANSWER, Provider, ProviderError

ADDRESS = ip_address("8.8.8.8")
# Ours, or httpx's own where both come at once.
LATE = (TimeoutError, httpx.TimeoutException, httpx2.TimeoutException)
PLACE = Place(latitude=52.52, longitude=13.405, city="Berlin", country="DE")


@pytest.fixture(scope="module")
def site():
    app = ProviderApp()
    with serving(app, lifespan="off") as url:
        yield app, url


@pytest.fixture
def app(site):
    site[0].reply = says(BERLIN)
    site[0].asked.clear()
    site[0].headers.clear()
    return site[0]


@pytest.fixture
def url(site):
    return site[1]


@asynccontextmanager
async def asking(url: str, path: str = "/{address}", *, timeout=5.0, headers=None, client=None) -> AsyncIterator[Provider]:
    provider = Provider(Endpoint(url + path), Fields(), timeout=timeout, headers=headers, client=client)
    try:
        yield provider
    finally:
        await provider.aclose()


async def test_a_place_is_found(app, url):
    async with asking(url, "/v1/{address}/json?key=k") as provider:
        assert PLACE == await provider.ask(ADDRESS)
        assert PLACE == await provider.ask(ip_address("2001:4860:4860::8888"))
    assert ["/v1/8.8.8.8/json?key=k", "/v1/2001:4860:4860::8888/json?key=k"] == app.asked


async def test_the_address_stands_where_the_template_says(app, url):
    async with asking(url, "/?q={address}&z=1") as provider:
        await provider.ask(ip_address("2001:4860:4860::8888"))
    assert ["/?q=2001:4860:4860::8888&z=1"] == app.asked


async def test_what_is_sent(app, url):
    async with asking(url, headers={"Authorization": "Bearer k", "accept-encoding": "gzip", "user-agent": "mine"}) as provider:
        await provider.ask(ADDRESS)
    sent = app.headers[0]
    assert ("Bearer k", "identity", "application/json", "mine") == tuple(
        sent[name] for name in ("authorization", "accept-encoding", "accept", "user-agent")
    )
    assert "cookie" not in sent


async def test_a_key_in_the_url_s_userinfo_is_sent_as_basic_authentication(app, url):
    """As MaxMind's web service wants it."""
    async with asking(url.replace("http://", "http://42:k%2Fey@")) as provider:
        await provider.ask(ADDRESS)
    assert httpx.BasicAuth("42", "k/ey")._auth_header == app.headers[0]["authorization"]


# --- Time


async def timed(provider: Provider, most: float) -> None:
    started = time.monotonic()
    with pytest.raises(LATE):
        await provider.ask(ADDRESS)
    assert 0.2 <= time.monotonic() - started < most


@pytest.mark.parametrize("reply", [hangs, drips])
async def test_a_provider_that_hangs_or_drips_is_left_when_the_time_is_up(app, url, reply):
    """httpx's own timeouts are for each read: they would wait for a dripping provider for ever."""
    app.reply = reply
    async with asking(url, timeout=0.25) as provider:
        await timed(provider, 5)
        app.reply = says(BERLIN)
        assert PLACE == await provider.ask(ADDRESS)


async def test_a_hundred_that_hang_leave_the_client_as_it_was(app, url):
    """httpx has 100 connections: each of those that were left must be free again."""
    app.reply = hangs
    async with asking(url, timeout=0.3) as provider:
        outcomes = await asyncio.gather(*(provider.ask(ADDRESS) for _ in range(120)), return_exceptions=True)
        assert all(isinstance(outcome, LATE) for outcome in outcomes)
        app.reply = says(BERLIN)
        assert PLACE == await provider.ask(ADDRESS)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_port_that_takes_connections_and_says_nothing(scheme):
    """No socket is left open, not even within a TLS handshake."""

    def read_to_the_end() -> bool:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(2)
            while connection.recv(65_536):
                pass
        return True

    with socket.create_server(("127.0.0.1", 0)) as server:
        async with asking(f"{scheme}://127.0.0.1:{server.getsockname()[1]}", timeout=1) as provider:
            for _ in range(2):
                started = time.monotonic()
                with pytest.raises(LATE):
                    await provider.ask(ADDRESS)
                assert time.monotonic() - started < 5
                assert await asyncio.to_thread(read_to_the_end)


async def test_nobody_listens():
    async with asking("http://127.0.0.1:9") as provider:
        with pytest.raises(httpx.ConnectError):
            await provider.ask(ADDRESS)


# --- Answers that are none


@pytest.mark.parametrize("status", [201, 202, 204, 206, 400, 401, 403, 429, 500, 503])
async def test_only_200_counts(app, url, status):
    app.reply = says(BERLIN if status != 204 else b"", status)
    async with asking(url) as provider:
        with pytest.raises(ProviderError, match=f"status {status}"):
            await provider.ask(ADDRESS)


async def test_404_is_how_providers_say_that_they_do_not_know(app, url):
    app.reply = says({"code": "IP_ADDRESS_NOT_FOUND"}, 404)
    async with asking(url) as provider:
        assert await provider.ask(ADDRESS) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("passed", [False, True])
async def test_no_redirect_is_followed_not_even_by_a_client_that_would(app, url, status, passed):
    """The next host was never checked, and would get users' addresses."""
    app.reply = says(b"", status, ("location", f"{url}/elsewhere"))
    async with httpx.AsyncClient(follow_redirects=True) as client, asking(url, client=client if passed else None) as provider:
        with pytest.raises(ProviderError, match=f"status {status}"):
            await provider.ask(ADDRESS)
    assert ["/8.8.8.8"] == app.asked


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff\xfe\x00", b"{", b"[" * 60_000, b'{"a":' * 10_000, b'{"latitude": ' + b"1" * 5_000 + b"}"]
)
async def test_garbage_is_no_answer(app, url, body):
    app.reply = says(body, 200, ("content-type", "application/json"))
    async with asking(url) as provider:
        with pytest.raises(ProviderError, match="no JSON"):
            await provider.ask(ADDRESS)


@pytest.mark.parametrize("body", [[], [BERLIN], None, 5, "Berlin", True])
async def test_json_that_is_no_object_is_no_answer(app, url, body):
    app.reply = says(body)
    async with asking(url) as provider:
        with pytest.raises(ProviderError, match="no JSON object"):
            await provider.ask(ADDRESS)


async def test_bytes_that_are_no_http():
    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"220 smtp.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        async with asking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as provider:
            with pytest.raises(httpx.HTTPError):
                await provider.ask(ADDRESS)
    finally:
        server.close()


async def test_an_answer_without_end_is_left_at_64_kb(app, url):
    app.reply = floods
    async with asking(url, timeout=60) as provider:
        with pytest.raises(ProviderError, match="more than 65536 bytes"):
            await provider.ask(ADDRESS)


@pytest.mark.parametrize(("size", "fits"), [(LARGEST_ANSWER, True), (LARGEST_ANSWER + 1, False)])
async def test_the_largest_answer(app, url, size, fits):
    app.reply = says(json.dumps(BERLIN).encode().ljust(size))
    async with asking(url) as provider:
        if fits:
            assert PLACE == await provider.ask(ADDRESS)
        else:
            with pytest.raises(ProviderError):
                await provider.ask(ADDRESS)


async def test_a_compressed_answer_was_not_asked_for_and_is_not_unpacked(app, url):
    """50 KB that unpack to 50 MB."""
    bomb = gzip.compress(json.dumps(BERLIN).encode() + b" " * 50_000_000)
    assert len(bomb) < LARGEST_ANSWER
    app.reply = says(bomb, 200, ("content-encoding", "gzip"))
    async with asking(url) as provider:
        with pytest.raises(ProviderError, match="compressed"):
            await provider.ask(ADDRESS)


# --- Lies


@pytest.mark.parametrize("lie", [
    b'{"latitude": NaN, "longitude": 13.4, "city": "Berlin"}', b'{"latitude": 52.5, "longitude": Infinity, "city": "Berlin"}',
    b'{"latitude": 1e999, "longitude": 13.4, "city": "Berlin"}', b'{"latitude": 91, "longitude": 13.4, "city": "Berlin"}',
    b'{"latitude": 52.5, "longitude": -181, "city": "Berlin"}', b'{"latitude": "52.5", "longitude": "13.4", "city": "Berlin"}',
    b'{"latitude": true, "longitude": false, "city": "Berlin"}', b'{"latitude": 52.5, "longitude": 13.4}',
    b'{"latitude": 52.5, "longitude": 13.4, "city": ""}', b'{"latitude": 52.5, "longitude": 13.4, "city": null}',
    b'{"latitude": 52.5, "longitude": 13.4, "city": "\\ud800"}', b"{}",
])  # fmt: skip
async def test_an_answer_that_lies_is_no_place(app, url, lie):
    app.reply = says(lie)
    async with asking(url) as provider:
        assert await provider.ask(ADDRESS) is None


async def test_an_answer_about_another_address_is_no_answer(app, url):
    app.reply = says(BERLIN | {"ip": "9.9.9.9"})
    async with asking(url) as provider:
        with pytest.raises(ProviderError, match="another address"):
            await provider.ask(ADDRESS)
        app.reply = says(BERLIN | {"ip": "8.8.8.8"})
        assert PLACE == await provider.ask(ADDRESS)


# --- Clients


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_client_that_is_passed_is_used_and_stays_open(app, url, library):
    async with library.AsyncClient(headers={"x-mine": "1"}, auth=("me", "secret")) as client:
        async with asking(url, client=client) as provider:
            assert PLACE == await provider.ask(ADDRESS)
        assert "1" == app.headers[0]["x-mine"]
        assert "authorization" in app.headers[0]
        assert not client.is_closed


async def test_our_own_client_is_closed_and_opened_again(app, url):
    async with asking(url) as provider:
        await provider.ask(ADDRESS)
        client = provider._source.found()
        await provider.aclose()
        await provider.aclose()
        assert client.is_closed
        assert PLACE == await provider.ask(ADDRESS)


async def test_our_own_client_keeps_no_cookies(app, url):
    app.reply = says(BERLIN, 200, ("set-cookie", "id=1; Max-Age=1000"))
    async with asking(url) as provider:
        for _ in range(2):
            await provider.ask(ADDRESS)
    assert ["cookie" in headers for headers in app.headers] == [False, False]


async def test_plain_http_goes_through_no_proxy_of_the_environment(app, url, monkeypatch):
    """A URL of this machine may carry a key in the clear because it never leaves the machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with asking(url) as provider:
        assert PLACE == await provider.ask(ADDRESS)


async def test_a_certificate_that_is_none_is_seen(app):
    """https to a server without TLS fails, and nothing falls back."""
    with serving(app, lifespan="off") as url:
        async with asking(url.replace("http://", "https://")) as provider:
            with pytest.raises(httpx.ConnectError):
                await provider.ask(ADDRESS)
            assert ssl.CERT_REQUIRED is provider._source.found()._transport._pool._ssl_context.verify_mode
    assert [] == app.asked


@pytest.mark.parametrize("library", [httpx, httpx2, None])
async def test_no_log_shows_a_url(app, url, caplog, library):
    """httpx logs every URL at INFO: users' addresses, and our key."""
    caplog.set_level(logging.DEBUG)
    client = library.AsyncClient() if library else None
    async with asking(url, "/{address}?key=s3cr3t", headers={"X-Key": "s3cr3t"}, client=client) as provider:
        await provider.ask(ADDRESS)
        app.reply = says(b"", 500)
        with pytest.raises(ProviderError) as caught:
            await provider.ask(ADDRESS)
        app.reply = hangs
        provider._timeout = 0.1
        with pytest.raises(LATE):
            await provider.ask(ADDRESS)
    text = caplog.text + repr(caught.value)
    assert "s3cr3t" not in text
    assert "8.8.8.8" not in text
    caplog.clear()
    app.reply = says(BERLIN)
    if client:
        await client.get(f"{url}/theirs")
        assert "/theirs" in caplog.text  # the app's own requests are logged as before
        await client.aclose()


# --- Options


@pytest.mark.parametrize("wrong", [
    {"timeout": 0}, {"timeout": -1}, {"timeout": True}, {"timeout": "1"}, {"timeout": float("nan")}, {"timeout": float("inf")},
    {"timeout": None}, {"headers": ["a"]}, {"headers": {"a b": "s3cr3t"}}, {"headers": {"s3cr3t:": "x"}},
    {"headers": {1: "s3cr3t"}}, {"headers": {"a": "s3cr3t\r\nb: c"}}, {"headers": {"a": "s3cr3t\n"}},
    {"headers": {"a": "schlüssel s3cr3t"}},
    {"headers": {"a": b"s3cr3t"}}, {"headers": {"a": ""}}, {"client": httpx.Client()}, {"client": "s3cr3t"},
    {"client": httpx.AsyncClient}, {"fields": {"latitude": "s3cr3t"}}, {"fields": None},
])  # fmt: skip
def test_options_that_cannot_be_meant(wrong):
    options = {"timeout": 1.0, "headers": None, "client": None, "fields": Fields()} | wrong
    with pytest.raises(ConfigurationError) as caught:
        Provider(Endpoint("https://api.example/{address}"), options.pop("fields"), **options)
    assert "locator" == caught.value.option
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("host", ["xn--", "a..b", "-", "xn--a"])
def test_a_host_that_httpx_does_not_take_is_refused_at_once_or_not_at_all(host):
    """Never by an error of httpx's own, which would show the URL."""
    shown = ""
    try:
        Provider(Endpoint(f"https://{host}/{{address}}?s3cr3t"), Fields(), timeout=1, headers=None, client=None)
    except ConfigurationError as error:
        shown = str(error)
    assert "s3cr3t" not in shown
