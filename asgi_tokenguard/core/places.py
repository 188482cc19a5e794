"""Places on the earth, and how far they are from each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

# The mean radius of the earth in km (IUGG, R1).  The sphere is off by at most 0.6 % from the ellipsoid, which is less than
# what any address data knows.
EARTH_RADIUS_KM: Final = 6371.0088


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where an address is: *latitude* and *longitude* in degrees (WGS 84), names where they are known.

    *accuracy_km* is the radius in which the address really is, where the data state one.  Raises ValueError for what is no
    place on the earth.
    """

    latitude: float
    longitude: float
    city: str | None = None
    country: str | None = None
    """ISO 3166-1 alpha-2."""
    accuracy_km: float | None = None

    def __post_init__(self) -> None:
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
