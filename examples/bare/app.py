"""
No framework: a bare ASGI callable with a login, a protected route, the user's sessions, a step that asks for the password once
more, and a logout.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.bare.app:app

Then, in another shell:

    curl -si -d user=ada -d password=lovelace http://127.0.0.1:8000/login
    curl -si -H "Authorization: Bearer <the x-new-access-token of that answer>" http://127.0.0.1:8000/me
"""

import json
import os
import sys
from typing import Any
from urllib.parse import parse_qsl

from asgi_tokenguard import TokenGuardMiddleware, get_auth

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")


async def unguarded(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only HTTP is spoken here")  # servers take this for an answer to `lifespan`
    status, body = await answer(scope, receive)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"" if body is None else json.dumps(body).encode()})


async def answer(scope: Any, receive: Any) -> tuple[int, Any]:
    auth = get_auth(scope)
    match scope["method"], scope["path"]:
        case "POST", "/login":
            user = await who_is_right(receive)
            if user is None:
                return 401, {"detail": "Unknown user or wrong password."}
            await auth.login(user, {"role": "admin"})
            return 200, {"ok": True}  # the tokens travel in the response head
        case "GET", "/me":
            return 200, {"user": auth.subject, "role": auth.claims["role"]}
        case "GET", "/sessions":
            return 200, [session.to_dict() for session in await auth.sessions()]
        case "POST", "/email":
            await auth.require_fresh()  # who has found an unlocked screen does not know the password
            return 204, None
        case "POST", "/confirm":
            user = await who_is_right(receive)
            if user is None:
                return 403, {"detail": "Wrong password."}
            await auth.reauthenticated(user)  # SubjectMismatch for another user than the session's
            return 204, None
        case "POST", "/logout":
            await auth.logout()
            return 204, None
    return 404, {"detail": "Not found."}


async def who_is_right(receive: Any) -> str | None:
    """The user whose password was sent.  Yours asks a database for a hash by argon2 or scrypt."""
    fields = dict(parse_qsl((await read(receive)).decode(errors="replace")))
    user, known = fields.get("user", ""), {"ada": "lovelace", "alan": "turing"}
    return user if user in known and known[user] == fields.get("password") else None


async def read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


app = TokenGuardMiddleware(unguarded, secret=SECRET, redis=REDIS, public=["/login", "/logout"], reauthentication=["/confirm"])
