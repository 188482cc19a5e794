"""
Starlette: the guard in one line, with our answers.

    install(app, secret=SECRET, redis="redis://localhost:6379/0", public=["/login"])

`TokenGuardMiddleware` alone guards as well.  What it adds here is the body of refusals that are raised inside the app:
Starlette answers them as it does any `HTTPException`, in plain text and without their `code`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack, overload

from starlette.applications import Starlette
from starlette.responses import Response

from asgi_tokenguard.asgi import answers
from asgi_tokenguard.errors import ConfigurationError, Refusal
from asgi_tokenguard.middleware import TokenGuardMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request

    from asgi_tokenguard.guard import TokenGuard
    from asgi_tokenguard.options import GuardOptions

__all__: Final = ["answer_refusal", "install"]


@overload
def install(app: Starlette, guard: TokenGuard) -> None: ...
@overload
def install(app: Starlette, guard: None = None, **options: Unpack[GuardOptions]) -> None: ...
def install(app: Any, guard: TokenGuard | None = None, **options: Any) -> None:
    """
    Put *app* under guard, and answer what `get_auth` raises in it with its `code`.

    Takes the options of `TokenGuardMiddleware`, or one *guard*.  It stands outside of all middleware that was added before,
    so call this last.  Raises `ConfigurationError` when an option is wrong.
    """
    if not isinstance(app, Starlette):
        remedy = "call install(app, ...) with the Starlette or FastAPI app itself, before anything is wrapped around it"
        raise ConfigurationError("app", f"a {type(app).__name__} was given", remedy)
    # Starlette builds its middleware at the first request, which is late for a wrong option.
    checked = TokenGuardMiddleware(app, guard, **options).guard
    app.add_exception_handler(Refusal, answer_refusal)
    app.add_middleware(TokenGuardMiddleware, guard=checked)


async def answer_refusal(request: Request, error: Exception) -> Response:
    """An exception handler: the answer of the `Refusal` *error*.  Apps that are mounted in another one need it themselves."""
    if not isinstance(error, Refusal):
        raise error
    found = await answers.in_app(request, error)
    response = Response(found.body, found.status)
    response.raw_headers = found.headers
    return response
