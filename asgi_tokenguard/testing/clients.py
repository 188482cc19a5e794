"""
Browsers for tests: httpx clients that keep the access token as a page does.

`AuthClient` is for tests that are functions, `AsyncAuthClient` for tests that are coroutines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

import httpx

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.testing.guarding import clock_of
from asgi_tokenguard.testing.page import DOCUMENT, Page
from asgi_tokenguard.testing.running import AsyncWire, RunningApp, Wire

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from asgi_tokenguard.guard import TokenGuard

T = TypeVar("T")
# P42: over plain http a client keeps a `Secure` cookie to itself, as a browser does.
BASE_URL: Final = "https://testserver"
ADDRESS: Final = "127.0.0.1"


class _Browser:
    """What both clients have in common."""

    _page: Page
    _wire: Wire | AsyncWire

    @property
    def access_token(self) -> str | None:
        """The token that the page holds in memory: None before a login and after a reload."""
        return self._page.access_token

    @access_token.setter
    def access_token(self, token: str | None) -> None:
        self._page.access_token = token

    @property
    def address(self) -> str:
        """The IP address from which the next request comes."""
        return self._wire.address

    @address.setter
    def address(self, address: str) -> None:
        self._wire.address = address

    @property
    def guard(self) -> TokenGuard:
        """The outermost guard of the app, to revoke or to look at sessions; raises `ConfigurationError` where none shows."""
        guards = self._wire.running.guards
        if not guards:
            raise ConfigurationError("app", "no guard of it can be seen", "wrap the app: guarded(app)")
        return guards[0]

    def tab(self) -> Self:
        """Another page of this browser: the same cookies, and no access token yet."""
        tab = self.another_browser()
        cast("httpx.Client", tab).cookies = cast("httpx.Client", self).cookies.jar
        return tab

    def another_browser(self, *, address: str | None = None, headers: Mapping[str, str] | None = None) -> Self:
        """
        Another browser before the same running app, without cookies; nobody has to enter or to close it.

        It has the address and the headers of this one, but for those that are given.
        """
        here = cast("httpx.Client", self)
        make = cast("Callable[..., Self]", type(self))
        together = {**here.headers, **{name.lower(): value for name, value in (headers or {}).items()}}
        return make(self._wire.running, base_url=str(here.base_url), address=address or self.address, headers=together)

    def _settle(self, wire: Wire | AsyncWire, base_url: str, headers: Mapping[str, str] | None) -> dict[str, Any]:
        """Remember what the client is made of; the arguments for httpx."""
        guards = wire.running.guards
        url = httpx.URL(base_url)
        self._wire = wire
        self._page = Page(guards[0].engine.settings if guards else None)
        cookies = httpx.Cookies()
        clock = clock_of(guards)
        if clock is not None:
            clock.move_cookies(cookies.jar)
        return {
            "transport": wire,
            "auth": self._page,
            "base_url": url,
            "headers": headers,
            "cookies": cookies.jar,
            "follow_redirects": True,  # as browsers do
            "timeout": None,  # a busy machine is no outage; pytest has timeouts of its own
        }

    def _navigation(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        """The headers of a navigation, over which no page keeps its memory."""
        self._page.access_token = None
        return {**DOCUMENT, **(headers or {})}


class AuthClient(_Browser, httpx.Client):
    """
    A browser with one page, before *app*, which runs (lifespan and all) for as long as `with` lasts.

    It is an `httpx.Client`: `get`, `post` and so on are what the page's script fetches, with the access token that it has, the
    browser's cookies, `Origin` and Fetch Metadata; what a request says of itself in *headers* stands.  Redirects are
    followed.  What the app raises is raised.

    *address* is the peer that the app sees; *headers* are sent with every request, `User-Agent` for one.  Answers are read to
    their end, so this is not for endless streams, nor for WebSockets.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        base_url: str = BASE_URL,
        address: str = ADDRESS,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        is_first = not isinstance(app, RunningApp)
        wire = Wire(RunningApp(app) if is_first else cast("RunningApp", app), address, is_first=is_first)
        super().__init__(**self._settle(wire, base_url, headers))

    def navigate(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Go to *url* as a click does, or the submission of a form: on the cookie alone, since a new page knows no token."""
        return self.request(method, url, headers=self._navigation(headers), **more)

    def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The result of `await function(*args)` in the app's event loop: `client.call(client.guard.revoke_all, "ada")`."""
        return cast("Wire", self._wire).call(function, *args)


class AsyncAuthClient(_Browser, httpx.AsyncClient):
    """`AuthClient` for `async with` and `await`; the app runs in the event loop of the test."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        base_url: str = BASE_URL,
        address: str = ADDRESS,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        is_first = not isinstance(app, RunningApp)
        wire = AsyncWire(RunningApp(app) if is_first else cast("RunningApp", app), address, is_first=is_first)
        super().__init__(**self._settle(wire, base_url, headers))

    async def navigate(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Go to *url* as a click does, or the submission of a form: on the cookie alone, since a new page knows no token."""
        return await self.request(method, url, headers=self._navigation(headers), **more)
