"""From the text of an address to the address that is looked up, or to none."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def parsed(text: object) -> Address | None:
    """The address that *text* writes, an IPv4-mapped one as the IPv4 address that it is; None for anything else."""
    # `ip_address` would take numbers as well.
    if not isinstance(text, str):
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A dual-stack socket shows IPv4 clients so; files that were built for mapped look-ups do not know them (FACTS 3).
        return address.ipv4_mapped or address
    return address


def located(text: object) -> Address | None:
    """The address to look up, or None where no data can know the place: private, loopback, link-local, reserved, multicast."""
    address = parsed(text)
    if address is None or not address.is_global or address.is_reserved or address.is_multicast:
        return None
    # "2001:4860::1%x&ip=9.9.9.9" parses, with all that follows the % as its zone: whoever can write a forwarded header could
    # write into our request's URL.  A zone means something on one link only, so that no address with one has a place.
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.is_site_local):
        return None
    return address
