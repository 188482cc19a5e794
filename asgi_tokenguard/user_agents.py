"""
From headers to what a user is shown: "Chrome 140, Windows, desktop".

Rule: Client Hints win where they are sent; what they leave open is parsed from the User-Agent, with the extra `ua` only.  A
system never has a version: User-Agents are frozen ("Android 10; K", "Mac OS X 10_15_7", "Windows NT 10.0"), and a false
version is worse than none.  An iPad that says it is a Macintosh is shown as one: its headers do not differ.

Call `describe` off the request path, the first time in a thread: loading the parser takes 0.25 s and 33 MB, once per process
(as seen from the event loop no more than 20 ms at a stretch), each header not seen before 10 to 50 us.
"""

from __future__ import annotations

import re
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.devices import Device, DeviceHeaders

if TYPE_CHECKING:
    from ua_parser import Resolver

# About 1 KB each, so 1 MB at most.  An attacker who sends new headers all the time empties it, and costs the parser's time.
CACHE_SIZE: Final = 1024
# "Samsung Internet", the longest usual name, has 16; no browser has come to version 10,000.
NAME_LIMIT: Final = 32
VERSION_LIMIT: Final = 4

# A thief chooses these texts and the owner reads them, in a page, a mail or a terminal: nothing of which markup or commands
# are made gets through.  He can still call his browser anything in 32 characters; a name is no proof (core/devices.py).
_UNSHOWN: Final = re.compile(r"[^A-Za-z0-9 ._+-]")
# A structured-field list (RFC 8941): "name";v="version".  The alternatives exclude each other: no backtracking.
_BRAND: Final = re.compile(r'"((?:[^"\\]|\\.)*)" *; *v="([0-9]*)')
# Chromium adds a brand that means nothing, so that servers learn to ignore what they do not know: "Not=A?Brand", "Not/A)Brand".
_GREASE: Final = "notabrand"
# What makes a brand the better name: Edge and Opera send "Chromium" too, and some of their family "Google Chrome".
_GENERIC: Final = ("Google Chrome", "Chromium")
# RFC 9110 section 10.1.5: product/version, the most significant first.
_PRODUCT: Final = re.compile(r"([^/ ]+)/([0-9]+)")

# One browser has one name, whoever tells it: hints, ua-parser, and each of its systems.
_BROWSERS: Final = {
    "Android WebView": "Android WebView",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Chrome Mobile iOS": "Chrome",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Google Chrome": "Chrome",
    "Microsoft Edge": "Edge",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Opera Mobile": "Opera",
    "YaBrowser": "Yandex Browser",
}
_SYSTEMS: Final = {"Mac OS X": "macOS", "Chromium OS": "Chrome OS"}
_DESKTOPS: Final = frozenset({"Windows", "macOS", "Linux", "Chrome OS"})

# The first that is in a User-Agent decides.  "Mobi" is what MDN advises to look for; Google: Android without it is a tablet.
_FORMS: Final = {
    "iPad": "tablet",
    "Mobi": "phone",
    "Android": "tablet",
    "Windows NT": "desktop",
    "Macintosh": "desktop",
    "X11": "desktop",
}
# Other companies' browsers of iOS, which call themselves so even where they ask for the desktop site: an iPad's default.
_IOS_BROWSERS: Final = ("CriOS/", "FxiOS/", "EdgiOS/")
# Each browser since 1995 says it is Mozilla, but for Opera before 2013; programs see no need to.
_BROWSERS_BEGIN: Final = ("Mozilla/", "Opera/")
_PROGRAMS: Final = frozenset({"HeadlessChrome", "WindowsPowerShell"})


def describe(headers: DeviceHeaders) -> Device:
    """
    The device that *headers* tell of, as far as they do; the last 1,024 are remembered.

    A User-Agent in which no browser is found is a program's; no User-Agent at all tells nothing.  Never raises.
    """
    return _describe(headers)


@lru_cache(maxsize=CACHE_SIZE)
def _describe(headers: DeviceHeaders) -> Device:
    hinted = _from_hints(headers)
    if hinted.browser and hinted.system and hinted.kind != "unknown":
        return hinted
    told = _from_user_agent(headers.user_agent)
    return Device(
        browser=hinted.browser or told.browser,
        system=hinted.system or told.system,
        kind=told.kind if hinted.kind == "unknown" else hinted.kind,
    )


# --- Client Hints


def _from_hints(headers: DeviceHeaders) -> Device:
    system = _name(headers.platform, _SYSTEMS)
    if system == "Unknown":  # what the specification lets a browser say that does not want to
        system = None
    return Device(browser=_best_brand(headers.brands), system=system, kind=_hinted_kind(headers, system))


def _best_brand(text: str) -> str | None:
    brands = [brand for brand in _BRAND.findall(text) if _letters(brand[0]) != _GREASE]
    ranked = sorted(brands, key=lambda brand: _GENERIC.index(brand[0]) + 1 if brand[0] in _GENERIC else 0)
    return _label(*ranked[0]) if ranked else None


def _letters(name: str) -> str:
    return "".join(char for char in name.lower() if "a" <= char <= "z")


def _hinted_kind(headers: DeviceHeaders, system: str | None) -> str:
    # Debian's Chromium without a window says so in its User-Agent only, and sends hints like any other.
    if "HeadlessChrome" in headers.user_agent or "HeadlessChrome" in headers.brands:
        return "program"
    if headers.mobile == "?1":
        return "phone"
    if headers.mobile == "?0" and system == "Android":
        return "tablet"
    return "desktop" if headers.mobile == "?0" and system in _DESKTOPS else "unknown"


# --- User-Agent

# Many log in at once where an app has just started: each thread would build a parser of its own, of 15 MB and 0.25 s.
_building: Final = Lock()


def _from_user_agent(text: str) -> Device:
    with _building:
        resolve = _parser()
    if resolve is None or not text:
        return Device()
    from ua_parser import Domain  # noqa: PLC0415 (optional; there, or there were no parser)

    parsed = resolve(text, Domain.ALL)
    system = _name(parsed.os.family, _SYSTEMS) if parsed.os else None
    if not text.startswith(_BROWSERS_BEGIN):
        return Device(browser=_product(text), system=system, kind="program")
    if parsed.user_agent is None:
        return Device(system=system, kind="program")
    browser = _label(parsed.user_agent.family, parsed.user_agent.major or "")
    if parsed.user_agent.family in _PROGRAMS or (parsed.device and parsed.device.family == "Spider"):
        return Device(browser=browser, system=system, kind="program")
    if "Macintosh" in text and any(sign in text for sign in _IOS_BROWSERS):
        return Device(browser=browser, system="iOS", kind="tablet")
    return Device(browser=browser, system=system, kind=_form(text))


def _product(text: str) -> str | None:
    match = _PRODUCT.match(text)
    return _label(match[1], match[2]) if match else None


def _form(text: str) -> str:
    return next((form for sign, form in _FORMS.items() if sign in text), "unknown")


@lru_cache(maxsize=1)
def _parser() -> Resolver | None:
    """
    ua-parser on its Rust engine, or None where the extra is not installed.

    ua-parser without the engine is refused.  It takes up to 12 ms for 256 characters, all of it in Python, so that a thread
    or an outbox does not keep it from slowing the event loop: whoever can log in could buy a second of everyone's time with
    a hundred headers.  A session list without a browser's name is the smaller loss.
    """
    try:
        from ua_parser import RegexResolver, load_builtins  # noqa: PLC0415 (optional, and 0.25 s)
    except ImportError:
        return None
    # Its own cache is left out: it keeps 2,000 entries beside ours.
    return RegexResolver(load_builtins()) if RegexResolver else None


# --- Names


def _label(name: str, major: str) -> str | None:
    shown = _name(name, _BROWSERS)
    return f"{shown} {major[:VERSION_LIMIT]}" if shown and major.isdecimal() else shown


def _name(text: str, names: dict[str, str]) -> str | None:
    text = text.strip('"')
    return _UNSHOWN.sub("", names.get(text, text))[:NAME_LIMIT].strip() or None
