"""
Who stands on the wire of the demo: a pickpocket with copies of spent cookies, and a witness of posts from other sites.

A thief would get his copy from a backup, a log, a borrowed laptop or a broken browser.  A page cannot show any of that, since
its script reads no `HttpOnly` cookie and no answer to another site; so the demo's server looks over the guard's shoulder.
Nothing outside of the demo imports this.  A copy stays in this process: no answer contains one.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import parse_qs

from asgi_tokenguard.demo.client import COOKIE, claim

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from asgi_tokenguard.guard import TokenGuard

T = TypeVar("T")

# Sessions and posts that are remembered; a demo has a handful.
MOST: Final = 100
# What a page calls its post, to find it again: a UUID.
NAME: Final = re.compile(r"[0-9a-f-]{36}", re.ASCII)
# A refusal is a few hundred bytes.
LONGEST_BODY: Final = 4096


class Seen(NamedTuple):
    """What the guard answered a post from another site."""

    origin: str
    site: str
    cookie_came: bool
    status: int
    code: str | None
    detail: str | None
    handed_out: bool


class Bystander:
    """Stands in front of the guarded *app* and changes nothing."""

    def __init__(self, app: ASGIApp, guard: TokenGuard) -> None:
        self.app = app
        self.guard = guard
        self.spent: OrderedDict[str, str] = OrderedDict()
        """By session: the refresh cookie that its latest rotation has superseded."""
        self.seen: OrderedDict[str, Seen] = OrderedDict()
        """By the name that the post bore."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        glimpse = Glimpse(_cookie(headers), send)
        await self.app(scope, receive, glimpse.send)
        self._pick_pocket(glimpse)
        self._bear_witness(scope, headers, glimpse)

    def _pick_pocket(self, glimpse: Glimpse) -> None:
        old, new = glimpse.came, glimpse.left
        # One session, a generation on: the guard has checked the old one, or it would have handed out no successor to it.
        sid = claim(old or "", "sid")
        if old and new and old != new and isinstance(sid, str) and sid == claim(new, "sid"):
            _remember(self.spent, sid, old)

    def _bear_witness(self, scope: Scope, headers: dict[str, str], glimpse: Glimpse) -> None:
        name = parse_qs(scope["query_string"].decode("latin-1")).get("attack", [""])[0]
        if NAME.fullmatch(name):
            body = glimpse.body_values()
            seen = Seen(
                origin=headers.get("origin", ""),
                site=headers.get("sec-fetch-site", ""),
                cookie_came=glimpse.came is not None,
                status=glimpse.status,
                code=body.get("code"),
                detail=body.get("detail"),
                handed_out=glimpse.handed_out,
            )
            _remember(self.seen, name, seen)


class Glimpse:
    """One request, as far as a bystander sees it."""

    def __init__(self, came: str | None, send: Send) -> None:
        self.came = came
        self.left: str | None = None
        self.status = 0
        self.handed_out = False
        self._body = b""
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._read_head(message)
        elif message["type"] == "http.response.body" and len(self._body) < LONGEST_BODY:
            self._body += message.get("body", b"")
        await self._send(message)

    def _read_head(self, message: Message) -> None:
        self.status = message["status"]
        for name, value in message["headers"]:
            if name == b"set-cookie":
                self.handed_out = True
                key, _, rest = value.decode("latin-1").partition("=")
                if key == COOKIE:
                    self.left = rest.partition(";")[0]
            elif name == b"x-new-access-token":
                self.handed_out = True

    def body_values(self) -> dict[str, str]:
        try:
            values: object = json.loads(self._body)
        except ValueError:
            return {}
        return {key: str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def _cookie(headers: dict[str, str]) -> str | None:
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), None)


def _remember(table: OrderedDict[str, T], key: str, value: T) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > MOST:
        table.popitem(last=False)
