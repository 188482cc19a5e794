"""The sensitive things that an app lets its users do, as handlers of a stage."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from asgi_tokenguard import Auth, get_auth
from support.stage import Handlers, answer

PASSWORD = "correct horse"


class Desk:
    """
    `/desk/fresh`, `/desk/end?sid=`, `/desk/end-others`, `/desk/end-all`, `/desk/confirm`, `/desk/sessions`, `/desk/ended`.

    All else below `/desk/` tells what the app sees.  *done* holds who got what done.
    """

    DEEDS = ("fresh", "end", "end-others", "end-all")

    def __init__(self, handlers: Handlers) -> None:
        self.done: list[tuple[str, str]] = []
        for deed in (*self.DEEDS, "confirm", "ended", "sessions", "state"):
            handlers.by_path[f"/desk/{deed}"] = self

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        auth, deed = get_auth(scope), scope["path"].rpartition("/")[2]
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        subject = auth.subject
        found = await self.do(deed, auth, query)
        self.done.append((subject or "", deed))
        await answer(send, 200, {"found": found, "is_authenticated": auth.is_authenticated, "subject": auth.subject})

    async def do(self, deed: str, auth: Auth, query: dict[str, str]) -> object:
        """Do one thing; a refusal is the guard's to answer."""
        match deed:
            case "fresh":
                return await auth.require_fresh(*[float(value) for value in [query.get("max_age")] if value])
            case "end":
                return await auth.revoke(query["sid"])
            case "end-others":
                return await auth.revoke_others()
            case "end-all":
                return await auth.revoke_all()
            case "sessions":
                return len(await auth.sessions())
            case "ended":
                return await auth.ended()
            case "state":
                return {"pending": auth.pending, "claims": dict(auth.claims), "sid": auth.session_id}
        # An app asks for the password of the session's user, and takes whoever knows it for that user.
        if query.get("password") != PASSWORD:
            return "wrong password"
        return await auth.reauthenticated(query.get("user") or auth.subject or "")
