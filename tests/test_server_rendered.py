"""Examples of server-rendered apps, over real HTTP: pages and forms, and a renderer that carries sessions to an API."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest
from support.actors import METADATA
from support.commands import ROOT, command_of, running
from support.forge import claims_of

REFRESH = "__Host-refresh"
STEP, HOUR = 300, 3600  # seconds between two pages; how long the browser is watched


class Browser:
    """A browser that shows documents and sends forms, follows redirects, and keeps `Secure` cookies of a local host."""

    def __init__(self, url: str) -> None:
        self.url = url
        # No connection is kept: a leap of time is the end of its idle time.  And no jar, which would not send what is Secure.
        self.client = httpx.Client(base_url=url, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
        self.cookies: dict[str, str] = {}
        self.path = ""

    def ask(self, method: str, path: str, body: str = "") -> httpx.Response:
        headers = METADATA["page" if method == "GET" else "form"] | {"accept": "text/html", "user-agent": "Mozilla/5.0 (test)"}
        if method == "POST":
            headers |= {"origin": self.url, "content-type": "application/x-www-form-urlencoded"}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.client.cookies.clear()
        answer = self.client.request(method, path, headers=headers, content=body)
        for name, value in re.findall(r"(__Host-[a-z]+)=([^;]*);", ", ".join(answer.headers.get_list("set-cookie"))):
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        self.path = path
        return answer

    def show(self, path: str) -> httpx.Response:
        answer = self.ask("GET", path)
        for _ in range(20):  # as browsers do
            if answer.status_code != 303:
                return answer
            answer = self.ask("GET", answer.headers["location"])
        raise RuntimeError(f"{path} goes round in a circle")

    def fill_in(self, **fields: str) -> httpx.Response:
        """Send the form of the page that is shown, to its own address."""
        answer = self.ask("POST", self.path, urlencode(fields))
        return self.show(answer.headers["location"]) if answer.status_code == 303 else answer


def title(answer: httpx.Response) -> str:
    return re.search("<h1>(.*?)</h1>", answer.text)[1]


# --- Pages and forms


@pytest.fixture
def site(server) -> Iterator[str]:
    with running(command_of("server_rendered/site.py", "server_rendered/site.py"), server) as url:
        yield url


def test_pages_and_forms(site, clock):
    browser = Browser(site)
    assert ("Sign in", "/sign-in?next=/email%3Ffrom%3Dhome") == (title(browser.show("/email?from=home")), browser.path)
    assert "Sign in" == title(browser.fill_in(user="ada", password="babbage"))
    assert ("Change your email", "/email?from=home") == (
        title(browser.fill_in(user="ada", password="lovelace")),
        browser.path,
    )
    assert "Hello ada" == title(browser.fill_in(email="ada@example.org"))

    clock.advance(901)
    first = browser.cookies[REFRESH]
    assert ("Who are you?", "/confirm?next=/email") == (title(browser.show("/email")), browser.path)
    assert first != browser.cookies[REFRESH], "the rotation's cookie rode on the redirect"
    assert "Who are you?" == title(browser.fill_in(user="ada", password="babbage"))
    assert "Change your email" == title(browser.fill_in(user="ada", password="lovelace"))

    clock.advance(301)
    late = browser.fill_in(email="ada@example.org")  # the form was filled in slowly: nothing of it is turned into a GET
    assert (401, "Sorry") == (late.status_code, title(late))
    assert 'error="insufficient_user_authentication"' in late.headers["www-authenticate"]

    browser.path = "/sign-out"
    assert "Sign in" == title(browser.fill_in())
    assert {} == browser.cookies
    assert "Sign in" == title(browser.show("/"))


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "/%09/evil.example", "/%5cevil.example"]
)
def test_no_link_to_the_sign_in_page_leads_off_the_site(site, to):
    browser = Browser(site)
    browser.show(f"/sign-in?{urlencode({'next': to})}")
    answer = browser.ask("POST", browser.path, urlencode({"user": "ada", "password": "lovelace"}))
    assert (303, "/") == (answer.status_code, answer.headers["location"])


# --- A renderer


@pytest.fixture
def api(server) -> Iterator[str]:
    with running(command_of("fastapi/app.py", "server_rendered/renderer.py"), server) as url:
        yield url


@pytest.fixture
def visitor(server, api) -> Iterator[Browser]:
    """A browser that has signed in through the renderer."""
    with running(command_of("server_rendered/renderer.py", "server_rendered/renderer.py"), server, API_URL=api) as url:
        browser = Browser(url)
        assert (401, "Sign in") == ((answer := browser.show("/")).status_code, title(answer))
        browser.path = "/sign-in"
        assert "Hello ada" == title(browser.fill_in(user="ada", password="lovelace"))
        yield browser


@pytest.mark.thorough
def test_handing_cookies_on_a_browsers_session_lives_for_an_hour_and_rotates(visitor, clock):
    generations = []
    for _ in range(HOUR // STEP):
        clock.advance(STEP)
        answer = visitor.show("/")
        assert (200, "Hello ada") == (answer.status_code, title(answer))
        assert answer.headers.get_list("set-cookie") == list(dict.fromkeys(answer.headers.get_list("set-cookie")))
        assert "no-store" == answer.headers["cache-control"]
        assert "x-new-access-token" not in answer.headers
        generations.append(claims_of(visitor.cookies[REFRESH])["gen"])
    assert generations == sorted(generations)
    assert generations[-1] in {3, 4}, "once in an access lifetime, for two calls a page"


@pytest.mark.thorough
def test_with_rotation_off_it_lives_as_well_and_is_left_as_it_is(visitor, clock):
    before = dict(visitor.cookies)
    for _ in range(HOUR // STEP):
        clock.advance(STEP)
        answer = visitor.show("/news")
        assert (200, True, []) == (answer.status_code, "For ada" in answer.text, answer.headers.get_list("set-cookie"))
    assert before == visitor.cookies
    assert "Hello ada" == title(visitor.show("/"))
    assert 1 == claims_of(visitor.cookies[REFRESH])["gen"]


@pytest.mark.thorough
def test_a_renderer_that_takes_the_tokens_for_itself_signs_its_visitor_out(visitor, api, clock):
    """What the recipe is for; were this one served as well, the two tests above would show nothing."""
    codes = []
    for _ in range(HOUR // STEP):
        clock.advance(STEP)
        headers = {"cookie": f"{REFRESH}={visitor.cookies[REFRESH]}"}
        answer = httpx.get(f"{api}/me", headers=headers)
        codes.append(answer.status_code)
        if (token := answer.headers.get("x-new-access-token")) is not None:  # the cookie is dropped, the token is used
            httpx.get(f"{api}/me", headers={"authorization": f"Bearer {token}"})
    assert 401 == codes[-1]
    assert "Sign in" == title(visitor.show("/"))


@pytest.mark.thorough
async def test_its_client_keeps_no_visitors_cookie(api, monkeypatch):
    monkeypatch.setenv("API_URL", api)
    found = importlib.util.spec_from_file_location("renderer", ROOT / "examples" / "server_rendered" / "renderer.py")
    renderer = importlib.util.module_from_spec(found)
    found.loader.exec_module(renderer)
    async with renderer.api as client:
        answer = await client.post("/login", json={"user": "ada", "password": "lovelace"})
        assert REFRESH in answer.headers["set-cookie"]
        assert [] == list(client.cookies.jar)
