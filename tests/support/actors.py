"""Actors for stories: a browser with one cookie jar and some tabs, a thief with a copy, a script outside browsers."""

from __future__ import annotations

from typing import Any

from asgi_tokenguard import RefreshCookie
from support.wire import Answer, call

OWN = "https://app.example"
COOKIE = "__Host-refresh"
FRESH = "__Host-fresh"
# What browsers say of themselves, by what they do.
METADATA = {
    "fetch": {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
    "page": {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    "form": {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    "image": {"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    "frame": {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    "events": {
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
        "accept": "text/event-stream",
    },
    "prefetch": {
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
        "sec-purpose": "prefetch",
    },
    "cross-form": {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
        "origin": "https://evil.example",
    },
    "cross-fetch": {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
        "origin": "https://evil.example",
    },
    "bare": {},  # not a browser, or an old one
}


class Browser:
    """One cookie jar, for the refresh and the freshness cookie; *agent* and *address* are those of its machine."""

    def __init__(
        self, app: Any, *, cookie: RefreshCookie | None = None, agent: str | None = None, address: str | None = None
    ) -> None:
        self.app = app
        self.cookie = cookie or RefreshCookie()
        self.agent = agent
        self.address = address
        self.jar: str | None = None
        self.fresh: str | None = None

    def tab(self) -> Tab:
        return Tab(self)

    def store(self, answer: Answer) -> None:
        cookie, fresh = answer.cookie(self.cookie.name), answer.cookie(self.cookie.fresh_name)
        if cookie is not None:
            self.jar = cookie or None
        if fresh is not None:
            self.fresh = fresh or None

    @property
    def cookies(self) -> str:
        """The `Cookie` header."""
        found = {self.cookie.name: self.jar, self.cookie.fresh_name: self.fresh}
        return "; ".join(f"{name}={value}" for name, value in found.items() if value is not None)


class Tab:
    """A page's memory: it holds the access token, and takes or loses answers."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.token: str | None = None

    async def ask(
        self,
        path: str = "/me",
        *,
        method: str = "GET",
        kind: str = "fetch",
        token: bool = True,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> Answer:
        """Send a request with what the tab has now; the answer is still on the wire."""
        sent = dict(METADATA[kind]) | (headers or {})
        if kind == "fetch" and method not in {"GET", "HEAD"}:
            sent.setdefault("origin", OWN)
        if self.browser.cookies:
            sent["cookie"] = self.browser.cookies
        if self.browser.agent is not None:
            sent.setdefault("user-agent", self.browser.agent)
        if self.browser.address is not None:
            extra.setdefault("client", (self.browser.address, 50000))
        # Only a script can send the token.
        if token and self.token is not None and kind in {"fetch", "bare", "cross-fetch"}:
            sent["authorization"] = f"Bearer {self.token}"
        return await call(self.browser.app, method, path, sent.items(), **extra)

    def take(self, answer: Answer) -> Answer:
        """The answer arrives."""
        self.browser.store(answer)
        if answer.new_token is not None:
            self.token = answer.new_token
        return answer

    async def get(self, path: str = "/me", **options: Any) -> Answer:
        return self.take(await self.ask(path, **options))

    async def post(self, path: str, **options: Any) -> Answer:
        return self.take(await self.ask(path, method="POST", **options))

    def reload(self) -> None:
        self.token = None


class Thief:
    """Holds a copy of a refresh cookie, and calls from a program of his own."""

    def __init__(self, victim: Browser) -> None:
        self.own = Browser(victim.app, cookie=victim.cookie)
        self.own.jar = victim.jar
        # Other strings than his victim's browser: with the same ones he passes for one that came back with an old cookie.
        self.tab = self.own.tab()

    async def get(self, path: str = "/me") -> Answer:
        return await self.tab.get(path, kind="bare", headers={"user-agent": "a program of his own"})
