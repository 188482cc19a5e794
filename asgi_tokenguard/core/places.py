"""Places on the earth, and how far they are from each other."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from asgi_tokenguard.core.texts import pack_text, unpack_texts

# The mean radius of the earth in km (IUGG, R1).  The sphere is off by at most 0.6 % from the ellipsoid, which is less than
# what any address data knows.
EARTH_RADIUS_KM: Final = 6371.0088

PACKED_VERSION: Final = 1
# version, latitude and longitude in 1e-5 degrees (1.1 m: address data know kilometres), radius in units of 0.1 km
_HEAD: Final = struct.Struct(">BiiH")
_DEGREE: Final = 100_000
_KM: Final = 10
_NO_RADIUS: Final = 0xFFFF
# With the head and two lengths 117 bytes at most.  Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch has 58 letters;
# a country is two, but locators are other people's programs.
_CITY_LIMIT: Final = 80
_COUNTRY_LIMIT: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where an address is: *latitude* and *longitude* in degrees (WGS 84), names where they are known.

    *accuracy_km* is the radius in which the address really is, where the data state one.  Raises ValueError for what is no
    place on the earth, and TypeError for what is no number or no text.
    """

    latitude: float
    longitude: float
    city: str | None = None
    country: str | None = None
    """ISO 3166-1 alpha-2."""
    accuracy_km: float | None = None

    def __post_init__(self) -> None:
        # Here, at the locator that is wrong, and not where the place is packed or measured later.
        for name, value in (("latitude", self.latitude), ("longitude", self.longitude), ("accuracy_km", self.accuracy_km)):
            if (value is None and name == "accuracy_km") or (isinstance(value, int | float) and not isinstance(value, bool)):
                continue
            raise TypeError(f"{name} is a number, not {type(value).__name__}")
        for name, text in (("city", self.city), ("country", self.country)):
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{name} is text or None, not {type(text).__name__}")
        # NaN fails both comparisons: locators are other people's programs, and a NaN distance would compare as near.
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):  # noqa: PLR2004 (degrees)
            raise ValueError("latitude and longitude are no degrees on the earth")
        if self.accuracy_km is not None and not 0 <= self.accuracy_km < math.inf:
            raise ValueError("an accuracy radius is a length in km")


def distance_km(here: Place, there: Place) -> float:
    """The great-circle distance (haversine formula), which is exact for near places and stable for antipodes."""
    lat1, lat2 = math.radians(here.latitude), math.radians(there.latitude)
    dlat, dlon = lat2 - lat1, math.radians(there.longitude - here.longitude)
    chord = math.sin(dlat / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(dlon / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, chord)))


def pack_place(place: Place) -> bytes:
    """
    *place* in at most 117 bytes, about 20 as a rule; longer names are cut.

    The radius is rounded down, and ends at 6,553.4 km: it is taken off a distance, so that rounding it up would be to a
    thief's advantage, and would lift one of just under 100 km, which is a place, to 100 km, which counts as unknown.
    """
    radius = _NO_RADIUS if place.accuracy_km is None else int(min(place.accuracy_km * _KM, _NO_RADIUS - 1))
    head = _HEAD.pack(PACKED_VERSION, round(place.latitude * _DEGREE), round(place.longitude * _DEGREE), radius)
    return head + pack_text(place.country, _COUNTRY_LIMIT) + pack_text(place.city, _CITY_LIMIT)


def unpack_place(raw: bytes) -> Place | None:
    """The place in *raw*; None for nothing, another version, or what is not ours, which then is an unknown place."""
    texts = unpack_texts(raw[_HEAD.size :], 2)
    if texts is None or raw[0] != PACKED_VERSION:
        return None
    _, latitude, longitude, radius = _HEAD.unpack_from(raw)
    try:
        return Place(
            latitude=latitude / _DEGREE,
            longitude=longitude / _DEGREE,
            country=texts[0],
            city=texts[1],
            accuracy_km=None if radius == _NO_RADIUS else radius / _KM,
        )
    except ValueError:  # no degrees of this earth
        return None
