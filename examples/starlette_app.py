"""
Starlette: log in, a protected route, the user's sessions, log out.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn --app-dir examples starlette_app:app

Then, in another shell:

    curl -si -d user=ada -d password=lovelace http://127.0.0.1:8000/login
    curl -si -H "Authorization: Bearer <the x-new-access-token of that answer>" http://127.0.0.1:8000/me
"""

import os
import sys
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgi_tokenguard import TokenGuardMiddleware, get_auth

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")


def is_right(user: str, password: str) -> bool:
    """Whether the password is the user's.  Yours asks a database for a hash by argon2 or scrypt."""
    return {"ada": "lovelace", "alan": "turing"}.get(user) == password


async def login(request: Request) -> Response:
    fields = dict(parse_qsl((await request.body()).decode(errors="replace")))
    if not is_right(fields.get("user", ""), fields.get("password", "")):
        return JSONResponse({"detail": "Unknown user or wrong password."}, 401)
    await get_auth(request).login(fields["user"], {"role": "admin"})
    return JSONResponse({"ok": True})  # the tokens travel in the response head


async def me(request: Request) -> Response:
    return JSONResponse({"user": request.user.identity, "role": get_auth(request).claims["role"]})


async def sessions(request: Request) -> Response:
    return JSONResponse([session.to_dict() for session in await get_auth(request).sessions()])


async def logout(request: Request) -> Response:
    await get_auth(request).logout()
    return Response(status_code=204)


app = Starlette(
    routes=[
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/me", me),
        Route("/sessions", sessions),
    ],
    middleware=[Middleware(TokenGuardMiddleware, secret=SECRET, redis=REDIS, public=["/login", "/logout"])],
)
