"""
The app that each server serves by its import string; what it needs comes in the environment.

It is made of bare callables, so that what is seen is the server's and the guard's.  Below `/brief` stands a guard of its own
whose access tokens live for two seconds: there a story can wait for a rotation.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from asgi_tokenguard import Lifetimes, TokenGuard, TokenGuardMiddleware, get_auth

OPTIONS = json.loads(os.environ["TOKENGUARD_TEST_OPTIONS"])
PUBLIC = ["/login", "/logout", "/revoke", "/worker"]
ENDS = Path(os.environ["TOKENGUARD_TEST_ENDS"])
PART = b"data: x\n\n"
# Long enough for another worker to take what comes meanwhile.
NAP = 0.1


async def answer(send: Any, body: Any, status: int = 200) -> None:
    raw = json.dumps(body | {"worker": os.getpid()}).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": raw})


def from_memory(scope: Any) -> bool:
    """Whether the guard serves this token without asking Redis by now."""
    fields = [value for name, value in scope["headers"] if name == b"authorization"]
    return bool(fields) and guard.engine.liveness.known(fields[0]) is not None


async def forever(send: Any, kind: bytes) -> None:
    head = [(b"content-type", kind), (b"x-worker", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    while True:
        await send({"type": "http.response.body", "body": PART, "more_body": True})
        await asyncio.sleep(0.02)


async def http(scope: Any, receive: Any, send: Any) -> None:
    auth = get_auth(scope)
    user = parse_qs(scope["query_string"].decode()).get("user", ["user-1"])[0]
    match scope["path"].removeprefix(scope["root_path"]):
        case "/login":
            await auth.login(user)
            await answer(send, {"ok": True})
        case "/logout":
            await auth.logout()
            await answer(send, {"ok": True})
        case "/revoke":
            await answer(send, {"ended": await guard.revoke_all(user)})
        case "/worker":
            time.sleep(NAP)  # not asyncio's: who sleeps so takes no further connection
            await answer(send, {})
        case "/events":
            await forever(send, b"text/event-stream")
        case "/download":
            await forever(send, b"application/zip")
        case _:
            state = scope.get("state", {}).get("started")
            await answer(send, {"subject": auth.subject, "state": state, "from_memory": from_memory(scope)})


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """Say who is there, echo, and note how it ended."""
    await receive()
    await send({"type": "websocket.accept"})
    subject = get_auth(scope).subject
    await send({"type": "websocket.send", "text": json.dumps({"subject": subject, "worker": os.getpid()})})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    scope["state"]["end"] = [subject, message.get("code"), message.get("reason", "")]


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    scope.get("state", {})["started"] = True
    await send({"type": "lifespan.startup.complete"})
    await receive()
    # Before the server hears of the end: Hypercorn cancels whatever is left of a lifespan then.
    await brief_guard.aclose()
    await send({"type": "lifespan.shutdown.complete"})


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await {"http": http, "websocket": websocket, "lifespan": lifespan}[scope["type"]](scope, receive, send)


guard = TokenGuard(**OPTIONS, public=PUBLIC, streams=["*/*"])
brief_guard = TokenGuard(
    **OPTIONS | {"namespace": OPTIONS["namespace"] + "brief"}, public=PUBLIC, lifetimes=Lifetimes(access=2)
)
main, brief = TokenGuardMiddleware(plain, guard=guard), TokenGuardMiddleware(plain, guard=brief_guard)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan" and scope["path"].startswith("/brief/"):
        await brief({**scope, "root_path": "/brief"}, receive, send)
    elif scope["type"] == "websocket":
        state: dict[str, Any] = {}
        await main({**scope, "state": state}, receive, send)
        if "end" in state:  # now that nothing of it runs any more
            with ENDS.open("a") as ends:
                ends.write(json.dumps(state["end"]) + "\n")
    else:
        await main(scope, receive, send)
