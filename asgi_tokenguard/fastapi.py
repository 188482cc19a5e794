"""
FastAPI: sessions as dependencies, scopes through `Security`, and the Authorize button of `/docs`.

    install(app, secret=SECRET, redis="redis://localhost:6379/0", public=["/login", "/docs", "/openapi.json"])

    @app.get("/me")
    async def me(auth: CurrentAuth): ...

    @app.delete("/users/{user}")
    async def delete(user: str, auth: Annotated[Auth, Security(RequireFresh(60), scopes=["admin"])]): ...
"""
# No `from __future__ import annotations`: FastAPI reads the annotations of `RequireFresh.__call__`, and cannot look names up
# that stand there as text.

from typing import Annotated, Final

from fastapi import Depends, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from asgi_tokenguard import option_checks as checks
from asgi_tokenguard.auth import Auth, get_auth
from asgi_tokenguard.starlette import answer_refusal, install

__all__: Final = ["CurrentAuth", "OptionalAuth", "RequireFresh", "answer_refusal", "current_auth", "install"]


class _AccessToken(SecurityBase):
    """The access token as OpenAPI describes it; at a request there is nothing to do, since the guard has read it."""

    def __init__(self) -> None:
        self.scheme_name = "access"
        self.model = HTTPBearer(bearerFormat="JWT", description="The access token: `X-New-Access-Token` of the login's answer.")

    async def __call__(self) -> None: ...


async def optional_auth(connection: HTTPConnection) -> Auth:
    return get_auth(connection)


OptionalAuth = Annotated[Auth, Depends(optional_auth)]
"""The `Auth` of whoever asks, nobody included: for logins, logouts, and paths that are public, optional or pending."""


async def current_auth(
    auth: OptionalAuth, required: SecurityScopes, _documented: Annotated[None, Security(_AccessToken())]
) -> Auth:
    """
    The `Auth` of a session with all scopes that `Security` names.

    Raises `NotAuthenticated`, `StepUpRequired` or `InsufficientScope`, so that a pattern that opens too many paths does not
    open the endpoint.
    """
    auth.require_scopes(*required.scopes)
    return auth


CurrentAuth = Annotated[Auth, Security(current_auth)]
"""The `Auth` of a session; see `current_auth`."""


class RequireFreshIsToBeCalled:
    """
    `Depends(RequireFresh)` would make one for each request and ask it nothing.

    FastAPI reads the parameters of what it is given when the route is made, and refuses this type by its name.
    """


class RequireFresh:
    """
    A dependency that raises `StepUpRequired` unless the user has logged in or confirmed within *max_age* seconds.

    The default, and the most, is the option `fresh`.  It gives the `Auth`.  Raises `ConfigurationError` where *max_age* is
    below 0 or no number.
    """

    def __init__(self, max_age: float | None = None, _called: RequireFreshIsToBeCalled | None = None) -> None:
        self.max_age = checks.max_age(max_age)

    async def __call__(self, auth: CurrentAuth) -> Auth:
        await auth.require_fresh(self.max_age)
        return auth
