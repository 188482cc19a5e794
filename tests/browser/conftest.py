"""A house and a browser for each story."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from browser.chromium import launch
from browser.house import House, Neighbour, neighbour, opened
from browser.pages import BY_HAND

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Playwright
    from support.clock import TravelClock


@pytest.fixture
def house(options: dict[str, Any], clock: TravelClock) -> Iterator[House]:
    with opened(options, clock) as house:
        yield house


@pytest.fixture(scope="session")
def attacker() -> Iterator[Neighbour]:
    with neighbour() as attacker:
        yield attacker


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(playwright: Playwright) -> AsyncIterator[Browser]:
    """One Chromium for all stories of a worker; what they share is its process, never a cookie jar."""
    browser = await launch(playwright)
    yield browser
    await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A cookie jar of this story's own, since cookies ignore the port."""
    context = await chromium.new_context()
    await context.add_init_script(BY_HAND)
    yield context
    await context.close()
