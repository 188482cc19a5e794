"""`core/address.py`: forwarded headers, which anyone can send, and the option that says whose count."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

from asgi_tokenguard.core.address import (
    MAX_BYTES,
    MAX_HOPS,
    MIN_PREFIX,
    TrustedProxies,
    client_address,
    forwarded_scheme,
    packed_client_address,
)
from asgi_tokenguard.errors import ConfigurationError
from fuzz.forwarded import client_in, elements
from fuzz.harness import headers, hold

_TRUSTED = TrustedProxies.parse(["10.0.0.0/8", "fd00::/8", "unix"])
_NOBODY = TrustedProxies()
_NAMES = (b"x-forwarded-for", b"forwarded", b"x-forwarded-proto")
_PEERS = ("10.0.0.1", "203.0.113.9", "", None)
# What a proxy of ours writes behind whatever a client has sent, and what it means.
_APPENDED = (
    (b"x-forwarded-for", b"203.0.113.7", "203.0.113.7"),
    (b"x-forwarded-for", b"[2001:db8::7]:443", "2001:db8::7"),
    (b"forwarded", b"for=203.0.113.7", "203.0.113.7"),
    (b"forwarded", b'host="a,b;c\\"";for="[2001:db8::7]:443";proto=https', "2001:db8::7"),
)

WORDS = (
    b"for=", b"proto=https", b"host=", b"by=", b'"', b"\\", b",", b";", b"203.0.113.7", b"198.51.100.1:80", b"10.0.0.2",
    b"2001:db8::7", b"[fd00::1]:80", b"::ffff:10.0.0.1", b"64:ff9b::10.0.0.1", b"fe80::1%eth0", b"unknown", b"_hidden",
    b"10.0.0.0/8", b"fd00::/8", b"unix", b"https",
    b"\n\1for=203.0.113.7", b"\n\0203.0.113.7, ", b";for=10.0.0.2", b'="10.0.0.2"',
)  # fmt: skip
OUTCOMES = ("known", "unknown", "an option", "no option")


def check(data: bytes) -> str:
    if data[:1] == b"=":
        return _check_option(data[1:].decode("latin-1").split("\n"))
    peer = _PEERS[data[0] % len(_PEERS)] if data else None
    found = headers(data[1:], _NAMES)
    scope: dict[str, Any] = {"client": None if peer is None else (peer, 1), "headers": found}
    address = client_address(scope, _TRUSTED)
    _check_address(scope, address)
    hold(forwarded_scheme(scope, _TRUSTED) in {None, "http", "https"}, "no scheme", found)
    hold(forwarded_scheme(scope, _NOBODY) is None, "a stranger's word for the scheme", found)
    # No header is anybody's word but the peer's.
    hold(client_address(scope, _NOBODY) == (peer or None), "a stranger's word for the address", found)
    if peer == "203.0.113.9":
        hold(address == peer, "the peer is no proxy of ours", found, address)
    _check_what_proxies_append(found)
    _check_well_formed(found)
    return "unknown" if address is None else "known"


def _check_address(scope: dict[str, Any], address: str | None) -> None:
    packed = packed_client_address(scope, _TRUSTED)
    hold((address is None) == (packed == b""), "text and bytes differ", address, packed)
    if address is not None:
        parsed = ip_address(address)
        hold(str(parsed) == address, "not in normal text", address)
        hold(parsed.packed == packed, "text and bytes differ", address, packed)
        hold(not isinstance(parsed, IPv6Address) or parsed.ipv4_mapped is None, "IPv4 inside IPv6", address)


def _check_what_proxies_append(found: list[tuple[bytes, bytes]]) -> None:
    """P21: the client's own header stands before what our proxy writes, and changes nothing of it."""
    for name, element, expected in _APPENDED:
        for _, value in found[:4]:  # enough; more of them would make the search slow
            for lines in ([value + b", " + element], [value, element]):
                scope = {"client": ("10.0.0.1", 1), "headers": [(name, line) for line in lines]}
                hold(client_address(scope, _TRUSTED) == expected, "a client hid what a proxy wrote", lines)


def _check_well_formed(found: list[tuple[bytes, bytes]]) -> None:
    """A line of one header alone, through our proxy, read in another way."""
    for name, value in found:
        text = value.decode("latin-1")
        if len(text) > MAX_BYTES // 4 or name == b"x-forwarded-proto":
            continue
        parts = elements(text) if name == b"forwarded" else [{"for": node.strip(" \t")} for node in text.split(",")]
        if parts is None or len(parts) > MAX_HOPS:
            continue
        scope = {"client": ("10.0.0.1", 1), "headers": [(name, value)]}
        expected = client_in([part.get("for", "") for part in parts])
        read = client_address(scope, _TRUSTED)
        hold(
            read == (None if expected is None else str(expected)),
            "read from the left it says something else",
            text,
            read,
            expected,
        )


def _check_option(values: list[str]) -> str:
    try:
        proxies = TrustedProxies.parse(values)
    except ConfigurationError as error:
        hold(error.option == "trusted_proxies" and error.remedy, "an error that helps nobody", error)
        return "no option"
    for network in proxies.networks:
        hold(network.prefixlen >= MIN_PREFIX[network.version], "it would trust strangers", network)
        hold(proxies.trusts(network.network_address) and proxies.trusts(network.broadcast_address), "not its own", network)
    again = [*map(str, proxies.networks), *(["unix"] if proxies.unix else [])]
    hold(TrustedProxies.parse(again) == proxies, "it does not read its own writing", again)
    return "an option"
