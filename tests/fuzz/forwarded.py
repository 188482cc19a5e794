"""
Forwarded headers read in another way: from the left, by the grammar of RFC 7239, and only where all of it is well formed.

What an attacker writes to confuse a reader is malformed, and no business of this one.  Of the rest both have to say the same.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf'({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")', re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}|_[0-9A-Za-z._-]+")
_ZONE = re.compile(r"%[0-9A-Za-z._~-]+\Z")
_OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
_NAT64 = ip_network("64:ff9b::/96")
Address = IPv4Address | IPv6Address
Element = dict[str, str]


def client_in(nodes: list[str]) -> Address | None:
    """Who asked, of the *nodes* that the proxies have written, the last by the one that we see."""
    for node in reversed(nodes):
        address = address_of(node)
        if address is None or not any(address in network for network in _OURS):
            return address
    return address_of(nodes[0])


def elements(text: str) -> list[Element] | None:
    """The elements of a `Forwarded` header, names in lower case; None where it is not well formed."""
    found: list[Element] = []
    for element in _split(text, ","):
        pairs = [_PAIR.fullmatch(pair) for pair in _split(element.strip(" \t"), ";")]
        if None in pairs:
            return None
        named = {pair[1].lower(): pair[2] or re.sub(r"(?s)\\(.)", r"\1", pair[3] or "") for pair in pairs if pair is not None}
        # Section 4: "Each parameter MUST NOT occur more than once"; then it says nothing.
        found.append(named if len(named) == len(pairs) else {})
    return found


def _split(text: str, mark: str) -> list[str]:
    """*text* at each *mark* outside of quotes."""
    parts, quoted, escaped = [""], False, False
    for character in text:
        if character == mark and not quoted:
            parts.append("")
            continue
        parts[-1] += character
        if escaped:
            escaped = False
        elif character == '"':
            quoted = not quoted
        else:
            escaped = quoted and character == "\\"
    return parts


def address_of(node: str) -> Address | None:
    """The address in a node, without its port and its zone."""
    if node.startswith("["):
        host, closed, port = node[1:].partition("]")
        if not closed or (port and not (port[0] == ":" and _PORT.fullmatch(port[1:]))) or ":" not in host:
            return None
        host = _ZONE.sub("", host)
    elif node.count(":") > 1:
        host = _ZONE.sub("", node)
    else:
        host, colon, port = node.partition(":")
        if (colon and not _PORT.fullmatch(port)) or ":" in host:
            return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if "%" in host:
        return None
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64):
        return IPv4Address(address.packed[-4:])
    return address
