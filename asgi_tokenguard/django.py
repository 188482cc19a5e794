"""
Django: `request.user` is the user of the session, and what `get_auth` raises in a view is answered as the guard does.

    MIDDLEWARE = [..., "asgi_tokenguard.django.UserMiddleware"]  # in place of AuthenticationMiddleware

    application = TokenGuardMiddleware(get_asgi_application(), secret=SECRET, redis="redis://...", public=["/login"])
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.functional import SimpleLazyObject

from asgi_tokenguard.asgi import answers
from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.errors import Refusal

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__: Final = ["UserMiddleware"]


# A subclass, since Django's checks of the admin and of `login_required` look for one.  Django has no types of its own.
class UserMiddleware(AuthenticationMiddleware):  # type: ignore[misc]
    """
    Fills `request.user` and `request.auser` from the session, and turns a `Refusal` of a view into its answer.

    The user is loaded when somebody asks, once for each request.  The session is the guard's: `django.contrib.auth.login` has
    no part in it, and deactivating a user ends none, so call `revoke_all` beside it.
    """

    def __call__(self, request: HttpRequest) -> Any:
        # Not in `process_request`, for which Django would change to a thread and back; in an async chain this is an awaitable.
        request.user = SimpleLazyObject(partial(self._user, request))
        request.auser = partial(sync_to_async(self._user), request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """
        Answer a `Refusal` that a view has raised.

        Django makes a 500 of what a middleware raises, before any other one can see it.
        """
        if not isinstance(error, Refusal):
            return None
        found = async_to_sync(answers.in_app)(request, error)  # Django calls this in a thread
        response = HttpResponse(found.body, status=found.status, content_type=found.media_type)
        response.headers["content-length"] = str(len(found.body))
        for name, value in found.other_headers:
            response.headers[name] = value
        return response

    def get_user(self, subject: str) -> Any | None:
        """
        The user whom `login` was given as *subject*, or None.  Override it where that is not the primary key.

        The first of `AUTHENTICATION_BACKENDS` that knows the key answers; Django's own one knows no inactive users.
        """
        try:
            key = get_user_model()._meta.pk.to_python(subject)  # noqa: SLF001 (Django documents `_meta`)
        except ValidationError:
            return None
        found = (backend.get_user(key) for backend in get_backends())
        return next((user for user in found if user is not None), None)

    def _user(self, request: HttpRequest) -> Any:
        auth = get_auth(request)
        known = auth.subject if auth.is_authenticated else None
        loaded = getattr(request, "_tokenguard_user", None)
        if loaded is None or loaded[0] != known:  # a login in this request is followed
            user = None if known is None else self.get_user(known)
            loaded = request._tokenguard_user = (known, AnonymousUser() if user is None else user)  # noqa: SLF001
        return loaded[1]
