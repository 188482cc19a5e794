"""
A browser as far as the self-test, and the demo's thief, need one.

It keeps one cookie and one access token, and can lose an answer.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import httpx

COOKIE: Final = "__Host-refresh"
FRESH: Final = "__Host-fresh"
# What a page's own script says of itself, and what a script of another site's page cannot help saying.
OWN: Final = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
FOREIGN: Final = {**OWN, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; *token* and *cookie* are None where none was handed out, *cookie* is empty where it was cleared."""

    status: int
    body: Any
    token: str | None
    cookie: str | None
    attributes: str
    fresh: str | None = None

    @property
    def code(self) -> str | None:
        code = self.body.get("code") if isinstance(self.body, dict) else None
        return code if isinstance(code, str) else None

    @property
    def session_id(self) -> object:
        """Whose answer it is, where `/api/me` tells."""
        return self.body.get("session_id") if isinstance(self.body, dict) else None

    @property
    def verdict(self) -> str:
        """Status and code: what a step compares."""
        return f"{self.status} {self.code}" if self.code else str(self.status)


class Browser:
    """One cookie jar and one page."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.token: str | None = None
        self.cookie: str | None = None
        self.fresh: str | None = None
        self.town = "paris"
        self.agent = "self-test"

    async def log_in(self, user: str, password: str) -> Answer:
        return self.take(await self.ask("POST", "/login", json={"user": user, "password": password}))

    async def get(self, path: str = "/api/me") -> Answer:
        return self.take(await self.ask("GET", path))

    async def post(self, path: str, json: dict[str, str] | None = None) -> Answer:
        return self.take(await self.ask("POST", path, json=json))

    async def delete(self, path: str) -> Answer:
        return self.take(await self.ask("DELETE", path))

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] = OWN,
        token: bool = True,
        cookie: bool = True,
        json: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request; the answer is not taken yet, and may get lost."""
        sent = {"User-Agent": self.agent, "X-Demo-Town": self.town, **headers}
        # By hand: the jar of the standard library takes no localhost for a safe place, and drops Secure cookies there.
        jar = {COOKIE: self.cookie, FRESH: self.fresh} if cookie else {}
        pairs = [f"{name}={value}" for name, value in jar.items() if value]
        if pairs:
            sent["Cookie"] = "; ".join(pairs)
        if token and self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        return _read(await self._http.request(method, path, headers=sent, json=json))

    def take(self, answer: Answer) -> Answer:
        if answer.cookie is not None:
            self.cookie = answer.cookie
        if answer.token is not None:
            self.token = answer.token
        if answer.fresh is not None:
            self.fresh = answer.fresh
        return answer

    def copy(self) -> Browser:
        """Another program with the same refresh cookie, in the same town: a parallel tab, or a thief's."""
        other = Browser(self._http)
        other.cookie, other.agent = self.cookie, self.agent
        return other


def claim(token: str, name: str) -> object:
    """A claim of *token*, read without a check, since it was not ours to check; None where it has none, or is no token."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return None
    return claims.get(name) if isinstance(claims, dict) else None


def _read(response: httpx.Response) -> Answer:
    cookie, attributes, fresh = None, "", None
    for line in response.headers.get_list("set-cookie"):
        pair, _, rest = line.partition("; ")
        name, _, value = pair.partition("=")
        if name == COOKIE:
            cookie, attributes = value, rest
        elif name == FRESH:
            fresh = value
    try:
        body = response.json()
    except ValueError:
        body = response.text
    return Answer(
        status=response.status_code,
        body=body,
        token=response.headers.get("x-new-access-token"),
        cookie=cookie,
        attributes=attributes,
        fresh=fresh,
    )
