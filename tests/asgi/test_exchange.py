"""The way of a request through the guard, as stories."""

from __future__ import annotations


async def test_a_tab_logs_in_rotates_and_logs_out(browser, clock):
    """The whole product in one life: tokens in the head, a silent rotation, an end that is an end."""
    tab = browser.tab()
    assert (await tab.get()).code == "token_required"

    assert (await tab.post("/login")).status == 200
    first, cookie = tab.token, browser.jar
    assert (await tab.get()).json()["claims"] == {"role": "admin"}

    clock.advance(901)
    assert (await tab.get()).status == 200
    assert first != tab.token
    assert cookie != browser.jar

    assert (await tab.post("/logout")).status == 204
    assert browser.jar is None
    assert (await tab.get()).code == "session_ended"
