"""I12: an app without a line of JavaScript.  Its users navigate, their browser has the cookie and nothing else."""

from __future__ import annotations

from asgi_tokenguard import Lifetimes

LIFETIMES = Lifetimes()  # the app's are the defaults
DAY = 86_400


async def test_i12_a_user_who_only_navigates_stays_signed_in_beyond_the_idle_lifetime(browser, clock):
    """A page a day for a month: each rotates the cookie, none is handed an access token that nobody could keep."""
    page = browser.tab()
    await page.post("/login", kind="form")
    assert None is page.token
    cookies = {browser.jar}
    for _ in range(30):
        clock.advance(DAY)
        answer = await page.get("/me", kind="page")
        assert (200, "user-1") == (answer.status, answer.json()["subject"])
        assert None is answer.new_token
        cookies.add(browser.jar)
    assert 31 == len(cookies)
    assert 30 * DAY > LIFETIMES.idle


async def test_i12_nor_does_a_visitor_who_comes_every_other_week_run_into_it(browser, clock):
    """The longest absences that an idle lifetime of 15 days forgives, up to the absolute end."""
    page = browser.tab()
    await page.post("/login", kind="form")
    visits = LIFETIMES.absolute // (14 * DAY)
    for _ in range(visits):
        clock.advance(14 * DAY)
        assert 200 == (await page.get("/me", kind="page")).status
    clock.advance(14 * DAY)
    assert "session_expired" == (await page.get("/me", kind="page")).code


async def test_i12_forms_and_pages_of_one_visit_rotate_at_most_once(browser, clock):
    """Pages, a form and images within one access lifetime; images receive nothing at all."""
    page = browser.tab()
    await page.post("/login", kind="form")
    clock.advance(LIFETIMES.access + 1)
    await page.get("/me", kind="page")
    rotated = browser.jar
    for kind, method in [("page", "GET"), ("image", "GET"), ("form", "POST"), ("page", "HEAD"), ("frame", "GET")]:
        clock.advance(100)
        answer = await page.get("/me", kind=kind, method=method)
        assert (200, None, None) == (answer.status, answer.new_token, answer.cookie())
    assert rotated == browser.jar


async def test_i8_a_page_whose_answer_was_lost_is_handed_the_same_cookie_again(browser, clock):
    """The user presses "reload" in the tunnel, and once more on the next day."""
    page = browser.tab()
    await page.post("/login", kind="form")
    clock.advance(LIFETIMES.access + 1)
    lost = await page.ask("/me", kind="page")
    clock.advance(DAY)
    again = await page.get("/me", kind="page")
    assert lost.cookie() == again.cookie()
    clock.advance(DAY)
    assert 200 == (await page.get("/me", kind="page")).status


async def test_i12_the_first_script_of_such_a_page_is_handed_the_access_token(browser, clock):
    page = browser.tab()
    await page.post("/login", kind="form")
    clock.advance(LIFETIMES.access + 1)
    await page.get("/me", kind="page")
    cookie = browser.jar

    answer = await page.get("/me", kind="fetch")
    assert None is answer.cookie()
    assert answer.new_token == page.token
    assert cookie == browser.jar
    assert None is (await page.get("/me", kind="fetch")).new_token
