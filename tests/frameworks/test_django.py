"""`asgi_tokenguard.django`: the session's user for views, decorators and templates; refusals with their codes."""

from __future__ import annotations

from typing import ClassVar

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path
from support.actors import Browser
from support.stage import carried, travelling

from asgi_tokenguard import FixedLocator, NotGuarded, Place, TokenGuard, TokenGuardMiddleware, get_auth
from asgi_tokenguard.django import UserMiddleware


async def login(request):
    await get_auth(request).login(request.GET["user"], {"scope": "read"})
    return JsonResponse({"name": (await request.auser()).get_username()})


def sync_login(request):
    """A sync view runs in a thread, and asks the loop to do it."""
    async_to_sync(get_auth(request).login)(request.GET["user"])
    return JsonResponse({"name": request.user.get_username()})


async def who(request):
    user = await request.auser()
    return JsonResponse({"name": user.get_username(), "known": user.is_authenticated})


def sync_who(request):
    return JsonResponse({"name": request.user.get_username(), "known": request.user.is_authenticated})


async def fresh(request):
    await get_auth(request).require_fresh()
    return JsonResponse({})


def sync_fresh(request):
    async_to_sync(get_auth(request).require_fresh)()
    return JsonResponse({})


async def write(request):
    get_auth(request).require_scopes("write")


async def broken(request):
    raise RuntimeError("a bug of the app")


async def changes_user(request):
    before = (await request.auser()).get_username()
    await get_auth(request).login(request.GET["user"])
    return JsonResponse([before, (await request.auser()).get_username()], safe=False)


async def silent(request):
    return JsonResponse({"asked": hasattr(request, "_tokenguard_user")})


URLS = (
    path("login", login),
    path("sync-login", sync_login),
    path("who", who),
    path("sync-who", sync_who),
    path("open/who", who),
    path("open/mine", login_required(who)),
    path("open/sync-mine", login_required(sync_who)),
    path("fresh", fresh),
    path("sync-fresh", sync_fresh),
    path("write", write),
    path("broken", broken),
    path("silent", silent),
    path("changes-user", changes_user),
)
PUBLIC = ["/login", "/sync-login"]


@pytest.fixture(scope="module")
def _database():
    call_command("migrate", verbosity=0)
    connections.close_all()


@pytest.fixture
async def user(_database):
    """Ada, whose row is hers alone."""
    user = await User.objects.acreate_user("ada", password="lovelace")
    yield user
    await User.objects.all().adelete()
    await sync_to_async(connections.close_all)()


@pytest.fixture
async def tab(options, clock, user):
    guard = travelling(TokenGuard(**options, public=PUBLIC, optional=["/open/*"]), clock)
    with override_settings(ROOT_URLCONF=URLS):
        async with guard:
            yield Browser(TokenGuardMiddleware(get_asgi_application(), guard=guard)).tab()


VIEWS = pytest.mark.parametrize("kind", ["", "sync-"], ids=["async", "sync"])


@VIEWS
async def test_the_sessions_user_is_the_requests(tab, user, kind):
    assert {"name": "ada"} == (await tab.post(f"/{kind}login?user={user.pk}")).json()
    assert {"name": "ada", "known": True} == (await tab.get(f"/{kind}who")).json()


@VIEWS
async def test_login_required_sends_nobody_to_the_login_page(tab, user, kind):
    answer = await tab.get(f"/open/{kind}mine")
    assert (302, f"/sign-in?next=/open/{kind}mine") == (answer.status, answer.get("location"))
    await tab.post(f"/login?user={user.pk}")
    assert {"name": "ada", "known": True} == (await tab.get(f"/open/{kind}mine")).json()


async def test_nobody_is_djangos_anonymous_user(tab):
    assert {"name": "", "known": False} == (await tab.get("/open/who")).json()


@pytest.mark.parametrize("subject", ["4711", "ada", "1.5"])
async def test_a_subject_without_a_row_is_nobody(tab, subject):
    await tab.post(f"/login?user={subject}")
    assert {"name": "", "known": False} == (await tab.get("/who")).json()


async def test_a_user_who_is_deactivated_is_nobody_at_once(tab, user):
    await tab.post(f"/login?user={user.pk}")
    user.is_active = False
    await user.asave()
    assert {"name": "", "known": False} == (await tab.get("/who")).json()
    assert 302 == (await tab.get("/open/mine")).status


async def test_a_login_within_the_request_is_followed(tab, user):
    grace = await User.objects.acreate_user("grace")
    await tab.post(f"/login?user={user.pk}")
    assert ["ada", "grace"] == (await tab.post(f"/changes-user?user={grace.pk}")).json()


async def test_who_has_to_prove_who_they_are_first_is_nobody(options, clock, user):
    """On a reauthentication path the session is named, and counts for nothing else."""
    berlin = FixedLocator({"192.0.2.0/24": Place(latitude=52.5, longitude=13.4, city="Berlin", accuracy_km=1)})
    guard = TokenGuard(**options, public=PUBLIC, reauthentication=["/who"], locator=berlin)
    with override_settings(ROOT_URLCONF=URLS):
        async with travelling(guard, clock):
            browser = Browser(TokenGuardMiddleware(get_asgi_application(), guard=guard), address="192.0.2.1")
            await browser.tab().post(f"/login?user={user.pk}")
            assert {"name": "ada", "known": True} == (await browser.tab().get("/who")).json()
            browser.address = "203.0.113.1"
            assert {"name": "", "known": False} == (await browser.tab().get("/who")).json()


async def test_the_user_is_loaded_only_where_somebody_asks(tab, user):
    await tab.post(f"/login?user={user.pk}")
    assert {"asked": False} == (await tab.get("/silent")).json()


async def test_another_subject_needs_one_method(options, clock, user):
    with override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=[f"{__name__}.ByName"]):
        async with travelling(TokenGuard(**options, public=PUBLIC), clock) as guard:
            tab = Browser(TokenGuardMiddleware(get_asgi_application(), guard=guard)).tab()
            await tab.post("/login?user=ada")
            ByName.asked.clear()
            assert {"name": "ada", "known": True} == (await tab.get("/open/mine")).json()
            assert ["ada"] == ByName.asked  # once, for the decorator and the view


class ByName(UserMiddleware):
    asked: ClassVar[list[str]] = []

    def get_user(self, subject):
        self.asked.append(subject)
        return User.objects.filter(username=subject, is_active=True).first()


class TestRefusals:
    @VIEWS
    async def test_step_up_is_the_challenge_with_its_code_and_the_pair(self, tab, user, clock, kind):
        await tab.post(f"/login?user={user.pk}")
        assert 200 == (await tab.get(f"/{kind}fresh")).status
        clock.advance(901)
        answer = await tab.get(f"/{kind}fresh")
        assert (401, "step_up_required", "both") == (answer.status, answer.code, carried(answer))
        assert 'error="insufficient_user_authentication"' in answer.get("www-authenticate")
        assert "application/json" == answer.get("content-type")
        assert "no-store" in answer.all("cache-control")

    async def test_scopes(self, tab, user):
        await tab.post(f"/login?user={user.pk}")
        assert (403, "insufficient_scope") == ((answer := await tab.get("/write")).status, answer.code)

    async def test_a_login_from_elsewhere(self, tab, user):
        answer = await tab.ask(f"/login?user={user.pk}", method="POST", kind="cross-form")
        assert (403, "cross_site_request") == (answer.status, answer.code)

    async def test_other_errors_are_djangos(self, tab, user):
        await tab.post(f"/login?user={user.pk}")
        answer = await tab.get("/broken")
        assert (500, None) == (answer.status, answer.code)


def test_djangos_checks_take_it_for_their_own():
    """The admin asks for a subclass of `AuthenticationMiddleware`."""
    from django.contrib.admin.checks import _contains_subclass

    ours = ["asgi_tokenguard.django.UserMiddleware"]
    assert _contains_subclass("django.contrib.auth.middleware.AuthenticationMiddleware", ours)


def test_a_sync_chain_works_as_well_and_without_a_guard_the_error_says_what_to_write():
    """Where a neighbour is sync only, Django calls us from a thread; under WSGI there is no guard."""
    request = HttpRequest()
    assert "an answer" == UserMiddleware(lambda request: "an answer")(request)
    with pytest.raises(NotGuarded):
        request.user.is_authenticated  # noqa: B018
