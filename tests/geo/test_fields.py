"""Where answers say what: the shapes of known providers, and lies in each."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.provider import BERLIN, PLACES, REFUSALS, SAMPLES

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.geo import Fields

ADDRESS = ip_address("8.8.8.8")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["8.8.8.8", "1,2", "37.4", "Berlin"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def paths(value, before=()):
    for name, inner in value.items():
        yield (*before, name)
        if isinstance(inner, dict):
            yield from paths(inner, (*before, name))


def changed(answer, path, value):
    copy = json.loads(json.dumps(answer))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return copy


@pytest.mark.parametrize("provider", SAMPLES)
def test_known_providers(provider):
    fields = getattr(Fields, provider)
    assert fields.is_about(SAMPLES[provider], ADDRESS)
    assert PLACES[provider] == fields.place(SAMPLES[provider])


@pytest.mark.parametrize("provider", SAMPLES)
def test_their_refusals_are_no_places_even_if_the_rest_of_an_answer_comes_along(provider):
    fields = getattr(Fields, provider)
    assert fields.place(REFUSALS[provider]) is None
    if fields.failed:
        assert fields.place(SAMPLES[provider] | REFUSALS[provider]) is None


@pytest.mark.parametrize("provider", SAMPLES)
@pytest.mark.parametrize("other", ["8.8.4.4", "2001:4860::1", "", "me", 5, {"ip": "8.8.8.8"}])
def test_an_answer_about_another_address_is_seen(provider, other):
    """Else a wrong parameter in the URL would put every user, thieves included, where the server is."""
    fields = getattr(Fields, provider)
    path = fields.address.split(".")
    assert not fields.is_about(changed(SAMPLES[provider], path, other), ADDRESS)


def test_addresses_are_compared_and_not_their_texts():
    assert Fields().is_about({"ip": "2001:4860:0:0::0:8888"}, ip_address("2001:4860::8888"))
    assert Fields().is_about({"ip": "::ffff:8.8.8.8"}, ADDRESS)
    assert Fields().is_about({}, ADDRESS)
    assert Fields(address=None).is_about({"ip": "8.8.4.4"}, ADDRESS)


@pytest.mark.parametrize("provider", SAMPLES)
@settings(deadline=None, database=None)
@given(st.data())
def test_whatever_stands_where_there_is_a_place_on_the_earth_or_none(provider, data):
    fields, answer = getattr(Fields, provider), SAMPLES[provider]
    for _ in range(data.draw(st.integers(0, 3))):
        answer = changed(answer, data.draw(st.sampled_from(list(paths(answer)))), data.draw(json_values))
    fields.is_about(answer, ADDRESS)
    place = fields.place(answer)
    assert place is None or (-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180 and place.city)


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1e1", "1_0", " 1", "1 ", "٣٧.٤", "0x10", "+", "-", ".", "1.", ".5", "--1", "", "1" * 400]
)
def test_text_that_float_might_take_is_no_number(text):
    location = SAMPLES["IPGEOLOCATION"]["location"]
    assert Fields.IPGEOLOCATION.place({"location": location | {"latitude": text}}) is None
    if text:
        assert Fields.IPGEOLOCATION.place({"location": location | {"accuracy_radius": text}}) is None


def test_an_empty_radius_is_not_stated():
    location = SAMPLES["IPGEOLOCATION"]["location"]
    assert Fields.IPGEOLOCATION.place({"location": location | {"accuracy_radius": ""}}).accuracy_km is None


def test_real_numbers_are_numbers_where_text_is_as_well():
    place = Fields(numbers_as_text=True, country="country_code").place(BERLIN)
    assert (52.52, 13.405) == (place.latitude, place.longitude)


@pytest.mark.parametrize("number", ["52.52", "1"])
def test_text_is_no_number_where_it_is_not_said_to_be(number):
    assert Fields().place(BERLIN | {"latitude": number}) is None


@pytest.mark.parametrize(
    "loc", ["37.4", "", ",", "37.4,", "a,b", "37.4,-122.1,5", "nan,nan", 37.4, [37.4, -122.1], None, "91,0.5"]
)
def test_pairs_that_are_none(loc):
    assert Fields.IPINFO.place(SAMPLES["IPINFO"] | {"loc": loc}) is None


def test_a_pair_may_have_a_space():
    assert PLACES["IPINFO"] == Fields.IPINFO.place(SAMPLES["IPINFO"] | {"loc": "37.4056, -122.0775"})


def test_true_is_not_one():
    assert Fields.IPAPI_CO.place(SAMPLES["IPAPI_CO"] | {"error": 1}) is not None
    assert Fields.IPAPI_CO.place(SAMPLES["IPAPI_CO"] | {"error": False}) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"latitude": ""}, {"latitude": None}, {"city": None}, {"city": "a..b"}, {"city": "a."}, {"country": 7},
        {"address": "a b"}, {"failed": "status"}, {"failed": ("status",)}, {"failed": (1, True)},
        {"failed": ("", True)}, {"failed": ("a", 1)},
        {"coordinates": ["loc"]}, {"numbers_as_text": "false"},
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused(wrong):
    with pytest.raises(ConfigurationError) as caught:
        Fields(**wrong)
    assert "locator" == caught.value.option
