"""
What the self-test tells: each story one promise, with browsers of its own.

A story returns its figures, or raises `Unexpected` with what was expected and what came.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.demo.app import USERS
from asgi_tokenguard.demo.client import FOREIGN, OWN, Answer, Browser, claim

if TYPE_CHECKING:
    import httpx

    from asgi_tokenguard.guard import TokenGuard

TABS: Final = 20
CALLS: Final = 50


class Unexpected(Exception):
    """A promise that was not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What every story has: a way to the server, and its guard for what an administrator does."""

    http: httpx.AsyncClient
    guard: TokenGuard
    lifetimes: Lifetimes

    async def signed_in(self, user: str = "ada") -> Browser:
        browser = Browser(self.http)
        expect("the login's answer", "200", (await browser.log_in(user, USERS[user])).verdict)
        if not (browser.token and browser.cookie):
            raise Unexpected(f"the login's tokens: expected both, came {_names(browser)}")
        return browser

    async def let_access_expire(self) -> None:
        await asyncio.sleep(self.lifetimes.access + 0.05)

    async def let_settle(self) -> None:
        await asyncio.sleep(self.lifetimes.grace + 0.05)


@dataclass(frozen=True, slots=True)
class Story:
    promise: str
    play: Callable[[Stage], Awaitable[str]]


def expect(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise Unexpected(f"{what}: expected {expected}, came {came}")


async def logging_in(stage: Stage) -> str:
    browser = Browser(stage.http)
    expect("a wrong password", "401", (await browser.log_in("ada", "babbage")).verdict)
    answer = await browser.log_in("ada", USERS["ada"])
    expect("the right one", "200", answer.verdict)
    expect("handed out", "access token and cookie", _names(answer))
    missing = [name for name in ("Secure", "HttpOnly", "SameSite=Lax") if name not in answer.attributes]
    expect("attributes that the cookie lacks", [], missing)
    return f"access token of {len(answer.token or '')} bytes, cookie of {len(answer.cookie or '')}, {answer.attributes}"


async def using(stage: Stage) -> str:
    browser = await stage.signed_in()
    times: list[float] = []
    while len(times) < CALLS and sum(times) < 1:  # on a slow machine fewer: the token is to live through all of them
        began = time.perf_counter()
        answer = await browser.ask("GET", "/api/me", cookie=False)
        times.append(time.perf_counter() - began)
        expect("a request with the token", "200", answer.verdict)
        expect("whose", "ada", answer.body.get("user"))
        expect("handed out", "nothing", _names(answer))
    return f"{len(times)} requests, median {statistics.median(times) * 1000:.1f} ms over HTTP, nothing handed out"


async def refusing(stage: Stage) -> str:
    nobody = Browser(stage.http)
    expect("without a token", "401 token_required", (await nobody.get()).verdict)
    browser = await stage.signed_in()
    head, payload, signature = (browser.token or "").split(".")
    browser.token = f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    expect("with a forged one", "401 invalid_token", (await browser.get()).verdict)
    return "401 token_required, and 401 invalid_token for a forged one, though a good cookie came with it"


async def listing(stage: Stage) -> str:
    browser, other = await stage.signed_in(), await stage.signed_in()
    mine = (await browser.get()).session_id
    theirs = (await other.get()).session_id
    answer = await browser.get("/auth/sessions")
    expect("the list's answer", "200", answer.verdict)
    marks = {session["id"]: session["current"] for session in answer.body["sessions"]}
    expect("marked as the asking one", {mine: True, theirs: False}, {sid: marks.get(sid) for sid in (mine, theirs)})
    return f"{len(marks)} sessions, the asking one marked"


async def rotating(stage: Stage) -> str:
    browser = await stage.signed_in()
    before = (await browser.get()).session_id
    old_token, old_cookie = browser.token, browser.cookie
    await stage.let_access_expire()
    expect("the token alone", "401 token_expired", (await browser.ask("GET", "/api/me", cookie=False)).verdict)
    answer = await browser.get()
    expect("token and cookie", "200", answer.verdict)
    expect("handed out", "access token and cookie", _names(answer))
    expect("old ones among them", 0, len({answer.token, answer.cookie} & {old_token, old_cookie}))
    expect("the session", before, answer.session_id)
    expect("the new token alone", "200", (await browser.ask("GET", "/api/me", cookie=False)).verdict)
    return "the token alone 401; with the cookie 200 and the next pair in the same answer, same session"


async def parallel(stage: Stage) -> str:
    browser = await stage.signed_in()
    await stage.let_access_expire()
    stale = browser.copy()
    stale.token = browser.token
    answers = await asyncio.gather(*(stale.ask("GET", "/api/me") for _ in range(TABS)))
    expect("the answers", {"200": TABS}, Counter(answer.verdict for answer in answers))
    expect("different cookies handed out", 1, len({answer.cookie for answer in answers}))
    expect("different access tokens handed out", 1, len({answer.token for answer in answers}))
    expect("rotations", 1, claim(answers[0].cookie or "", "gen"))
    browser.take(answers[0])
    expect("the successor", "200", (await browser.get()).verdict)
    late = await stale.ask("GET", "/api/me")
    expect("a straggler within the grace", "200", late.verdict)
    expect("handed to the straggler", "nothing", _names(late))
    return f"{TABS} times 200, 1 rotation, 1 successor; a straggler afterwards is served and handed nothing"


async def losing(stage: Stage) -> str:
    browser = await stage.signed_in()
    await stage.let_access_expire()
    lost = await browser.ask("GET", "/api/me")
    expect("the rotation", "200", lost.verdict)
    await stage.let_settle()  # the grace is over: it takes no luck with the time
    again = await browser.ask("GET", "/api/me")
    expect("the old cookie once more", "200", again.verdict)
    expect("different successors", 1, len({lost.cookie, again.cookie}))
    browser.take(again)
    expect("the successor", "200", (await browser.get()).verdict)
    return f"a rotation's answer was thrown away; {stage.lifetimes.grace:g} s later the old cookie brings the same successor"


async def crossing(stage: Stage) -> str:
    browser = await stage.signed_in()
    for what, headers, expected in (
        ("a page of another site", FOREIGN, "403 cross_site_request"),
        ("neither Origin nor Fetch Metadata", {}, "403 cross_site_request"),
        ("the app's own page", OWN, "200"),
    ):
        answer = await browser.ask("POST", "/api/transfer", headers=headers, token=False)
        expect(f"a POST on the cookie from {what}", expected, answer.verdict)
    credentials = {"user": "ada", "password": USERS["ada"]}
    answer = await Browser(stage.http).ask("POST", "/login", headers=FOREIGN, json=credentials)
    expect("a login from another site", 403, answer.status)
    return "403 from another site, and where nothing tells the site; 200 from the app's own; a login from another site 403"


async def stealing(stage: Stage) -> str:
    owner = await stage.signed_in()
    thief = owner.copy()
    thief.agent = "another program"
    await stage.let_access_expire()
    expect("the owner's rotation", "200", (await owner.get()).verdict)
    expect("the owner's next request", "200", (await owner.get()).verdict)
    await stage.let_settle()
    expect("the thief's copy", "401 reuse_detected", (await thief.get()).verdict)
    expect("the owner, signed out too", "401 reuse_detected", (await owner.get()).verdict)
    return f"{stage.lifetimes.grace:g} s after its successor was seen, the copy is 401 reuse_detected, and so is the owner"


async def revoking(stage: Stage) -> str:
    browsers = [await stage.signed_in("grace") for _ in range(3)]
    for browser in browsers:
        expect("before", "200", (await browser.get()).verdict)
    began = time.perf_counter()
    expect("sessions ended", len(browsers), await stage.guard.revoke_all("grace"))
    for browser in browsers:
        expect("the next request", "401 revoked", (await browser.get()).verdict)
    took = (time.perf_counter() - began) * 1000
    return f"revoke_all ended {len(browsers)} sessions; each next request was 401, the last {took:.0f} ms after the call began"


async def leaving(stage: Stage) -> str:
    browser = await stage.signed_in()
    token, cookie = browser.token, browser.cookie
    answer = await browser.post("/auth/logout")
    expect("the logout", "204", answer.verdict)
    expect("the cookie, cleared", "", answer.cookie)
    browser.token, browser.cookie = token, cookie
    expect("the old tokens", "401 logged_out", (await browser.get()).verdict)
    return "204, the cookie cleared; what was kept of the tokens is 401"


async def ending(stage: Stage) -> str:
    lost, browser = await stage.signed_in(), await stage.signed_in()
    sid = (await lost.get()).session_id
    browser.fresh = None  # as after the minute that a login counts as fresh here
    expect("without a fresh login", "401 step_up_required", (await browser.delete(f"/auth/sessions/{sid}")).verdict)
    expect("the password once more", "200", (await browser.post("/confirm", {"password": USERS["ada"]})).verdict)
    expect("the end of the other device", "204", (await browser.delete(f"/auth/sessions/{sid}")).verdict)
    expect("that device", "401 revoked", (await lost.get()).verdict)
    expect("this one", "200", (await browser.get()).verdict)
    return "a lost device is ended after the password was asked for; its next request is 401, this one goes on"


async def moving(stage: Stage) -> str:
    near, middle, far = [await stage.signed_in("alan") for _ in range(3)]
    before = (await middle.get()).session_id
    near.town, middle.town, far.town = "versailles", "compiegne", "tokyo"
    await stage.let_access_expire()
    expect("from 18 km away", "200", (await near.get()).verdict)
    expect("from 72 km away", "401 step_up_required", (await middle.get()).verdict)
    expect("the password", "200", (await middle.post("/confirm", {"password": USERS["alan"]})).verdict)
    expect("afterwards, the same session", before, (await middle.get()).session_id)
    expect("from Tokyo", "401 revoked", (await far.get()).verdict)
    return "18 km proceed, 72 km ask for the password and go on, Tokyo ends the session"


STORIES: Final = (
    Story("log in: tokens for the right password only", logging_in),
    Story("use: the access token is enough", using),
    Story("no entry without a token, or with a forged one", refusing),
    Story("the user's sessions are listed", listing),
    Story("expiry: the request that meets it rotates and is served", rotating),
    Story(f"{TABS} parallel requests with one expired token: one rotation", parallel),
    Story("a lost answer heals", losing),
    Story("a cookie alone carries no post across sites", crossing),
    Story("reuse of a stolen copy ends the session", stealing),
    Story("revocation is seen at once", revoking),
    Story("a lost device is ended from another one", ending),
    Story("a move is judged by its distance", moving),
    Story("log out", leaving),
)


def _names(holder: Answer | Browser) -> str:
    names = [name for name, held in (("access token", holder.token), ("cookie", holder.cookie)) if held]
    return " and ".join(names) or "nothing"
