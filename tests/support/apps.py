"""The app that most tests guard: a bare callable, as an app of someone else would be."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from asgi_tokenguard import get_auth


async def plain_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/login?user=`, `/logout`, `/sessions`, and everything else says who asks."""
    auth = get_auth(scope)
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    status, body = 200, {"subject": auth.subject, "claims": dict(auth.claims), "session_id": auth.session_id}
    match scope["path"]:
        case "/login":
            await auth.login(query.get("user", "user-1"), {"role": query.get("role", "admin")})
            body = {"ok": True}
        case "/logout":
            await auth.logout()
            status, body = 204, None
        case "/sessions":
            body = [session.to_dict() for session in await auth.sessions()]
    raw = b"" if body is None else json.dumps(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": raw})
