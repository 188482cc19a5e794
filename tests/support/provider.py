"""A provider of locations that a test makes behave and misbehave, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from asgi_tokenguard.core.places import Place

Reply = Callable[[Any, Any], Awaitable[None]]

BERLIN = {"latitude": 52.52, "longitude": 13.405, "city": "Berlin", "country_code": "DE"}

# After the documentation that `fields.py` names.
SAMPLES = {
    "IPINFO": {"ip": "8.8.8.8", "hostname": "dns.google", "city": "Mountain View", "region": "California", "country": "US",
               "loc": "37.4056,-122.0775", "org": "AS15169 Google LLC", "postal": "94043", "anycast": True},
    "IP_API": {"status": "success", "country": "United States", "countryCode": "US", "region": "CA", "city": "Mountain View",
               "zip": "94043", "lat": 37.4192, "lon": -122.0574, "timezone": "America/Los_Angeles", "query": "8.8.8.8"},
  "IPAPI_CO": {"ip": "8.8.8.8", "version": "IPv4", "city": "Mountain View", "region": "California", "country_code": "US",
                 "country_name": "United States", "postal": "94035", "latitude": 37.386, "longitude": -122.0838},
    "IPGEOLOCATION": {"ip": "8.8.8.8", "location": {"country_code2": "US", "country_name": "United States", "is_eu": False,
                      "city": "Mountain View", "latitude": "37.42240", "longitude": "-122.08421", "accuracy_radius": "25.388"}},
    "GEOIP2": {"city": {"names": {"en": "Mountain View"}}, "country": {"iso_code": "US", "names": {"en": "United States"}},
               "location": {"accuracy_radius": 50, "latitude": 37.386, "longitude": -122.0838},
               "traits": {"ip_address": "8.8.8.8", "network": "8.8.8.0/24"}},
}  # fmt: skip
PLACES = {
    "IPINFO": Place(latitude=37.4056, longitude=-122.0775, city="Mountain View", country="US"),
    "IP_API": Place(latitude=37.4192, longitude=-122.0574, city="Mountain View", country="US"),
    "IPAPI_CO": Place(latitude=37.386, longitude=-122.0838, city="Mountain View", country="US"),
    "IPGEOLOCATION": Place(latitude=37.4224, longitude=-122.08421, city="Mountain View", country="US", accuracy_km=25.388),
    "GEOIP2": Place(latitude=37.386, longitude=-122.0838, city="Mountain View", country="US", accuracy_km=50),
}
REFUSALS = {
    "IPINFO": {"ip": "8.8.8.8", "bogon": True},
    "IP_API": {"status": "fail", "message": "reserved range", "query": "8.8.8.8"},
    "IPAPI_CO": {"error": True, "reason": "Reserved IP Address", "ip": "8.8.8.8", "reserved": True},
    "IPGEOLOCATION": {"message": "'8.8.8.8' is a bogon IP address."},
    "GEOIP2": {"code": "IP_ADDRESS_RESERVED", "error": "..."},
}


class ProviderApp:
    """Answers every request by *reply* and remembers what was asked."""

    def __init__(self) -> None:
        self.reply: Reply = says(BERLIN)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        self.asked.append(scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else ""))
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await self.reply(receive, send)


async def start(send: Any, status: int = 200, *headers: tuple[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})


def says(answer: Any, status: int = 200, *headers: tuple[str, str], after: float = 0) -> Reply:
    """Bytes as they are, anything else as JSON; *after* some seconds."""

    async def reply(receive: Any, send: Any) -> None:
        await asyncio.sleep(after)
        await start(send, status, *headers)
        await send({"type": "http.response.body", "body": answer if isinstance(answer, bytes) else json.dumps(answer).encode()})

    return reply


async def hangs(receive: Any, send: Any) -> None:
    """No byte ever comes; ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def drips(receive: Any, send: Any) -> None:
    """A byte every 50 ms, each well within any timeout for one read; ends when the client has gone."""
    await start(send)
    gone = asyncio.ensure_future(hangs(receive, send))
    for letter in json.dumps(BERLIN) + " " * 10_000:
        await send({"type": "http.response.body", "body": letter.encode(), "more_body": True})
        if (await asyncio.wait((gone,), timeout=0.05))[0]:
            break


async def floods(receive: Any, send: Any) -> None:
    """Bytes without end."""
    await start(send)
    gone = asyncio.ensure_future(hangs(receive, send))
    while not gone.done():
        await send({"type": "http.response.body", "body": b" " * 65_536, "more_body": True})
        await asyncio.sleep(0)
