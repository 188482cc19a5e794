"""The URL template: what is refused, what is asked, and that nobody sees it."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.geo.addresses import located
from asgi_tokenguard.geo.endpoint import Endpoint

KEY = "s3cr3t"


@pytest.mark.parametrize(
    "template",
    [
        f"https://api.example/{{address}}?key={KEY}",
        f"https://api.example/v1?key={KEY}&ip={{address}}",
        f"https://user:{KEY}@api.example:8443/{{address}}/json",
        f"HTTPS://api.example/{{address}}/{KEY}",
        f"http://localhost:8000/{{address}}?{KEY}",
        f"http://geo.localhost/{{address}}?{KEY}",
        f"http://127.0.0.1/{{address}}?{KEY}",
        f"http://127.8.8.8/{{address}}?{KEY}",
        f"http://[::1]:1/{{address}}?{KEY}",
    ],
)
@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888"])
def test_templates_that_are_used(template, address):
    endpoint = Endpoint(template)
    assert template.replace("{address}", address) == endpoint.url(located(address))
    assert httpx.URL(endpoint.url(located(address)))
    assert KEY not in repr(endpoint) + str(endpoint) + endpoint.origin
    assert template.lower().startswith("https") == endpoint.is_encrypted


REFUSED = [
    None, 5, b"https://api.example/{address}", "", "{address}",
    f"https://api.example/{KEY}", f"https://api.example/{{ip}}?{KEY}", f"https://api.example/{{address}}/{{address}}?{KEY}",
    f"https://api.example/{{Address}}?{KEY}", f"https://api.example/{{address}}?key={{{KEY}}}",
    f"http://api.example/{{address}}?{KEY}", f"//api.example/{{address}}?{KEY}", f"api.example/{{address}}?{KEY}",
    f"ftp://api.example/{{address}}?{KEY}", f"file:///{{address}}?{KEY}", f"https:///{{address}}?{KEY}",
    f"https:{{address}}?{KEY}",
    f"http://127.0.0.1.evil.example/{{address}}?{KEY}", f"http://localhost.evil.example/{{address}}?{KEY}",
    f"http://notlocalhost/{{address}}?{KEY}", f"http://localhost@evil.example/{{address}}?{KEY}",
    f"http://0.0.0.0/{{address}}?{KEY}", f"http://10.0.0.1/{{address}}?{KEY}", f"http://[::ffff:10.0.0.1]/{{address}}?{KEY}",
    f"https://{{address}}/{KEY}", f"https://{{address}}.api.example/{KEY}", f"https://api.{{address}}/{KEY}",
    f"https://{{address}}:{KEY}@api.example/", f"https://api.example:{{address}}/{KEY}", f"https://api.example{{address}}/{KEY}",
    f"{{address}}://api.example/{KEY}", f"https://api.example/#{{address}}{KEY}", f"https://api.example/{{address}}#{KEY}",
    f"https://user:a#{KEY}@api.example/{{address}}", f"https://api.example/{{address}} {KEY}", f" https://api.example/{{address}}{KEY}",
    f"https://api.example/{{address}}\r\nX: {KEY}", f"https://api.example\\@evil.example/{{address}}{KEY}",
    f"https://äpi.example/{{address}}{KEY}", f"https://[::1/{{address}}{KEY}", f"https://api.example:99999/{{address}}{KEY}",
    f"https://api.example:x{KEY}/{{address}}", f"https://[{KEY}]/{{address}}", f"https://api.example:0/{{address}}{KEY}",
]  # fmt: skip


@pytest.mark.parametrize("template", REFUSED)
def test_templates_that_are_refused_without_being_shown(template):
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(template)
    assert "locator" == caught.value.option
    assert caught.value.remedy
    error = caught.value
    while error is not None:  # a traceback shows what an error was raised from
        assert KEY not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


PIECES = [
    "/",
    "//",
    "\\",
    "?",
    "@",
    ":",
    ".",
    "%2f",
    "%40",
    "[",
    "]",
    "[::1]",
    "localhost",
    "127.0.0.1",
    "evil.example",
    "8443",
    "a",
    ";",
]


@settings(deadline=None, database=None)
@given(
    st.sampled_from(["https://", "http://", "https:", "http:", ""]),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=3).map("".join),
)
@example("https://", "api.example/", "")
def test_what_is_taken_goes_to_one_host_whatever_the_address_and_whoever_reads_the_url(scheme, before, after):
    try:
        endpoint = Endpoint(scheme + before + "{address}" + after)
    except ConfigurationError:
        return
    hosts = set()
    for address in ("8.8.8.8", "2001:4860:4860::8888"):
        try:
            url = httpx.URL(endpoint.url(located(address)))
        except httpx.InvalidURL:
            return
        hosts.add(f"{url.scheme}://{url.host.lower()}")
        assert (
            "https" == url.scheme
            or url.host in {"localhost", "::1"}
            or url.host.startswith("127.")
            or url.host.endswith(".localhost")
        )
    assert 1 == len(hosts)
    assert hosts == {endpoint.origin.lower()}
