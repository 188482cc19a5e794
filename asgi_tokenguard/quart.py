"""
Quart: the guard in one line, with our answers, and decorators for views.

    install(app, secret=SECRET, redis="redis://localhost:6379/0", public=["/login"])

    @app.delete("/users/<user>")
    @requires_scopes("admin")
    @requires_fresh(60)
    async def delete(user): ...

Inside of a view, `get_auth(request)` takes Quart's own `request`, and `get_auth(websocket)` its `websocket`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Unpack, cast, overload

from quart import Quart, Response, current_app, request

from asgi_tokenguard import option_checks as checks
from asgi_tokenguard.asgi import answers
from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.errors import ConfigurationError, Refusal
from asgi_tokenguard.middleware import TokenGuardMiddleware

if TYPE_CHECKING:
    from asgi_tokenguard.guard import TokenGuard
    from asgi_tokenguard.options import GuardOptions

__all__: Final = ["answer_refusal", "install", "requires_fresh", "requires_scopes", "requires_session"]

View = Callable[..., Any]
AsyncView = Callable[..., Awaitable[Any]]


@overload
def install(app: Quart, guard: TokenGuard) -> None: ...
@overload
def install(app: Quart, guard: None = None, **options: Unpack[GuardOptions]) -> None: ...
def install(app: Any, guard: TokenGuard | None = None, **options: Any) -> None:
    """
    Put *app* under guard, and answer what `get_auth` raises in it with its `code`.

    Takes the options of `TokenGuardMiddleware`, or one *guard*.  Raises `ConfigurationError` when an option is wrong.
    """
    if not isinstance(app, Quart):
        remedy = "call install(app, ...) with the Quart app itself, before anything is wrapped around it"
        raise ConfigurationError("app", f"a {type(app).__name__} was given", remedy)
    # As Quart's documentation says, so that `app` stays a Quart.  Its types of ASGI are Hypercorn's and not Starlette's.
    app.asgi_app = TokenGuardMiddleware(cast("Any", app.asgi_app), guard, **options)  # type: ignore[method-assign,assignment]
    app.register_error_handler(Refusal, answer_refusal)


async def answer_refusal(refusal: Refusal) -> Response:
    """An error handler: the answer of *refusal*, which is a 500 to Quart else."""
    found = await answers.in_app(request, refusal)
    response = Response(found.body, found.status, content_type=found.media_type)
    for name, value in found.other_headers:
        response.headers.add(name, value)
    return response


def requires_session(view: View) -> AsyncView:
    """
    Let nobody in without a session, whatever the guard's patterns open.

    Raises `NotAuthenticated` and `StepUpRequired`.
    """
    return requires_scopes()(view)


def requires_scopes(*scopes: str) -> Callable[[View], AsyncView]:
    """Make a decorator of views that raises `InsufficientScope` unless the session has all of *scopes*."""

    async def demand() -> None:
        get_auth(request).require_scopes(*scopes)

    return _before(demand)


def requires_fresh(max_age: float | None = None) -> Callable[[View], AsyncView]:
    """
    Make a decorator of views that raises `StepUpRequired` unless the user has logged in or confirmed within *max_age* seconds.

    The default, and the most, is the option `fresh`.  Raises `ConfigurationError` where *max_age* is below 0 or no number.
    """
    limit = checks.max_age(max_age)

    async def demand() -> None:
        await get_auth(request).require_fresh(limit)

    return _before(demand)


def _before(demand: Callable[[], Awaitable[None]]) -> Callable[[View], AsyncView]:
    def decorate(view: View) -> AsyncView:
        @wraps(view)
        async def demanding(*args: Any, **kwargs: Any) -> Any:
            await demand()
            return await current_app.ensure_async(view)(*args, **kwargs)  # sync views run in a thread, as Quart's do

        return demanding

    return decorate
