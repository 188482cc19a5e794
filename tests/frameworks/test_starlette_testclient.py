"""P42: users can test their own app with the client that Starlette and FastAPI bring."""

from __future__ import annotations

import gc
from functools import partial

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from asgi_tokenguard import TokenGuardMiddleware, get_auth


async def login(request: Request):
    await get_auth(request).login("user-1")
    return JSONResponse({"ok": True})


async def logout(request: Request):
    await get_auth(request).logout()
    return JSONResponse({"ok": True})


async def me(request: Request):
    return JSONResponse({"user": request.user.identity})


async def broken(request: Request):
    raise RuntimeError("a bug of the app")


ENDPOINTS = {"/login": login, "/logout": logout, "/me": me, "/broken": broken}
ROUTES = [Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in ENDPOINTS.items()]


@pytest.fixture(params=[Starlette, FastAPI])
def build(request, options):
    app = request.param(routes=ROUTES)
    app.add_middleware(TokenGuardMiddleware, **options, public=["/login", "/logout"])
    return partial(TestClient, app)


def story(client):
    assert 401 == client.get("/me").status_code
    token = client.post("/login").headers["x-new-access-token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert 200 == client.get("/me", headers=bearer).status_code
    assert {"user": "user-1"} == client.get("/me").json()  # on the cookie
    assert 403 == client.post("/me").status_code  # a client that says nothing of its origin posts with the token
    assert 200 == client.post("/me", headers=bearer).status_code
    assert 200 == client.post("/logout", headers=bearer).status_code
    assert 401 == client.get("/me").status_code


def test_p42_with_lifespan_over_https(build):
    for _ in range(2):
        with build(base_url="https://testserver") as client:
            story(client)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_p42_without_lifespan_each_request_is_in_a_loop_of_its_own(build):
    """Nobody closes what these loops have opened; the next request drops it."""
    story(build(base_url="https://testserver"))
    build.args[0].middleware_stack = None
    gc.collect()


def test_p42_over_plain_http_a_client_keeps_the_secure_cookie_to_itself(build):
    """As a browser would; the access token works."""
    with build() as client:
        token = client.post("/login").headers["x-new-access-token"]
        assert 401 == client.get("/me").status_code
        assert 200 == client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code


def test_p42_an_app_that_breaks_raises_in_the_test(build):
    with build(base_url="https://testserver") as client:
        token = client.post("/login").headers["x-new-access-token"]
        with pytest.raises(RuntimeError, match="a bug of the app"):
            client.get("/broken", headers={"Authorization": f"Bearer {token}"})
