"""The locator over files: families, garbage, and the minute between two looks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mmdb import flat, nested, write
from support.ticks import Ticks

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.geo import MaxMindLocator
from asgi_tokenguard.geo.maxmind import LOOK_SECONDS

V4, V6 = "8.8.8.8", "2001:4860:4860::8888"
LAYOUTS = {"nested": nested, "flat": flat}


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


async def cities(locator: MaxMindLocator, *addresses: str) -> list[str | None]:
    places = [await locator.locate(address) for address in addresses]
    return [place and place.city for place in places]


async def test_one_file_for_both_families(tmp_path, layout):
    path = write(tmp_path / "both.mmdb", {"8.8.8.0/24": layout(52.52, 13.405), "2001:4860::/32": layout(48.86, 2.35, "Paris")})
    assert ["Berlin", "Paris", None, None] == await cities(MaxMindLocator(path), V4, V6, "1.1.1.1", "2a02:2e0::1")


@pytest.mark.parametrize("order", [("v4", "v6"), ("v6", "v4")])
async def test_a_file_for_each_family_in_any_order(tmp_path, layout, order):
    files = {
        "v4": write(tmp_path / "v4.mmdb", {"8.8.8.0/24": layout(52.52, 13.405)}, version=4),
        "v6": write(tmp_path / "v6.mmdb", {"2001:4860::/32": layout(48.86, 2.35, "Paris")}),
    }
    locator = MaxMindLocator(*(str(files[name]) for name in order))
    assert ["Berlin", "Paris", "Berlin"] == await cities(locator, V4, V6, f"::ffff:{V4}")


async def test_the_file_for_ipv4_decides_about_ipv4(tmp_path):
    both = write(
        tmp_path / "both.mmdb", {"8.8.8.0/24": nested(48.86, 2.35, "Paris"), "1.1.1.0/24": nested(48.86, 2.35, "Paris")}
    )
    v4 = write(tmp_path / "v4.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)}, version=4)
    assert ["Berlin", "Paris"] == await cities(MaxMindLocator(both, v4), V4, "1.1.1.1")


async def test_a_record_that_is_no_place_is_not_overruled_by_another_file(tmp_path):
    """Two makers' data differ by tens of km: an address that changes between them would seem to travel."""
    first = write(tmp_path / "1.mmdb", {"8.8.8.0/24": nested(37.751, -97.822, "")})
    second = write(tmp_path / "2.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)})
    assert [None] == await cities(MaxMindLocator(first, second), V4)


async def test_ipv6_in_a_file_for_ipv4_alone_is_unknown_and_nothing_to_log(tmp_path, caplog):
    """maxminddb raises ValueError for it."""
    path = write(tmp_path / "v4.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)}, version=4)
    assert ["Berlin", None] == await cities(MaxMindLocator(path), V4, V6)
    assert [] == caplog.messages


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "127.0.0.1", "192.168.1.1", "169.254.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"]
)
async def test_addresses_of_no_place_are_not_looked_up_even_where_the_file_has_them(tmp_path, address):
    path = write(tmp_path / "all.mmdb", {"0.0.0.0/1": nested(52.52, 13.405), "128.0.0.0/1": nested(52.52, 13.405)})
    locator = MaxMindLocator(path)
    assert ["Berlin", None] == await cities(locator, V4, address)


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    return MaxMindLocator(write(tmp_path_factory.mktemp("x") / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)}))


@settings(deadline=None, database=None)
@given(st.text() | st.ip_addresses().map(str) | st.none() | st.integers() | st.binary())
async def test_no_address_raises(everywhere, text):
    place = await everywhere.locate(text)
    assert place is None or isinstance(place, Place)


async def test_the_language(tmp_path):
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(48.14, 11.58, {"en": "Munich", "de": "München"})})
    assert ["München"] == await cities(MaxMindLocator(path, language="de"), V4)


async def test_a_new_file_is_picked_up_within_a_minute_and_looked_for_no_more_often(tmp_path):
    clock = Ticks()
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)})
    locator = MaxMindLocator(path, clock=clock)
    write(path, {"8.8.8.0/24": nested(48.86, 2.35, "Paris")})
    clock.advance(LOOK_SECONDS - 1)
    assert ["Berlin"] == await cities(locator, V4)
    clock.advance(1)
    assert ["Paris"] == await cities(locator, V4)
    write(path, {"8.8.8.0/24": nested(41.9, 12.5, "Rome")})
    clock.advance(LOOK_SECONDS - 1)
    assert ["Paris"] == await cities(locator, V4)


async def test_after_its_end_it_knows_nothing(tmp_path):
    locator = MaxMindLocator(write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)}))
    await locator.aclose()
    await locator.aclose()
    assert [None] == await cities(locator, V4)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((5,), {}), ((b"x",), {}), (("x", None), {}), (("x",), {"language": ""}), (("x",), {"language": None})],
)
def test_arguments_that_cannot_be_meant(arguments, options):
    with pytest.raises(ConfigurationError) as caught:
        MaxMindLocator(*arguments, **options)
    assert "locator" == caught.value.option
