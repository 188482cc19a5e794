"""
Which address does a client have?  Rule: the peer's own, and beyond it only what a chain of trusted proxies vouches for.

Forwarded headers are text that anyone can send.  Each proxy adds the address of *its* peer at the right end, so the list is
read from the right: the last entry is the word of the peer that we see ourselves, the one before it is the word of the
proxy which that entry names, and so on.  The first address that is not trusted is the client; whatever stands left of it
is the client's own word and is not even parsed.  Where a trusted proxy's word cannot be read, the address is unknown: a
guess, or the proxy's own address in its place, would make strangers look like one well-known neighbour.

Read are `Forwarded` (RFC 7239), `X-Forwarded-For` and `X-Forwarded-Proto`.  A trusted proxy has to write or to drop each of
them; one that lets the client's own copy through beside its own makes the two disagree, and then neither is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import Any, Final, TypeAlias

from asgi_tokenguard.errors import ConfigurationError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

UNIX: Final = "unix"
# Real chains are short: CDN edge, CDN shield, load balancer, ingress and sidecar are five.  Four times that is no chain.
MAX_HOPS: Final = 20
# The right end of a header that is read, in bytes: MAX_HOPS elements of 200, and a `Forwarded` element that tells `for`,
# `by` (both IPv6 with port), `host` and `proto` in full has about 170.
MAX_BYTES: Final = 4096
# The shortest prefix that is taken: of 10.0.0.0/8 (RFC 1918) and of fc00::/7 (RFC 4193), the largest private networks.
# Anything wider holds other people's machines, and whoever sits on one of them could claim any address.
MIN_PREFIX: Final = {4: 8, 6: 7}

# The well-known prefix of NAT64 (RFC 6052 section 2.1).  A network's own prefix cannot be known from an address.
NAT64: Final = IPv6Network("64:ff9b::/96")

_NETWORK: Final = re.compile(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?")
# A node of RFC 7239 section 6 that is an address; the port may be obfuscated (`_x`).  Bare IPv6 is what proxies write into
# X-Forwarded-For, where a colon can only be part of the address.  Zones (RFC 4007) mean nothing outside their machine.
_NODE: Final = re.compile(
    r"(?:(?P<four>[0-9.]+)|\[(?P<boxed>[0-9A-Fa-f:.]+)(?:%[0-9A-Za-z._~-]+)?\])(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?"
    r"|(?P<bare>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+)(?:%[0-9A-Za-z._~-]+)?"
)
# A parameter of `Forwarded` with what divides it from the next; the RFC allows empty ones.  Unquoted values are visible
# ASCII without `"`, `,`, `;` and backslash: against the RFC, proxies write `host=a:8080`.
_PARAMETER: Final = re.compile(
    r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*+)\"|(?P<plain>[!#-+\--:<-\[\]-~]+))"
    r"[ \t]*+(?:;[ \t;]*+|\Z)",
    re.DOTALL,
)
# An element of `Forwarded` from its end to its start, and the comma before it.  Commas in quotes are its own; the quote
# that opens them is the one without a backslash before it, which is behind it here.
_MIRRORED: Final = re.compile(r'(?P<element>(?:[^",]++|"(?:[^"]++|"(?=\\))*+")*+)(?P<comma>,|\Z)')
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_BLANKS: Final = " \t"
_CUT: Final = "?"  # stands where a header was cut off; no address and no parameter name may contain it
# Traefik tells the scheme of a WebSocket as ws or wss.
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """
    The peers whose forwarded headers count: *networks*, and with *unix* whoever connects to a unix socket.

    Built by `parse`, which brings equal sets to equal values.
    """

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, values: object) -> TrustedProxies:
        """
        The value of addresses (`"10.0.0.1"`), networks (`"10.0.0.0/8"`, `"fd00::/8"`) and the word `"unix"`.

        `"unix"` is for a server that listens on a unix socket alone: servers also tell no address where they failed to
        learn it.  Raises `ConfigurationError` for all else: host names, zones, stars, and networks wider than /8 or, of
        IPv6, /7, from which strangers could claim any address.
        """
        if isinstance(values, str | bytes):
            raise _wrong("a single string was given", f"write trusted_proxies=[{values!r}]")
        if not isinstance(values, Iterable):
            raise _wrong(f"a {type(values).__name__} was given", "write trusted_proxies=['10.0.0.1', '10.1.0.0/16']")
        texts = list(values)
        networks = [_network(text) for text in texts if text != UNIX]
        fours = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
        sixes = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
        return cls((*fours, *sixes), unix=UNIX in texts)

    def trusts(self, address: Address | None) -> bool:
        """Whether *address* is a trusted proxy's; None is the peer of a unix socket, which has no address."""
        if address is None:
            return self.unix
        address = unwrapped(address)
        return any(address in network for network in self.networks)


def client_address(scope: Mapping[str, Any], trusted_proxies: TrustedProxies | Iterable[str] = ()) -> str | None:
    """
    The client's IP address in normal text (no port, no zone, IPv4 never inside IPv6); None where it is unknown.

    *scope* is that of an ASGI request or WebSocket.  No header makes it raise, and unless its peer is one of
    *trusted_proxies*, no header changes the answer.  Whoever asks often parses *trusted_proxies* once; strings that name
    none raise `ConfigurationError`.
    """
    if not isinstance(trusted_proxies, TrustedProxies):
        trusted_proxies = TrustedProxies.parse(trusted_proxies)
    address = _client(scope, trusted_proxies)
    return None if address is None else str(address)


def packed_client_address(scope: Mapping[str, Any], trusted_proxies: TrustedProxies) -> bytes:
    """The client's IP address in 4 or 16 bytes; none where it is unknown."""
    address = _client(scope, trusted_proxies)
    return b"" if address is None else address.packed


def forwarded_scheme(scope: Mapping[str, Any], trusted_proxies: TrustedProxies) -> str | None:
    """
    `"http"` or `"https"`, as the trusted peer tells that it was asked; None where it does not tell, or is not trusted.

    Only the last entry counts, which is the peer's own; of two headers that do not say the same, none (see `_told`).
    """
    _, is_proxy = _peer(scope, trusted_proxies)
    if not is_proxy:
        return None
    readings = set()
    if (forwarded := _joined(scope, b"forwarded")) is not None:
        readings.add(_SCHEMES.get(_parameters(next(_elements(forwarded))).get("proto", "").lower()))
    if (proto := _joined(scope, b"x-forwarded-proto")) is not None:
        readings.add(_SCHEMES.get(proto.rpartition(",")[2].strip(_BLANKS).lower()))
    return readings.pop() if len(readings) == 1 else None


def peer_is_trusted(scope: Mapping[str, Any], trusted_proxies: TrustedProxies) -> bool:
    """Whether who is connected to the server is one of *trusted_proxies*."""
    return _peer(scope, trusted_proxies)[1]


def _client(scope: Mapping[str, Any], trusted: TrustedProxies) -> Address | None:
    peer, is_proxy = _peer(scope, trusted)
    return _told(scope, trusted) if is_proxy else peer


def _peer(scope: Mapping[str, Any], trusted: TrustedProxies) -> tuple[Address | None, bool]:
    """The address of who is connected to the server, and whether that is a trusted proxy."""
    client = scope.get("client")  # a pair, in daphne a list; None for a unix socket, in granian ("", "0")
    host = client[0] if client else None
    address = _address(host) if isinstance(host, str) else None
    # Only silence means a unix socket.  Text that is no address may be an attacker's: uvicorn copies what a header says.
    if address is None and host:
        return None, False
    return address, trusted.trusts(address)


def _told(scope: Mapping[str, Any], trusted: TrustedProxies) -> Address | None:
    """
    The client that a trusted peer tells; None where it tells none, or tells two.

    A proxy adds to one of the two headers and passes the other on as it came, so a client that sends the other would
    choose its own address if either were preferred.  Where both are there they must agree; one of them is then true, so
    the answer is the truth or nothing.  What an attacker reaches is to be unknown, which the risk policy decides about.

    Nothing told is unknown as well, though the proxy itself might be asking: a client can make some proxies drop the
    header by naming it in `Connection` (CVE-2022-31813), and would appear under the proxy's own address.
    """
    readings = set()
    if (forwarded := _joined(scope, b"forwarded")) is not None:
        readings.add(_first_untrusted(_forwarded_hops(forwarded), trusted))
    if (forwarded_for := _joined(scope, b"x-forwarded-for")) is not None:
        readings.add(_first_untrusted(_listed_hops(forwarded_for), trusted))
    return readings.pop() if len(readings) == 1 else None


def _first_untrusted(hops: Iterator[Address | None], trusted: TrustedProxies) -> Address | None:
    """The client among *hops*, nearest first; None if the way to it leads over a hop that tells no address."""
    hop = None
    for number, hop in enumerate(hops):
        if hop is None or number == MAX_HOPS:
            return None
        if not trusted.trusts(hop):
            return hop
    return hop  # all are trusted: one of the proxies' own machines asks, the farthest


def _joined(scope: Mapping[str, Any], name: bytes) -> str | None:
    """The lines of header *name* as one (RFC 9110 section 5.3), or its right end; None where there are none."""
    lines = [value for key, value in scope.get("headers", ()) if key == name]
    if not lines:
        return None
    text = b",".join(lines).decode("latin-1")  # each byte is a character, so that none is refused here
    # Cut at the left, which is the client's: padding moves nothing out of sight that a proxy wrote.  Half an address is
    # another address ("1203.0.113.7"), so the place is marked and what touches it can be read as nothing.
    return text if len(text) <= MAX_BYTES else _CUT + text[-MAX_BYTES:]


def _listed_hops(text: str) -> Iterator[Address | None]:
    for element in reversed(text.rsplit(",", MAX_HOPS)):
        yield _address(element.strip(_BLANKS))


def _forwarded_hops(text: str) -> Iterator[Address | None]:
    for element in _elements(text):
        yield _address(_parameters(element).get("for", ""))


def _elements(text: str) -> Iterator[str]:
    """
    The elements of a `Forwarded` header, last one first, each read when it is asked for.

    From the left, an attacker's `for="` would pair with the first quote that a proxy writes and turn its element inside
    out.  From the right, hence in a mirror, what a proxy wrote is complete before the attacker's part begins.
    """
    mirror = text[::-1]
    match = _MIRRORED.match(mirror)
    while match is not None and match["comma"]:
        yield match["element"][::-1]
        match = _MIRRORED.match(mirror, match.end())
    yield "" if match is None else match["element"][::-1]  # quotes that never open are an element without meaning


def _parameters(element: str) -> dict[str, str]:
    """The parameters of an element of `Forwarded`, names in lower case; none where any of it is malformed."""
    text = element.strip(" \t;")
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        # "Each parameter MUST NOT occur more than once" (section 4): of two, an attacker may have slipped one in.
        if match is None or match["name"].lower() in found:
            return {}
        found[match["name"].lower()] = match["plain"] or _ESCAPE.sub(r"\1", match["quoted"])
        position = match.end()
    return found


def _address(text: str) -> Address | None:
    """The address of a node, its port and zone left out; None for `unknown`, `_hidden`, names and garbage."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    try:
        # The standard library refuses leading zeros, which some programs read as octal.
        return IPv4Address(match["four"]) if match["four"] else unwrapped(IPv6Address(match["boxed"] or match["bare"]))
    except ValueError:
        return None


def unwrapped(address: Address) -> Address:
    """
    *address*, as IPv4 where it is one inside IPv6: mapped, or translated by NAT64.

    Servers that listen on `::` tell 192.0.2.7 as ::ffff:192.0.2.7, those behind a translator as 64:ff9b::192.0.2.7.  Left as
    it is, the whole IPv4 internet would be one /64, so that every thief came from his victim's network.
    """
    if not isinstance(address, IPv6Address):
        return address
    return IPv4Address(address.packed[-4:]) if address in NAT64 else address.ipv4_mapped or address


def _network(value: object) -> Network:
    if not isinstance(value, str) or not _NETWORK.fullmatch(value):
        raise _wrong(f"{value!r} is no address and no network", "write '10.0.0.1', '10.0.0.0/8', 'fd00::/8' or 'unix'")
    try:
        network = ip_network(value, strict=False)
    except ValueError as error:
        raise _wrong(f"{value!r} is no address and no network", "write '10.0.0.1' or '10.0.0.0/8'") from error
    if str(network.network_address) != str(ip_network(value.partition("/")[0]).network_address):
        raise _wrong(f"{value!r} has bits set that its prefix leaves out", f"write '{network}', or the address alone")
    network = _unwrapped_network(network)
    if network.prefixlen < MIN_PREFIX[network.version]:
        raise _wrong(f"{value!r} would let strangers claim any address", "name your own proxies' addresses or networks")
    return network


def _unwrapped_network(network: Network) -> Network:
    if not isinstance(network, IPv6Network):
        return network
    if NAT64.subnet_of(network):  # all of IPv4, and more
        return IPv4Network("0.0.0.0/0")
    # Mapped ones are ::ffff:0:0/96 (RFC 4291 section 2.5.5.2), and a shorter prefix cannot begin with those ones.
    inside = unwrapped(network.network_address)
    return IPv4Network((inside, network.prefixlen - 96)) if isinstance(inside, IPv4Address) else network


def _wrong(problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("trusted_proxies", problem, remedy)
