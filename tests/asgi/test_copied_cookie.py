"""
I16, P50: a copied refresh cookie alone, taken before or after a step-up, ends no other session and is never fresh.

Rule: whatever the options, however the thief carries his copy and whoever he says he is.  Its own session it can end, by
logging out, in, or by reuse.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from support.actors import METADATA, OWN, Browser, Thief
from support.desk import PASSWORD, Desk
from support.forge import claims_of
from support.stage import staged

from asgi_tokenguard import FixedLocator, Lifetimes, Limits, Place, Rate, RefreshCookie, RiskPolicy
from asgi_tokenguard.options import GuardOptions

CONFIRM = f"/desk/confirm?password={PASSWORD.replace(' ', '+')}"
PUBLIC = ["/login", "/logout", "/public/*"]


async def ids(stage):
    return {session.id for session in await stage.guard.sessions("user-1")}


HOME, NEXT_DOOR, ELSEWHERE = "192.0.2.7", "192.0.2.200", "198.51.100.1"
PLACES = {
    "192.0.2.0/24": Place(latitude=52.5, longitude=13.4, city="Berlin"),
    "198.51.100.0/24": Place(latitude=52.4, longitude=13.07, city="Potsdam"),
}
COPIES = ("before its first use", "after a rotation", "after a confirmed password")
# By the app's own methods, and by the mounted endpoints.
DEEDS = (*Desk.DEEDS, "sessions", "confirm", "confirm as himself", "ended", "DELETE one", "DELETE others", "refresh")
CARRIED = ("cookie", "header")
LUGGAGE = ("nothing", "a proof of his own", "a session of his own")
LOOKS = {
    **METADATA,
    "off": {"x-token-rotation": "off"},
    "old browser": {"origin": OWN},
    "as a proxy": {"x-forwarded-for": HOME},
}
_numbers = itertools.count()


class Heist:
    """A user with two devices, a thief with a copy of the laptop's cookie and an account of his own."""

    def __init__(self, stage, cookie):
        self.stage, self.cookie, self.desk = stage, cookie, Desk(stage.handlers)
        for prefix in ("/public", "/open"):
            stage.handlers.by_path |= {f"{prefix}/{name}": self.desk for name in (*Desk.DEEDS, "confirm", "ended", "sessions")}

    async def device(self, user="user-1", address=HOME):
        tab = Browser(self.stage.app, cookie=self.cookie, agent="Firefox", address=address).tab()
        assert 200 == (await tab.post(f"/login?user={user}")).status
        await self.stage.quiet()
        return tab

    async def set_up(self, copied):
        """Let the owner work until the thief has his copy; the phone is what he may not reach."""
        clock, access = self.stage.clock, self.stage.guard.engine.settings.lifetimes.access
        self.phone, self.laptop = await self.device(), await self.device()
        copies = [Thief(self.laptop.browser)]
        await self.laptop.get()
        clock.advance(access + 1)
        await self.laptop.get()
        await self.laptop.get()
        copies.append(Thief(self.laptop.browser))
        await self.laptop.post(CONFIRM)
        await self.laptop.get()
        copies.append(Thief(self.laptop.browser))
        # With the proof that the thief has no copy of, all of it works: what follows is not refused for another reason.
        assert 200 == (await self.laptop.post("/desk/fresh")).status
        self.own = await self.device("thief", ELSEWHERE)  # last, so that his own proof is fresh when he tries it
        self.desk.done.clear()
        self.thief = copies[COPIES.index(copied)]

    async def attempt(self, deed, look, luggage, address, place, carried="cookie"):
        """The thief tries one thing; what he is handed he keeps, and carries as he likes."""
        tab = self.thief.tab
        tab.browser.address = address
        headers = dict(LOOKS[look])
        copy = tab.browser.jar
        if carried == "header":  # a refresh token is one, wherever it was taken from
            headers["x-refresh-token"], tab.browser.jar = copy or "", None
        if luggage == "a proof of his own":
            headers["x-fresh-token"] = self.own.browser.fresh
        elif luggage == "a session of his own":
            headers |= {"x-fresh-token": self.own.browser.fresh, "authorization": f"Bearer {self.own.token}"}
        method, path = self.way(deed, look, place)
        tab.browser.fresh = None
        result = tab.take(await tab.ask(path, method=method, kind="bare", headers=headers))
        if carried == "header":
            tab.browser.jar = result.get("x-new-refresh-token") or tab.browser.jar or copy
        assert result.status < 500
        if luggage != "a session of his own":
            assert (None, None) == (result.cookie(self.cookie.fresh_name), result.get("x-new-fresh-token"))

    def way(self, deed, look, place):
        """Method and path of *deed*; `/auth` is nothing in particular where no endpoints are mounted."""
        sid = claims_of(self.phone.browser.jar)["sid"]
        match deed:
            case "DELETE one":
                return "DELETE", f"/auth/sessions/{sid}"
            case "DELETE others":
                return "DELETE", "/auth/sessions?others"
            case "refresh":
                return "POST", "/auth/refresh"
        # He knows his own password, and not his victim's.
        himself = CONFIRM.removeprefix("/desk/") + "&user=thief"
        last = {"confirm as himself": himself, "end": f"end?sid={sid}"}.get(deed, deed)
        return "GET" if look in {"image", "frame", "events", "prefetch", "page"} else "POST", f"/{place}/{last}"

    async def judge(self):
        """Nothing that needs a proof was done as the user, and the phone goes on."""
        bad = {"fresh", "end", "end-others", "end-all"}
        assert [] == [(who, deed) for who, deed in self.desk.done if who == "user-1" and deed in bad]
        assert claims_of(self.phone.browser.jar)["sid"] in await ids(self.stage)
        result = await self.phone.get()
        assert (200, "user-1") == (result.status, result.json()["subject"])


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("copied", COPIES)
async def test_i16_p50_a_copied_cookie_alone_ends_no_other_session_and_is_never_fresh(options, clock, copied, look):
    """Every method, over every kind of caller, carried both ways; else with the default options."""
    async with staged(options, clock, public=PUBLIC, endpoints="/auth", refresh_header="X-Refresh-Token") as stage:
        heist = Heist(stage, RefreshCookie())
        await heist.set_up(copied)
        for deed, luggage, carried in itertools.product(DEEDS, LUGGAGE, CARRIED):
            await heist.attempt(deed, look, luggage, HOME, "desk", carried)
        await heist.judge()


COOKIES = [
    RefreshCookie(),
    RefreshCookie(same_site="strict"),
    RefreshCookie(same_site="none"),
    RefreshCookie("session", path="/"),
    RefreshCookie("__Secure-refresh", domain="app.example"),
]
# None of these says who is fresh: what signs, where sessions lie, how long Redis is waited for, what tokens are called, what
# is told to a mirror, and which bodies end with their session.
NOT_ABOUT_FRESHNESS = {
    "secret",
    "dpop",
    "durability",
    "keys",
    "redis",
    "namespace",
    "timeout",
    "access_header",
    "new_token_header",
    "mirror",
    "streams",
}
CHOICES = {
    "public": st.just(PUBLIC),
    "issuer": st.sampled_from([None, "https://id.example"]),
    "audience": st.sampled_from([None, "https://api.example"]),
    "leeway": st.sampled_from([0, 5]),
    "cache": st.booleans(),
    "staleness": st.sampled_from([0.05, 1]),
    "strict": st.sampled_from([(), ("/*",)]),
    "endpoints": st.sampled_from([None, "/auth"]),
    "refresh_header": st.sampled_from([None, "X-Refresh-Token"]),
    "sign_in": st.sampled_from([None, "/login"]),
    "step_up": st.booleans(),
    "on_refusal": st.sampled_from([None, lambda *_: PlainTextResponse("Come in!", 200)]),
    "cookie": st.sampled_from(COOKIES),
    "fresh": st.sampled_from([60, 300, 3600]),
    "lifetimes": st.sampled_from([Lifetimes(), Lifetimes(access=10, idle=100_000, absolute=100_000, grace=4)]),
    "required": st.booleans(),
    "optional": st.booleans(),
    "reauthentication": st.sampled_from([(), ("/desk/confirm",), ("/desk/*", "/open/*")]),
    "trusted_proxies": st.sampled_from([(), ("192.0.2.0/24",), ("198.51.100.0/24",)]),
    "trusted_origins": st.sampled_from([(), ("https://evil.example",)]),
    "max_sessions": st.sampled_from([2, 100]),
    "limits": st.sampled_from([None, Limits(presentations_per_session=Rate(6, per=60), logins_per_user=Rate(9, per=60))]),
    "locator": st.sampled_from([None, FixedLocator(PLACES)]),
    "risk": st.builds(
        RiskPolicy, unknown=st.sampled_from(["proceed", "step_up", "revoke"]), linger_generations=st.sampled_from([0, 1, 3])
    ),
}
ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from(DEEDS),
        st.sampled_from([*LOOKS]),
        st.sampled_from(LUGGAGE),
        st.sampled_from([HOME, NEXT_DOOR, ELSEWHERE]),
        st.sampled_from(["desk", "open", "public"]),
        st.sampled_from(CARRIED),
        st.sampled_from([0, 0, 0, 5, 31, 901]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(combination=st.fixed_dictionaries(CHOICES), copied=st.sampled_from(COPIES), attempts=ATTEMPTS)
def test_i16_p50_nor_under_any_combination_of_options(options, clock, combination, copied, attempts):
    """The thief comes when and as he likes, with an account of his own; what he is handed he keeps."""

    async def story():
        more = dict(combination)
        more["optional"] = ["/open/*"] if more["optional"] and more["required"] else []
        more["step_up"] = "/desk/confirm" if more["step_up"] and more["reauthentication"] else None
        async with staged(options | {"namespace": f"heist{next(_numbers)}"}, clock, **more) as stage:
            heist = Heist(stage, more["cookie"])
            await heist.set_up(copied)
            for *attempt, pause in attempts:
                await stage.quiet()  # a clock that leaps while Redis is asked would be misread
                clock.advance(pause)
                await heist.attempt(*attempt)
            await heist.judge()

    asyncio.run(story())


def test_no_option_is_left_out_of_the_combinations():
    assert set(GuardOptions.__annotations__) == NOT_ABOUT_FRESHNESS | CHOICES.keys()
