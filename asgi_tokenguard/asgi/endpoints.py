"""
The mounted endpoints: sessions, logout and refresh for any app, whatever its framework.

Rule: below the prefix the app is never reached, each endpoint does what an app's own handler could do with `get_auth`, and
what exists is the table `OPERATIONS` alone, from which the OpenAPI description is made as well.

What is not there (an unknown path, a wrong method, a path that could be read in two ways) is answered before credentials are
looked at, and alike for everybody: it asks Redis nothing, rotates nothing and tells nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.asgi import assets, credentials, responses
from asgi_tokenguard.asgi.openapi import Asked, Needs, Operation, describe
from asgi_tokenguard.asgi.responses import Answered
from asgi_tokenguard.auth import Auth, get_auth
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.paths import Openness, below_root, is_misplaced, is_odd
from asgi_tokenguard.errors import InvalidQuery, MethodNotAllowed, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from asgi_tokenguard.engine import Engine

JWK_SET: Final = "application/jwk-set+json"  # RFC 7517 section 8.5.2
# Five minutes, as PyJWT's own client keeps a set: so long before a new key signs it is to be in here.
KEPT: Final = 300
SESSIONS: Final = "/sessions"
ONE_SESSION: Final = "/sessions/{sid}"
# For URL parsers the same name without a value; clients that are generated from a description can only write the second.
OTHERS: Final = frozenset({b"others", b"others="})


async def list_sessions(auth: Auth, _: Asked) -> object:
    return {
        "sessions": [session.to_dict() for session in await auth.sessions()],
        "ended": [ending.to_dict() for ending in await auth.endings()],
    }


async def end_others(auth: Auth, asked: Asked) -> object:
    # What is ended does not come back, so a DELETE without a query, or with a misspelt one, is not guessed at.
    if asked.query not in OTHERS:
        raise InvalidQuery
    return {"ended": await auth.revoke_others()}


async def end_session(auth: Auth, asked: Asked) -> None:
    if asked.query:
        raise InvalidQuery
    await auth.revoke(asked.sid)


async def log_out(auth: Auth, _: Asked) -> None:
    await auth.logout()


async def refresh(_: Auth, __: Asked) -> None:
    """Nothing: what there is to hand out was decided on the way in, and travels in the head."""


async def openapi(_: Auth, asked: Asked) -> object:
    return describe(OPERATIONS, asked)


async def jwks(_: Auth, asked: Asked) -> object:
    return responses.published(asked.jwks(), JWK_SET, KEPT)


async def client(_: Auth, asked: Asked) -> object:
    return assets.client(asked.query, asked.etags)


OPERATIONS: Final = (
    Operation(
        "GET",
        SESSIONS,
        list_sessions,
        needs=Needs.SESSION,
        answer="Sessions",
        summary="The caller's live sessions, and why others have ended in the last 24 hours.",
    ),
    Operation(
        "DELETE",
        SESSIONS,
        end_others,
        needs=Needs.FRESHNESS,
        answer="Ended",
        query="others",
        summary="End every session of the caller but the one that asks.",
        refusals={400: (Code.INVALID_QUERY,)},
    ),
    Operation(
        "DELETE",
        ONE_SESSION,
        end_session,
        needs=Needs.FRESHNESS,
        summary="End one session of the caller, this one or another.",
        refusals={400: (Code.INVALID_QUERY,), 404: (Code.NO_SUCH_SESSION,)},
    ),
    Operation(
        "POST",
        "/logout",
        log_out,
        needs=Needs.ANYTHING,
        summary="End the session that any signed token of it proves, be it over, and clear the cookies.",
    ),
    Operation(
        "POST",
        "/refresh",
        refresh,
        needs=Needs.SESSION,
        summary="Make sure that the caller has a live access token: a new one is handed out where theirs is over.",
    ),
    # Public: it says what our documentation says, and who generates a client has no session.
    Operation("GET", "/openapi.json", openapi, needs=Needs.NOTHING, answer="Description", summary="This description."),
    # Public: the keys are, and who verifies with them has no session.
    Operation(
        "GET",
        "/jwks.json",
        jwks,
        needs=Needs.NOTHING,
        answer="Jwks",
        media_type=JWK_SET,
        summary="The public keys (RFC 7517) with which other services verify access tokens; none where a secret signs.",
    ),
    # Public: a page needs it to sign in.
    Operation(
        "GET",
        "/client.js",
        client,
        needs=Needs.NOTHING,
        answer="Script",
        media_type=assets.JAVASCRIPT,
        is_cached=True,
        summary="The browser client, a module. With its hash as `?v=` it may be kept for ever, else it is asked for anew.",
    ),
)

ROUTES: Final[Mapping[str, Mapping[str, Operation]]] = {
    path: {operation.method: operation for operation in OPERATIONS if operation.path == path}
    for path in {operation.path for operation in OPERATIONS}
}


class Endpoint:
    """What answers a request below the prefix in the app's place."""

    __slots__ = ("_asked", "_method", "_methods")

    def __init__(self, method: str, methods: Mapping[str, Operation], asked: Asked) -> None:
        self._method = method
        self._methods = methods
        self._asked = asked

    @property
    def asks(self) -> Openness:
        """What the request has to show before this is called."""
        operation = self._operation()
        return Openness.PUBLIC if operation is None else operation.needs.asks

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        if not self._methods:
            raise NotFound
        operation = self._operation()
        if operation is not None:
            await self._run(operation, get_auth(scope), send)
        elif self._method == "OPTIONS":
            # A preflight hears the same, and no word of CORS: that is the business of the app's CORS middleware, which
            # stands outside of the guard and then has answered it already.
            await responses.empty(send, [(b"allow", self._allow().encode())])
        else:
            raise MethodNotAllowed(self._allow())

    async def _run(self, operation: Operation, auth: Auth, send: Send) -> None:
        found: Any = await operation.run(auth, self._asked)
        head_only = self._method == "HEAD"
        if operation.answer is None:
            await responses.empty(send, [])
        elif isinstance(found, Answered):
            await responses.send_whole(found._replace(body=b"") if head_only else found, send)
        else:
            await responses.document(found, send, head_only=head_only)

    def _operation(self) -> Operation | None:
        return self._methods.get("GET" if self._method == "HEAD" else self._method)

    def _allow(self) -> str:
        return ", ".join(sorted({*self._methods, "OPTIONS", *(["HEAD"] if "GET" in self._methods else [])}))


def find(scope: Scope, engine: Engine) -> Endpoint:
    """The endpoint of a request below the prefix; where there is none, one that says so."""
    path, root, settings = scope["path"], scope.get("root_path", ""), engine.settings
    here = below_root(path, root).removeprefix((settings.endpoints or "").rstrip("/"))
    sid = here.removeprefix(f"{SESSIONS}/")
    if sid != here and sid and "/" not in sid:
        here = ONE_SESSION
    raw = scope.get("raw_path")
    clear = not (is_odd(path, raw) or is_misplaced(path, raw, root) or credentials.names_root(scope))
    methods = ROUTES.get(here, {}) if clear else {}
    etags = b", ".join(value for name, value in scope["headers"] if name == b"if-none-match")
    asked = Asked(settings, root, sid, scope.get("query_string", b""), etags, engine.codec.jwks)
    return Endpoint(scope["method"], methods, asked)
