"""What a visitor of the demo's page does and sees."""

from __future__ import annotations

from playwright.async_api import Locator, Page

# Seconds: a rotation is not waited for long, and a busy machine has time to use a token.
ACCESS = 4
# In every frame, from the first moment on.
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", ({violatedDirective: rule, blockedURI: what, sourceFile: where}) =>
  window.violations.push(`${rule} ${what} ${where}`));
"""


async def log_in(page: Page, user: str = "ada", password: str = "lovelace") -> None:
    await page.get_by_label("User", exact=True).fill(user)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Log in").click()
    await is_in(page)


async def is_in(page: Page) -> None:
    await page.get_by_role("heading", name="The life of your tokens").wait_for()


async def is_out(page: Page, code: str) -> None:
    """Wait until the page says that the session is over, and why."""
    await says(page.get_by_role("alert"), f"Your session is over: {code}")


async def says(locator: Locator, *texts: str) -> None:
    """Wait until what *locator* shows contains each of *texts*."""
    for text in texts:
        await locator.filter(has_text=text).first.wait_for()


def answer(page: Page, attack: str) -> Locator:
    """What the guard answered to that attack, as the page shows it."""
    return page.locator(f"#{attack}-answer")


async def generation(page: Page) -> int:
    return int(await page.locator("#rotations").inner_text())


async def rotated(page: Page, generation: int = 1) -> None:
    """Wait until that generation, or a later one, is in use."""
    await page.wait_for_function("least => Number(document.querySelector('#rotations').textContent) >= least", arg=generation)
