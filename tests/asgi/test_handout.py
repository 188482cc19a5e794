"""I12: nothing is handed to a caller that cannot receive it, and whoever can is served by what it can take."""

from __future__ import annotations

import pytest
from support.actors import METADATA, OWN
from support.stage import answer, carried, staged
from support.wire import call

from asgi_tokenguard import get_auth

FRIEND = "https://friend.example"


def _says(**metadata):
    return {f"sec-fetch-{name}": value for name, value in metadata.items()}


# caller -> (its headers, what it is handed by a rotation or redelivery, what by a repeat)
CALLERS = {
    "a script": (METADATA["fetch"], "both", "token"),
    "a script in same-origin mode": (_says(site="same-origin", mode="same-origin", dest="empty"), "both", "token"),
    "a script of a trusted origin": (_says(site="cross-site", mode="cors", dest="empty") | {"origin": FRIEND}, "both", "token"),
    "no browser": (METADATA["bare"], "both", "token"),
    "an old browser": ({"origin": OWN}, "both", "token"),
    "a page, typed": (METADATA["page"], "cookie", "nothing"),
    "a page, clicked": (_says(site="same-origin", mode="navigate", dest="document"), "cookie", "nothing"),
    "a page, from another site": (_says(site="cross-site", mode="navigate", dest="document"), "cookie", "nothing"),
    "a page, redirected from another site": (METADATA["cross-form"], "cookie", "nothing"),
    "an image": (METADATA["image"], "nothing", "nothing"),
    "a frame": (METADATA["frame"], "nothing", "nothing"),
    "an event stream": (METADATA["events"], "nothing", "nothing"),
    "a prefetch": (METADATA["prefetch"], "nothing", "nothing"),
    "a prerender": (METADATA["page"] | {"sec-purpose": "prefetch;prerender"}, "nothing", "nothing"),
    "a script's prefetch": (METADATA["fetch"] | {"sec-purpose": "prefetch"}, "nothing", "nothing"),
    "a module script": (_says(site="same-origin", mode="cors", dest="script"), "nothing", "nothing"),
    "a worker": (_says(site="same-origin", mode="same-origin", dest="worker"), "nothing", "nothing"),
    "a download": (_says(site="same-origin", mode="no-cors", dest="empty"), "nothing", "nothing"),
    "an old browser's event stream": ({"accept": "text/event-stream"}, "both", "token"),
    "a foreign script": (METADATA["cross-fetch"], "nothing", "nothing"),
    "an old browser's foreign script": ({"origin": "https://evil.example"}, "nothing", "nothing"),
    "a script of the same site": (_says(site="same-site", mode="cors", dest="empty"), "nothing", "nothing"),
    "a mode without a site": (_says(mode="cors", dest="empty"), "nothing", "nothing"),
    "a site without a mode": (_says(site="same-origin"), "nothing", "nothing"),
    "a renderer": ({"x-token-rotation": "off"}, "nothing", "nothing"),
    "a renderer with a browser's headers": (METADATA["fetch"] | {"x-token-rotation": " OFF "}, "nothing", "nothing"),
    "a page, by a renderer": (METADATA["page"] | {"x-token-rotation": "off"}, "nothing", "nothing"),
    "another value of that header": ({"x-token-rotation": "on"}, "both", "token"),
}
UNSAFE = {
    "a script": (METADATA["fetch"] | {"origin": OWN}, "both"),
    "a form": (METADATA["form"], "cookie"),
    "an old browser": ({"origin": OWN}, "both"),
    "a form in a frame": (METADATA["frame"], "nothing"),
    "a beacon": (_says(site="same-origin", mode="no-cors", dest="empty"), "nothing"),
}


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock, trusted_origins=[FRIEND]) as stage:
        yield stage


async def ask(stage, tab, headers, method="GET"):
    """A request on the cookie alone."""
    return await call(stage.app, method, "/me", [*headers.items(), ("cookie", f"__Host-refresh={tab.browser.jar}")])


@pytest.mark.parametrize("who", CALLERS)
class TestCallers:
    async def test_i12_a_rotation_is_for_those_who_can_take_it(self, stage, who):
        headers, handed, _ = CALLERS[who]
        tab = await stage.expired()
        result = await ask(stage, tab, headers)
        assert (200, "user-1", handed) == (result.status, result.json()["subject"], carried(result))
        assert (0 if handed == "nothing" else 1) == (await stage.head(tab)).gen

    async def test_i12_so_is_a_redelivery(self, stage, who):
        headers, handed, _ = CALLERS[who]
        tab = await stage.expired()
        lost = await tab.ask()
        before = await stage.head(tab)
        stage.clock.advance(1)  # well below what counts as late, on a busy machine too
        result = await ask(stage, tab, headers)
        assert (200, handed) == (result.status, carried(result))
        assert result.cookie() in {None, lost.cookie()}
        assert result.new_token in {None, lost.new_token}
        # Whoever got nothing has put nobody's clock back.
        assert (handed == "nothing") == (before == await stage.head(tab))

    async def test_i12_a_repeat_is_for_scripts(self, stage, who):
        headers, _, handed = CALLERS[who]
        tab = await stage.logged_in()
        result = await ask(stage, tab, headers)
        assert (200, handed) == (result.status, carried(result))
        assert result.new_token in {None, tab.token}

    async def test_i12_a_straggler_is_served_and_gets_nothing(self, stage, who):
        tab, late = await stage.expired(), CALLERS[who][0]
        old = tab.browser.jar
        await tab.get()
        await tab.get()
        tab.browser.jar = old
        result = await ask(stage, tab, late)
        assert (200, "nothing") == (result.status, carried(result))


@pytest.mark.parametrize("who", UNSAFE)
async def test_i12_an_unsafe_request_of_this_site_is_handed_what_it_can_take(stage, who):
    headers, handed = UNSAFE[who]
    result = await ask(stage, await stage.expired(), headers, "POST")
    assert (200, handed) == (result.status, carried(result))


async def test_i12_an_app_whose_users_only_navigate_rotates_by_the_cookie(stage):
    """Daily use never runs into the idle expiry of 15 days, and the first script of a page is handed the access token."""
    tab = await stage.logged_in(kind="form")
    for _ in range(6):
        stage.clock.advance(10 * 24 * 3600)
        assert "cookie" == carried(await tab.get(kind="page"))
    assert tab.token is None
    assert "token" == carried(await tab.get(kind="fetch"))
    assert 200 == (await tab.get("/sessions", kind="fetch")).status


async def test_i12_a_page_full_of_images_loses_no_token(stage):
    """Twenty images and an event stream of an expired page are served; the script that comes last is handed both."""
    tab = await stage.expired()
    for kind in ["image"] * 20 + ["events", "prefetch", "frame"]:
        result = await tab.get(kind=kind)
        assert (200, "nothing") == (result.status, carried(result))
    assert "both" == carried(await tab.get())


async def test_i12_a_renderers_call_does_not_rotate_behind_the_browsers_back(stage):
    """A minute later the browser itself rotates, and nobody calls it a theft (P51)."""
    tab = await stage.expired()
    for _ in range(3):
        result = await tab.ask(kind="bare", token=False, headers={"x-token-rotation": "off"})
        assert (200, "nothing") == (result.status, carried(result))
        stage.clock.advance(60)
    assert "both" == carried(await tab.get())
    assert 200 == (await tab.get()).status


# How somebody logs in, and what they are handed.
LOGINS = {
    "a script": (METADATA["fetch"] | {"origin": OWN}, "both"),
    "no browser": ({}, "both"),
    "a form": (METADATA["form"], "cookie"),
    "a form of a typed page": (METADATA["page"], "cookie"),
    "an image": (METADATA["image"], "403 cannot_receive"),
    "an event stream": (METADATA["events"], "403 cannot_receive"),
    "a frame": (METADATA["frame"], "403 cannot_receive"),
    "a prefetch": (METADATA["prefetch"], "403 cannot_receive"),
    "a renderer": ({"x-token-rotation": "off"}, "403 cannot_receive"),
    "a form, by a renderer": (METADATA["form"] | {"x-token-rotation": "off"}, "403 cannot_receive"),
    "a script, typed": (_says(site="none", mode="cors", dest="empty"), "403 cannot_receive"),
}


@pytest.mark.parametrize("who", LOGINS)
async def test_i12_a_login_hands_out_what_its_caller_can_take(stage, who):
    """And where that is nothing it raises, before a session is made that nobody could use."""
    headers, expected = LOGINS[who]
    before = stage.commands()
    result = await call(stage.app, "POST", "/login", headers.items())
    if expected.startswith("403"):
        assert expected == f"{result.status} {result.code}"
        assert not stage.commands() - before
    else:
        assert (200, expected) == (result.status, carried(result))


async def test_i12_a_get_by_a_foreign_script_cannot_log_in_either(stage):
    result = await call(stage.app, "GET", "/login", METADATA["cross-fetch"].items())
    assert (403, "cannot_receive") == (result.status, result.code)


async def test_i12_a_form_of_an_identity_provider_is_handed_the_cookie(stage):
    @stage.on("/login")
    async def callback(scope, receive, send):
        await get_auth(scope).login("user-1", cross_site=True)
        await answer(send, 303)

    assert "cookie" == carried(await call(stage.app, "POST", "/login", METADATA["cross-form"].items()))
    frame = METADATA["cross-form"] | {"sec-fetch-dest": "iframe"}
    assert "cannot_receive" == (await call(stage.app, "POST", "/login", frame.items())).code


@pytest.mark.parametrize("sent", [{"mode": "navigate", "dest": "document"}, {"site": "(contradiction)", "mode": "navigate"}])
async def test_i12_a_login_by_half_sent_metadata_can_receive_nothing(stage, sent):
    """A navigation without its site is no browser's: no cookie for it, though a GET is no login CSRF either."""
    result = await call(stage.app, "GET", "/login", _says(**sent).items())
    assert (403, "cannot_receive", None) == (result.status, result.code, result.cookie())


@pytest.mark.parametrize("name", ["CDN-Cache-Control", "Surrogate-Control"])
async def test_p30_a_cache_that_obeys_its_own_field_is_told_as_well(stage, name):
    @stage.on("/cdn")
    async def cdn(scope, receive, send):
        await answer(send, headers=[(name.encode(), b"public, max-age=600")])

    tab = await stage.logged_in()
    assert ["public, max-age=600"] == (await tab.ask("/cdn")).all(name)
    stage.clock.advance(901)
    assert ["public, max-age=600", "no-store"] == (await tab.get("/cdn")).all(name)
