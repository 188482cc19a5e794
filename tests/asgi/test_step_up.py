"""Section 6 end to end, over real HTTP: where a cookie comes from, and what follows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pytest
from support.desk import PASSWORD, Desk
from support.mmdb import flat, nested, write
from support.server import RedisServer
from support.stage import carried
from support.town import FIREFOX, town

from asgi_tokenguard import FixedLocator, HttpLocator, MaxMindLocator, Place, RiskPolicy
from asgi_tokenguard.core.places import EARTH_RADIUS_KM
from asgi_tokenguard.core.risk import Action, change_of_device

CONFIRM = f"/desk/confirm?password={PASSWORD.replace(' ', '+')}"
CURL = "curl/8.14.1"
KM_PER_DEGREE = EARTH_RADIUS_KM * 3.141592653589793 / 180
HOME, NEXT_DESK = "81.2.69.142", "81.2.69.9"
HOME_6, NEXT_DESK_6, OTHER_LINK_6 = "2a02:2e0:1:1::7", "2a02:2e0:1:1::8", "2a02:2e0:1:2::7"
# How far north of home each network lies, in km.
DISTANCES = {
    "81.2.70.7": 0.0,
    "81.2.71.7": 27.0,
    "81.2.72.7": 49.9,
    "81.2.73.7": 50.1,
    "81.2.74.7": 75.0,
    "81.2.75.7": 99.9,
    "81.2.76.7": 100.1,
    "81.2.77.7": 930.0,
}
NEAR, MIDDLE, MIDDLE_WITH_RADIUS, FAR, ANTIPODES = "81.2.71.7", "81.2.74.7", "81.2.79.7", "81.2.77.7", "81.2.78.7"
NO_CITY, VAGUE, NO_RECORD = "81.2.80.7", "81.2.81.7", "81.2.82.7"


def north(km):
    return flat(52.52 + km / KM_PER_DEGREE, 13.405, f"{km} km north")


def network(address):
    return f"{address.rpartition('.')[0]}.0/24"


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    """A file in MaxMind's format, in both layouts."""
    records = {network(address): north(km) for address, km in DISTANCES.items()}
    records |= {
        network(HOME): north(0.0),
        "2a02:2e0:1::/48": north(0.0),
        network(ANTIPODES): flat(-52.52, 13.405 - 180, "Antipodes"),
        network(MIDDLE_WITH_RADIUS): nested(52.52 + 75 / KM_PER_DEGREE, 13.405, "somewhere around", radius=30),
        # What GeoLite2 says of 8.8.8.8: the middle of the country, and no city.
        network(NO_CITY): nested(52.52, 13.405, ""),
        network(VAGUE): nested(52.52, 13.405, "Berlin", radius=200),
    }
    return write(tmp_path_factory.mktemp("cities") / "cities.mmdb", records)


@pytest.fixture
def open_town(options, clock, cities):
    """`open_town(**options)` serves the app while the block lasts; its locator reads the file."""
    return lambda **more: town(options, clock, **{"locator": MaxMindLocator(cities)} | more)


@pytest.fixture
def here(open_town):
    with open_town() as here:
        yield here


@pytest.fixture
def judgements(caplog):
    """`judgements()`: the actions and reasons since it was called last."""
    caplog.set_level(logging.INFO, logger="asgi_tokenguard")

    def found():
        lines = [record.args[1:] for record in caplog.records if "was judged" in record.msg]
        caplog.clear()
        return lines

    return found


def is_step_up(answer, max_age=300):
    """Whether this is the challenge of RFC 9470, whole, and nothing beside it."""
    challenge = answer.get("www-authenticate") or ""
    return (answer.status, answer.code, carried(answer), answer.all("set-cookie")) == (
        401,
        "step_up_required",
        "nothing",
        [],
    ) and (
        challenge.startswith('Bearer error="insufficient_user_authentication", error_description="')
        and challenge.endswith(f'", max_age="{max_age}"')
        and answer.all("cache-control") == ["no-store"]
    )


def reason(visitor):
    """Why the app's page for the password is told that it has to ask for one."""
    return visitor.ask("/desk/state").json()["found"]["pending"]


def moves(visitor, address):
    visitor.reload()
    visitor.address = address
    return visitor


class TestDistance:
    @pytest.mark.parametrize(
        ("home", "address"), [(HOME, HOME), (HOME, NEXT_DESK), (HOME_6, NEXT_DESK_6)], ids=["the same", "its /24", "its /64"]
    )
    def test_a_known_network_is_not_judged(self, here, judgements, home, address):
        owner = here.resident(home)
        here.let_access_expire()
        result = moves(owner, address).get()
        assert (200, "both", []) == (result.status, carried(result), judgements())

    @pytest.mark.parametrize("rotates", [False, True], ids=["a repeat", "a rotation"])
    @pytest.mark.parametrize("address", ["81.2.70.7", NEAR, "81.2.72.7", MIDDLE_WITH_RADIUS])
    def test_below_50_km_goes_on_and_the_network_is_known_from_then_on(self, here, judgements, address, rotates):
        """An accuracy radius is taken off: 75 km with 30 of doubt are 45."""
        owner = here.resident(HOME)
        sid = owner.sid
        if rotates:
            here.let_access_expire()
        result = moves(owner, address).get()
        assert (200, "both" if rotates else "token", sid) == (result.status, carried(result), result.json()["session_id"])
        assert [("proceed", "distance")] == judgements()
        for where in (address, HOME, address):
            assert 200 == moves(owner, where).get().status
        assert [] == judgements()

    @pytest.mark.parametrize("rotates", [False, True], ids=["a repeat", "a rotation"])
    @pytest.mark.parametrize("address", ["81.2.73.7", MIDDLE, "81.2.75.7"])
    def test_from_50_to_100_km_is_step_up_and_changes_nothing(self, here, judgements, address, rotates):
        """Others of the session go on, and this caller may come as often as he likes."""
        owner = here.resident(HOME)
        thief = owner.copy(address)
        if rotates:
            here.let_access_expire()
        before = owner.head
        for kind in ("fetch", "page", "bare"):
            assert is_step_up(thief.get(kind=kind))
            assert before == owner.head
        assert [("step_up", "distance")] * 3 == judgements()
        result = owner.get()
        assert (200, "both" if rotates else "nothing") == (result.status, carried(result))
        assert is_step_up(thief.get())
        assert 200 == owner.get().status

    @pytest.mark.parametrize("rotates", [False, True], ids=["a repeat", "a rotation"])
    @pytest.mark.parametrize("address", ["81.2.76.7", FAR, ANTIPODES])
    def test_beyond_100_km_ends_the_session_for_both(self, here, judgements, address, rotates):
        owner, phone = here.resident(HOME), here.resident(HOME)
        thief = owner.copy(address)
        if rotates:
            here.let_access_expire()
        result = thief.get()
        assert (401, "revoked", "nothing", []) == (result.status, result.code, carried(result), result.all("set-cookie"))
        assert [("revoke", "distance")] == judgements()
        assert None is owner.head
        for who in (owner, thief):
            assert (401, "revoked") == ((result := who.get()).status, result.code)
        assert 200 == phone.get().status

    def test_the_policys_thresholds_decide(self, open_town):
        with open_town(risk=RiskPolicy(proceed_above=20, revoke_below=10)) as here:
            owner = here.resident(HOME)
            assert [200, 200] == [moves(owner, address).get().status for address in (MIDDLE, "81.2.75.7")]
            assert is_step_up(moves(owner, FAR).get())
            assert "revoked" == moves(owner, ANTIPODES).get().code

    def test_the_policys_size_of_networks_decides(self, open_town, judgements):
        with open_town(risk=RiskPolicy(ipv4_prefix=16)) as here:
            assert 200 == moves(here.resident(HOME), FAR).get().status
            assert [] == judgements()
        with open_town(risk=RiskPolicy(ipv4_prefix=32)) as here:
            assert 200 == moves(here.resident(HOME), NEXT_DESK).get().status
            assert [("proceed", "distance")] == judgements()

    def test_a_dual_stack_home_is_two_networks_that_are_both_known(self, here, judgements):
        owner = here.resident(HOME)
        assert 200 == moves(owner, HOME_6).get().status
        assert [("proceed", "distance")] == judgements()
        for address in (HOME, NEXT_DESK_6, NEXT_DESK, HOME_6):
            assert 200 == moves(owner, address).get().status
        assert [] == judgements()
        assert 200 == moves(owner, OTHER_LINK_6).get().status
        assert [("proceed", "distance")] == judgements()

    def test_the_distance_is_measured_from_where_the_session_is_now(self, here):
        """Who travels in small steps proves nothing on the way; each one counts from the last that passed."""
        owner = here.resident(HOME)
        assert 200 == moves(owner, "81.2.72.7").get().status
        assert 200 == moves(owner, MIDDLE).get().status  # 25 km on


class TestWhoIsJudged:
    def test_a_live_access_token_is_not(self, here, judgements):
        """A cookie beside it is not even read; the network stays unknown."""
        owner = here.resident(HOME)
        owner.address = FAR
        assert [200, 200] == [owner.get().status, owner.post("/me").status]
        assert [] == judgements()
        owner.reload()
        assert "revoked" == owner.get().code

    @pytest.mark.parametrize("kind", ["image", "frame", "events", "prefetch", "cross-fetch", "page", "bare"])
    def test_every_acceptance_on_a_cookie_is_whatever_is_handed_out(self, here, kind):
        """Who wants nothing but to be served, as an image or by a link on another site, is as much of a thief."""
        owner = here.resident(HOME)
        before = owner.head
        assert is_step_up(owner.copy(MIDDLE).get(kind=kind))
        assert before == owner.head
        assert "revoked" == owner.copy(FAR).get(kind=kind).code
        assert None is owner.head

    @pytest.mark.parametrize("state", ["repeat", "rotate", "redeliver", "straggler"])
    def test_every_row_that_serves_is(self, here, judgements, state):
        owner = here.resident(HOME)
        thief = owner.copy(MIDDLE)
        if state != "repeat":
            here.let_access_expire()
        if state in {"redeliver", "straggler"}:
            owner.get()
        if state == "straggler":
            owner.get()
        before = owner.head
        assert is_step_up(thief.get())
        assert before == owner.head
        assert [("step_up", "distance")] == judgements()

    def test_reuse_needs_no_judgement(self, here, judgements):
        owner = here.resident(HOME)
        thief = owner.copy(FAR)
        here.let_access_expire()
        owner.get()
        owner.get()
        here.advance(31)
        assert "reuse_detected" == thief.get().code
        assert [] == judgements()

    def test_two_users_in_one_request_are_a_mismatch_before_anything_is_judged(self, here, judgements):
        """Else whoever puts another's cookie beside his own token from afar would end that session."""
        owner, other = here.resident(HOME), here.resident(FAR, user="user-2")
        here.let_access_expire()
        before = owner.head
        other.jar = owner.jar
        for path in ("/me", "/open/x", "/desk/confirm"):
            assert (401, "session_mismatch") == ((result := other.ask(path)).status, result.code)
        assert before == owner.head
        assert [] == judgements()

    def test_a_forged_or_dead_cookie_is_not(self, here, judgements):
        owner = here.resident(HOME)
        thief = owner.copy(FAR)
        thief.jar = thief.jar[:-3] + "AAA"
        assert "invalid_token" == thief.get().code
        owner.post("/logout")
        thief.jar = owner.jar
        assert "token_required" == thief.get().code
        assert [] == judgements()


class TestWhere:
    """Where the challenge stands, and what a caller of whom a proof is demanded can reach."""

    @pytest.mark.parametrize("path", ["/me", "/open/x", "/nowhere", "/desk/fresh", "/desk/confirm/deeper", "/desk/confirmed"])
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_the_challenge_stands_on_every_guarded_path_optional_ones_too(self, here, path, method):
        """As nobody, a thief would be served what the app shows to all, and could not be told from one."""
        thief = here.resident(HOME).copy(MIDDLE)
        assert is_step_up(thief.ask(path, method=method))

    @pytest.mark.parametrize("fresh", [60, 3600])
    def test_it_says_how_fresh_the_proof_must_be(self, open_town, fresh):
        with open_town(fresh=fresh) as here:
            assert is_step_up(here.resident(HOME).copy(MIDDLE).get(), max_age=fresh)

    def test_a_head_request_is_told_by_its_status(self, here):
        result = here.resident(HOME).copy(MIDDLE).ask(method="HEAD")
        assert (401, b"") == (result.status, result.body)

    def test_public_paths_look_at_nothing(self, here, judgements):
        thief = here.resident(HOME).copy(MIDDLE)
        assert 200 == thief.ask("/login?user=user-9", method="POST").status
        assert [] == judgements()

    @pytest.mark.parametrize("required", [True, False])
    def test_a_far_cookie_is_nobodys_on_an_optional_path_and_its_session_is_over(self, open_town, required):
        with open_town(required=required, optional=["/open/*"] if required else []) as here:
            owner = here.resident(HOME)
            result = owner.copy(FAR).get("/open/x")
            assert (200, None, "nothing") == (result.status, result.json()["subject"], carried(result))
            assert None is owner.head

    def test_without_a_reauthentication_path_there_is_none(self, open_town):
        with open_town(reauthentication=()) as here:
            assert is_step_up(here.resident(HOME).copy(MIDDLE).get("/desk/confirm"))

    def test_p18_no_odd_path_reaches_it(self, here):
        """Nor does a path that only looks like it once it is decoded or joined."""
        thief = here.resident(HOME).copy(MIDDLE)
        for path in ("/desk//confirm", "/desk/./confirm", "/x/../desk/confirm", "/desk%2Fconfirm", "/desk/confirm%00"):
            assert thief.ask(path).status in {400, 401}, path


class TestPending:
    def test_the_app_is_told_whom_to_ask_and_why_and_nothing_more(self, here):
        owner = here.resident(HOME)
        before = owner.head
        page = owner.copy(MIDDLE).get("/desk/state")
        assert {"pending": "distance", "claims": {}, "sid": owner.sid} == page.json()["found"]
        assert (False, "user-1") == (page.json()["is_authenticated"], page.json()["subject"])
        assert ("nothing", []) == (carried(page), page.all("set-cookie"))
        assert before == owner.head

    def test_at_home_nothing_is_pending_there(self, here):
        page = here.resident(HOME).get("/desk/state").json()
        assert (None, True) == (page["found"]["pending"], page["is_authenticated"])

    @pytest.mark.parametrize("state", ["repeat", "rotate", "redeliver"])
    def test_with_the_password_the_session_goes_on_and_knows_the_network(self, here, judgements, state):
        """The same session; home stays known, and the proof is fresh."""
        owner = here.resident(HOME)
        sid = owner.sid
        if state != "repeat":
            here.let_access_expire()
        if state == "redeliver":
            owner.ask()
        moves(owner, MIDDLE)
        assert is_step_up(owner.get())
        result = owner.post(CONFIRM)
        assert (200, "both") == (result.status, carried(result))
        assert {"found": None, "is_authenticated": True, "subject": "user-1"} == result.json()
        judgements()
        for where in (MIDDLE, HOME, MIDDLE):
            result = moves(owner, where).get()
            assert (200, sid, {"role": "admin"}) == (result.status, result.json()["session_id"], result.json()["claims"])
        assert 200 == owner.post("/desk/fresh").status
        here.let_access_expire()
        assert 200 == owner.get().status
        assert [] == judgements()

    def test_a_form_confirms_as_well(self, here):
        owner = moves(here.resident(HOME), MIDDLE)
        assert is_step_up(owner.get(kind="page"))
        result = owner.post(CONFIRM, kind="form")
        assert (200, "cookie") == (result.status, carried(result))
        assert 200 == owner.get(kind="page").status
        assert "token" == carried(owner.get())

    @pytest.mark.parametrize("state", ["repeat", "rotate", "redeliver"])
    @pytest.mark.parametrize("later", [0, 31, 901])
    def test_a_lost_answer_costs_nothing(self, here, state, later):
        """The network is known, and whoever comes back with the old cookie is handed what was lost."""
        owner = here.resident(HOME)
        sid = owner.sid
        if state != "repeat":
            here.let_access_expire()
        if state == "redeliver":
            owner.ask()
        moves(owner, MIDDLE)
        for _ in range(2):
            assert 200 == owner.ask(CONFIRM, method="POST").status
        here.advance(later)
        for _ in range(2):
            result = owner.get()
            assert (200, sid) == (result.status, result.json()["session_id"])

    def test_without_the_password_there_is_nothing_to_gain(self, here):
        owner = here.resident(HOME)
        before, thief = owner.head, owner.copy(MIDDLE)
        for path in ("/desk/confirm?password=guess", "/desk/confirm"):
            result = thief.post(path)
            assert (200, "wrong password", False) == (
                result.status,
                result.json()["found"],
                result.json()["is_authenticated"],
            )
            assert [] == result.all("set-cookie")
        # He has an account here, and knows its password.
        result = thief.post(f"{CONFIRM}&user=user-2")
        assert (403, "subject_mismatch", []) == (result.status, result.code, result.all("set-cookie"))
        assert before == owner.head
        assert is_step_up(thief.get())

    @pytest.mark.parametrize("deed", [*Desk.DEEDS, "sessions"])
    def test_whoever_is_pending_can_do_nothing_else_not_even_with_a_fresh_proof(self, open_town, deed):
        with open_town(reauthentication=["/desk/*"]) as here:
            phone, owner = here.resident(HOME), here.resident(HOME)
            assert is_step_up(moves(owner, MIDDLE).post(f"/desk/{deed}?sid={phone.sid}"))
            assert [True, True] == [owner.head is not None, phone.head is not None]
            assert 200 == owner.post(CONFIRM).status
            assert 200 == owner.post(f"/desk/{deed}?sid={phone.sid}").status

    def test_it_may_log_out(self, here):
        owner = moves(here.resident(HOME), MIDDLE)
        sid = owner.sid
        assert 204 == owner.post("/logout").status
        assert None is here.head(sid)

    def test_a_session_that_ends_before_the_password_is_there_stays_ended(self, here):
        owner = moves(here.resident(HOME), MIDDLE)

        @here.handlers.on("/desk/confirm")
        async def handler(scope, receive, send):
            await here.guard.revoke_all("user-1")
            await here.desk(scope, receive, send)

        result = owner.ask(CONFIRM, method="POST")
        assert (401, "revoked", []) == (result.status, result.code, result.all("set-cookie"))
        assert None is owner.head

    def test_a_cookie_that_is_superseded_before_the_password_is_there_is_reuse(self, here):
        """The page was let in, the owner went on at home, and then the thief has the password: the table decides again."""
        owner = here.resident(HOME)
        thief = owner.copy(MIDDLE)

        @here.handlers.on("/desk/confirm")
        async def handler(scope, receive, send):
            await asyncio.to_thread(here.let_access_expire)
            for _ in range(2):
                await asyncio.to_thread(owner.get)
            await asyncio.to_thread(here.advance, 31)
            await here.desk(scope, receive, send)

        result = thief.ask(CONFIRM, method="POST")
        assert (401, "reuse_detected", []) == (result.status, result.code, result.all("set-cookie"))
        assert "reuse_detected" == owner.get().code

    def test_an_image_cannot_confirm(self, here):
        owner = here.resident(HOME)
        before = owner.head
        result = owner.copy(MIDDLE).ask(CONFIRM, kind="image")
        assert (403, "cannot_receive") == (result.status, result.code)
        assert before == owner.head


class TestUnknown:
    @pytest.mark.parametrize("address", [NO_RECORD, NO_CITY, VAGUE, "10.0.0.7", "fd00::7", "2a02:ffff::1"])
    @pytest.mark.parametrize("unknown", ["proceed", "step_up", "revoke"])
    def test_a_place_that_is_not_known_is_what_the_policy_says(self, open_town, judgements, unknown, address):
        with open_town(risk=RiskPolicy(unknown=unknown)) as here:
            owner = here.resident(HOME)
            result = owner.copy(address).get()
            assert {"proceed": 200, "step_up": 401, "revoke": 401}[unknown] == result.status
            assert [(unknown, "unknown_location")] == judgements()
            assert is_step_up(result) == (unknown == "step_up")
            assert (owner.head is None) == (unknown == "revoke") == (result.code == "revoked")

    def test_a_session_of_unknown_place_is_unknown_wherever_it_goes(self, here, judgements):
        owner = here.resident(NO_RECORD)
        assert is_step_up(moves(owner, HOME).get())
        assert 200 == owner.post(CONFIRM).status
        judgements()
        assert 200 == moves(owner, NEAR).get().status
        assert [("proceed", "distance")] == judgements()

    @pytest.mark.parametrize("unknown", ["proceed", "step_up", "revoke"])
    def test_where_the_proxys_word_cannot_be_read_the_address_is_unknown(self, open_town, unknown):
        with open_town(risk=RiskPolicy(unknown=unknown)) as here:
            owner = here.resident(HOME)
            result = owner.copy("not an address").get()
            assert {"proceed": None, "step_up": "step_up_required", "revoke": "revoked"}[unknown] == result.code


class TestSpoofing:
    def test_what_a_stranger_says_of_his_address_changes_nothing(self, here):
        """He connects directly, past the proxy, and writes his victim's address into every header there is."""
        owner = here.resident(HOME)
        before, thief = owner.head, owner.copy("", peer="127.0.7.1")
        for headers in ({"x-forwarded-for": HOME}, {"forwarded": f"for={HOME}"}, {"x-real-ip": HOME, "cf-connecting-ip": HOME}):
            assert is_step_up(thief.ask(headers=headers))
            assert "unknown_location" == thief.ask("/desk/state", headers=headers).json()["found"]["pending"]
        assert before == owner.head

    @pytest.mark.parametrize("address", [MIDDLE, FAR])
    def test_nor_what_he_says_to_the_proxy(self, here, address):
        """The proxy writes his address behind his own words."""
        owner = here.resident(HOME)
        result = owner.copy(address).ask(headers={"x-forwarded-for": f"{HOME}, {HOME}"})
        assert (401, "step_up_required" if address == MIDDLE else "revoked") == (result.status, result.code)

    def test_a_login_past_the_proxy_is_from_where_it_connects(self, here):
        owner = here.visitor("", peer="127.0.7.1")
        owner.post("/login", headers={"x-forwarded-for": HOME})
        assert 200 == owner.get(headers={"x-forwarded-for": FAR}).status
        owner.peer = None
        assert is_step_up(moves(owner, HOME).get())


class TestRotationOff:
    """A thief would say so to ride along without moving the family on; a renderer is listed as a trusted proxy."""

    OFF = {"x-token-rotation": "off"}
    PEERS = FixedLocator(
        {
            "127.0.7.0/24": Place(latitude=52.52, longitude=13.405, city="Berlin"),
            "127.0.8.0/24": Place(latitude=52.39, longitude=13.065, city="Potsdam"),
        }
    )

    def test_from_an_unknown_network_it_is_step_up_however_near(self, open_town, judgements):
        with open_town(locator=self.PEERS) as here:
            owner = here.resident("", peer="127.0.7.1")
            thief = owner.copy("", peer="127.0.8.1")
            before = owner.head
            for kind in ("bare", "fetch", "page"):
                assert is_step_up(thief.get(headers=self.OFF, kind=kind))
            assert [("step_up", "rotation_off")] * 3 == judgements()
            assert before == owner.head
            assert 200 == thief.get().status  # as anybody else from there

    def test_from_a_known_one_it_is_served_and_nothing_rotates(self, open_town):
        with open_town(locator=self.PEERS) as here:
            owner = here.resident("", peer="127.0.7.1")
            here.let_access_expire()
            before = owner.head
            result = owner.copy("", peer="127.0.7.9").get(headers=self.OFF, kind="bare")
            assert (200, "nothing", before) == (result.status, carried(result), owner.head)

    def test_of_a_trusted_renderer_the_visitors_address_is_judged(self, here, judgements):
        owner = here.resident(HOME)
        here.let_access_expire()
        results = [owner.copy(address).get(headers=self.OFF, kind="bare") for address in (HOME, MIDDLE, NEAR)]
        assert [200, 401, 200] == [result.status for result in results]
        assert ["nothing"] * 3 == [*map(carried, results)]
        assert [("step_up", "distance"), ("proceed", "distance")] == judgements()
        assert 0 == owner.head.gen
        assert "revoked" == owner.copy(FAR).get(headers=self.OFF, kind="bare").code


class TestRedelivery:
    """Without a locator: it is the device that counts."""

    @pytest.fixture
    def here(self, open_town):
        with open_town(locator=None) as here:
            yield here

    def lost(self, here):
        """An owner whose rotation's answer was lost."""
        owner = here.resident(HOME)
        here.let_access_expire()
        owner.ask()
        owner.reload()
        return owner

    def test_to_the_same_device_it_heals_a_lost_answer(self, here, judgements):
        owner = self.lost(here)
        here.advance(3600)
        assert "both" == carried(owner.get())
        assert [] == judgements()

    def test_to_another_device_it_is_step_up_and_the_owner_heals(self, here, judgements):
        owner = self.lost(here)
        before, thief = owner.head, owner.copy(HOME, agent=CURL)
        for kind in ("bare", "fetch", "page"):
            assert is_step_up(thief.get(kind=kind))
        assert "other_device" == reason(thief)
        assert [("step_up", "other_device")] * 4 == judgements()
        assert before == owner.head
        assert "both" == carried(owner.get())
        assert 200 == owner.get().status

    def test_a_platform_that_contradicts_is_another_device(self, here):
        owner = here.visitor(HOME)
        says = {"sec-ch-ua-platform": '"Linux"'}
        owner.post("/login", headers=says)
        here.let_access_expire()
        owner.ask(headers=says)
        owner.reload()
        assert is_step_up(owner.ask(headers={"sec-ch-ua-platform": '"Windows"'}))
        assert "both" == carried(owner.ask())  # a worker's request leaves the hint out
        assert "both" == carried(owner.ask(headers=says))

    def test_an_image_of_a_browser_that_calls_itself_otherwise_there_is_none(self, here, judgements):
        """Safari's media requests have a User-Agent of their own; they are handed nothing."""
        owner = self.lost(here)
        before, owner.agent = owner.head, "AppleCoreMedia/1.0"
        for kind in ("image", "frame", "events"):
            result = owner.ask(kind=kind)
            assert (200, "nothing") == (result.status, carried(result))
        assert ([], before) == (judgements(), owner.head)
        owner.agent = FIREFOX
        assert "both" == carried(owner.get())

    def test_another_device_elsewhere_in_the_table_is_none_of_its_business(self, here, judgements):
        """Browsers are updated: a repeat and a rotation under another name go on."""
        owner = here.resident(HOME)
        owner.agent = CURL
        owner.reload()
        assert "token" == carried(owner.get())
        here.let_access_expire()
        assert "both" == carried(owner.get())
        assert [] == judgements()

    def test_who_proves_it_goes_on_as_that_device(self, here):
        owner = self.lost(here)
        owner.agent = CURL
        assert is_step_up(owner.get())
        assert (200, "both") == ((result := owner.ask(CONFIRM, method="POST")).status, carried(result))  # lost again
        assert "both" == carried(owner.get())
        assert 200 == owner.get().status


class TestLingering:
    """The poller of I9: on the victim's network, with its strings, late with a superseded cookie time after time."""

    @pytest.fixture
    def here(self, open_town):
        with open_town(locator=None) as here:
            yield here

    @staticmethod
    def generation(here, owner, late=6):
        """The owner rotates and falls silent; *late* seconds on, the superseded cookie comes: (the answer, who asked)."""
        here.let_access_expire()
        slow = owner.copy(HOME)
        if (result := owner.get()).status != 200 or carried(result) != "both":
            raise RuntimeError(f"the owner did not rotate: {result.status} {result.code} {carried(result)}")
        owner.reload()
        here.advance(late)
        return slow.get(), slow

    def test_three_generations_running_are_step_up_and_a_password_clears_them(self, here, judgements):
        owner = here.resident(HOME)
        assert ["both", "both"] == [carried(self.generation(here, owner)[0]) for _ in range(2)]
        result, slow = self.generation(here, owner)
        assert is_step_up(result)
        assert [("step_up", "lingering")] == judgements()
        assert "lingering" == reason(slow)
        before = owner.head
        assert is_step_up(slow.get())
        assert before == owner.head
        assert 200 == slow.post(CONFIRM).status
        assert [200, "nothing"] == [(result := slow.get()).status, carried(result)]
        judgements()
        # The count starts again.
        owner.jar = slow.jar
        assert ["both", "both"] == [carried(self.generation(here, owner)[0]) for _ in range(2)]
        assert is_step_up(self.generation(here, owner)[0])

    def test_the_owner_goes_on_meanwhile(self, here):
        owner = here.resident(HOME)
        for _ in range(3):
            self.generation(here, owner)
        assert (200, "token") == ((result := owner.get()).status, carried(result))

    def test_a_password_at_the_head_clears_them_as_well(self, here):
        """The owner is asked by the app itself, after two late ones: the third is the first of a new count."""
        owner = here.resident(HOME)
        for _ in range(2):
            self.generation(here, owner)
        assert [200, 200] == [owner.get().status, owner.post(CONFIRM).status]
        assert 200 == owner.get().status
        assert ["both", "both"] == [carried(self.generation(here, owner)[0]) for _ in range(2)]
        assert is_step_up(self.generation(here, owner)[0])

    @pytest.mark.parametrize("punctual", [0, 1, 2])
    def test_who_is_in_time_once_is_not_lingering(self, here, judgements, punctual):
        owner = here.resident(HOME)
        for number in range(5):
            result, _ = self.generation(here, owner, late=1 if number % 3 == punctual else 6)
            assert 200 == result.status
        assert [] == judgements()

    @pytest.mark.parametrize(("generations", "late"), [(0, 60), (3, 29)])
    def test_the_policy_sets_its_measures(self, open_town, generations, late):
        with open_town(locator=None, risk=RiskPolicy(linger_generations=generations, linger_after=30)) as here:
            owner = here.resident(HOME)
            assert [200] * 5 == [self.generation(here, owner, late=late)[0].status for _ in range(5)]

    def test_one_generation_may_be_too_many(self, open_town):
        with open_town(locator=None, risk=RiskPolicy(linger_generations=1)) as here:
            assert is_step_up(self.generation(here, here.resident(HOME))[0])


class TestRules:
    def test_an_app_may_ask_at_every_change_of_device(self, open_town):
        with open_town(locator=None, risk=RiskPolicy(rules=[change_of_device])) as here:
            owner = here.resident(HOME)
            before, thief = owner.head, owner.copy(HOME, agent=CURL)
            for kind in ("bare", "image"):
                assert is_step_up(thief.get(kind=kind))
            assert ("change_of_device", before) == (reason(thief), owner.head)
            assert 200 == owner.copy(HOME).get().status
            assert 200 == thief.post(CONFIRM).status
            assert 200 == thief.get().status

    def test_an_app_may_end_sessions_by_a_rule_of_its_own(self, open_town):
        asked = []

        def embargo(signals):
            asked.append((signals.ip_address_before, signals.ip_address, signals.new_network, round(signals.distance_km)))
            return Action.REVOKE

        with open_town(risk=RiskPolicy(rules=[embargo])) as here:
            owner = here.resident(HOME)
            assert "revoked" == owner.copy(NEAR).get().code
            assert [(HOME, NEAR, True, 27)] == asked
            assert None is owner.head

    def test_no_rule_makes_milder_what_is_far(self, open_town):
        with open_town(risk=RiskPolicy(rules=[lambda _: Action.PROCEED])) as here:
            assert is_step_up(here.resident(HOME).copy(MIDDLE).get())

    def test_a_rule_that_fails_is_a_demand_and_a_line_in_the_log(self, open_town, caplog):
        def broken(signals):
            raise LookupError("no such table")

        with open_town(risk=RiskPolicy(rules=[broken])) as here:
            owner = here.resident(HOME)
            thief = owner.copy(NEAR)
            assert is_step_up(thief.get())
            assert "broken" == reason(thief)
            assert 200 == thief.post(CONFIRM).status
        assert ["no such table"] * 3 == [
            str(line.exc_info[1]) for line in caplog.records if line.exc_info and "rule failed" in line.msg
        ]


class Locator:
    """Knows home; for all else it does what a test wants."""

    def __init__(self, elsewhere):
        self.elsewhere = elsewhere

    async def locate(self, address):
        home = Place(latitude=52.52, longitude=13.405, city="Berlin")
        return home if address == HOME else await self.elsewhere(address) or home

    async def aclose(self):
        """Nothing is open."""


class TestLocators:
    @pytest.mark.parametrize("address", [NEAR, FAR, NO_RECORD, ANTIPODES, "10.0.0.7"])
    def test_without_one_no_place_is_judged(self, open_town, judgements, address):
        with open_town(locator=None) as here:
            owner = here.resident(HOME)
            assert 200 == owner.copy(address).get(headers=TestRotationOff.OFF).status
            assert 200 == owner.copy(address).get().status
            assert [] == judgements()

    @pytest.mark.parametrize("unknown", ["proceed", "step_up", "revoke"])
    @pytest.mark.parametrize("how", ["hangs", "raises", "answers nonsense", "is not reached"])
    def test_one_that_is_down_makes_places_unknown_within_the_timeout(self, open_town, how, unknown, judgements):
        async def elsewhere(address):
            match how:
                case "hangs":
                    await asyncio.sleep(60)
                case "raises":
                    raise ConnectionError(address)
            return "Berlin"

        locator = HttpLocator("http://127.0.0.1:9/{address}") if how == "is not reached" else Locator(elsewhere)
        with open_town(locator=locator, timeout=0.5, risk=RiskPolicy(unknown=unknown)) as here:
            owner = here.resident(HOME)
            began = time.monotonic()
            result = owner.copy(NEAR).get()
            assert time.monotonic() - began < 0.5 + 5
            assert {"proceed": None, "step_up": "step_up_required", "revoke": "revoked"}[unknown] == result.code
            assert [(unknown, "unknown_location")] == judgements()
            assert (200 if unknown != "revoke" else 401) == owner.get().status

    def test_what_happens_while_a_place_is_looked_up_counts(self, open_town):
        """The step after a judgement reads everything again: nobody is let into a session that has ended meanwhile."""
        looked = []

        async def elsewhere(address):
            looked.append(address)
            await here.guard.revoke_all("user-1")

        with open_town(locator=Locator(elsewhere)) as here:
            owner = here.resident(HOME)
            here.let_access_expire()
            result = owner.copy(NEAR).get()
            assert (401, "revoked", "nothing") == (result.status, result.code, carried(result))
            assert ([NEAR], None) == (looked, owner.head)

    def test_a_rotation_meanwhile_is_not_done_twice(self, open_town):
        """P1: two tabs of one jar, one of them in a train; the other one's rotation is what both are handed."""
        first = []

        async def elsewhere(address):
            first.append(await asyncio.to_thread(owner.ask))

        with open_town(locator=Locator(elsewhere)) as here:
            owner = here.resident(HOME)
            here.let_access_expire()
            result = owner.copy(NEAR).get()
            assert ["both", "both"] == [carried(result), carried(first[0])]
            assert (result.cookie(), 1) == (first[0].cookie(), owner.head.gen)

    @pytest.mark.parametrize("how", ["killed", "frozen"])
    def test_redis_away_at_the_second_step_is_503(self, options, clock, how):
        server = RedisServer().start()

        async def elsewhere(_):
            server.kill() if how == "killed" else server.freeze()

        more = {"redis": server.url, "timeout": 0.5, "locator": Locator(elsewhere)}
        with contextlib.closing(server), town(options, server.clock, **more) as here:
            owner = here.resident(HOME)
            began = time.monotonic()
            result = owner.copy(NEAR).get()
            assert (503, "store_unavailable", "1") == (result.status, result.code, result.get("retry-after"))
            assert ("nothing", []) == (carried(result), result.all("set-cookie"))
            assert time.monotonic() - began < 0.5 + 5

    def test_redis_away_at_the_password_is_503_and_the_password_is_asked_again(self, options, clock, cities):
        server = RedisServer().start()
        more = {"redis": server.url, "timeout": 0.5, "locator": MaxMindLocator(cities)}
        with contextlib.closing(server), town(options, server.clock, **more) as here:
            owner = here.resident(HOME)

            @here.handlers.on("/desk/confirm")
            async def handler(scope, receive, send):
                server.freeze()
                await here.desk(scope, receive, send)

            result = owner.copy(MIDDLE).post(CONFIRM)
            assert (503, "store_unavailable", []) == (result.status, result.code, result.all("set-cookie"))
            server.thaw()
            here.handlers.by_path["/desk/confirm"] = here.desk
            assert 200 == moves(owner, MIDDLE).post(CONFIRM).status
