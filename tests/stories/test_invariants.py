"""Every invariant and every pitfall of this release has a test of its name; the rest is named with the reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.actors import COOKIE, OWN
from support.http import send, serving
from support.stage import Handlers, carried, travelling

from asgi_tokenguard import TokenGuardMiddleware

TESTS = Path(__file__).parents[1]
INVARIANTS = set(range(1, 17))
PITFALLS = 63
LATER = {
    44: "there is no event hook yet",
    61: "the browser client",
    62: "the browser client",
    63: "the browser client",
}


@pytest.fixture(scope="module")
def named() -> set[str]:
    """`i7`, `p07` and the like, from the names of all tests."""
    names = [
        node.name
        for file in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    return {mark for name in names for mark in re.findall(r"[ip]\d+", re.match(r"test_((?:[ip]\d+_)*)", name)[1])}


def test_every_invariant_has_a_test_of_its_name(named):
    assert [] == [number for number in sorted(INVARIANTS) if f"i{number}" not in named]


def test_every_pitfall_has_a_test_of_its_name_or_a_reason(named):
    found = {number for number in range(1, PITFALLS + 1) if f"p{number:02}" in named}
    assert set(range(1, PITFALLS + 1)) == found | LATER.keys()
    assert set() == found & LATER.keys(), "a pitfall of a later release has a test: take it out of LATER"


class Site:
    """A browser's script against a real server."""

    def __init__(self, url: str) -> None:
        self.url, self.token, self.jar = url, None, None

    def ask(self, path, method="GET", *, token=True, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.jar:
            sent["cookie"] = f"{COOKIE}={self.jar}"
        if token and self.token:
            sent["authorization"] = f"Bearer {self.token}"
        answer = send(self.url, method, path, sent.items())
        self.jar = self.jar if answer.cookie() is None else answer.cookie()
        self.token = answer.new_token or self.token
        return answer


def test_i1_i2_i4_i12_i13_i14_one_life_over_real_http(options, clock):
    """The promises of the shell, told once as a user meets them, through a server and its parser."""
    app = TokenGuardMiddleware(Handlers(), **options, public=["/login", "/logout"])
    travelling(app.guard, clock)
    with serving(app, lifespan="on") as url:
        me = Site(url)
        # I14, I1: a stranger is told so, and no other site signs anybody in.
        assert "token_required" == me.ask("/me").code
        assert "cross_site_request" == me.ask("/login", "POST", origin="https://evil.example").code
        # I2: the answer that carries tokens says so.
        answer = me.ask("/login", "POST", origin=OWN)
        assert ("both", "no-store", "X-New-Access-Token") == (
            carried(answer),
            answer.get("cache-control"),
            answer.get("access-control-expose-headers"),
        )
        assert "user-1" == me.ask("/me").json()["subject"]
        # I12: after the access token has expired, an image is served and takes nothing; a script takes the pair.
        clock.advance(901)
        assert "nothing" == carried(me.ask("/me", token=False, sec_fetch_site="same-origin", sec_fetch_mode="no-cors"))
        old = me.jar
        assert "both" == carried(me.ask("/me"))
        assert "nothing" == carried(me.ask("/me"))
        # I1, I4: the cookie alone carries no transfer, and two of them carry nothing at all.
        assert "cross_site_request" == me.ask("/me", "POST", token=False, origin="https://evil.example").code
        assert "cross_site_request" == me.ask("/me", "POST", token=False, sec_fetch_site="same-site").code
        assert "duplicate_credentials" == send(url, "GET", "/me", [("Cookie", f"{COOKIE}={me.jar}; {COOKIE}={old}")]).code
        # I2: a preflight is nobody's business.
        assert 200 == me.ask("/me", "OPTIONS", token=False, origin=OWN, access_control_request_method="POST").status
        # I13: leaving is leaving.
        clock.advance(901)
        answer = me.ask("/logout", "POST", origin=OWN)
        assert (204, "", None) == (answer.status, answer.cookie(), answer.new_token)
        assert "logged_out" == send(url, "GET", "/me", [("Cookie", f"{COOKIE}={old}")]).code
