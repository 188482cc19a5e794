"""I1: a cookie alone never carries an unsafe method across sites, and nobody is signed in by another site."""

from __future__ import annotations

import pytest
from support.actors import COOKIE, METADATA, OWN
from support.forge import aged, rekeyed
from support.stage import answer, carried, staged, who
from support.wire import Answer, call, scope_of

from asgi_tokenguard import get_auth

FRIEND, FOE = "https://friend.example", "https://evil.example"
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "FROB", "post")


def page(site: str | None = None, origin: str | None = None) -> dict[str, str]:
    """The headers of a navigation (whose method is the test's)."""
    said = {} if site is None else {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    return said | ({} if origin is None else {"origin": origin})


def passed_on(referrer: str | None, origin: str = OWN) -> dict[str, str]:
    said = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "same-origin", "sec-fetch-dest": "empty", "origin": origin}
    return said | ({} if referrer is None else {"referer": referrer})


# What a request says: (its headers, whether the cookie alone carries an unsafe method, whether it may log somebody in).
SAYS = {
    "nothing": (page(), False, True),
    "own origin": (page(origin=OWN), True, True),
    "own origin without TLS": (page(origin="http://app.example"), False, False),
    "own name, a scheme of no website": (page(origin="chrome-extension://app.example"), False, False),
    "own origin with its port": (page(origin="https://app.example:443"), True, True),
    "own host, another port": (page(origin="https://app.example:8443"), False, False),
    "origin null": (page(origin="null"), False, False),
    "foreign origin": (page(origin=FOE), False, False),
    "trusted origin": (page(origin=FRIEND), True, True),
    "trusted origin, cross-site": (page("cross-site", FRIEND), True, True),
    "trusted origin, same-site": (page("same-site", FRIEND), True, True),
    "trusted origin, no site that browsers know": (page("elsewhere", FRIEND), False, False),
    "same-origin": (page("same-origin"), True, True),
    "same-origin, own origin": (page("same-origin", OWN), True, True),
    "typed by the user": (page("none"), False, True),
    "same-site": (page("same-site"), False, False),
    "cross-site": (page("cross-site"), False, False),
    "cross-site, foreign origin": (page("cross-site", FOE), False, False),
    # Contradictions: the stricter reading holds.
    "same-site, own origin": (page("same-site", OWN), False, False),
    "cross-site, own origin": (page("cross-site", OWN), False, False),
    "same-origin, foreign origin": (page("same-origin", FOE), False, False),
    "same-origin, origin null": (page("same-origin", "null"), False, False),
    # What Firefox makes of a form that a service worker passes on.
    "passed on, of an own page": (passed_on(f"{OWN}/page"), True, True),
    "passed on, of a trusted page": (passed_on(f"{FRIEND}/"), True, True),
    "passed on, of a foreign page": (passed_on(f"{FOE}/"), False, False),
    "passed on, of a page that withholds where it is": (passed_on(None, "null"), False, False),
    "a mode without a site": ({"sec-fetch-mode": "cors", "origin": OWN}, False, False),
    "a destination without a site, trusted origin": ({"sec-fetch-dest": "empty", "origin": FRIEND}, False, False),
}
# What the request proves by its access token, and whether that is as good as being of this site.
PROOFS = {
    "no access token": False,
    "an expired access token of the session": True,
    "an expired access token of another session": False,
    "an access token with an unknown kid": False,
}


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock, trusted_origins=[FRIEND]) as stage:
        yield stage


@pytest.mark.parametrize("proof", PROOFS)
async def test_i1_a_cookie_alone_carries_no_unsafe_method_across_sites(stage, options, proof):
    """The whole table: method by provenance by proof.  What is refused never reaches the app, and nothing is rotated."""
    secret, guard = options["secret"], stage.guard
    rows = [(method, says) for method in (*SAFE, *UNSAFE) for says in SAYS]
    sessions = [await guard.login(f"user-{number}") for number in range(len(rows))]
    others = [await guard.login(f"user-{number}") for number in range(len(rows))]
    stage.clock.advance(901)
    for number, (method, says) in enumerate(rows):
        own, other = sessions[number], others[number]
        headers, carries, _ = SAYS[says]
        token = {
            "no access token": None,
            "an expired access token of the session": own.access_token,
            "an expired access token of another session": other.access_token,
            "an access token with an unknown kid": rekeyed(aged(own.access_token, secret, -900)),
        }[proof]
        sent = (
            headers
            | {"cookie": f"{COOKIE}={own.refresh_token}"}
            | ({} if token is None else {"authorization": f"Bearer {token}"})
        )
        result = await call(stage.app, method, "/me", sent.items())

        case = f"{method}, {says}, {proof}"
        if method in SAFE or carries or PROOFS[proof]:
            assert 200 == result.status, case
        else:
            assert (403, "cross_site_request") == (result.status, result.code), case
            assert "nothing" == carried(result), case
            assert 0 == (await guard.engine.store.check(f"user-{number}", own.session_id)).head.gen, case


async def test_i1_what_is_refused_never_reaches_the_app(stage):
    tab = await stage.expired()
    assert 403 == (await tab.ask("/transfer", method="POST", kind="cross-form", token=False)).status
    assert 0 == stage.handlers.calls["/transfer"]


async def test_i1_an_expired_token_lets_a_page_of_another_origin_go_on(stage):
    """It holds the token, so that it is no stranger; but it can receive nothing, and so nothing is rotated."""
    tab = await stage.expired()
    result = await tab.post("/me", kind="cross-fetch")
    assert (200, "nothing") == (result.status, carried(result))
    assert 0 == (await stage.head(tab)).gen


async def test_i1_two_origin_headers_are_foreign(stage):
    tab = await stage.expired()
    cookie = ("cookie", f"{COOKIE}={tab.browser.jar}")
    assert 403 == (await call(stage.app, "POST", "/me", [cookie, ("origin", OWN), ("origin", OWN)])).status
    assert 403 == (await call(stage.app, "POST", "/me", [cookie, ("origin", FRIEND), ("origin", FRIEND)])).status


async def test_i1_without_a_host_no_origin_is_the_own_one(stage):
    """HTTP/1.0 may leave it out."""
    tab = await stage.expired()
    scope = scope_of("POST", "/me", [("cookie", f"{COOKIE}={tab.browser.jar}"), ("origin", OWN)])
    scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"host"]
    sent = Answer()

    async def send(message):
        sent.messages.append(message)

    await stage.app(scope, None, send)
    assert 403 == sent.status


@pytest.mark.parametrize("says", SAYS)
async def test_i1_no_site_signs_its_visitors_in_as_somebody_else(stage, says):
    """Login CSRF: the attacker's page posts the attacker's password."""
    headers, _, may_log_in = SAYS[says]
    result = await call(stage.app, "POST", "/login", headers.items())
    if may_log_in:
        assert (200, True) == (result.status, result.cookie() is not None)
    else:
        assert (403, "cross_site_request") == (result.status, result.code)
        assert "trusted_origins" in result.json()["detail"]  # what to write where the page is one's own
        assert "nothing" == carried(result)
        assert [] == await stage.guard.sessions("user-1")


@pytest.mark.parametrize("says", ["cross-site, foreign origin", "cross-site", "same-site", "passed on, of a foreign page"])
async def test_i1_a_callback_whose_state_the_app_has_checked_may_come_from_another_site(stage, says):
    @stage.on("/login")
    async def callback(scope, receive, send):
        await get_auth(scope).login("user-1", cross_site=True)
        await answer(send, 303, headers=[(b"location", b"/")])

    result = await call(stage.app, "POST", "/login", SAYS[says][0].items())
    assert (303, "cookie") == (result.status, carried(result))


async def test_i1_a_redirect_back_from_an_identity_provider_works(stage):
    """It is a GET, which an attacker's page could send too: the provider's `state` is the app's to check."""
    result = await call(stage.app, "GET", "/login", page("cross-site").items())
    assert (200, "cookie") == (result.status, carried(result))


async def test_i1_a_callback_does_not_end_a_session_that_another_site_only_rode_on(stage):
    """What was refused changes nothing: the visitor is still signed in."""
    tab = await stage.logged_in()
    assert 403 == (await tab.post("/login?user=attacker", kind="cross-form")).status
    assert 200 == (await tab.get()).status


class TestLogout:
    """The session ends only for those who could have asked for it from this site."""

    async def test_i1_another_site_logs_nobody_out(self, stage):
        tab = await stage.logged_in()
        result = await tab.post("/logout", kind="cross-form", token=False)
        assert (403, "cross_site_request", None) == (result.status, result.code, result.cookie())
        assert 200 == (await tab.get()).status

    @pytest.mark.parametrize("says", [name for name, row in SAYS.items() if not row[1]])
    async def test_i1_on_the_cookie_alone_the_rule_is_that_of_all_requests(self, stage, says):
        tab = await stage.logged_in()
        headers = {"cookie": f"{COOKIE}={tab.browser.jar}"} | SAYS[says][0]
        assert 403 == (await call(stage.app, "POST", "/logout", headers.items())).status
        assert await stage.head(tab)

    async def test_i1_the_token_in_the_header_is_proof_enough(self, stage):
        tab = await stage.logged_in()
        result = await tab.post("/logout", kind="cross-fetch")
        assert (204, "") == (result.status, result.cookie())
        assert [] == await stage.guard.sessions("user-1")

    async def test_i1_a_program_with_nothing_to_end_is_answered_and_clears_nothing(self, stage):
        result = await call(stage.app, "POST", "/logout")
        assert (204, []) == (result.status, result.all("set-cookie"))

    async def test_i1_another_sites_page_clears_no_cookie_that_its_browser_withheld(self, stage):
        """SameSite keeps the cookie at home, but an answer that clears it would still be obeyed."""
        tab = await stage.logged_in()
        tab.browser.jar = tab.token = None
        result = await tab.post("/logout", kind="cross-form")
        assert (403, []) == (result.status, result.all("set-cookie"))

    async def test_i1_a_token_of_another_session_proves_nothing(self, stage):
        tab, other = await stage.logged_in(), await stage.logged_in("user-2")
        tab.token = other.token
        assert 403 == (await tab.post("/logout", kind="cross-fetch")).status
        assert await stage.head(tab)
        assert await stage.head(other, "user-2")


async def test_i1_a_live_access_token_needs_no_look_at_the_origin(stage):
    """A cross-site page can make a browser send the cookie, never the header."""
    stage.on("/who")(who)
    tab = await stage.logged_in()
    for kind in METADATA:
        headers = METADATA[kind] | {"authorization": f"Bearer {tab.token}"}
        assert 200 == (await call(stage.app, "POST", "/who", headers.items())).status, kind
