"""One exchange with a provider of locations, and all that it may not do to us.  The only importer of httpx."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.geo.addresses import Address
from asgi_tokenguard.geo.endpoint import Endpoint
from asgi_tokenguard.geo.fields import Fields
from asgi_tokenguard.loops import PerLoop

if TYPE_CHECKING:
    import httpx

# Sample answers of the providers in `fields.py` have a few KB, with all that can be bought.  64 KB are parsed in 1 to 4 ms.
LARGEST_ANSWER: Final = 65_536

_OK: Final = 200
_NOT_FOUND: Final = 404
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[!-~]([ \t!-~]*[!-~])?", re.ASCII)

_is_ours: Final = ContextVar("asgi_tokenguard_locates", default=False)


class ProviderError(Exception):
    """The provider gave no answer; the text says why, and has no part of the URL or of the answer."""


class Provider:
    """
    Asks *endpoint* for one address at a time, within *timeout* seconds, and reads the answer by *fields*.

    A client of our own uses the proxies of the environment, follows no redirects and keeps no cookies.  A *client* that is
    passed stays the user's: it is used as it is, but for redirects, and never closed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        fields: Fields,
        *,
        timeout: float,
        headers: Mapping[str, str] | None,
        client: httpx.AsyncClient | None,
    ) -> None:
        if not isinstance(fields, Fields):
            raise ConfigurationError(
                "locator", f"fields={type(fields).__name__}", "pass Fields(...), or Fields.IPINFO and others"
            )
        self._endpoint = endpoint
        self._fields = fields
        self._timeout = _checked_timeout(timeout)
        # Half of it for TCP and half for TLS, so that httpx's own timeout ends a handshake that hangs: where ours does, by
        # cancelling, httpcore 1.0 leaves the socket open until the other side closes it.
        self._patience = (timeout / 2, timeout, timeout, timeout)
        # An answer is counted as it arrives: compressed, 64 KB could be 64 MB.
        self._headers = {"Accept": "application/json", **_checked_headers(headers), "Accept-Encoding": "identity"}
        self._open = _opener(endpoint)
        self._source: PerLoop[httpx.AsyncClient] | httpx.AsyncClient = PerLoop() if client is None else _checked_client(client)
        _keep_urls_out_of_logs()

    async def ask(self, address: Address) -> Place | None:
        """
        Where the provider says that the address is, or None where it does not know.

        Raises ProviderError, TimeoutError, what httpx raises, and whatever a client that was passed raises.
        """
        mark = _is_ours.set(True)
        try:
            # httpx's own timeouts are for each read: with a byte a second a look-up would last for ever.
            async with asyncio.timeout(self._timeout):
                answer = await self._exchange(self._endpoint.url(address))
        finally:
            _is_ours.reset(mark)
        if answer is None:
            return None
        if not self._fields.is_about(answer, address):
            raise ProviderError("an answer about another address")
        return self._fields.place(answer)

    async def _exchange(self, url: str) -> dict[str, object] | None:
        client = self._source.get(self._open) if isinstance(self._source, PerLoop) else self._source
        async with client.stream("GET", url, headers=self._headers, follow_redirects=False, timeout=self._patience) as response:
            if response.status_code == _NOT_FOUND:
                return None  # how MaxMind says that it does not know an address
            if response.status_code != _OK:
                # Redirects too: that host was never checked, and would get users' addresses, and perhaps the key.
                raise ProviderError(f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ProviderError("a compressed answer, which was not asked for")
            return _object(await _body(response))

    async def aclose(self) -> None:
        """Close the client that was opened for the running loop, if there is one."""
        client = self._source.pop() if isinstance(self._source, PerLoop) else None
        if client is not None:
            await client.aclose()


def _opener(endpoint: Endpoint) -> Callable[[], httpx.AsyncClient]:
    """
    Import httpx and read the certificates, 0.2 s of work, now and not within the first user's request.

    Not when the module is imported: whoever reads files or a table needs no HTTP client.
    """
    import httpx  # noqa: PLC0415 (the one place to change for httpx2)

    try:
        httpx.URL(endpoint.url(IPv4Address("8.8.8.8")))
    except httpx.InvalidURL:
        raise ConfigurationError("locator", "httpx does not take the URL", "correct its host and port") from None
    certificates = httpx.create_ssl_context()

    def open_client() -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=certificates,
            headers={"User-Agent": "asgi-tokenguard"},
            # A provider that sets cookies would recognise us, and fill memory with them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # Plain http goes to this machine alone, and not through a proxy that the environment names.
            trust_env=endpoint.is_encrypted,
        )

    return open_client


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async with aclosing(response.aiter_raw()) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise ProviderError(f"an answer of more than {LARGEST_ANSWER} bytes")
    return bytes(body)


def _object(body: bytes) -> dict[str, object]:
    # The Content-Type is not looked at: it is as easily wrong as the rest, and every maker has one of its own.
    try:
        answer: object = json.loads(body)
    except (ValueError, RecursionError):  # no UTF-8, a number of 5,000 digits, 20,000 brackets
        raise ProviderError("an answer that is no JSON") from None
    if not isinstance(answer, dict):
        raise ProviderError("an answer that is no JSON object")
    return answer


def _checked_timeout(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise ConfigurationError("locator", f"timeout={timeout!r}", "write seconds, such as 1.0")
    return timeout


def _checked_headers(headers: object) -> dict[str, str]:
    """The headers as they are sent.  Values may be keys, and names may be values in the wrong place: neither is shown."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise ConfigurationError("locator", f"headers={type(headers).__name__}", "pass a dict of names and values")
    for name, value in headers.items():
        if not (
            isinstance(name, str) and _HEADER_NAME.fullmatch(name) and isinstance(value, str) and _HEADER_VALUE.fullmatch(value)
        ):
            remedy = "write printable ASCII without spaces around it: {'Authorization': 'Bearer ...'}"
            raise ConfigurationError("locator", "a header's name or value cannot be sent", remedy)
    return {name.title(): value for name, value in headers.items()}


def _checked_client(client: httpx.AsyncClient) -> httpx.AsyncClient:
    # By what it can do and not by its class, so that an httpx2.AsyncClient does as well; a sync client has no `aclose`.
    if isinstance(client, type) or not (hasattr(client, "stream") and hasattr(client, "aclose")):
        raise ConfigurationError("locator", f"client={type(client).__name__}", "pass an httpx.AsyncClient")
    return client


def _keep_urls_out_of_logs() -> None:
    # httpx logs every URL at INFO: with `logging.basicConfig(level=INFO)` every user's address, and our key.  Only what
    # our own look-ups say is kept back; an app's other requests are logged as before.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).addFilter(_is_not_ours)


def _is_not_ours(_: logging.LogRecord) -> bool:
    return not _is_ours.get()
