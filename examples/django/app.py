"""
Django: log in, a protected view, the user's sessions, a step that asks for the password once more, log out.

    TOKENGUARD_SECRET=$(python -c "import secrets; print(secrets.token_hex(32))") uvicorn examples.django.app:app

Then, in another shell:

    curl -si -d user=ada -d password=lovelace http://127.0.0.1:8000/login
    curl -si -H "Authorization: Bearer <the x-new-access-token of that answer>" http://127.0.0.1:8000/me
"""

import os
import sys
from typing import Any

import django
from django.conf import settings

# One secret for all workers, from where you keep secrets; a random one made here would differ in each.
SECRET = os.environ.get("TOKENGUARD_SECRET") or sys.exit("set TOKENGUARD_SECRET; the head of this file shows how")
# `embedded://` starts a server for development; in production this names yours.
REDIS = os.environ.get("REDIS_URL", "embedded://")

# A project in one file: what follows is imported once it is set up.  Yours has these lines in its settings.
settings.configure(
    SECRET_KEY="Django signs nothing here",  # noqa: S106
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    AUTHENTICATION_BACKENDS=[f"{__name__}.TwoUsers"],
    # Django's CSRF middleware is not needed: the guard asks where an unsafe request on the cookie comes from.
    MIDDLEWARE=["asgi_tokenguard.django.UserMiddleware"],
)
django.setup()

from django.contrib.auth import aauthenticate
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

from asgi_tokenguard import TokenGuardMiddleware, get_auth


class TwoUsers(BaseBackend):
    """Without a database.  Yours is Django's `ModelBackend`, which needs no line here."""

    def authenticate(self, _request: HttpRequest, username: str, password: str) -> Any:
        right = {"ada": "lovelace", "alan": "turing"}.get(username) == password
        return self.get_user(["ada", "alan"].index(username)) if right else None

    def get_user(self, user_id: int) -> Any:
        return User(pk=user_id, username=["ada", "alan"][user_id])


async def password_is_right(request: HttpRequest) -> Any:
    """The user, or None."""
    return await aauthenticate(request, username=request.POST.get("user"), password=request.POST.get("password"))


@require_POST
async def login(request: HttpRequest) -> HttpResponse:
    user = await password_is_right(request)
    if user is None:
        return JsonResponse({"detail": "Unknown user or wrong password."}, status=401)
    await get_auth(request).login(str(user.pk), {"role": "admin"})
    return JsonResponse({"ok": True})  # the tokens travel in the response head


@login_required
def me(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.get_username(), "role": get_auth(request).claims["role"]})


async def sessions(request: HttpRequest) -> HttpResponse:
    return JsonResponse([session.to_dict() for session in await get_auth(request).sessions()], safe=False)


@require_POST
async def change_email(request: HttpRequest) -> HttpResponse:
    """Who has found an unlocked screen does not know the password."""
    await get_auth(request).require_fresh()
    return HttpResponse(status=204)


@require_POST
async def confirm(request: HttpRequest) -> HttpResponse:
    user = await password_is_right(request)
    if user is None:
        return JsonResponse({"detail": "Wrong password."}, status=403)
    await get_auth(request).reauthenticated(str(user.pk))  # SubjectMismatch for another user than the session's
    return HttpResponse(status=204)


@require_POST
async def logout(request: HttpRequest) -> HttpResponse:
    await get_auth(request).logout()
    return HttpResponse(status=204)


urlpatterns = [
    path("login", login),
    path("me", me),
    path("sessions", sessions),
    path("email", change_email),
    path("confirm", confirm),
    path("logout", logout),
]

app = TokenGuardMiddleware(
    get_asgi_application(), secret=SECRET, redis=REDIS, public=["/login", "/logout"], reauthentication=["/confirm"]
)
