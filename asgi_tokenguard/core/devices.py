"""
What a user is shown of a device, and what tells two devices apart.

Rule: everything here comes from headers that anyone can write.  It tells an owner which of his sessions is which, and makes
a thief who does not know the owner's headers stand out; it never proves who somebody is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from asgi_tokenguard.core.texts import pack_text, unpack_texts

# Browsers send 70 to 200 characters; a parser's cost grows with the length, and an attacker chooses that.
USER_AGENT_LIMIT: Final = 256
# Three or four brands with versions take 70 to 105 characters, a platform at most 13.
HINT_LIMIT: Final = 128
# C0, DEL and C1: a terminal or a log would obey them.
_CONTROLS: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))
_FIELDS: Final = {
    b"user-agent": ("user_agent", USER_AGENT_LIMIT),
    b"sec-ch-ua-platform": ("platform", HINT_LIMIT),
    b"sec-ch-ua": ("brands", HINT_LIMIT),
    b"sec-ch-ua-mobile": ("mobile", HINT_LIMIT),
}

# Rule: the order is that of the packed byte, so new kinds go to the end.
KINDS: Final = ("unknown", "desktop", "phone", "tablet", "program")
PACKED_VERSION: Final = 1
# Two bytes in front and two of lengths: 120 bytes at most.  "Samsung Internet 28" and "Chrome OS" are typically long.
TEXT_LIMIT: Final = 58


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A browser and its system, as far as its own headers tell; None where they do not.  Anyone can send any header."""

    browser: str | None = None
    """Name and major version: `"Firefox 140"`."""
    system: str | None = None
    """`"Windows"`, `"Android"`, `"macOS"`."""
    kind: str = "unknown"
    """`"desktop"`, `"phone"`, `"tablet"`, `"program"` (curl, a script) or `"unknown"`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHeaders:
    """
    The headers that tell of a device, empty where absent: `User-Agent` and the three Client Hints that Chromium sends unasked.

    *user_agent* holds at most 256 characters, each other at most 128, all of them Latin-1 and none a control character:
    whoever builds this record, all that reads it can rely on that.
    """

    user_agent: str = ""
    platform: str = ""
    """`Sec-CH-UA-Platform`: `"Windows"`, in quotes."""
    brands: str = ""
    """`Sec-CH-UA`: `"Chromium";v="140", "Google Chrome";v="140", "Not=A?Brand";v="24"`."""
    mobile: str = ""
    """`Sec-CH-UA-Mobile`: `?0` or `?1`."""

    def __post_init__(self) -> None:
        for name, limit in _FIELDS.values():
            object.__setattr__(self, name, _clean(getattr(self, name), limit))


def device_headers(headers: Iterable[tuple[bytes, bytes]]) -> DeviceHeaders:
    """What the raw ASGI *headers* tell of the device.  Of a doubled header the first counts: a reading needs to be stable."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in _FIELDS:
            field, limit = _FIELDS[name]
            found.setdefault(field, value[:limit].decode("latin-1"))
    return DeviceHeaders(**found)


def fingerprint(headers: DeviceHeaders) -> bytes:
    """
    Four bytes that say "another device" when they differ; compare them with `same_device`, not with `==`.

    Three are of the User-Agent, one is of the platform hint, 0 where that was not sent.  Brands are left out (their order and
    GREASE change with each version), and so is all that differs by kind of request.
    """
    user_agent = blake2b(headers.user_agent.encode("latin-1"), digest_size=3, person=b"tg user agent").digest()
    # Four zeros are the name of no device, which is none other than any: a thief who searched five seconds for a User-Agent
    # of that digest would match whatever browser he robbed.
    if not any(user_agent):
        user_agent = b"\xff\xff\xff"
    if not headers.platform:
        return user_agent + b"\x00"
    (platform,) = blake2b(headers.platform.encode("latin-1"), digest_size=1, person=b"tg platform").digest()
    return user_agent + bytes([platform or 0xFF])


def same_device(one: bytes, other: bytes) -> bool:
    """
    Whether two fingerprints can be of one device: one User-Agent, and no two platforms that contradict each other.

    A missing platform contradicts nothing.  Chromium sends the hints with navigations, images and a page's `fetch`, but not
    with WebSocket handshakes, nor with workers' scripts and what workers fetch (seen with 156), nor over plain HTTP: an honest
    browser with a service worker would be taken for two.  A thief gains nothing by leaving the hint out, since he has to know
    the User-Agent all the same, and who knows that knows its platform.
    """
    return one[:3] == other[:3] and (one[3:] == other[3:] or b"\x00" in {one[3:], other[3:]})


def pack_device(device: Device) -> bytes:
    """*device* in at most 120 bytes, about 25 as a rule.  Longer texts are cut, a kind that is not in `KINDS` is unknown."""
    kind = KINDS.index(device.kind) if device.kind in KINDS else 0
    head = bytes([PACKED_VERSION, kind])
    return head + pack_text(device.browser, TEXT_LIMIT) + pack_text(device.system, TEXT_LIMIT)


def unpack_device(raw: bytes) -> Device | None:
    """The device in *raw*; None for nothing, another version, or what is not ours: it is shown, and decides nothing."""
    texts = unpack_texts(raw[2:], 2)
    if texts is None or raw[0] != PACKED_VERSION or raw[1] >= len(KINDS):
        return None
    return Device(browser=texts[0], system=texts[1], kind=KINDS[raw[1]])


def _clean(text: str, limit: int) -> str:
    return text[:limit].encode("latin-1", "replace").decode("latin-1").translate(_CONTROLS)
