"""Which texts are addresses, and which addresses are looked up."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.geo.addresses import located, parsed

GARBAGE = ["", " ", "8.8.8.8 ", "8.8.8", "8.8.8.8:443", "08.8.8.8", "8.8.8.8/32", "[2001:4860::1]", "unix:", "unknown",
           "_hidden", "1" * 10_000, ":" * 10_000, "٨.٨.٨.٨", "\ud800", "\0", None, 5, 8.8, b"8.8.8.8", True, []]  # fmt: skip
NOWHERE = ["10.0.0.1", "172.16.5.5", "192.168.1.1", "127.0.0.1", "127.9.9.9", "169.254.1.1", "100.64.0.1", "0.0.0.0",
           "255.255.255.255", "240.0.0.1", "224.0.0.1", "192.0.2.7", "198.51.100.7", "203.0.113.7", "198.18.0.1",
           "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1",
           "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:192.168.1.1"]  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_no_address(text):
    assert parsed(text) is None
    assert located(text) is None


@pytest.mark.parametrize("text", NOWHERE)
def test_what_no_data_can_know_is_not_looked_up(text):
    assert parsed(text) is not None
    assert located(text) is None


@pytest.mark.parametrize("text", ["8.8.8.8", "81.2.69.142", "2001:4860:4860::8888", "2a02:2e0::1"])
def test_public_addresses_are(text):
    assert ip_address(text) == located(text)


@pytest.mark.parametrize("text", ["::ffff:8.8.8.8", "::FFFF:808:808", "0:0:0:0:0:ffff:8.8.8.8"])
def test_a_mapped_address_is_the_ipv4_address_that_it_is(text):
    assert ip_address("8.8.8.8") == located(text)


@pytest.mark.parametrize("zone", ["eth0", "x&ip=9.9.9.9", "#", "..?key=", "\r\nHost: evil", " ", "1"])
def test_whoever_forges_a_zone_writes_into_no_url(zone):
    """Python takes nearly anything for a zone."""
    assert parsed(f"2001:4860::1%{zone}") is not None
    assert located(f"2001:4860::1%{zone}") is None


@settings(deadline=None, database=None)
@given(st.text())
def test_no_text_raises(text):
    assert located(text) is None or ip_address(text)


@settings(deadline=None, database=None)
@given(st.ip_addresses())
def test_what_is_looked_up_is_written_in_signs_that_end_no_part_of_a_url(address):
    found = located(str(address))
    assert found is None or set(str(found)) <= set("0123456789abcdef.:")
