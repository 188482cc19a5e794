"""From what other people's data say to a `Place`, or to none: the one judge of records, whatever they came from."""

from __future__ import annotations

import math
import re
from typing import Final

from asgi_tokenguard.core.places import Place

# Design, section 6: where the radius reaches the distance at which a session would be ended, the record is no evidence.
# Phones behind carrier NAT resolve to the middle of their country with radii of 200 to 1,000 km.
UNKNOWN_FROM_KM: Final = 100

# The longest name of a place in use has 85 letters (Taumata..., New Zealand); a session's record is kept in Redis.
LONGEST_CITY: Final = 100

_COUNTRY: Final = re.compile(r"[A-Za-z]{2}", re.ASCII)


def place_of(
    *, latitude: object, longitude: object, city: object, country: object = None, accuracy: object = None
) -> Place | None:
    """
    Judge one record: degrees, a name, ISO 3166-1 alpha-2, and the radius in km where one is stated.

    None is "unknown".  A record without a city stands for a whole country or network, and 0, 0 lies in the sea, where data
    sets put what they do not know.  A country that is no code is left out: it is shown, and nothing is judged by it.
    """
    lat, lon, name = number(latitude), number(longitude), _city(city)
    if lat is None or lon is None or name is None or lat == lon == 0:
        return None
    radius = number(accuracy)
    if accuracy is not None and (radius is None or not 0 <= radius < UNKNOWN_FROM_KM):
        return None
    try:
        return Place(latitude=lat, longitude=lon, city=name, country=_country(country), accuracy_km=radius)
    except ValueError:
        return None


def number(value: object) -> float | None:
    """*value* as a finite float; None for text, for truth values, which are integers to Python, and for NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # the format has integers of 128 bits, and JSON has no limit at all
        return None
    return found if math.isfinite(found) else None


def _city(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > LONGEST_CITY:
        return None
    name = " ".join(value.split())
    # Some data sets write "-" for no city.  Lone surrogates, which JSON can carry and UTF-8 cannot, are not printable.
    return name if name.isprintable() and any(letter.isalpha() for letter in name) else None


def _country(value: object) -> str | None:
    return value.upper() if isinstance(value, str) and _COUNTRY.fullmatch(value) else None
