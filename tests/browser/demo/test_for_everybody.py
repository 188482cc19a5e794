"""The demo's page on a phone, with a screen reader, in the dark; and what it says of itself."""

from __future__ import annotations

import re
import subprocess
import tarfile

import pytest
from browser.demo.visit import ACCESS, LISTEN, answer, log_in, rotated, says
from support.needs import missing, need_command

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]

# Deque's rules, which browsers' own tools use as well; the parts of WCAG that a program can check.
AXE = "axe-core@4.14.1"  # pinned: a new release brings new rules
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def press_everything(page):
    """Every answer that leaves the session alive, and all that can be opened."""
    await page.get_by_text("What a script in this page can see").click()
    await page.get_by_role("button", name="Send the forged token").click()
    await page.get_by_role("button", name="Visit that page").click()
    await page.get_by_label("The thief is in").select_option("compiegne")
    await page.get_by_role("button", name="Use the copy there").click()
    for each in ("forge", "cross", "elsewhere"):
        await says(answer(page, each), "Refused:")
    await says(answer(page, "cross"), "cross_site_request")
    await rotated(page)


async def test_it_fits_a_phone(page):
    await page.set_viewport_size({"width": 360, "height": 640})
    fits = "() => document.documentElement.scrollWidth <= innerWidth"
    await page.get_by_label("User", exact=True).wait_for()
    assert await page.evaluate(fits)
    await log_in(page)
    await press_everything(page)
    assert await page.evaluate(fits)
    small = """() => [...document.querySelectorAll("button, select, a.button, input:not([type=checkbox])")].filter(
      each => each.offsetParent && each.getBoundingClientRect().height < 44).map(each => each.outerHTML)"""
    assert [] == await page.evaluate(small)


async def test_every_control_has_a_name(page):
    await log_in(page)
    await press_everything(page)
    for role in ("button", "link", "textbox", "combobox", "checkbox", "img", "dialog", "log", "timer", "status", "article"):
        for each in await page.get_by_role(role, include_hidden=False).all():
            named = page.get_by_role(role, name=re.compile(r"\w"))
            assert await each.and_(named).count(), await each.evaluate("node => node.outerHTML.slice(0, 200)")


async def test_its_policy_is_alive(context, url):
    """What the other stories listen for can be heard."""
    await context.add_init_script(LISTEN)
    page = await context.new_page()
    await page.goto(url)
    await page.evaluate("document.body.setAttribute('style', 'color: red')")
    assert "style-src-attr inline" in (await page.evaluate("window.violations"))[0]
    with pytest.raises(Exception, match="TrustedHTML"):
        await page.evaluate("document.body.innerHTML = '<b>x</b>'")


async def test_it_says_what_it_is(page):
    notice = page.locator("#notice")
    await says(notice, "This is a demo.", f"{ACCESS} s instead of 15 minutes", "this computer only")


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The text of axe-core: `pack` downloads the archive and runs nothing of it."""
    need_command("npm")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "pack", "--loglevel=error", "--ignore-scripts", AXE]
    packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    if packed.returncode:
        missing(f"npm could not download {AXE}: {packed.stderr.strip()[-200:]}")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_rule_of_axe_is_broken(scheme, page, axe):
    async def broken():
        await page.evaluate(axe)
        found = await page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        assert len(found["passes"]) > 30
        return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]

    # Colours that are still on their way from one scheme to the other have contrasts of their own.
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.get_by_label("User", exact=True).wait_for()
    assert [] == await broken()
    await log_in(page)
    await press_everything(page)
    assert [] == await broken()
    await page.context.clear_cookies(name="__Host-fresh")
    await page.get_by_role("button", name=re.compile("^End ")).first.click()
    await page.get_by_role("dialog").wait_for()
    assert [] == await broken()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Log out").click()
    await says(page.get_by_role("alert"), "logged_out")
    assert [] == await broken()
