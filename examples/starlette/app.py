"""
Starlette: log in, a protected route, the user's sessions, a step that asks for the password once more, log out.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.starlette.app:app

Then, in another shell:

    curl -si -d user=ada -d password=lovelace http://127.0.0.1:8000/login
    curl -si -H "Authorization: Bearer <the x-new-access-token of that answer>" http://127.0.0.1:8000/me
"""

import os
import sys
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgi_tokenguard import get_auth
from asgi_tokenguard.starlette import install

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")


async def who_is_right(request: Request) -> str | None:
    """The user whose password was sent.  Yours asks a database for a hash by argon2 or scrypt."""
    fields = dict(parse_qsl((await request.body()).decode(errors="replace")))
    user, known = fields.get("user", ""), {"ada": "lovelace", "alan": "turing"}
    return user if user in known and known[user] == fields.get("password") else None


async def login(request: Request) -> Response:
    user = await who_is_right(request)
    if user is None:
        return JSONResponse({"detail": "Unknown user or wrong password."}, 401)
    await get_auth(request).login(user, {"role": "admin"})
    return JSONResponse({"ok": True})  # the tokens travel in the response head


async def me(request: Request) -> Response:
    return JSONResponse({"user": request.user.identity, "role": get_auth(request).claims["role"]})


async def sessions(request: Request) -> Response:
    return JSONResponse([session.to_dict() for session in await get_auth(request).sessions()])


async def change_email(request: Request) -> Response:
    """Who has found an unlocked screen does not know the password."""
    await get_auth(request).require_fresh()
    return Response(status_code=204)


async def confirm(request: Request) -> Response:
    user = await who_is_right(request)
    if user is None:
        return JSONResponse({"detail": "Wrong password."}, 403)
    await get_auth(request).reauthenticated(user)  # SubjectMismatch for another user than the session's
    return Response(status_code=204)


async def logout(request: Request) -> Response:
    await get_auth(request).logout()
    return Response(status_code=204)


app = Starlette(
    routes=[
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/me", me),
        Route("/sessions", sessions),
        Route("/email", change_email, methods=["POST"]),
        Route("/confirm", confirm, methods=["POST"]),
    ],
)
install(app, secret=SECRET, redis=REDIS, public=["/login", "/logout"], reauthentication=["/confirm"])
