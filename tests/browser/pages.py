"""What pages of stories do: by hand, as a page without our client would."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from browser.house import PATIENCE, House
from playwright.async_api import BrowserContext, Page

T = TypeVar("T")

# Browsers open six connections to a host over HTTP/1.1, for all tabs together; some may be busy with something else.
AT_ONCE = 4

# The eight lines of JavaScript without which no page can use the guard.  `no-store`, since requests for one URL wait for each
# other at the lock of the HTTP cache, and no race would be run.
BY_HAND = """
window.ask = async (path, options = {}) => {
  const headers = {...options.headers};
  if (window.token) headers.authorization = `Bearer ${window.token}`;
  const answer = await fetch(path, {cache: "no-store", ...options, headers});
  const token = answer.headers.get("x-new-access-token");
  if (token) window.token = token;
  return {status: answer.status, body: await answer.json().catch(() => null), token: token !== null};
};
"""

# What pages of others send to an app; each is a function of an address of it.
FORM = """url => {
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: url});
  document.body.append(form);
  form.submit();
}"""
FETCH = """([url, options]) => fetch(url, {credentials: "include", cache: "no-store", ...options}).then(
  answer => ({type: answer.type, status: answer.status, token: answer.headers.get("x-new-access-token")}),
  error => error.name)"""
IMAGE = """url => new Promise(resolve => {
  const image = new Image();
  image.onload = () => resolve("shown");
  image.onerror = () => resolve("failed");
  image.src = url;
})"""
SOCKET = """url => new Promise(resolve => {
  const socket = new WebSocket(url.replace("http", "ws"));
  socket.onmessage = event => resolve(event.data);
  socket.onclose = event => resolve(event.code);
})"""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a page's script was answered; *token*: whether it could read a new access token."""

    status: int
    body: Any
    token: bool


async def ask(page: Page, path: str = "/me", **options: Any) -> Answered:
    return Answered(**await page.evaluate("([path, options]) => ask(path, options)", [path, options]))


async def tab(context: BrowserContext, url: str) -> Page:
    page = await context.new_page()
    await page.goto(url)
    return page


async def signed_in(context: BrowserContext, house: House, user: str = "user-1") -> Page:
    """A tab of a public page whose user has just logged in."""
    page = await tab(context, house.url)
    answered = await ask(page, f"/login?user={user}", method="POST")
    if answered.status != 200:
        raise RuntimeError(f"the login was answered {answered}")
    return page


async def refresh_cookie(context: BrowserContext) -> dict[str, Any] | None:
    """The refresh cookie as the browser keeps it."""
    return next((dict(cookie) for cookie in await context.cookies() if cookie["name"] == "__Host-refresh"), None)


async def eventually(look: Callable[[], Awaitable[T] | T]) -> T:
    """What *look* finds, plain or async, once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        found = await found if isinstance(found, Awaitable) else found
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        await asyncio.sleep(0.02)


async def app(context: BrowserContext, house: House, name: str = "app", **options: Any) -> Page:
    """A tab with a public page of the app that uses the client (with *options*), once its first call is answered."""
    page = await context.new_page()
    await page.goto(f"{house.url}/open/app/{name}?{urlencode({'options': json.dumps(options)})}")
    await page.evaluate("loaded")
    return page


async def signed_in_app(context: BrowserContext, house: House, user: str = "user-1", **options: Any) -> Page:
    page = await app(context, house, **options)
    answered = await ask(page, f"/login?user={user}", method="POST")
    if (answered.status, answered.token) != (200, True):
        raise RuntimeError(f"the login was answered {answered}")
    await page.evaluate("signedOut.length = 0")  # it was nobody's before
    return page


async def race(house: House, path: str, *doing: Awaitable[T]) -> list[T]:
    """Do all of *doing*, which ask for *path*, so that several requests are in the app before one is answered."""
    gate = house.slow_handler(path)
    try:
        going = asyncio.gather(*doing)
        await eventually(lambda: gate.waiting >= AT_ONCE)
    finally:
        gate.open()
    return await going
