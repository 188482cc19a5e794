"""
What a thief's program does, done by the demo's server on the button's behalf, so that a page can show it.

FOR THE DEMO ONLY.  These handlers belong to the app that `tokenguard demo` runs and to no other: no other module imports them,
and the guard's own endpoints have nothing of the kind.  They are guarded like all else (a session of one's own, and no post
from another site), touch the session of the caller alone, and answer with what the guard said: never with a token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import httpx
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.demo import travel
from asgi_tokenguard.demo.client import COOKIE, FOREIGN, Answer, Browser, claim
from asgi_tokenguard.demo.fields import fields

if TYPE_CHECKING:
    from starlette.requests import Request

    from asgi_tokenguard.demo.bystander import Bystander

AGENT: Final = "thief/1.0"


async def replay(request: Request) -> Response:
    """Show the guard the refresh cookie that the session's latest rotation has superseded."""
    bystander: Bystander = request.app.state.bystander
    spent = bystander.spent.get(get_auth(request).session_id or "")
    if spent is None:
        return JSONResponse({"detail": "This session has not rotated yet, so its only refresh token is the live one."}, 409)
    async with _thief(request, spent) as thief:
        answer = await thief.ask("GET", "/api/me", headers={}, token=False)
    return _told(
        answer, sent=f"GET /api/me with a copied cookie of generation {claim(spent, 'gen')}, which has been rotated since"
    )


async def elsewhere(request: Request) -> Response:
    """Show the guard a copy of the caller's cookie from an address in another town."""
    town = (await fields(request)).get("town", "")
    if town not in travel.TOWNS:
        return JSONResponse({"detail": f"Choose one of {', '.join(travel.TOWNS)}."}, 400)
    async with _thief(request, request.cookies.get(COOKIE, "")) as thief:
        thief.town = town
        answer = await thief.ask("GET", "/api/me", headers={}, token=False)
    address, place = travel.TOWNS[town]
    return _told(answer, sent=f"GET /api/me with a copy of your cookie from {address} in {place.city}")


async def cross_site(request: Request) -> Response:
    """Post with the caller's cookie as a browser would from another site, were it not for `SameSite`."""
    async with _thief(request, request.cookies.get(COOKIE, "")) as browser:
        answer = await browser.ask("POST", "/api/transfer", headers=FOREIGN, token=False)
    sent = f"POST /api/transfer with your cookie, Origin: {FOREIGN['Origin']} and Sec-Fetch-Site: {FOREIGN['Sec-Fetch-Site']}"
    return _told(answer, sent=sent)


async def seen(request: Request) -> Response:
    """What the guard answered to a post of another site, which that site could not read."""
    bystander: Bystander = request.app.state.bystander
    found = bystander.seen.get(request.path_params["name"])
    return Response(status_code=204) if found is None else JSONResponse(found._asdict())  # 204: not yet


ROUTES: Final = (
    Route("/demo/replay", replay, methods=["POST"]),
    Route("/demo/elsewhere", elsewhere, methods=["POST"]),
    Route("/demo/cross-site", cross_site, methods=["POST"]),
    Route("/demo/seen/{name}", seen),
)


@asynccontextmanager
async def _thief(request: Request, cookie: str) -> AsyncIterator[Browser]:
    """Another program with that cookie, whose requests go the way that all requests to the demo go."""
    transport = httpx.ASGITransport(request.app.state.bystander)
    async with httpx.AsyncClient(transport=transport, base_url=str(request.base_url)) as http:
        thief = Browser(http)
        # No token of ours is anything but ASCII, and httpx sends nothing else in a header.
        thief.cookie, thief.agent = cookie if cookie.isascii() else None, AGENT
        # Where the owner is, so that it is not the place which gives him away.
        town = request.cookies.get(travel.COOKIE, request.headers.get("x-demo-town"))
        thief.town = town if town in travel.TOWNS else travel.HOME
        yield thief


def _told(answer: Answer, *, sent: str) -> Response:
    handed = [name for name, value in (("access token", answer.token), ("refresh cookie", answer.cookie)) if value]
    body = answer.body if isinstance(answer.body, dict) else {}
    told = {"sent": sent, "status": answer.status, "code": answer.code, "detail": body.get("detail"), "handed_out": handed}
    return JSONResponse(told)
