"""A locator that is a table: for tests, for offices whose networks one knows, for an app behind a VPN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.geo.addresses import parsed
from asgi_tokenguard.geo.records import UNKNOWN_FROM_KM

Network = IPv4Network | IPv6Network


class FixedLocator:
    """
    Knows the places of *places*, whose keys are networks or single addresses; the most specific network decides.

        FixedLocator({"10.1.0.0/16": Place(latitude=52.5, longitude=13.4, city="Berlin"), "10.1.7.0/24": ...})

    Private networks have places here, since the table says so.  Raises `ConfigurationError` for a network that is none, that
    is named twice, and for a table that knows nothing.
    """

    def __init__(self, places: Mapping[str | Network, Place]) -> None:
        if not isinstance(places, Mapping) or not places:
            raise ConfigurationError(
                "locator", "FixedLocator knows no network", "write FixedLocator({'10.0.0.0/8': Place(...)})"
            )
        # One table for each (IP version, length of prefix), so that a look-up costs as much for 10 networks as for 10,000.
        self._tables: dict[tuple[int, int], dict[int, Place]] = {}
        for key, place in places.items():
            self._add(_network(key), _checked(place, key))
        self._lengths = sorted(self._tables, reverse=True)

    def _add(self, network: Network, place: Place) -> None:
        table = self._tables.setdefault((network.version, network.prefixlen), {})
        if table.setdefault(int(network.network_address), place) is not place:
            raise ConfigurationError("locator", f"two entries are for {network}", "name each network once")

    async def locate(self, address: str) -> Place | None:
        return next(self._found(address), None)

    def _found(self, text: str) -> Iterator[Place]:
        address = parsed(text)
        if address is None:
            return
        for version, length in self._lengths:
            if version == address.version:
                place = self._tables[version, length].get(_prefix(int(address), address.max_prefixlen - length))
                if place is not None:
                    yield place

    async def aclose(self) -> None:
        """Nothing is open."""

    def __repr__(self) -> str:
        return f"FixedLocator({sum(map(len, self._tables.values()))} networks)"


def _prefix(address: int, host_bits: int) -> int:
    return address >> host_bits << host_bits


def _network(key: object) -> Network:
    remedy = "write '192.0.2.0/24', '2001:db8::/32', or an ipaddress.ip_network"
    if not isinstance(key, str | IPv4Network | IPv6Network):  # `ip_network` would take numbers and bytes
        raise ConfigurationError("locator", f"{key!r} is no network", remedy)
    try:
        network = ip_network(key)
    except ValueError:
        raise ConfigurationError("locator", f"{key!r} is no network", remedy) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    # IPv4-mapped addresses are looked up as what they are, so that a network of them has to be one of IPv4.
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network  # noqa: PLR2004 (RFC 4291)


def _checked(place: object, key: object) -> Place:
    if not isinstance(place, Place):
        raise ConfigurationError("locator", f"{key} has no Place", "write Place(latitude=..., longitude=..., city=...)")
    if place.accuracy_km is not None and place.accuracy_km >= UNKNOWN_FROM_KM:
        # Radii are taken off distances: this place would be near to everything.
        raise ConfigurationError(
            "locator",
            f"{key} is somewhere within {place.accuracy_km} km",
            f"leave it out, or state less than {UNKNOWN_FROM_KM}",
        )
    return place
