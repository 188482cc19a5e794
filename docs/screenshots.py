"""
Make the pictures of the README: start the demo, use it in Chromium, and write `demo.png` and `attack.png`.

    pip install -e ".[dev]"; python docs/screenshots.py [FOLDER]

FOLDER is `docs/images` unless named.  Chromium is the system's; it takes half a minute, most of it waiting for rotations.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Locator, Page, async_playwright

from asgi_tokenguard import Lifetimes
from asgi_tokenguard.demo import app
from asgi_tokenguard.demo.serve import serving

FOLDER = Path(__file__).parent / "images"
# A README is some 900 pixels wide on the sites that show it; the page is at its best with its log at the side.
WIDTH = 1120
# Short enough to wait for three rotations, long enough for a picture of a token that lives.
LIFETIMES = Lifetimes(access=6, grace=2)
PATIENCE = 60_000  # ms
COLOURS = 128
ELSEWHERE = ("new-york", "nairobi")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(make(folder))


async def make(folder: Path) -> None:
    guarded = app.build(redis="embedded://", lifetimes=LIFETIMES, namespace="tokenguard-screenshots")
    async with serving(guarded, "127.0.0.1", 0) as (_, port), async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, ("chromium", "google-chrome-stable", "google-chrome")))),
            chromium_sandbox=False,  # CI is root in a container, where Chromium cannot build one
            args=["--disable-gpu", "--hide-scrollbars"],
        )
        url = f"http://127.0.0.1:{port}"
        for town in ELSEWHERE:
            await signed_in(browser, url, town)
        page = await signed_in(browser, url, "paris")
        await life(page, folder / "demo.png")
        await attack(page, folder / "attack.png")
        await browser.close()


async def signed_in(browser: Browser, url: str, town: str) -> Page:
    """A device of its own, whose user has logged in there."""
    context = await browser.new_context(viewport={"width": WIDTH, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    await context.add_cookies([{"name": "demo-town", "value": town, "url": url}])
    page = await context.new_page()
    await page.goto(url)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="The life of your tokens").wait_for()
    return page


async def life(page: Page, path: Path) -> None:
    """A session that has rotated a few times, and where its user is signed in."""
    await page.get_by_role("button", name="Send the forged token").click()
    await page.locator("#chain .head", has_text="Generation 3").wait_for()
    await page.get_by_role("img", name=re.compile("Nairobi")).wait_for()
    await shoot(page, page.locator("#devices"), path)


async def attack(page: Page, path: Path) -> None:
    """An old refresh token comes back: what the guard says to the thief, and what its owner is told."""
    await page.get_by_role("button", name="Replay the old copy").click()
    await page.get_by_text("Refused: 401 reuse_detected").first.wait_for()
    await page.get_by_role("alert").filter(has_text="reuse_detected").wait_for()
    await shoot(page, page.locator("article").first, path)


async def shoot(page: Page, last: Locator, path: Path) -> None:
    """The page from its top to *last*."""
    await page.evaluate("scrollTo(0, 0)")
    bottom = await last.evaluate("node => node.getBoundingClientRect().bottom + scrollY")
    await page.set_viewport_size({"width": WIDTH, "height": round(bottom) + 10})
    picture = Image.open(BytesIO(await page.screenshot()))
    # Flat colours and the edges of letters: a palette shows them as they are in a third of the bytes.
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
