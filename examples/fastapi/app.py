"""
FastAPI: log in, a protected route, the user's sessions, a step that asks for the password once more, log out.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.fastapi.app:app

Then open http://127.0.0.1:8000/docs: log in, and paste the `x-new-access-token` of that answer behind "Authorize".  Or:

    curl -si --json '{"user": "ada", "password": "lovelace"}' http://127.0.0.1:8000/login
    curl -si -H "Authorization: Bearer <the x-new-access-token of that answer>" http://127.0.0.1:8000/me
"""

import os
import sys
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel

from asgi_tokenguard import Auth
from asgi_tokenguard.fastapi import CurrentAuth, OptionalAuth, RequireFresh, install

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")

app = FastAPI()
install(
    app,
    secret=SECRET,
    redis=REDIS,
    public=["/login", "/logout", "/docs", "/openapi.json"],
    reauthentication=["/confirm"],
)


class Credentials(BaseModel):
    user: str
    password: str

    def are_right(self) -> bool:
        """Whether the password is the user's.  Yours asks a database for a hash by argon2 or scrypt."""
        return {"ada": "lovelace", "alan": "turing"}.get(self.user) == self.password


@app.post("/login")
async def login(credentials: Credentials, auth: OptionalAuth) -> dict[str, bool]:
    if not credentials.are_right():
        raise HTTPException(401, "Unknown user or wrong password.")
    await auth.login(credentials.user, {"role": "admin"})
    return {"ok": True}  # the tokens travel in the response head


@app.get("/me")
async def me(auth: CurrentAuth) -> dict[str, Any]:
    return {"user": auth.subject, "role": auth.claims["role"]}


@app.get("/sessions")
async def sessions(auth: CurrentAuth) -> list[dict[str, Any]]:
    return [session.to_dict() for session in await auth.sessions()]


@app.post("/email", status_code=204)
async def change_email(auth: Annotated[Auth, Depends(RequireFresh())]) -> None:
    """Who has found an unlocked screen does not know the password."""


@app.post("/confirm", status_code=204)
async def confirm(credentials: Credentials, auth: OptionalAuth) -> None:
    if not credentials.are_right():
        raise HTTPException(403, "Wrong password.")
    await auth.reauthenticated(credentials.user)  # SubjectMismatch for another user than the session's


@app.post("/logout", status_code=204)
async def logout(auth: OptionalAuth) -> None:
    await auth.logout()
