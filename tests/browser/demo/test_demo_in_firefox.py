"""The demo's page in another engine: stock Firefox."""

from __future__ import annotations

import pytest
from browser.demo.visit import LISTEN
from browser.firefox import firefox
from browser.pages import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]


async def test_it_shows_the_same_in_firefox(url):
    async with firefox() as fox:
        page = await (await fox.user()).tab(url)
        await page.evaluate(f"() => {{ {LISTEN} }}")

        async def press(id_):
            await page.evaluate("id => document.querySelector(id).click()", id_)

        async def says(id_, text):
            shown = "([id, text]) => document.querySelector(id).innerText.includes(text)"
            await eventually(lambda: page.evaluate(shown, [id_, text]))

        await eventually(lambda: page.evaluate("!document.querySelector('#sign-in').hidden"))
        await press("#log-in button")
        await says("#chain", "Generation 1")
        await says("#devices", "Firefox")
        await press("#cross")
        await says("#cross-answer", "Refused: 401 token_required")
        await says("#cross-answer", "Origin: http://localhost:")
        await says("#cross-answer", "Refused: 403 cross_site_request")
        await press("#replay")
        await says("#over", "Your session is over: reuse_detected")
        await says("#log", "closed this page's WebSocket: 4401 reuse_detected")
        assert [] == await page.evaluate("window.violations")
