"""
Litestar: log in, a protected route, the user's sessions, a step that asks for the password once more, log out.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.litestar.app:app

Then open http://127.0.0.1:8000/schema/swagger, or in another shell:

    curl -si --json '{"user": "ada", "password": "lovelace"}' http://127.0.0.1:8000/login
    curl -si -H "Authorization: Bearer <the x-new-access-token of that answer>" http://127.0.0.1:8000/me
"""

import os
import sys
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.params import JSONBody

from asgi_tokenguard import TokenGuardMiddleware, get_auth
from asgi_tokenguard.litestar import TokenGuardPlugin, requires_fresh

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")


@dataclass
class Credentials:
    user: str
    password: str

    def are_right(self) -> bool:
        """Whether the password is the user's.  Yours asks a database for a hash by argon2 or scrypt."""
        return {"ada": "lovelace", "alan": "turing"}.get(self.user) == self.password


@post("/login", status_code=200, security=[{}])
async def login(data: JSONBody[Credentials], request: Request[Any, Any, Any]) -> dict[str, bool]:
    if not data.are_right():
        raise NotAuthorizedException("Unknown user or wrong password.")
    await get_auth(request).login(data.user, {"role": "admin"})
    return {"ok": True}  # the tokens travel in the response head


@get("/me")
async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"user": request.user.identity, "role": get_auth(request).claims["role"]}


@get("/sessions")
async def sessions(request: Request[Any, Any, Any]) -> list[dict[str, Any]]:
    return [session.to_dict() for session in await get_auth(request).sessions()]


@post("/email", status_code=204, guards=[requires_fresh()])
async def change_email() -> None:
    """Who has found an unlocked screen does not know the password."""


@post("/confirm", status_code=204)
async def confirm(data: JSONBody[Credentials], request: Request[Any, Any, Any]) -> None:
    if not data.are_right():
        raise PermissionDeniedException("Wrong password.")
    await get_auth(request).reauthenticated(data.user)  # SubjectMismatch for another user than the session's


@post("/logout", status_code=204, security=[{}])
async def logout(request: Request[Any, Any, Any]) -> None:
    await get_auth(request).logout()


app = TokenGuardMiddleware(
    Litestar([login, me, sessions, change_email, confirm, logout], plugins=[TokenGuardPlugin()]),
    secret=SECRET,
    redis=REDIS,
    public=["/login", "/logout", "/schema/*"],
    reauthentication=["/confirm"],
)
