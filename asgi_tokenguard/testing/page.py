"""What a page of a browser does beside sending requests: it keeps the access token, and its browser says who asks."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import httpx

from asgi_tokenguard.core.callers import READS

if TYPE_CHECKING:
    from asgi_tokenguard.options import Settings

# What browsers say of themselves (https://www.w3.org/TR/fetch-metadata/): a page's own script, and a click within the site.
FETCH: Final = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
DOCUMENT: Final = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-User": "?1",
}


class Page(httpx.Auth):
    """
    The memory of one page.

    It sends its access token with the requests of its script, and keeps the newest that comes back.  What a request says of
    itself stands.
    """

    def __init__(self, settings: Settings | None) -> None:
        self.access_token: str | None = None
        self._access_header = "authorization" if settings is None else settings.access_header.decode()
        self._scheme = "bearer" if settings is None else settings.access_scheme
        self._new_token_header = "x-new-access-token" if settings is None else settings.new_token_header.decode()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for name, value in FETCH.items():
            request.headers.setdefault(name, value)
        if request.method not in READS:  # where browsers tell it to their own site
            request.headers.setdefault("Origin", f"{request.url.scheme}://{request.url.netloc.decode('ascii')}")
        if self.access_token is not None:
            text = self.access_token if self._scheme is None else f"{self._scheme.title()} {self.access_token}"
            request.headers.setdefault(self._access_header, text)
        response = yield request
        # Of answers that were redirects a script sees nothing, so neither does this.
        self.take(response.headers.get(self._new_token_header))

    def take(self, token: str | None) -> None:
        """Keep *token*, which an answer handed out, unless a newer one of the same session is there."""
        if token is not None and not _is_older(token, self.access_token):
            self.access_token = token


def _is_older(token: str, known: str | None) -> bool:
    """Whether *token* is an earlier one of the same session: answers may come in another order than they were given."""
    new, old = _payload(token), _payload(known or "")
    return "sid" in old and new["sid"] == old["sid"] and (new["gen"], new["iat"]) < (old["gen"], old["iat"])


def _payload(token: str) -> dict[str, Any]:
    """What *token* says, unverified; nothing where a test has put something else in its place."""
    _, _, rest = token.partition(".")
    payload, _, _ = rest.partition(".")
    try:
        found: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return {}
    return found
