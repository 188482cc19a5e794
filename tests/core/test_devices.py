"""What headers tell of a device, what tells two devices apart, and how a record keeps it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.devices import (
    KINDS,
    Device,
    DeviceHeaders,
    device_headers,
    fingerprint,
    pack_device,
    same_device,
    unpack_device,
)
from asgi_tokenguard.core.doubts import UNSET

CHROME = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
FIREFOX = b"Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
BRANDS = b'"Not:A-Brand";v="8", "Chromium";v="156"'
HINTS = [(b"sec-ch-ua", BRANDS), (b"sec-ch-ua-mobile", b"?0"), (b"sec-ch-ua-platform", b'"Linux"')]


def print_of(*headers: tuple[bytes, bytes]) -> bytes:
    return fingerprint(device_headers(headers))


# --- Reading


def test_the_four_headers_are_read_and_no_other():
    headers = device_headers([(b"host", b"a"), (b"user-agent", CHROME), *HINTS, (b"sec-ch-ua-model", b'"Pixel"')])
    assert (CHROME.decode(), '"Linux"', BRANDS.decode(), "?0") == (
        headers.user_agent,
        headers.platform,
        headers.brands,
        headers.mobile,
    )


def test_no_headers_are_empty():
    assert DeviceHeaders() == device_headers([])
    assert DeviceHeaders(user_agent="", platform="", brands="", mobile="") == DeviceHeaders()


def test_headers_are_cut_before_anyone_reads_them():
    """An attacker chooses their length, and a parser's cost grows with it."""
    long = b"x" * 4000
    names = (b"user-agent", b"sec-ch-ua-platform", b"sec-ch-ua", b"sec-ch-ua-mobile")
    read = device_headers([(name, long) for name in names])
    assert [256, 128, 128, 128] == [len(read.user_agent), len(read.platform), len(read.brands), len(read.mobile)]
    built = DeviceHeaders(user_agent="x" * 4000, platform="x" * 4000, brands="x" * 4000, mobile="x" * 4000)
    assert read == built


def test_a_header_is_cut_while_it_is_bytes():
    """A server that allows headers of a megabyte does not make us decode one."""

    class Uncut(bytes):
        def decode(self, *arguments: str) -> str:
            raise AssertionError

    assert 256 == len(device_headers([(b"user-agent", Uncut(b"x" * 4000))]).user_agent)


def test_control_characters_are_taken_out():
    """They would move a terminal's cursor, or begin a line of a log."""
    headers = device_headers([(b"user-agent", b"a\x00b\x1b[31m\tc\r\nd\x7fe\x9bf\xe9"), (b"sec-ch-ua", b"\x85x")])
    assert ("ab[31mcdef\xe9", "x") == (headers.user_agent, headers.brands)


def test_what_no_header_can_hold_becomes_latin_1():
    assert "?\xe9?" == DeviceHeaders(user_agent="\ud800\xe9東").user_agent


def test_of_a_doubled_header_the_first_counts():
    assert "a" == device_headers([(b"user-agent", b"a"), (b"user-agent", b"b")]).user_agent


BYTES = st.binary(max_size=400)
HEADERS = st.lists(
    st.tuples(st.sampled_from([b"user-agent", b"sec-ch-ua-platform", b"sec-ch-ua", b"sec-ch-ua-mobile"]) | BYTES, BYTES),
    max_size=8,
)


@given(HEADERS)
@settings(deadline=None, database=None, max_examples=300)
def test_any_header_list_gives_short_clean_texts_and_four_bytes(headers):
    read = device_headers(headers)
    for text, limit in ((read.user_agent, 256), (read.platform, 128), (read.brands, 128), (read.mobile, 128)):
        assert len(text) <= limit
        assert text == text.encode("latin-1").decode("latin-1")
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
    assert 4 == len(fingerprint(read))
    assert same_device(fingerprint(read), fingerprint(read))


@given(st.text(st.characters(codec=None), max_size=300), st.text(st.characters(codec=None), max_size=150))
@settings(deadline=None, database=None)
def test_whoever_builds_the_record_it_is_clean(user_agent, platform):
    headers = DeviceHeaders(user_agent=user_agent, platform=platform)
    assert headers == DeviceHeaders(user_agent=headers.user_agent, platform=headers.platform)
    assert 4 == len(fingerprint(headers))


# --- Fingerprints


def test_a_fingerprint_is_fixed_to_the_byte():
    """Records outlive the processes that wrote them."""
    assert "7bc76e1c" == print_of((b"user-agent", CHROME), *HINTS).hex()
    assert "7bc76e00" == print_of((b"user-agent", CHROME)).hex()
    assert "aa49dd00" == print_of().hex()


def test_no_header_names_the_device_that_is_none_other_than_any():
    """Found within 5 s of search: its digest is three zeros, which without a platform was the name of no device."""
    forged = print_of((b"user-agent", b"Mozilla/5.0 (8282770)"))
    assert UNSET != forged
    assert not same_device(forged, UNSET)


# One browser, as Chromium 156 was seen to send (page on localhost).  All say the same User-Agent.
NAVIGATION = [(b"sec-fetch-mode", b"navigate"), (b"upgrade-insecure-requests", b"1"), (b"accept", b"text/html"), *HINTS]
FETCH = [(b"sec-fetch-mode", b"cors"), (b"accept", b"*/*"), (b"origin", b"http://localhost"), *HINTS]
IMAGE = [(b"sec-fetch-mode", b"no-cors"), (b"accept", b"image/avif"), *HINTS]
WORKER_FETCH = [(b"sec-fetch-mode", b"cors"), (b"accept", b"*/*")]
WORKER_SCRIPT = [(b"sec-fetch-mode", b"same-origin"), (b"sec-fetch-dest", b"serviceworker")]
WEBSOCKET = [(b"upgrade", b"websocket")]


@pytest.mark.parametrize("one", [NAVIGATION, FETCH, IMAGE, WORKER_FETCH, WORKER_SCRIPT, WEBSOCKET])
@pytest.mark.parametrize("other", [NAVIGATION, FETCH, IMAGE, WORKER_FETCH, WORKER_SCRIPT, WEBSOCKET])
def test_all_requests_of_one_browser_are_of_one_device(one, other):
    """A service worker's fetch has no hints: asking its user for a password would be a false alarm."""
    agent = (b"user-agent", CHROME)
    assert same_device(print_of(agent, *one), print_of(agent, *other))


def test_a_navigation_a_fetch_and_an_image_have_one_fingerprint():
    assert 1 == len({print_of((b"user-agent", CHROME), *kind) for kind in (NAVIGATION, FETCH, IMAGE)})


def test_brands_and_mobile_hint_change_nothing():
    other = [(b"sec-ch-ua", b'"Chromium";v="156"'), (b"sec-ch-ua-mobile", b"?1"), (b"sec-ch-ua-platform", b'"Linux"')]
    assert print_of((b"user-agent", CHROME), *HINTS) == print_of((b"user-agent", CHROME), *other)


@pytest.mark.parametrize("hints", [HINTS, []])
@pytest.mark.parametrize("thief", [FIREFOX, b"curl/8.5.0", b"", CHROME[:-1], CHROME + b" "])
def test_another_user_agent_is_another_device(thief, hints):
    assert not same_device(print_of((b"user-agent", CHROME), *HINTS), print_of((b"user-agent", thief), *hints))


PLATFORMS = ["Android", "Chrome OS", "Chromium OS", "Fuchsia", "iOS", "Linux", "macOS", "Windows", "Unknown"]


def test_no_two_platforms_of_the_specification_share_their_byte():
    """One byte is enough for what browsers can say; 0 is kept for saying nothing."""
    found = {fingerprint(DeviceHeaders(platform=f'"{platform}"'))[3] for platform in PLATFORMS}
    assert len(PLATFORMS) == len(found)
    assert 0 not in found


def test_another_platform_is_another_device():
    agent = (b"user-agent", CHROME)
    assert not same_device(print_of(agent, *HINTS), print_of(agent, (b"sec-ch-ua-platform", b'"Windows"')))


def test_no_platform_has_the_byte_of_saying_nothing():
    for number in range(2000):
        assert 0 != fingerprint(DeviceHeaders(platform=f"platform {number}"))[3]


def test_user_agent_and_platform_do_not_run_into_each_other():
    one, other = DeviceHeaders(user_agent="ab", platform="c"), DeviceHeaders(user_agent="a", platform="bc")
    assert not same_device(fingerprint(one), fingerprint(other))
    assert not same_device(fingerprint(DeviceHeaders(user_agent="a")), fingerprint(DeviceHeaders(platform="a")))


# --- Packing

DEVICE = Device(browser="Firefox 140", system="Windows", kind="desktop")
RAW = bytes.fromhex("01" "01" "0c" "46697265666f7820313430" "08" "57696e646f7773")  # fmt: skip
NAMES = st.none() | st.text(max_size=100) | st.text(st.characters(codec=None), max_size=100)
DEVICES = st.builds(Device, browser=NAMES, system=NAMES, kind=st.sampled_from(KINDS) | st.text(max_size=9))


def test_the_layout_is_fixed_to_the_byte():
    assert RAW == pack_device(DEVICE)
    assert DEVICE == unpack_device(RAW)
    assert ("unknown", "desktop", "phone", "tablet", "program") == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("system", [None, "", "macOS"])
@pytest.mark.parametrize("browser", [None, "", "Samsung Internet 28"])
def test_a_usual_device_comes_back_the_same_from_few_bytes(browser, system, kind):
    device = Device(browser=browser, system=system, kind=kind)
    assert device == unpack_device(pack_device(device))
    assert len(pack_device(device)) <= 30


@given(DEVICES)
@settings(deadline=None, database=None, max_examples=300)
def test_any_device_takes_at_most_120_bytes(device):
    raw = pack_device(device)
    back = unpack_device(raw)
    assert len(raw) <= 120
    assert raw == pack_device(back)
    assert back.kind == (device.kind if device.kind in KINDS else "unknown")


def test_long_texts_are_cut_between_characters():
    back = unpack_device(pack_device(Device(browser="é" * 100, system="a" + "é" * 100)))
    assert ("é" * 29, "a" + "é" * 28) == (back.browser, back.system)
    assert 120 == len(pack_device(Device(browser="a" * 100, system="a" * 100)))


@pytest.mark.parametrize("length", range(len(RAW)))
def test_a_device_that_is_cut_off_is_none(length):
    assert unpack_device(RAW[:length]) is None


@pytest.mark.parametrize(
    "raw",
    [RAW + b"\x00", b"\x00" + RAW[1:], b"\x02" + RAW[1:], b"\x01\x05" + RAW[2:], b"\x01\xff" + RAW[2:], RAW[:-1] + b"\xff"],
)
def test_another_version_kind_or_length_is_none(raw):
    assert unpack_device(raw) is None


@given(st.binary(max_size=130) | st.binary(max_size=40).map(lambda tail: b"\x01\x01" + tail))
@settings(deadline=None, database=None, max_examples=500)
def test_whatever_stands_in_redis_is_a_device_or_none(raw):
    device = unpack_device(raw)
    assert device is None or (device.kind in KINDS and raw[:1] == b"\x01")
