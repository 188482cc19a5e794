"""The URL that is asked: a template that is checked once, and that nobody sees again."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.geo.addresses import Address

PLACEHOLDER: Final = "{address}"

# RFC 3986 without `#`: what follows one is never sent.  Whatever else a URL might hold is read differently by different
# programs, and then it is not clear any more whose server gets the key and the users' addresses.
_URL: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+", re.ASCII)
_REMEDY: Final = "write https://host/path/{address}, or ...?ip={address}, with other signs escaped (# as %23)"


class Endpoint:
    """
    A URL with `{address}` in its path or query.  It may hold keys: its `repr` shows the host alone, and errors nothing.

    https is a must but for the machine itself: whoever reads along would learn who uses the app and from where, and whoever
    writes along could put a thief where the owner is.
    """

    __slots__ = ("_after", "_before", "is_encrypted", "origin")

    def __init__(self, template: object) -> None:
        if not isinstance(template, str) or template.count(PLACEHOLDER) != 1:
            raise _refusal("the URL must have {address} in it, once")
        self._before, _, self._after = template.partition(PLACEHOLDER)
        parts = _split(self._before + "8.8.8.8" + self._after)
        marked = _split(self._before + "address" + self._after)
        if (marked.netloc, marked.scheme) != (parts.netloc, parts.scheme):
            raise _refusal("{address} must stand in the URL's path or query")
        self.is_encrypted = parts.scheme == "https"
        if not self.is_encrypted and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
            raise _refusal("the URL does not start with https://")
        self.origin = f"{parts.scheme}://{parts.hostname}"

    def url(self, address: Address) -> str:
        """The URL for the address: digits, a to f, points and colons, none of which ends a path or a parameter."""
        return f"{self._before}{address}{self._after}"

    def __repr__(self) -> str:
        return f"Endpoint({self.origin!r})"


def _split(url: str) -> SplitResult:
    if _URL.fullmatch(url) is None:
        raise _refusal("the URL has signs that no URL has, or a #")
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:  # not shown: its text may be the part of the URL that it is about
        raise _refusal("the URL's host or port cannot be read") from None
    if not known:
        raise _refusal("the URL has no host")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3


def _refusal(problem: str) -> ConfigurationError:
    return ConfigurationError("locator", problem, _REMEDY)
