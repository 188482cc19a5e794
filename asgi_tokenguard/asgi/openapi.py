"""
What the mounted endpoints are, in OpenAPI 3.1.

Rule: nothing is described here that is not in the table that routes; the shapes of answers are compared with real ones by
`tests/asgi/test_endpoints.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from asgi_tokenguard.codes import DETAIL, Code
from asgi_tokenguard.core.callers import READS
from asgi_tokenguard.core.paths import Openness

if TYPE_CHECKING:
    from asgi_tokenguard.auth import Auth
    from asgi_tokenguard.options import Settings

Json = dict[str, Any]


class Needs(Enum):
    """What an endpoint needs of its caller."""

    NOTHING = "nothing"
    ANYTHING = "anything"  # looks itself: dead tokens count, and none is fine
    SESSION = "session"
    FRESHNESS = "freshness"  # a session, and a login or re-authentication that is fresh

    @property
    def asks(self) -> Openness:
        return Openness.REQUIRED if self in {Needs.SESSION, Needs.FRESHNESS} else Openness.PUBLIC


class Asked(NamedTuple):
    """What an endpoint may know of a request beside its caller."""

    settings: Settings
    root_path: str
    sid: str
    query: bytes
    etags: bytes  # what `If-None-Match` says; empty where it is absent
    jwks: Callable[[], Json]  # the public keys of now


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; an *answer* of None is a 204, *refusals* are those that its needs do not bring along."""

    method: str
    path: str  # below the prefix
    run: Callable[[Auth, Asked], Awaitable[object]]
    needs: Needs = field(kw_only=True)
    summary: str = field(kw_only=True)
    answer: str | None = field(kw_only=True, default=None)  # the name of its schema
    media_type: str = field(kw_only=True, default="application/json")
    is_cached: bool = field(kw_only=True, default=False)  # by its ETag; then a 304 is an answer as well
    query: str | None = field(kw_only=True, default=None)  # a name without a value that has to stand there
    refusals: Mapping[int, tuple[Code, ...]] = field(kw_only=True, default_factory=dict)


_OF_TOKENS: Final[Mapping[int, tuple[Code, ...]]] = {
    400: (Code.DUPLICATE_CREDENTIALS,),
    503: (Code.STORE_UNAVAILABLE, Code.NOT_CONFIRMED),
}
_OF_SESSIONS: Final[Mapping[int, tuple[Code, ...]]] = {
    **_OF_TOKENS,
    401: (
        Code.TOKEN_REQUIRED,
        Code.INVALID_TOKEN,
        Code.TOKEN_EXPIRED,
        Code.SESSION_MISMATCH,
        Code.SESSION_EXPIRED,
        Code.SESSION_ENDED,
        Code.REUSE_DETECTED,
        Code.ROLLED_BACK_CLIENT,
        Code.COOKIE_NOT_STORED,
        Code.LOGGED_OUT,
        Code.REVOKED,
        Code.REPLACED,
        Code.STEP_UP_REQUIRED,
    ),
}
_BROUGHT: Final = {
    Needs.NOTHING: {},
    Needs.ANYTHING: _OF_TOKENS,
    Needs.SESSION: _OF_SESSIONS,
    Needs.FRESHNESS: _OF_SESSIONS,
}


def describe(operations: Iterable[Operation], asked: Asked) -> Json:
    """The description of *operations* as they are mounted."""
    settings = asked.settings
    prefix = (settings.endpoints or "").rstrip("/")
    paths: Json = {}
    for operation in operations:
        paths.setdefault(prefix + operation.path, {})[operation.method.lower()] = _operation(operation, settings)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sessions", "version": "1", "description": _ABOUT},
        # A root path is the server's own word, and where the app is to be found from outside.
        "servers": [{"url": asked.root_path.rstrip("/") or "/"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": _schemes(settings)},
    }


_ABOUT: Final = (
    "Every GET answers HEAD as well, and every path answers OPTIONS. No body is read. Unsafe methods on the cookie alone need "
    "an Origin or Fetch Metadata of this site. The cookies are those that the login sets."
)


def _operation(operation: Operation, settings: Settings) -> Json:
    responses: Json = {"204" if operation.answer is None else "200": _success(operation, settings)}
    if operation.is_cached:
        responses["304"] = {"description": "`If-None-Match` has named it."}
    responses |= {str(status): _refusal(status, codes) for status, codes in sorted(_refusals(operation, settings).items())}
    found: Json = {
        "operationId": operation.run.__name__,
        "summary": operation.summary,
        "security": _security(operation, settings),
        "responses": responses,
    }
    parameters = []
    if "{sid}" in operation.path:
        parameters.append({"name": "sid", "in": "path", "required": True, "schema": {"type": "string"}})
    if operation.query is not None:
        only = {"type": "string", "const": ""}
        parameters.append({"name": operation.query, "in": "query", "required": True, "allowEmptyValue": True, "schema": only})
    return found | ({"parameters": parameters} if parameters else {})


def _refusals(operation: Operation, settings: Settings) -> Mapping[int, tuple[Code, ...]]:
    brought = dict(_BROUGHT[operation.needs])
    if brought and operation.method not in READS:
        brought[403] = (Code.CROSS_SITE_REQUEST,)
    if operation.needs.asks is Openness.REQUIRED and settings.dpop is not None:
        brought[401] = (*brought[401], Code.INVALID_DPOP_PROOF, Code.USE_DPOP_NONCE)
    if brought and settings.refresh_header is not None:
        brought[403] = (*brought.get(403, ()), Code.NOT_FOR_PAGES)
    if operation.needs.asks is Openness.REQUIRED and settings.limits is not None and settings.limits.presentations:
        brought[429] = (Code.RATE_LIMITED,)
    return brought | {status: brought.get(status, ()) + codes for status, codes in operation.refusals.items()}


def _success(operation: Operation, settings: Settings) -> Json:
    found: Json = {"description": "Done." if operation.answer is None else "As asked."}
    if operation.answer is not None:
        found["content"] = {operation.media_type: {"schema": _ref(operation.answer)}}
    if operation.needs.asks is Openness.REQUIRED:
        found["headers"] = {
            settings.new_token_header.decode(): {
                "description": "A new access token, where the caller's was over; it replaces that one.",
                "schema": {"type": "string"},
            }
        }
    return found


def _refusal(status: int, codes: tuple[Code, ...]) -> Json:
    # As examples: codes only grow, and a closed list would break the clients that are made from it.
    examples = {code.value: {"value": {"detail": DETAIL[code], "code": code.value}} for code in codes}
    content = {"application/json": {"schema": _ref("Error"), "examples": examples}}
    found: Json = {"description": HTTPStatus(status).phrase, "content": content}
    header = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}.get(status)
    return found | ({"headers": {header: {"required": True, "schema": {"type": "string"}}}} if header else {})


def _security(operation: Operation, settings: Settings) -> list[Json]:
    """The alternatives, each a set of schemes; an empty one is for nobody."""
    ways: list[Json] = [{"access": []}, {"refresh": []}]
    if settings.refresh_header is not None:
        ways.append({"refreshHeader": []})
    match operation.needs:
        case Needs.NOTHING:
            return []
        case Needs.ANYTHING:
            return [*ways, {}]
        case Needs.SESSION:
            return ways
        case Needs.FRESHNESS:
            return [way | {proof: []} for way in ways for proof in ("freshCookie", "freshHeader")]
        case _:
            assert_never(operation.needs)


def _schemes(settings: Settings) -> Json:
    def key(where: str, name: str, text: str) -> Json:
        return {"type": "apiKey", "in": where, "name": name, "description": text}

    header, scheme = settings.access_header.decode(), settings.access_scheme
    access: Json = {"type": "http", "scheme": scheme} | ({"bearerFormat": "JWT"} if scheme == "bearer" else {})
    if header != "authorization":
        access = key("header", header, f"`{scheme} TOKEN`" if scheme else "The access token.")
    native: Json = {}
    if settings.refresh_header is not None:
        native["refreshHeader"] = key(
            "header",
            settings.refresh_header.decode(),
            "The same for native apps; new ones leave in `X-New-Refresh-Token`, which replaces the cookie.",
        )
    return native | {
        "access": access,
        "refresh": key("cookie", settings.cookie.name, "Set by a login, and again by each rotation."),
        "freshCookie": key("cookie", settings.cookie.fresh_name, "Set by a login and a re-authentication."),
        "freshHeader": key("header", "X-Fresh-Token", "The same for programs that keep no cookies."),
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Json) -> Json:
    """All is always there; what is not known is null."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: Final[Json] = {"type": "string"}
_NUMBER: Final[Json] = {"type": "number"}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
SCHEMAS: Final[Json] = {
    "Error": _object(detail=_TEXT, code=_TEXT),
    "Sessions": _object(sessions={"type": "array", "items": _ref("Session")}, ended={"type": "array", "items": _ref("Ending")}),
    "Session": _object(
        id=_TEXT,
        subject=_TEXT,
        created_at=_TIME,
        last_seen_at=_TIME,
        expires_at=_TIME,
        ip_address=_or_null(_TEXT),
        current={"type": "boolean"},
        device=_or_null(_ref("Device")),
        location=_or_null(_ref("Place")),
    ),
    "Device": _object(browser=_or_null(_TEXT), system=_or_null(_TEXT), kind=_TEXT),
    "Place": _object(
        latitude=_NUMBER, longitude=_NUMBER, city=_or_null(_TEXT), country=_or_null(_TEXT), accuracy_km=_or_null(_NUMBER)
    ),
    "Ending": _object(
        session_id=_or_null(_TEXT),
        reason=_TEXT,
        at=_TIME,
        presented=_or_null(_TEXT),
        holder_address=_or_null(_TEXT),
        holder_device=_or_null(_ref("Device")),
        other_address=_or_null(_TEXT),
        other_user_agent=_or_null(_TEXT),
    ),
    "Ended": _object(ended={"type": "integer", "minimum": 0}),
    "Description": {"type": "object"},
    "Jwks": _object(keys={"type": "array", "items": {"type": "object"}}),
    "Script": _TEXT,
}
