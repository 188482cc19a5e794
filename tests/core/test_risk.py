"""Judging: the bands, every rule alone and together, rules that fail, policies that cannot work, and names of networks."""

from __future__ import annotations

import math
import pickle
from functools import partial
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.places import EARTH_RADIUS_KM, Place
from asgi_tokenguard.core.risk import (
    Action,
    RiskPolicy,
    Rule,
    Signals,
    Verdict,
    change_of_device,
    lingering_rule,
    network_of,
    redelivery_to_another_device,
    rotation_off_rule,
    score,
)
from asgi_tokenguard.errors import ConfigurationError

PROCEED, STEP_UP, REVOKE = Action
POLICY = RiskPolicy()
FLAGS = ("new_network", "new_device", "redelivery", "lingering", "rotation_off", "located")
quick = settings(deadline=None, database=None, max_examples=300)


def signals(*flags, **known):
    odd = {name: name in flags for name in FLAGS}
    unknown = dict.fromkeys(("place_before", "place_now", "ip_address_before", "ip_address"))
    return Signals(**(odd | unknown | known))


def moved(km, *flags, **known):
    """A caller from a new network, *km* east of where the session was, with a locator to tell."""
    return signals("new_network", "located", *flags, **({"place_before": place(0), "place_now": place(km)} | known))


def place(km_east, **facts):
    """A place on the equator."""
    degrees = math.degrees(km_east / EARTH_RADIUS_KM)
    return Place(**({"latitude": 0, "longitude": degrees, "city": "somewhere"} | facts))


UNKNOWN = moved(0, place_now=None)
NEAR, MIDDLE, FAR = moved(10), moved(75), moved(500)


def outcome(verdict):
    return verdict.action, verdict.reason


# Rules of an app.


def proceed(_):
    return PROCEED


def step_up(_):
    return STEP_UP


def revoke(_):
    return REVOKE


def silent(_):
    return None


def failing(_):
    raise LookupError("the table of the night shift is gone")


# --- Actions


def test_actions_are_ordered_by_severity():
    assert [PROCEED, STEP_UP, REVOKE] == sorted([REVOKE, PROCEED, STEP_UP], key=lambda action: action.severity)


# --- Distance


def test_the_defaults_are_those_of_the_design():
    found = (POLICY.proceed_above, POLICY.revoke_below, POLICY.unknown, POLICY.rules)
    assert (50, 20, "step_up", ()) == found
    assert (24, 64, 5.0, 3) == (POLICY.ipv4_prefix, POLICY.ipv6_prefix, POLICY.linger_after, POLICY.linger_generations)


@pytest.mark.parametrize(
    ("km", "action"),
    [
        (0, PROCEED),
        (10, PROCEED),
        (49.9, PROCEED),
        (50.1, STEP_UP),
        (75, STEP_UP),
        (99.9, STEP_UP),
        (100.1, REVOKE),
        (500, REVOKE),
        (10_000, REVOKE),
    ],
)
def test_the_distance_decides_between_the_three_bands(km, action):
    verdict = POLICY.judge(moved(km))
    assert (action, "distance") == outcome(verdict)
    assert pytest.approx(score(km), abs=1e-6) == verdict.score
    assert None is verdict.error


@pytest.mark.parametrize(
    ("km", "action"),
    [
        (math.nextafter(50, 0), PROCEED),
        (50, STEP_UP),
        (math.nextafter(50, 100), STEP_UP),
        (math.nextafter(100, 0), STEP_UP),
        (100, STEP_UP),
        (math.nextafter(100, 200), REVOKE),
    ],
)
def test_the_edges_ask_for_re_authentication_and_their_neighbours_do_not(km, action, monkeypatch):
    """No two places are exactly 50 km apart, so the measuring is taken out."""
    monkeypatch.setattr("asgi_tokenguard.core.signals.distance_km", lambda _before, _now: km)
    assert (action, "distance") == outcome(POLICY.judge(moved(0)))


@pytest.mark.parametrize(
    ("thresholds", "km", "action"),
    [
        ({"proceed_above": 90}, 11, STEP_UP),
        ({"proceed_above": 90}, 9, PROCEED),
        ({"proceed_above": 100}, 0, STEP_UP),  # every new network
        ({"revoke_below": 0}, 19_000, STEP_UP),  # never
        ({"revoke_below": 15}, 4_000, STEP_UP),
        ({"revoke_below": 15}, 6_000, REVOKE),
        ({"proceed_above": 50, "revoke_below": 50}, 51, REVOKE),
        ({"proceed_above": 50, "revoke_below": 50}, 49, PROCEED),
        ({"proceed_above": 0, "revoke_below": 0}, 19_000, PROCEED),
    ],
)
def test_an_app_chooses_its_thresholds(thresholds, km, action):
    assert action is RiskPolicy(**thresholds).judge(moved(km)).action


def test_accuracy_is_taken_off_before_the_judgement():
    """100 km apart, each known to 26 km: as good as next door."""
    vague = moved(0, place_before=place(0, accuracy_km=26), place_now=place(100, accuracy_km=26))
    assert (PROCEED, "distance") == outcome(POLICY.judge(vague))


@pytest.mark.parametrize(
    "unjudged",
    [
        signals(),
        signals("new_network"),  # no locator
        signals("located"),  # no place is known, but the network is
        signals("located", place_before=place(0), place_now=place(9000)),  # dual stack, or data that changed over night
        signals("new_network", place_before=place(0), place_now=place(9000)),  # kept and shown, never judged
    ],
)
def test_without_a_new_network_or_a_locator_no_place_is_judged(unjudged):
    for unknown in ("proceed", "step_up", "revoke"):
        assert (PROCEED, "no_objection") == outcome(RiskPolicy(unknown=unknown).judge(unjudged))


# --- Unknown places


@pytest.mark.parametrize(
    "known",
    [
        {"place_before": None},
        {"place_now": None},
        {"place_before": None, "place_now": None},
        {"place_now": place(0, city=None)},
        {"place_before": place(0, accuracy_km=100)},
    ],
)
@pytest.mark.parametrize("unknown", ["proceed", "step_up", "revoke"])
def test_an_unknown_place_leads_to_what_the_app_chose(known, unknown):
    verdict = RiskPolicy(unknown=unknown).judge(moved(0, **known))
    assert Verdict(action=Action(unknown), reason="unknown_location", score=None) == verdict


def test_by_default_a_locator_that_is_down_opens_no_door_and_ends_no_session():
    assert (STEP_UP, "unknown_location") == outcome(POLICY.judge(UNKNOWN))


# --- The other rules


@pytest.mark.parametrize("where", [moved(0, "rotation_off"), moved(10, "rotation_off"), moved(75, "rotation_off")])
def test_rotation_off_from_a_new_network_is_at_least_step_up(where):
    assert (STEP_UP, "rotation_off") == outcome(POLICY.judge(where))


def test_rotation_off_is_step_up_where_an_unknown_place_would_proceed():
    where = moved(0, "rotation_off", place_now=None)
    assert (STEP_UP, "rotation_off") == outcome(RiskPolicy(unknown="proceed").judge(where))


def test_rotation_off_does_not_soften_a_distance():
    assert (REVOKE, "distance") == outcome(POLICY.judge(moved(500, "rotation_off")))


@pytest.mark.parametrize("flags", [["rotation_off"], ["rotation_off", "new_network"], ["rotation_off", "located"]])
def test_rotation_off_is_nobodys_business_on_a_known_network_or_without_a_locator(flags):
    assert None is rotation_off_rule(signals(*flags))
    assert (PROCEED, "no_objection") == outcome(POLICY.judge(signals(*flags)))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["new_device", "redelivery"], (STEP_UP, "other_device")),
        (["new_device"], (PROCEED, "no_objection")),  # a browser's update
        (["redelivery"], (PROCEED, "no_objection")),  # a lost answer
    ],
)
def test_a_redelivery_to_another_device_is_step_up(flags, expected):
    assert expected == outcome(POLICY.judge(signals(*flags)))
    assert expected[0] is (redelivery_to_another_device(signals(*flags)) or PROCEED)


def test_i9_lingering_is_step_up_on_the_same_network_with_the_same_device():
    assert (STEP_UP, "lingering") == outcome(POLICY.judge(signals("lingering")))
    assert None is lingering_rule(signals())


def test_no_generations_turn_the_lingering_rule_off_whatever_the_record_says():
    assert (PROCEED, "no_objection") == outcome(RiskPolicy(linger_generations=0).judge(signals("lingering")))


def test_a_change_of_device_is_step_up_where_an_app_asks_for_it():
    policy = RiskPolicy(rules=[change_of_device])
    assert (STEP_UP, "change_of_device") == outcome(policy.judge(signals("new_device")))
    assert (PROCEED, "no_objection") == outcome(policy.judge(signals()))


# --- Together


TOGETHER = [
    # signals, rules of the app, what follows
    (NEAR, [step_up], (STEP_UP, "step_up")),
    (NEAR, [revoke], (REVOKE, "revoke")),
    (NEAR, [silent], (PROCEED, "distance")),
    (MIDDLE, [proceed], (STEP_UP, "distance")),  # no rule loosens
    (FAR, [proceed, step_up, silent], (REVOKE, "distance")),
    (UNKNOWN, [proceed], (STEP_UP, "unknown_location")),
    (MIDDLE, [step_up], (STEP_UP, "distance")),  # ours come first
    (signals(), [proceed], (PROCEED, "proceed")),
    (signals(), [step_up, revoke, proceed], (REVOKE, "revoke")),
    (signals("lingering", "new_device", "redelivery"), [], (STEP_UP, "other_device")),
    (signals("lingering", "new_device", "redelivery"), [revoke], (REVOKE, "revoke")),
    (moved(500, "lingering"), [], (REVOKE, "distance")),
    (moved(10, "lingering"), [], (STEP_UP, "lingering")),
    (moved(10, "new_device", "redelivery"), [], (STEP_UP, "other_device")),
    (moved(75, "rotation_off"), [], (STEP_UP, "rotation_off")),  # what its developer can mend
]


@pytest.mark.parametrize(("odd", "rules", "expected"), TOGETHER)
def test_the_strictest_of_all_rules_holds(odd, rules, expected):
    assert expected == outcome(RiskPolicy(rules=rules).judge(odd))


PLACES = st.none() | st.builds(place, st.floats(0, 9000), accuracy_km=st.none() | st.floats(0, 150))
SIGNALS = st.builds(
    Signals,
    **dict.fromkeys(FLAGS, st.booleans()),
    place_before=PLACES,
    place_now=PLACES,
    ip_address_before=st.none(),
    ip_address=st.none(),
)
THRESHOLDS = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted)


@given(SIGNALS, THRESHOLDS, st.sampled_from(["proceed", "step_up", "revoke"]))
@quick
def test_no_app_rule_ever_loosens_and_no_signal_ever_does(odd, thresholds, unknown):
    policy = {"revoke_below": thresholds[0], "proceed_above": thresholds[1], "unknown": unknown}
    alone = RiskPolicy(**policy).judge(odd)
    for rule in (proceed, silent, step_up, revoke, failing):
        assert RiskPolicy(**policy, rules=[rule]).judge(odd).action.severity >= alone.action.severity
    calm = Signals(**{name: getattr(odd, name) for name in Signals.__slots__} | dict.fromkeys(FLAGS[1:5], False))
    assert RiskPolicy(**policy).judge(calm).action.severity <= alone.action.severity


@given(THRESHOLDS, st.floats(0, 9000), st.floats(0, 9000))
@quick
def test_who_is_farther_away_is_never_judged_more_mildly(thresholds, one, other):
    policy = RiskPolicy(revoke_below=thresholds[0], proceed_above=thresholds[1])
    near, far = (policy.judge(moved(km)).action.severity for km in sorted([one, other]))
    assert near <= far


# --- Rules that fail


def test_a_rule_that_raises_asks_for_step_up_and_its_error_is_told():
    verdict = RiskPolicy(rules=[failing]).judge(NEAR)
    assert (STEP_UP, "failing") == outcome(verdict)
    assert LookupError is type(verdict.error)
    assert pytest.approx(90) == verdict.score


@pytest.mark.parametrize("answer", ["revoke", "", True, False, 0, 1, RiskPolicy, Action, [REVOKE]])
def test_a_rule_that_answers_something_else_asks_for_step_up(answer):
    def odd_one(_):
        return answer

    verdict = RiskPolicy(rules=[odd_one]).judge(NEAR)
    assert (STEP_UP, "odd_one") == outcome(verdict)
    assert TypeError is type(verdict.error)
    assert f"odd_one answered {type(answer).__name__}" in str(verdict.error)


def test_an_error_is_told_even_where_another_rule_is_stricter():
    verdict = RiskPolicy(rules=[failing, revoke]).judge(NEAR)
    assert (REVOKE, "revoke") == outcome(verdict)
    assert LookupError is type(verdict.error)


def test_a_failing_rule_does_not_keep_the_later_ones_from_being_asked():
    asked = []
    RiskPolicy(rules=[failing, asked.append]).judge(NEAR)
    assert [NEAR] == asked


def test_no_error_vanishes_behind_another():
    def also_failing(_):
        raise KeyError

    error = RiskPolicy(rules=[failing, also_failing]).judge(NEAR).error
    assert [LookupError, KeyError] == [type(each) for each in error.exceptions]


def test_what_is_no_fault_of_a_rule_goes_on():
    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RiskPolicy(rules=[interrupted]).judge(NEAR)


class NightShift:
    def __call__(self, _):
        return STEP_UP

    def judge(self, _):
        return STEP_UP


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (step_up, "step_up"),
        (NightShift(), "NightShift"),
        (NightShift().judge, "judge"),
        (partial(step_up), "partial"),
        (lambda _: STEP_UP, "<lambda>"),
    ],
)
def test_whatever_can_be_called_is_a_rule_with_a_name(rule: Rule, reason):
    assert (STEP_UP, reason) == outcome(RiskPolicy(rules=(rule,)).judge(signals()))


# --- Policies that cannot work


async def awaited(_):
    return STEP_UP


class AwaitedShift:
    async def __call__(self, _):
        return STEP_UP


NAN, INFINITE = float("nan"), float("inf")
WRONG = [
    ({"proceed_above": 19.9}, "revoke_below <= proceed_above"),
    ({"revoke_below": 50.1}, "revoke_below <= proceed_above"),
    ({"proceed_above": 100.1}, "<= 100"),
    ({"revoke_below": -0.1}, "0 <= revoke_below"),
    ({"proceed_above": NAN}, "choose scores"),
    ({"revoke_below": NAN}, "choose scores"),
    ({"proceed_above": INFINITE}, "choose scores"),
    ({"revoke_below": -INFINITE}, "choose scores"),
    ({"proceed_above": "50"}, "choose scores"),
    ({"revoke_below": None}, "choose scores"),
    ({"proceed_above": True, "revoke_below": 0}, "choose scores"),
    ({"revoke_below": False}, "choose scores"),
    ({"unknown": "ask"}, "'step_up'"),
    ({"unknown": "STEP_UP"}, "'step_up'"),
    ({"unknown": None}, "'step_up'"),
    ({"unknown": ["step_up"]}, "'step_up'"),
    ({"unknown": STEP_UP}, "'step_up'"),
    ({"ipv4_prefix": 7}, "from 8 to 32"),
    ({"ipv4_prefix": 33}, "from 8 to 32"),
    ({"ipv4_prefix": 24.0}, "from 8 to 32"),
    ({"ipv4_prefix": "24"}, "from 8 to 32"),
    ({"ipv4_prefix": True}, "from 8 to 32"),
    ({"ipv6_prefix": 15}, "from 16 to 128"),
    ({"ipv6_prefix": 129}, "from 16 to 128"),
    ({"ipv6_prefix": None}, "from 16 to 128"),
    ({"linger_after": 0}, "1 ms"),
    ({"linger_after": 0.0009}, "1 ms"),
    ({"linger_after": -5}, "1 ms"),
    ({"linger_after": 3600.1}, "an hour"),
    ({"linger_after": 5000}, "an hour"),
    ({"linger_after": NAN}, "seconds"),
    ({"linger_after": INFINITE}, "seconds"),
    ({"linger_after": True}, "seconds"),
    ({"linger_after": "5"}, "seconds"),
    ({"linger_generations": -1}, "from 0 to 15"),
    ({"linger_generations": 16}, "from 0 to 15"),
    ({"linger_generations": 3.0}, "from 0 to 15"),
    ({"linger_generations": False}, "from 0 to 15"),
    ({"rules": change_of_device}, "rules=[change_of_device]"),
    ({"rules": "change_of_device"}, "rules=[change_of_device]"),
    ({"rules": None}, "rules=[change_of_device]"),
    ({"rules": {change_of_device}}, "rules=[change_of_device]"),  # a set has no first one
    ({"rules": ["change_of_device"]}, "rules=[change_of_device]"),
    ({"rules": [STEP_UP]}, "cannot be called"),
    ({"rules": [change_of_device, None]}, "cannot be called"),
    ({"rules": [awaited]}, "with `def`"),
    ({"rules": [partial(awaited)]}, "with `def`"),
    ({"rules": [change_of_device, AwaitedShift()]}, "AwaitedShift is a coroutine function"),
]


# Functions print their address, which differs from worker to worker.
@pytest.mark.parametrize(("wrong", "remedy"), WRONG, ids=[f"{number}-{min(row[0])}" for number, row in enumerate(WRONG)])
def test_a_policy_that_cannot_work_is_refused_at_start_up(wrong, remedy):
    with pytest.raises(ConfigurationError) as caught:
        RiskPolicy(**wrong)
    assert "risk" == caught.value.option
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "edge",
    [
        {"proceed_above": 0, "revoke_below": 0},
        {"proceed_above": 100, "revoke_below": 100},
        {"ipv4_prefix": 8, "ipv6_prefix": 16},
        {"ipv4_prefix": 32, "ipv6_prefix": 128},
        {"linger_after": 0.001, "linger_generations": 0},
        {"linger_after": 3600, "linger_generations": 15},
    ],
)
def test_a_policy_at_the_edge_is_fine(edge):
    assert RiskPolicy(**edge)


@given(
    st.dictionaries(
        st.sampled_from(["proceed_above", "revoke_below", "ipv4_prefix", "ipv6_prefix", "linger_after", "linger_generations"]),
        st.integers() | st.floats() | st.booleans() | st.none() | st.integers(0, 130) | st.floats(0, 100),
    )
)
@quick
def test_whatever_is_given_is_in_order_or_refused(given_values):
    try:
        policy = RiskPolicy(**given_values)
    except ConfigurationError:
        return
    assert 0 <= policy.revoke_below <= policy.proceed_above <= 100
    assert policy.judge(FAR).action.severity >= policy.judge(NEAR).action.severity
    assert 4 == len(network_of(bytes(16), policy))


def test_a_policy_does_not_change_behind_its_check():
    rules = [change_of_device]
    policy = RiskPolicy(rules=rules)
    rules.append("not a rule")
    assert (change_of_device,) == policy.rules
    with pytest.raises(AttributeError):
        policy.proceed_above = 0
    assert policy == pickle.loads(pickle.dumps(policy))


def test_thresholds_are_named_since_nobody_remembers_their_order():
    with pytest.raises(TypeError):
        RiskPolicy(20, 50)


# --- Names of networks


def name(text, policy=POLICY):
    return network_of(ip_address(text).packed if text else b"", policy)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("192.0.2.1", "193.0.2.1", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8::1", "2001:db9::1", False),
        ("192.0.2.1", "", False),
        ("2001:db8::1", "", False),
        ("0.0.0.0", "", False),
        ("::", "", False),
        ("0.0.0.0", "::", False),
        ("", "", True),
    ],
)
def test_addresses_of_one_network_have_one_name(one, other, same):
    assert same is (name(one) == name(other))


@pytest.mark.parametrize(
    ("prefixes", "one", "other", "same"),
    [
        ({"ipv4_prefix": 16}, "192.0.2.1", "192.0.3.1", True),
        ({"ipv4_prefix": 32}, "192.0.2.1", "192.0.2.2", False),
        ({"ipv4_prefix": 23}, "192.0.2.1", "192.0.3.1", True),
        ({"ipv4_prefix": 23}, "192.0.1.1", "192.0.2.1", False),
        ({"ipv6_prefix": 48}, "2001:db8::1", "2001:db8:0:1::1", True),
        ({"ipv6_prefix": 128}, "2001:db8::1", "2001:db8::2", False),
    ],
)
def test_an_app_chooses_how_large_a_network_is(prefixes, one, other, same):
    policy = RiskPolicy(**prefixes)
    assert same is (name(one, policy) == name(other, policy))


def test_a_name_made_under_another_size_of_networks_fits_none():
    assert name("10.0.0.1", RiskPolicy(ipv4_prefix=16)) != name("10.0.0.1", RiskPolicy(ipv4_prefix=24))


def test_the_names_do_not_change_from_release_to_release():
    """They are kept in records: another name would have every session judged once more."""
    assert ["32626ec7", "72f9dfe7", "925a7f71"] == [name(text).hex() for text in ("", "192.0.2.1", "2001:db8::1")]


@pytest.mark.parametrize("length", [1, 3, 5, 8, 15, 17])
def test_what_is_no_packed_address_has_no_network(length):
    with pytest.raises(ValueError, match="4 or 16 bytes"):
        network_of(bytes(length), POLICY)


@given(st.ip_addresses(v=4), st.ip_addresses(v=6))
@quick
def test_networks_of_two_families_never_share_a_name(v4, v6):
    """However many an attacker tries: two bits of the name tell them apart."""
    families = {
        name[0] >> 6 for name in (network_of(b"", POLICY), network_of(v4.packed, POLICY), network_of(v6.packed, POLICY))
    }
    assert 3 == len(families)


@given(st.ip_addresses(), st.ip_addresses(), st.integers(8, 32), st.integers(16, 128))
@quick
def test_the_networks_are_those_of_the_standard_library(one, other, ipv4, ipv6):
    policy = RiskPolicy(ipv4_prefix=ipv4, ipv6_prefix=ipv6)

    def network(address):
        return ip_network((address, ipv4 if address.version == 4 else ipv6), strict=False)

    edges = [network(one)[0], network(one)[-1]]
    assert 1 == len({network_of(address.packed, policy) for address in (one, *edges)})
    if network(one) != network(other):  # by chance once in a thousand million
        assert network_of(one.packed, policy) != network_of(other.packed, policy)
