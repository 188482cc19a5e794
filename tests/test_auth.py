"""One request's view of the engine, and that Starlette's `request.user`, `request.auth` and `@requires` work unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import BaseUser, UnauthenticatedUser, requires
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket
from support.actors import Browser
from support.wire import call, scope_of

from asgi_tokenguard import (
    ConfigurationError,
    Identity,
    NotAuthenticated,
    NotGuarded,
    TokenGuard,
    TokenGuardMiddleware,
    get_auth,
)
from asgi_tokenguard.auth import Auth, User, enter
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.claims import scopes
from asgi_tokenguard.errors import InsufficientScope, Refusal, StepUpRequired

SID = "01HF7YAT00C1NP6X5D30R30C9M"


def identity(**claims: Any) -> Identity:
    return Identity(
        subject="user-1",
        session_id=SID,
        claims=claims,
        auth_time=1_700_000_000,
        granted=("authenticated", *scopes(claims)),
    )


class Recorder:
    """A carrier that writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def login(self, subject: str, claims: Mapping[str, Any] | None, *, keep_session: bool, cross_site: bool) -> None:
        self.asked.append(("login", subject, claims, keep_session, cross_site))

    async def logout(self) -> None:
        self.asked.append("logout")

    async def sessions(self, identity: Identity) -> list[str]:
        self.asked.append(("sessions", identity.subject))
        return ["a session"]

    async def end(self, identity: Identity, whose: Any, sid: str) -> int:
        self.asked.append(("end", identity.subject, whose, sid))
        return 1

    async def reauthenticated(self, subject: str) -> None:
        self.asked.append(("reauthenticated", subject))

    async def require_fresh(self, identity: Identity, max_age: float | None) -> None:
        self.asked.append(("require_fresh", identity.subject, max_age))

    def step_up(self, reason: str) -> StepUpRequired:
        return StepUpRequired(300, reason)

    async def ended(self) -> None:
        self.asked.append("ended")


# --- Auth


def test_auth_says_who_the_request_is_from():
    auth = Auth(Recorder(), identity(role="admin", scope="read write"))
    assert (True, "user-1", SID, 1_700_000_000, ("read", "write"), {"role": "admin", "scope": "read write"}) == (
        auth.is_authenticated,
        auth.subject,
        auth.session_id,
        auth.auth_time,
        auth.scopes,
        auth.claims,
    )


def test_auth_of_nobody_is_empty_and_cannot_be_filled():
    auth = Auth(Recorder(), None)
    assert (False, None, None, None, (), {}) == (
        auth.is_authenticated,
        auth.subject,
        auth.session_id,
        auth.auth_time,
        auth.scopes,
        auth.claims,
    )
    with pytest.raises(TypeError):
        auth.claims["role"] = "admin"  # it is shared by all anonymous requests


async def test_what_auth_does_is_the_exchanges():
    recorder = Recorder()
    auth = Auth(recorder, identity())
    await auth.login("user-2")
    await auth.login("user-3", {"a": 1}, keep_session=True, cross_site=True)
    await auth.logout()
    assert ["a session"] == await auth.sessions()
    assert [
        ("login", "user-2", None, False, False),
        ("login", "user-3", {"a": 1}, True, True),
        "logout",
        ("sessions", "user-1"),
    ] == recorder.asked


def test_scopes_are_required_all_together_and_of_somebody():
    auth = Auth(Recorder(), identity(scope="read write"))
    auth.require_scopes()
    auth.require_scopes("write", "read")
    with pytest.raises(InsufficientScope) as caught:
        auth.require_scopes("read", "delete")
    assert ("read", "delete") == caught.value.scopes
    with pytest.raises(NotAuthenticated):
        Auth(Recorder(), None).require_scopes()
    with pytest.raises(StepUpRequired):
        Auth(Recorder(), identity(scope="read"), "distance").require_scopes("read")


async def test_nobody_has_no_list_of_sessions():
    recorder = Recorder()
    with pytest.raises(NotAuthenticated) as caught:
        await Auth(recorder, None).sessions()
    assert Code.TOKEN_REQUIRED is caught.value.code
    assert [] == recorder.asked


def pending_auth(recorder: Recorder) -> Auth:
    return Auth(recorder, identity(role="admin", scope="read"), "distance")


def test_whoever_has_to_prove_who_they_are_is_nobody_until_then_but_for_whom_to_ask():
    auth = pending_auth(Recorder())
    assert (False, "distance", "user-1", SID, {}, ()) == (
        auth.is_authenticated,
        auth.pending,
        auth.subject,
        auth.session_id,
        auth.claims,
        auth.scopes,
    )
    scope: dict[str, Any] = {}
    enter(scope, Recorder(), identity(scope="read"), "distance")
    assert (False, []) == (scope["user"].is_authenticated, scope["auth"].scopes)


STEPS = {
    "sessions": lambda auth: auth.sessions(),
    "revoke": lambda auth: auth.revoke(SID),
    "revoke_others": lambda auth: auth.revoke_others(),
    "revoke_all": lambda auth: auth.revoke_all(),
    "require_fresh": lambda auth: auth.require_fresh(),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_neither_nobody_nor_whoever_is_pending_sees_or_ends_sessions(step):
    recorder = Recorder()
    for auth, code in ((Auth(recorder, None), Code.TOKEN_REQUIRED), (pending_auth(recorder), Code.STEP_UP_REQUIRED)):
        with pytest.raises(Refusal) as caught:
            await step(auth)
        assert code is caught.value.code
        assert isinstance(caught.value, NotAuthenticated if code is Code.TOKEN_REQUIRED else StepUpRequired)
    assert [] == recorder.asked


@pytest.mark.parametrize("max_age", [float("nan"), -0.1, -1, float("-inf"), "60", True, [60]])
async def test_a_limit_of_freshness_that_is_none_is_an_error_that_says_so(max_age):
    """Not a number is below no limit: nothing would be fresh, and no challenge could say how much is."""
    recorder = Recorder()
    with pytest.raises(ConfigurationError, match="^max_age: .* is no number of seconds; give 0 or more"):
        await Auth(recorder, identity()).require_fresh(max_age)
    assert [] == recorder.asked


# --- get_auth


@pytest.mark.parametrize(
    "dress",
    [
        lambda scope: scope,
        Request,
        HTTPConnection,
        lambda scope: WebSocket(scope | {"type": "websocket"}, None, None),
        lambda scope: type("AnyRequest", (), {"scope": scope})(),
    ],
    ids=["scope", "Request", "HTTPConnection", "WebSocket", "a request of another framework"],
)
def test_get_auth_takes_a_request_a_websocket_or_a_scope(dress):
    scope = scope_of("GET", "/")
    enter(scope, Recorder(), identity())
    assert "user-1" == get_auth(dress(scope)).subject


@pytest.mark.parametrize(
    "thing",
    [
        {},
        {"type": "http"},
        {"asgi_tokenguard": None},
        {"asgi_tokenguard": {"subject": "user-1"}},
        Request({"type": "http"}),
        None,
        "request",
        7,
        object(),
        type("Odd", (), {"scope": "http"})(),
        type("Odd", (), {"scope": None})(),
    ],
    ids=lambda value: str(value).partition(" object at ")[0],  # the same in each worker
)
def test_without_a_guard_around_the_app_get_auth_says_so(thing):
    with pytest.raises(NotGuarded, match=r"wrap the app: TokenGuardMiddleware\(app, \.\.\.\)"):
        get_auth(thing)


# --- Starlette's interfaces


def test_an_authenticated_user_is_starlettes():
    scope: dict[str, Any] = {}
    enter(scope, Recorder(), identity(scope="read write"))
    user = scope["user"]
    assert isinstance(user, BaseUser)
    assert (True, "user-1", "user-1") == (user.is_authenticated, user.identity, user.display_name)
    assert ["authenticated", "read", "write"] == scope["auth"].scopes


def test_nobody_is_starlettes_unauthenticated_user():
    scope: dict[str, Any] = {}
    enter(scope, Recorder(), None)
    assert isinstance(scope["user"], UnauthenticatedUser)
    assert [] == scope["auth"].scopes


@pytest.mark.parametrize(("name", "expected"), [("Ada", "Ada"), ("", ""), (7, "user-1"), (None, "user-1"), (["Ada"], "user-1")])
def test_the_claim_name_is_what_is_displayed(name, expected):
    assert expected == User(identity(name=name)).display_name


def test_entering_again_replaces_who_the_request_is_from():
    scope: dict[str, Any] = {}
    enter(scope, Recorder(), identity())
    enter(scope, Recorder(), None)
    assert (None, False) == (get_auth(scope).subject, scope["user"].is_authenticated)


async def login(request: Request) -> JSONResponse:
    await get_auth(request).login("user-1", {"scope": request.query_params.get("scope", ""), "name": "Ada"})
    return JSONResponse(show(request))


async def logout(request: Request) -> JSONResponse:
    await get_auth(request).logout()
    return JSONResponse(show(request))


async def who(request: Request) -> JSONResponse:
    return JSONResponse(show(request))


@requires("authenticated")
async def private(request: Request) -> JSONResponse:
    return JSONResponse(show(request))


@requires(["authenticated", "write"])
async def write(request: Request) -> JSONResponse:
    return JSONResponse(show(request))


@requires("authenticated", status_code=404)
async def hidden(request: Request) -> JSONResponse:
    return JSONResponse(show(request))


@requires("authenticated", redirect="login")
async def page(request: Request) -> JSONResponse:
    return JSONResponse(show(request))


@requires("authenticated")
def sync(request: Request) -> JSONResponse:
    return JSONResponse(show(request))


def show(request: Request) -> dict[str, Any]:
    # A user of nobody has no identity; Starlette's own raises, which is its business.
    known = request.user.is_authenticated
    return {
        "identity": request.user.identity if known else None,
        "name": request.user.display_name,
        "scopes": request.auth.scopes,
        "subject": get_auth(request).subject,
    }


ROUTES = [
    Route("/login", login, name="login", methods=["GET", "POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/who", who),
    Route("/private", private),
    Route("/write", write),
    Route("/hidden", hidden),
    Route("/page", page),
    Route("/sync", sync),
    Mount("/mounted", routes=[Route("/who", who)]),
]
ADA = {"identity": "user-1", "name": "Ada", "scopes": ["authenticated", "read"], "subject": "user-1"}
NOBODY = {"identity": None, "name": "", "scopes": [], "subject": None}


@pytest.fixture
async def starlette(options):
    """A Starlette app whose routes decide for themselves: the guard asks for nothing."""
    async with TokenGuard(**options, public=["/login", "/logout"], required=False) as guard:
        yield Starlette(routes=ROUTES, middleware=[Middleware(TokenGuardMiddleware, guard=guard)])


@pytest.fixture
def tab(starlette):
    return Browser(starlette).tab()


@pytest.mark.parametrize("path", ["/who", "/private", "/sync", "/hidden", "/page", "/mounted/who"])
async def test_starlettes_user_and_requires_work_unchanged(tab, path):
    assert 200 == (await tab.post("/login?scope=read")).status
    answer = await tab.get(path)
    assert (200, ADA) == (answer.status, answer.json())


@pytest.mark.parametrize(
    ("path", "status"), [("/private", 403), ("/sync", 403), ("/hidden", 404), ("/write", 403), ("/page", 303)]
)
async def test_starlettes_requires_refuses_nobody(tab, path, status):
    answer = await tab.get(path)
    assert status == answer.status
    if status == 303:
        assert answer.get("location").startswith("https://app.example/login?next=")


async def test_starlettes_requires_reads_the_scopes_of_the_session(tab):
    await tab.post("/login?scope=read")
    assert 403 == (await tab.get("/write")).status
    await tab.post("/login?scope=read+write")
    assert 200 == (await tab.get("/write")).status


async def test_nobody_is_nobody_for_starlette_too(tab):
    assert NOBODY == (await tab.get("/who")).json()


async def test_within_one_request_login_and_logout_change_who_it_is_from(tab):
    answer = await tab.post("/login?scope=read")
    assert ADA == answer.json()
    assert NOBODY == (await tab.post("/logout")).json()
    assert NOBODY == (await tab.get("/who")).json()


async def test_add_middleware_takes_the_options_themselves(options):
    app = Starlette(routes=ROUTES)
    app.add_middleware(TokenGuardMiddleware, **options, public=["/login"])
    tab = Browser(app).tab()
    assert "token_required" == (await tab.get("/who")).code
    await tab.post("/login?scope=read")
    assert ADA == (await tab.get("/who")).json()
    await tab.browser.app.middleware_stack.app.guard.aclose()


async def test_an_app_without_a_guard_answers_that_it_is_not_guarded():
    with pytest.raises(NotGuarded):
        await call(Starlette(routes=[Route("/login", login)]), "GET", "/login")
