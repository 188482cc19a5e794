"""The table."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.geo import FixedLocator

BERLIN = Place(latitude=52.52, longitude=13.405, city="Berlin")
PARIS = Place(latitude=48.86, longitude=2.35, city="Paris")
TOKYO = Place(latitude=35.68, longitude=139.69, city="Tokyo")


async def test_the_most_specific_network_wins_whatever_the_order():
    table = {"10.0.0.0/8": BERLIN, "10.1.0.0/16": PARIS, "10.1.1.1": TOKYO}
    for places in (table, dict(reversed(table.items()))):
        locator = FixedLocator(places)
        expected = {"10.9.9.9": BERLIN, "10.1.9.9": PARIS, "10.1.1.1": TOKYO, "11.0.0.1": None}
        assert expected == {address: await locator.locate(address) for address in expected}


async def test_both_families_and_objects():
    locator = FixedLocator({ip_network("0.0.0.0/0"): BERLIN, "2001:db8::/32": PARIS, "::ffff:192.0.2.0/120": TOKYO})
    expected = {"8.8.8.8": BERLIN, "2001:db8::1": PARIS, "2001:db9::1": None, "::ffff:8.8.8.8": BERLIN, "192.0.2.9": TOKYO,
                "::ffff:192.0.2.9": TOKYO, "127.0.0.1": BERLIN, "fe80::1%eth0": None}  # fmt: skip
    assert expected == {address: await locator.locate(address) for address in expected}
    await locator.aclose()


@settings(deadline=None, database=None)
@given(st.text())
async def test_garbage_has_no_place(text):
    try:
        ip_address(text)
    except ValueError:
        assert await FixedLocator({"0.0.0.0/0": BERLIN, "::/0": BERLIN}).locate(text) is None


# IPv4-mapped ones have a test of their own: Python's `in` knows nothing of what they are.
some_addresses = st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None)
some_networks = some_addresses.flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(lambda length: ip_network((address, length), strict=False))
)


@settings(deadline=None, database=None)
@given(st.dictionaries(some_networks, st.integers(0, 80), min_size=1, max_size=8), some_addresses, st.data())
async def test_it_finds_what_a_plain_search_finds(table, address, data):
    places = {network: Place(latitude=number, longitude=0, city="x") for network, number in table.items()}
    inside = data.draw(st.sampled_from(sorted(places, key=str))).network_address
    for each in (address, inside):
        holding = [network for network in places if network.version == each.version and each in network]
        expected = places[max(holding, key=lambda network: network.prefixlen)] if holding else None
        assert expected == await FixedLocator(places).locate(str(each))


@pytest.mark.parametrize("places", [
    {}, None, [], {"10.0.0.1/8": BERLIN}, {"office": BERLIN}, {10: BERLIN}, {b"\x0a\x00\x00\x01": BERLIN},
    {"10.0.0.0/8": "Berlin"}, {"10.0.0.0/8": None}, {"10.0.0.0/8": BERLIN, ip_network("10.0.0.0/8"): PARIS},
    {"::ffff:a00:0/104": BERLIN, "10.0.0.0/8": PARIS},
    {"10.0.0.0/8": Place(latitude=1, longitude=1, accuracy_km=100)},
])  # fmt: skip
def test_tables_that_cannot_be_meant(places):
    with pytest.raises(ConfigurationError) as caught:
        FixedLocator(places)
    assert "locator" == caught.value.option
    assert caught.value.remedy


def test_it_says_how_much_it_knows():
    assert "FixedLocator(2 networks)" == repr(FixedLocator({"10.0.0.0/8": BERLIN, "11.0.0.0/8": BERLIN}))
