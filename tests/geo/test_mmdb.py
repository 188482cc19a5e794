"""One file: what it takes to be used, what a broken one may do, and how it is replaced."""

from __future__ import annotations

import logging
import sys
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import maxminddb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mmdb import flat, nested, write

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.geo.mmdb import Database, place_in

GOOGLE = ip_address("8.8.8.8")
BERLIN = Place(latitude=52.52, longitude=13.405, city="Berlin", country="DE", accuracy_km=20)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


# --- Records


def test_both_layouts():
    assert BERLIN == place_in(nested(52.52, 13.405), "en")
    assert Place(latitude=52.52, longitude=13.405, city="Berlin", country="DE") == place_in(flat(52.52, 13.405), "en")


@pytest.mark.parametrize(
    ("names", "language", "name"),
    [
        ({"en": "Munich", "de": "München"}, "de", "München"),
        ({"en": "Munich", "de": "München"}, "fr", "Munich"),
        ({"ja": "ミュンヘン"}, "fr", "ミュンヘン"),
        ({"en": "Munich", "de": ""}, "de", "Munich"),
    ],
)
def test_the_name_is_in_the_language_in_english_or_in_any(names, language, name):
    assert name == place_in(nested(48.14, 11.58, names), language).city


@pytest.mark.parametrize(
    "city", [{}, None, "Berlin", {"names": None}, {"names": {}}, {"names": ["Berlin"]}, {"names": {"en": 7}}]
)
def test_cities_of_other_shapes_are_none(city):
    assert place_in(nested(52.52, 13.405) | {"city": city}, "en") is None


@pytest.mark.parametrize("record", [None, 5, "Berlin", [], {}, {"location": {}}, {"location": None, "city": "Berlin"}])
def test_records_of_other_shapes_are_none(record):
    assert place_in(record, "en") is None


def test_a_country_of_another_shape_is_left_out():
    assert place_in(nested(52.52, 13.405) | {"country": "DE"}, "en").country is None


def test_a_radius_of_100_km_is_no_place():
    """Phones behind carrier NAT are "in" the middle of their country, with radii of hundreds of km (FACTS 3)."""
    assert place_in(nested(52.52, 13.405, radius=99), "en") is not None
    assert place_in(nested(52.52, 13.405, radius=100), "en") is None
    assert place_in(flat(52.52, 13.405) | {"accuracy_radius": 500}, "en") is None


@settings(deadline=None, database=None)
@given(st.dictionaries(st.sampled_from(["location", "city", "country", "latitude", "longitude", "country_code"]), anything))
def test_no_record_raises(record):
    place_in(record, "en")


@settings(deadline=None, database=None)
@given(st.data())
def test_no_record_that_lies_in_one_place_raises(data):
    record = data.draw(st.sampled_from([nested(52.52, 13.405), flat(52.52, 13.405)]))
    inner = data.draw(st.sampled_from([record, *[value for value in record.values() if isinstance(value, dict)]]))
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(anything)
    place = place_in(record, "en")
    assert place is None or (-90 <= place.latitude <= 90 and place.city)


# --- Files that cannot be used


@pytest.mark.parametrize(
    "content", [b"", b"no database", b"\0" * 100_000, b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe1\x42ip\x42xx"]
)
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "x.mmdb"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Database(path)
    assert ("locator", True) == (caught.value.option, ".mmdb" in caught.value.remedy)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_path_without_a_file_is_refused(tmp_path, make):
    make(tmp_path / "x.mmdb")
    with pytest.raises(ConfigurationError, match=r"cannot be read \((No such file|Is a directory)") as caught:
        Database(tmp_path / "x.mmdb")
    assert "locator" == caught.value.option


@pytest.mark.parametrize("kind", ["GeoLite2-Country", "GeoLite2-ASN", "DBIP-Country-Lite", "asn ipv4"])
def test_a_file_without_cities_is_refused(tmp_path, kind):
    """Else every user would be unknown, and every change of network a question for a password."""
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": {"country": {"iso_code": "US"}}}, kind=kind)
    with pytest.raises(ConfigurationError, match="no cities"):
        Database(path)


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(1, 1)})
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ConfigurationError) as caught:
        Database(path)
    assert "locator" == caught.value.option
    assert "asgi-tokenguard[geo]" in caught.value.remedy


# --- Files that break while they are used


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "x.mmdb"
    return write(path, {"8.8.8.0/24": nested(52.52, 13.405), "2001:4860::/32": flat(48.86, 2.35)})


def look_at(path: Path, raw: bytes) -> None:
    """Use a file of these bytes as far as it lets itself be used."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(raw)
    fresh.replace(path)  # never in place: the last example's file may be mapped still
    try:
        database = Database(path)
    except ConfigurationError:
        return
    for address in ("8.8.8.8", "2001:4860::8888", "1.1.1.1"):
        place_in(database.record(ip_address(address)), "en")


@settings(max_examples=300, deadline=None, database=None)
@given(data=st.data())
def test_a_file_with_broken_bytes_is_refused_or_knows_nothing_or_something_else(whole, data):
    """Bytes are changed, or the end is cut off: no look-up raises, and none crashes."""
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    look_at(whole.with_name("broken"), raw[: data.draw(st.none() | st.integers(0, len(raw)))])


def test_a_map_whose_key_is_no_text_crashes_nothing(whole):
    """The reader in C of maxminddb 3.2.0 takes the number for a pointer: SIGSEGV."""
    raw = whole.read_bytes()
    assert 1 == raw.count(b"Hlatitude")
    look_at(whole.with_name("broken"), raw.replace(b"Hlatitude", b"\xc1atitude"))
    for key in (b"\xe0latitude", b"\x08\x04latitude"):  # a map, an array: neither can be a key in Python
        look_at(whole.with_name("broken"), raw.replace(b"Hlatitude", key[:9]))


def test_a_broken_record_is_none_and_one_line_in_the_log(tmp_path, caplog):
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405, "Berlin")})
    raw = path.read_bytes()
    fresh = tmp_path / "fresh"
    fresh.write_bytes(raw.replace(b"Berlin", b"\xff\xff\xff\xff\xff\xff"))
    database = Database(fresh.replace(path))
    assert [None, None] == [database.record(GOOGLE), database.record(GOOGLE)]
    assert [f"locator: {path} has a broken record"] == caplog.messages


# --- Files that are replaced


def place(database: Database) -> Place | None:
    return place_in(database.record(GOOGLE), "en")


def test_a_new_file_is_read_at_the_next_look(tmp_path):
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)})
    database = Database(path)
    write(path, {"8.8.8.0/24": nested(48.86, 2.35, "Paris", "FR")})
    assert "Berlin" == place(database).city
    database.refresh()
    assert "Paris" == place(database).city


def test_the_same_file_is_not_opened_again(tmp_path, monkeypatch):
    database = Database(write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)}))
    monkeypatch.setattr(maxminddb, "open_database", lambda *_: pytest.fail("opened again"))
    database.refresh()


@pytest.mark.parametrize("bad", ["missing", "garbage", "no cities"])
def test_a_bad_replacement_changes_nothing_and_is_logged_once(tmp_path, caplog, bad):
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)})
    database = Database(path)
    if bad == "missing":
        path.unlink()
    elif bad == "garbage":
        fresh = tmp_path / "fresh"
        fresh.write_bytes(b"<html>404")
        fresh.replace(path)
    else:
        write(path, {"8.8.8.0/24": {"country": {"iso_code": "US"}}}, kind="GeoLite2-Country")
    for _ in range(3):
        database.refresh()
        assert place(database) == BERLIN
    assert 1 == len(caplog.messages)
    assert "was replaced and cannot be used" in caplog.messages[0]
    assert logging.ERROR == caplog.records[0].levelno

    write(path, {"8.8.8.0/24": nested(48.86, 2.35, "Paris")})
    database.refresh()
    assert "Paris" == place(database).city


def test_a_file_of_the_other_family_may_take_the_place(tmp_path):
    path = write(tmp_path / "x.mmdb", {"8.8.8.0/24": nested(52.52, 13.405)}, version=4)
    database = Database(path)
    assert 4 == database.ip_version
    assert database.record(ip_address("2001:4860::8888")) is None
    write(path, {"2001:4860::/32": nested(52.52, 13.405)})
    database.refresh()
    assert 6 == database.ip_version
    assert database.record(ip_address("2001:4860::8888")) is not None


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    """Root may read everything, so that the system's answer is made up."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(maxminddb, "open_database", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot be read \(Permission denied\)"):
        Database(tmp_path / "x.mmdb")


@pytest.mark.parametrize("version", [0, 5, "6", None])
def test_a_file_for_no_version_of_ip_is_refused(tmp_path, monkeypatch, version):
    facts = SimpleNamespace(ip_version=version, database_type="Test-City")
    monkeypatch.setattr(maxminddb, "open_database", lambda *_: SimpleNamespace(metadata=lambda: facts))
    with pytest.raises(ConfigurationError, match="neither IPv4 nor IPv6"):
        Database(tmp_path / "x.mmdb")
