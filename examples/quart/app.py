"""
Quart: log in, a protected route, the user's sessions, a step that asks for the password once more, log out.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.quart.app:app

Then, in another shell:

    curl -si -d user=ada -d password=lovelace http://127.0.0.1:8000/login
    curl -si -H "Authorization: Bearer <the x-new-access-token of that answer>" http://127.0.0.1:8000/me
"""

import os
import sys
from typing import Any

from quart import Quart, request

from asgi_tokenguard import get_auth
from asgi_tokenguard.quart import install, requires_fresh

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")

app = Quart(__name__)
install(app, secret=SECRET, redis=REDIS, public=["/login", "/logout"], reauthentication=["/confirm"])


async def who_is_right() -> str | None:
    """The user whose password was sent.  Yours asks a database for a hash by argon2 or scrypt."""
    form = await request.form
    user, known = form.get("user", ""), {"ada": "lovelace", "alan": "turing"}
    return user if user in known and known[user] == form.get("password") else None


@app.post("/login")
async def login() -> Any:
    user = await who_is_right()
    if user is None:
        return {"detail": "Unknown user or wrong password."}, 401
    await get_auth(request).login(user, {"role": "admin"})
    return {"ok": True}  # the tokens travel in the response head


@app.get("/me")
async def me() -> Any:
    auth = get_auth(request)
    return {"user": auth.subject, "role": auth.claims["role"]}


@app.get("/sessions")
async def sessions() -> Any:
    return [session.to_dict() for session in await get_auth(request).sessions()]


@app.post("/email")
@requires_fresh()
async def change_email() -> Any:
    """Who has found an unlocked screen does not know the password."""
    return "", 204


@app.post("/confirm")
async def confirm() -> Any:
    user = await who_is_right()
    if user is None:
        return {"detail": "Wrong password."}, 403
    await get_auth(request).reauthenticated(user)  # SubjectMismatch for another user than the session's
    return "", 204


@app.post("/logout")
async def logout() -> Any:
    await get_auth(request).logout()
    return "", 204
