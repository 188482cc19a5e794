"""What a user is shown of a device: real browsers and programs, hints, garbage, and what an attacker can make it cost."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import ua_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard import user_agents
from asgi_tokenguard.core.devices import KINDS, Device, DeviceHeaders, device_headers, pack_device, unpack_device
from asgi_tokenguard.user_agents import CACHE_SIZE, describe

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
LINUX = "Mozilla/5.0 (X11; Linux x86_64)"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X)"
IPAD = "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "Chrome/140.0.0.0 Safari/537.36"
MOBILE = "Chrome/140.0.0.0 Mobile Safari/537.36"


@pytest.fixture(autouse=True)
def _forgetful():
    """What one test remembers is nothing to the next."""
    user_agents._describe.cache_clear()
    yield
    user_agents._describe.cache_clear()


@pytest.fixture
def no_parser():
    """None is built yet, and how it is bent is nothing to the next; to build one takes a quarter of a second."""
    user_agents._parser.cache_clear()
    yield
    user_agents._parser.cache_clear()


def shown(
    user_agent: str = "", *, brands: str = "", platform: str = "", mobile: str = ""
) -> tuple[str | None, str | None, str]:
    headers = {"user-agent": user_agent, "sec-ch-ua": brands, "sec-ch-ua-platform": platform, "sec-ch-ua-mobile": mobile}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if value]
    device = describe(device_headers(raw))
    return device.browser, device.system, device.kind


# --- By User-Agent alone: Firefox and Safari always, Chromium over plain HTTP and in workers

BROWSERS = [
    (f"{WINDOWS} {BLINK} {CHROME}", "Chrome 140", "Windows", "desktop"),
    (f"{MAC} {BLINK} {CHROME}", "Chrome 140", "macOS", "desktop"),
    (f"{LINUX} {BLINK} {CHROME}", "Chrome 140", "Linux", "desktop"),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} {CHROME}", "Chrome 140", "Chrome OS", "desktop"),
    (f"{ANDROID} {BLINK} {MOBILE}", "Chrome 140", "Android", "phone"),
    (f"{ANDROID} {BLINK} {CHROME}", "Chrome 140", "Android", "tablet"),
    (f"{IPHONE} {WEBKIT} CriOS/140.0.7339.101 Mobile/15E148 Safari/604.1", "Chrome 140", "iOS", "phone"),
    (f"{IPAD} {WEBKIT} CriOS/140.0.7339.101 Mobile/15E148 Safari/604.1", "Chrome 140", "iOS", "tablet"),
    # iPads ask for desktop sites as Macs.  Others' browsers betray it, Safari's headers are those of a Mac.
    (f"{MAC} {WEBKIT} CriOS/140 Version/11.1.1 Safari/605.1.15", "Chrome 140", "iOS", "tablet"),
    (f"{MAC} {WEBKIT} FxiOS/142.0 Safari/605.1.15", "Firefox 142", "iOS", "tablet"),
    (f"{MAC} {WEBKIT} Version/18.6 Safari/605.1.15", "Safari 18", "macOS", "desktop"),
    (f"{IPHONE} {WEBKIT} Version/18.6 Mobile/15E148 Safari/604.1", "Safari 18", "iOS", "phone"),
    (f"{IPAD} {WEBKIT} Version/12.1.2 Mobile/15E148 Safari/604.1", "Safari 12", "iOS", "tablet"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140", "Windows", "desktop"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140", "macOS", "desktop"),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140", "Ubuntu", "desktop"),
    ("Mozilla/5.0 (X11; FreeBSD amd64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox 128", "FreeBSD", "desktop"),
    ("Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox 140", "Android", "phone"),
    ("Mozilla/5.0 (Android 14; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox 140", "Android", "tablet"),
    (f"{IPHONE} {WEBKIT} FxiOS/142.0 Mobile/15E148 Safari/605.1.15", "Firefox 142", "iOS", "phone"),
    (f"{WINDOWS} {BLINK} {CHROME} Edg/140.0.0.0", "Edge 140", "Windows", "desktop"),
    (f"{ANDROID} {BLINK} {MOBILE} EdgA/140.0.0.0", "Edge 140", "Android", "phone"),
    (f"{IPHONE} {WEBKIT} Version/17.0 EdgiOS/140.0.3485.54 Mobile/15E148 Safari/605.1.15", "Edge 140", "iOS", "phone"),
    (f"{WINDOWS} {BLINK} {CHROME} OPR/122.0.0.0", "Opera 122", "Windows", "desktop"),
    (f"{ANDROID} {BLINK} {MOBILE} OPR/91.0.0.0", "Opera 91", "Android", "phone"),
    ("Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18", "Opera 12", "Windows", "desktop"),
    (
        f"{ANDROID} {BLINK} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
        "Samsung Internet 28",
        "Android",
        "phone",
    ),
    (
        f"{ANDROID} {BLINK} Chrome/126.0.0.0 YaBrowser/24.7.0.97.00 Mobile Safari/537.36",
        "Yandex Browser 24",
        "Android",
        "phone",
    ),
    (f"{IPHONE} {WEBKIT} Version/17.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", "DuckDuckGo 7", "iOS", "phone"),
    (
        f"Mozilla/5.0 (Linux; Android 14; SM-S921B; wv) {BLINK} Version/4.0 Chrome/127.0.6533.103 Mobile Safari/537.36",
        "Android WebView 127",
        "Android",
        "phone",
    ),
    (f"{IPHONE} {WEBKIT} Mobile/15E148", "iOS WebView", "iOS", "phone"),
    (
        f"Mozilla/5.0 (Linux; Android 11; KFTRWI) {BLINK} Silk/126.4.1 like Chrome/126.0.6478.122 Safari/537.36",
        "Amazon Silk 126",
        "Android",
        "tablet",
    ),
    ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "IE 11", "Windows", "desktop"),
    (f"{LINUX} {BLINK} Slack/4.39.95 Chrome/126.0.6478.127 Electron/31.2.1 Safari/537.36", "Electron 31", "Linux", "desktop"),
    ("Mozilla/5.0 (Mobile; Nokia_2720_Flip; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5.2", "Firefox 48", "KaiOS", "phone"),
    (f"Mozilla/5.0 (PlayStation; PlayStation 5/6.50) {WEBKIT} Version/15.4 Safari/605.1.15", "Safari 15", None, "unknown"),
]
PROGRAMS = [
    ("curl/8.5.0", "curl 8", None),
    ("Wget/1.21.4", "Wget 1", None),
    ("python-requests/2.32.3", "python-requests 2", None),
    ("python-httpx/0.28.1", "python-httpx 0", None),
    ("Python/3.11 aiohttp/3.9.5", "Python 3", None),
    ("okhttp/4.12.0", "okhttp 4", None),
    ("Go-http-client/2.0", "Go-http-client 2", None),
    ("PostmanRuntime/7.40.0", "PostmanRuntime 7", None),
    ("node", None, None),
    ("Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP1A.240505.004)", "Dalvik 2", "Android"),
    ("MyApp/1.0 CFNetwork/1410.0.3 Darwin/22.6.0", "MyApp 1", "iOS"),
    ("AppleCoreMedia/1.0.0.21F90 (iPhone; U; CPU OS 17_5_1 like Mac OS X; en_us)", "AppleCoreMedia 1", "iOS"),
    ("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4648", "WindowsPowerShell 5", "Windows"),
    (f"{LINUX} {BLINK} Headless{CHROME}", "HeadlessChrome 140", "Linux"),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot 2", None),
    (f"{ANDROID} {BLINK} {MOBILE} (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot 2", "Android"),
    (
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "GPTBot 1",
        None,
    ),
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "facebookexternalhit 1", None),
    # headers without a browser
    ("Mozilla/5.0", None, None),
    ("Mozilla/5.0 zgrab/0.x", None, None),
    (LINUX, None, "Linux"),
    ("A" * 4000, None, None),
    ("\xff\xfe/\x81", None, None),
    ("<script>alert(1)</script>/1", None, None),
    ("<b>x/1", "bx 1", None),
    ("a/" + "9" * 250, "a 9999", None),
    ("a" * 100 + "/7", "a" * 32 + " 7", None),
    ("/1", None, None),
    ("\xe9/1", None, None),
    ("   ", None, None),
]


@pytest.mark.parametrize(("user_agent", "browser", "system", "kind"), BROWSERS)
def test_a_browser_is_known_by_its_user_agent(user_agent, browser, system, kind):
    assert (browser, system, kind) == shown(user_agent)


@pytest.mark.parametrize(("user_agent", "browser", "system"), PROGRAMS)
def test_what_is_no_browser_is_a_program(user_agent, browser, system):
    assert (browser, system, "program") == shown(user_agent)


def test_no_headers_tell_nothing():
    assert (None, None, "unknown") == shown()


@pytest.mark.parametrize(("user_agent", "browser", "system", "kind"), BROWSERS)
def test_a_frozen_user_agent_shows_no_version_of_a_system(user_agent, browser, system, kind):
    """ "Android 10; K" is every Android, "Mac OS X 10_15_7" every Mac, "Windows NT 10.0" Windows 11 too."""
    system = shown(user_agent)[1]
    assert system is None or not any(char.isdigit() for char in system)


# --- By Client Hints, as Chromium sends them


def brands(name: str, version: str = "140", grease: str = "Not=A?Brand") -> str:
    return f'"Chromium";v="140", "{grease}";v="24", "{name}";v="{version}"'


HINTED = [
    (brands("Google Chrome"), '"Windows"', "?0", "Chrome 140", "Windows", "desktop"),
    (brands("Google Chrome"), '"macOS"', "?0", "Chrome 140", "macOS", "desktop"),
    (brands("Google Chrome"), '"Linux"', "?0", "Chrome 140", "Linux", "desktop"),
    (brands("Google Chrome"), '"Chrome OS"', "?0", "Chrome 140", "Chrome OS", "desktop"),
    (brands("Google Chrome"), '"Chromium OS"', "?0", "Chrome 140", "Chrome OS", "desktop"),
    (brands("Google Chrome"), '"Android"', "?1", "Chrome 140", "Android", "phone"),
    (brands("Google Chrome"), '"Android"', "?0", "Chrome 140", "Android", "tablet"),
    (brands("Microsoft Edge"), '"Windows"', "?0", "Edge 140", "Windows", "desktop"),
    (brands("Opera", "124"), '"Windows"', "?0", "Opera 124", "Windows", "desktop"),
    (brands("Brave"), '"Linux"', "?0", "Brave 140", "Linux", "desktop"),
    (brands("Samsung Internet", "28.0"), '"Android"', "?1", "Samsung Internet 28", "Android", "phone"),
    (brands("YaBrowser", "24.7"), '"Windows"', "?0", "Yandex Browser 24", "Windows", "desktop"),
    (brands("Android WebView"), '"Android"', "?1", "Android WebView 140", "Android", "phone"),
    (brands("HeadlessChrome"), '"Linux"', "?0", "HeadlessChrome 140", "Linux", "program"),
    # nothing better than Chromium, as Debian's sends
    ('"Not:A-Brand";v="8", "Chromium";v="156"', '"Linux"', "?0", "Chromium 156", "Linux", "desktop"),
    # a brand of its own beside Chrome's, in any order
    ('"Google Chrome";v="140", "Vivaldi";v="7.5", "Chromium";v="140"', '"Linux"', "?0", "Vivaldi 7", "Linux", "desktop"),
    ('"Vivaldi";v="7.5", "Chromium";v="140", "Google Chrome";v="140"', '"Linux"', "?0", "Vivaldi 7", "Linux", "desktop"),
]
FROZEN = f"{LINUX} {BLINK} Chrome/139.0.0.0 Safari/537.36"


@pytest.mark.parametrize("user_agent", ["", FROZEN])
@pytest.mark.parametrize("row", HINTED)
def test_hints_win_over_the_user_agent(user_agent, row):
    brand_list, platform, mobile, *expected = row
    assert tuple(expected) == shown(user_agent, brands=brand_list, platform=platform, mobile=mobile)


GREASES = [
    "Not=A?Brand", "Not A;Brand", " Not A;Brand", "Not;A Brand", "Not_A Brand", "Not/A)Brand", "(Not(A:Brand", "Not:A-Brand",
    "Not.A/Brand", "Not?A_Brand", "Not)A;Brand", '\\\\Not\\"A;Brand',
]  # fmt: skip


@pytest.mark.parametrize("grease", GREASES)
def test_the_brand_that_means_nothing_is_never_shown(grease):
    assert "Brave 140" == shown(brands=brands("Brave", grease=grease))[0]
    assert "Chromium 140" == shown(brands=f'"{grease}";v="99", "Chromium";v="140"')[0]
    assert shown(brands=f'"{grease}";v="99"')[0] is None


def test_each_hint_wins_for_itself():
    """A platform without brands, brands without a platform: the User-Agent tells the rest."""
    assert ("Chrome 139", "Windows", "desktop") == shown(FROZEN, platform='"Windows"')
    assert ("Edge 140", "Linux", "desktop") == shown(FROZEN, brands=brands("Microsoft Edge"))
    assert ("Chrome 139", "Linux", "phone") == shown(FROZEN, mobile="?1")
    assert ("Chrome 139", "Linux", "desktop") == shown(FROZEN, mobile="?0")


def test_not_mobile_is_a_desktop_only_where_the_system_is_one():
    """A tablet says `?0` as well."""
    ipad = f"{IPAD} {WEBKIT} Version/26.0 Mobile/15E148 Safari/604.1"
    assert ("Safari 26", "iOS", "tablet") == shown(ipad, platform='"iOS"', mobile="?0")
    assert (None, "Fuchsia", "unknown") == shown(platform='"Fuchsia"', mobile="?0")


@pytest.mark.parametrize("platform", ['"Unknown"', '""', '"', '"<>"', "\x01"])
def test_a_platform_that_says_nothing_leaves_the_user_agent(platform):
    assert ("Chrome 139", "Linux", "desktop") == shown(FROZEN, platform=platform)


@pytest.mark.parametrize(
    "garbage", ["x", '"', '""', '"a"', '"Brave";w="1"', '""";v="1"', "(" * 200, '"' * 200, '"\\' * 90, '"";v="1"']
)
def test_garbage_for_brands_leaves_the_user_agent(garbage):
    assert "Chrome 139" == shown(FROZEN, brands=garbage)[0]


def test_chromium_without_a_window_is_a_program_though_its_hints_hide_it():
    """Measured with Debian's Chromium 156, `--headless=new`."""
    agent = f"{LINUX} {BLINK} HeadlessChrome/156.0.0.0 Safari/537.36"
    hints = {"brands": '"Not:A-Brand";v="8", "Chromium";v="156"', "platform": '"Linux"', "mobile": "?0"}
    assert ("Chromium 156", "Linux", "program") == shown(agent, **hints)
    assert "program" == shown(agent)[2]  # from a worker


# --- What an attacker writes


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "a\x1b[2Jb", "';DROP TABLE x;--", "{{7*7}}", "&lt;", "a\u202eb", "é" * 99]
)
def test_nothing_of_markup_or_commands_is_shown(text):
    """A thief writes it, and the owner reads it in a page, a mail or a terminal."""
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._+-")
    made = describe(DeviceHeaders(user_agent=f"{text}/1", platform=f'"{text}"', brands=f'"{text}";v="1"'))
    plain = describe(DeviceHeaders(user_agent=f"{text}/1"))
    for name in (made.browser, made.system, plain.browser, plain.system):
        assert name is None or (set(name) <= allowed and len(name) <= 37)


TEXT = st.text(st.characters(codec=None), max_size=300)
PIECES = st.lists(
    st.sampled_from(
        [WINDOWS, MAC, ANDROID, IPHONE, IPAD, BLINK, CHROME, MOBILE, "Mozilla/5.0", "Opera/", " ", "(", ";", "CriOS/", '"']
    )
    | st.text(max_size=20),
    max_size=9,
).map("".join)
HINT = TEXT | st.text(alphabet='"\\;v=, 0123456789abNotBrand?', max_size=128)


@given(
    st.builds(DeviceHeaders, user_agent=TEXT | PIECES, platform=HINT, brands=HINT, mobile=HINT | st.sampled_from(["?0", "?1"]))
)
@settings(deadline=None, database=None, max_examples=500)
def test_no_input_raises_and_all_that_is_made_can_be_packed_whole(headers):
    device = describe(headers)
    assert device.kind in KINDS
    assert device == unpack_device(pack_device(device))
    assert "" not in {device.browser, device.system}


@given(st.lists(st.tuples(st.sampled_from([b"user-agent", b"sec-ch-ua", b"sec-ch-ua-platform"]), st.binary(max_size=400))))
@settings(deadline=None, database=None, max_examples=200)
def test_no_bytes_of_a_request_raise(headers):
    assert describe(device_headers(headers)).kind in KINDS


# --- What it costs


class Spy:
    """Stands for the parser, and remembers what reached it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, text: str, domains: ua_parser.Domain) -> ua_parser.PartialResult:
        self.seen.append(text)
        return ua_parser.PartialResult(domains, None, None, None, text)


@pytest.fixture
def spy(monkeypatch):
    spy = Spy()
    monkeypatch.setattr(user_agents, "_parser", lambda: spy)
    return spy


@pytest.mark.parametrize("length", [255, 256, 257, 4000, 100_000])
def test_at_most_256_characters_reach_the_parser(spy, length):
    """The pure parser takes 13 ms for 4,000 of them; whoever builds the headers, they are cut before it."""
    describe(device_headers([(b"user-agent", b"A" * length)]))
    describe(DeviceHeaders(user_agent="B" * length))
    assert ["A" * min(length, 256), "B" * min(length, 256)] == spy.seen


def test_headers_seen_before_are_not_parsed_again(spy):
    for _ in range(3):
        describe(DeviceHeaders(user_agent="a"))
        describe(DeviceHeaders(user_agent="b"))
    assert ["a", "b"] == spy.seen


def test_the_parser_is_not_asked_for_what_hints_tell(spy):
    shown(FROZEN, brands=brands("Brave"), platform='"Linux"', mobile="?0")
    shown()
    assert [] == spy.seen


def test_what_is_remembered_is_bounded(spy):
    """An attacker can send new headers for ever."""
    for number in range(CACHE_SIZE + 100):
        describe(DeviceHeaders(user_agent=f"a/{number}"))
    info = user_agents._describe.cache_info()
    assert (1024, 1024) == (info.maxsize, info.currsize)


def test_the_parser_is_built_once(no_parser):
    shown(FROZEN)
    shown(WINDOWS)
    assert 1 == user_agents._parser.cache_info().misses


def test_many_who_log_in_at_once_after_a_start_wait_for_one_parser(no_parser, monkeypatch):
    """Twenty logins made six of them, of 15 MB each; found by benchmarks/soak.py."""
    built, builtins = [], ua_parser.load_builtins

    def slowly() -> ua_parser.Matchers:
        built.append(1)
        time.sleep(0.05)
        return builtins()

    monkeypatch.setattr(ua_parser, "load_builtins", slowly)
    browsers = [
        DeviceHeaders(user_agent=f"{LINUX} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{number}.0.0.0 Safari/537.36")
        for number in range(120, 126)
    ]
    with ThreadPoolExecutor(len(browsers)) as threads:
        found = {device.browser for device in threads.map(describe, browsers)}
    assert {f"Chrome {number}" for number in range(120, 126)} == found
    assert 1 == len(built)


def test_the_parser_is_the_fast_one():
    assert isinstance(user_agents._parser(), ua_parser.RegexResolver)


# --- Without the extra

WITHOUT = [
    (FROZEN, {}, (None, None, "unknown")),
    ("curl/8.5.0", {}, (None, None, "unknown")),
    ("", {}, (None, None, "unknown")),
    (FROZEN, {"platform": '"Windows"'}, (None, "Windows", "unknown")),
    (
        FROZEN,
        {"brands": brands("Google Chrome"), "platform": '"Windows"', "mobile": "?0"},
        ("Chrome 140", "Windows", "desktop"),
    ),
]


@pytest.mark.parametrize(("user_agent", "hints", "expected"), WITHOUT)
def test_without_the_extra_only_hints_tell(no_parser, monkeypatch, user_agent, hints, expected):
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    assert expected == shown(user_agent, **hints)


@pytest.mark.parametrize(("user_agent", "hints", "expected"), WITHOUT)
def test_a_parser_without_its_engine_is_not_used(no_parser, monkeypatch, user_agent, hints, expected):
    """`pip install ua-parser` alone: up to 12 ms of pure Python for each new header, for whoever sends them."""
    monkeypatch.setattr(ua_parser, "RegexResolver", None)
    assert expected == shown(user_agent, **hints)


def test_nothing_is_imported_before_a_user_agent_is_described():
    """The parser takes 0.25 s and 33 MB, which an app that shows no devices should not pay."""
    command = (
        "import sys, asgi_tokenguard, asgi_tokenguard.user_agents as u, asgi_tokenguard.core.devices as d;"
        "u.describe(d.DeviceHeaders(brands='\"Brave\";v=\"1\"', platform='\"Linux\"', mobile='?0'));"
        "print('ua_parser' in sys.modules);"
        "u.describe(d.DeviceHeaders(user_agent='curl/8.5.0'));"
        "print('ua_parser' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", command], capture_output=True, text=True, check=True)
    assert ["False", "True"] == done.stdout.split()


def test_a_device_of_nothing_is_the_unknown_device():
    assert Device() == describe(DeviceHeaders())
