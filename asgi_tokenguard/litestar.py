"""
Litestar: a plugin for our answers and the documentation, and guards for handlers.

    app = Litestar([login, me], plugins=[TokenGuardPlugin()])
    app = TokenGuardMiddleware(app, secret=SECRET, redis="redis://localhost:6379/0", public=["/login"])

    @delete("/users/{user:str}", guards=[requires_scopes("admin"), requires_fresh(60)])
    async def delete_user(user: str) -> None: ...

The guard stands around the app and not in its `middleware`, which Litestar runs only for paths that have a handler, and after
it has rewritten them.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Request, Response
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin

from asgi_tokenguard import option_checks as checks
from asgi_tokenguard.asgi import answers, responses
from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.errors import Refusal

if TYPE_CHECKING:
    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler
    from litestar.openapi import OpenAPIConfig
    from litestar.types import Guard, Receive, Scope, Send

    Connection = ASGIConnection[Any, Any, Any, Any]

__all__: Final = ["TokenGuardPlugin", "answer_refusal", "requires_fresh", "requires_scopes", "requires_session"]

_SCHEME: Final = "access"


class TokenGuardPlugin(InitPlugin):
    """
    Answers what `get_auth` raises in handlers with its `code`, and describes the access token in OpenAPI.

    Every operation is described as one that needs it; write `security=[{}]` beside those that do not.
    """

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.exception_handlers = {Refusal: answer_refusal, **app_config.exception_handlers}
        if app_config.openapi_config is not None:
            app_config.openapi_config = _described(app_config.openapi_config)
        return app_config


def answer_refusal(_request: Request[Any, Any, Any], refusal: Refusal) -> Response[bytes]:
    """An exception handler: the answer of *refusal*."""
    return _Answer(refusal)


class _Answer(Response[bytes]):
    """Made while it is sent, since an app's own answer may be awaited and Litestar's exception handlers are not async."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(b"", status_code=refusal.status_code)
        self._refusal = refusal

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **_: Any) -> Any:  # noqa: ARG002 (it is as it is called)
        async def send_it(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (Litestar names them)
            found = await answers.in_app(request, self._refusal)
            await responses.send_whole(found, cast("Any", send))  # its types of ASGI are Litestar's

        return send_it


async def requires_session(connection: Connection, _handler: BaseRouteHandler) -> None:
    """
    Let nobody in without a session, whatever the guard's patterns open.

    Raises `NotAuthenticated` and `StepUpRequired`.
    """
    get_auth(connection).require_scopes()


def requires_scopes(*scopes: str) -> Guard:
    """Make a guard that raises `InsufficientScope` unless the session has all of *scopes*."""

    async def demand(connection: Connection, _handler: BaseRouteHandler) -> None:
        get_auth(connection).require_scopes(*scopes)

    return demand


def requires_fresh(max_age: float | None = None) -> Guard:
    """
    Make a guard that raises `StepUpRequired` unless the user has logged in or confirmed within *max_age* seconds.

    The default, and the most, is the option `fresh`.  Raises `ConfigurationError` where *max_age* is below 0 or no number.
    """
    limit = checks.max_age(max_age)

    async def demand(connection: Connection, _handler: BaseRouteHandler) -> None:
        await get_auth(connection).require_fresh(limit)

    return demand


def _described(config: OpenAPIConfig) -> OpenAPIConfig:
    """A copy, since apps may share a config."""
    scheme = SecurityScheme(
        type="http",
        scheme="bearer",
        bearer_format="JWT",
        description="The access token: `X-New-Access-Token` of the login's answer.",
    )
    theirs = config.components if isinstance(config.components, list) else [config.components]
    described = copy(config)
    described.components = [Components(security_schemes={_SCHEME: scheme}), *theirs]
    described.security = [*(config.security or []), {_SCHEME: []}]
    return described
