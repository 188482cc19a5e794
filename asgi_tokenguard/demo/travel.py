"""The network around the demo, where one can move from town to town without leaving the chair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.places import Place, distance_km
from asgi_tokenguard.geo import FixedLocator

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# Addresses of RFC 5737 and RFC 2544, which are nobody's; each in a /24 of its own, since that is a network of one caller.
# The first is where everybody starts.
TOWNS: Final = {
    "paris": ("192.0.2.10", Place(latitude=48.857, longitude=2.352, city="Paris", country="FR")),
    "versailles": ("198.51.100.10", Place(latitude=48.804, longitude=2.120, city="Versailles", country="FR")),
    "compiegne": ("198.18.1.10", Place(latitude=49.418, longitude=2.826, city="Compi\u00e8gne", country="FR")),
    "new-york": ("198.18.2.10", Place(latitude=40.713, longitude=-74.006, city="New York", country="US")),
    "nairobi": ("198.18.3.10", Place(latitude=-1.286, longitude=36.817, city="Nairobi", country="KE")),
    "tokyo": ("203.0.113.10", Place(latitude=35.690, longitude=139.692, city="Tokyo", country="JP")),
}
HOME: Final = "paris"
COOKIE: Final = "demo-town"
HEADER: Final = b"x-demo-town"
# The guard sees the traveller in this process as the proxy in front of it.
PROXIES: Final = ("127.0.0.0/8", "::1")


def locator() -> FixedLocator:
    return FixedLocator({f"{address}/32": place for address, place in TOWNS.values()})


def described() -> list[dict[str, object]]:
    """The towns as JSON values, with their distance from where everybody starts."""
    _, home = TOWNS[HOME]
    return [
        {
            "id": town,
            "city": place.city,
            "latitude": place.latitude,
            "longitude": place.longitude,
            "km": round(distance_km(home, place)),
        }
        for town, (_, place) in TOWNS.items()
    ]


class Traveller:
    """Tells the guarded *app* what a proxy would tell it: that the request comes from the town of the cookie or the header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            headers = [pair for pair in scope["headers"] if pair[0] not in {b"x-forwarded-for", b"forwarded"}]
            address, _ = TOWNS.get(_town(headers), TOWNS[HOME])
            scope = {**scope, "headers": [*headers, (b"x-forwarded-for", address.encode())]}
        await self.app(scope, receive, send)


def _town(headers: list[tuple[bytes, bytes]]) -> str:
    named = [value.decode("latin-1") for name, value in headers if name == HEADER]
    for name, value in headers:
        if name == b"cookie":
            pairs = (pair.strip().partition("=") for pair in value.decode("latin-1").split(";"))
            named += [town for key, _, town in pairs if key == COOKIE]
    return named[0] if named else HOME
