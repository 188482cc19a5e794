"""
What is known when a cookie is accepted and something about it is odd, and how near its two places are.

**A low score is bad**: 100 is the same place, 0 is as far away as the earth allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from asgi_tokenguard.core.places import EARTH_RADIUS_KM, Place, distance_km


class Corner(NamedTuple):
    """A distance and its score."""

    km: float
    score: float


# The score is the line through these.  Fifty kilometres are a commute, and what two data sets disagree by on one address of
# London (48 km); a hundred are another town; half the way around the earth is the farthest there is.  The last line is long
# so that an app's own thresholds can tell 300 km from 3,000.
SAME_PLACE: Final = Corner(0.0, 100.0)
NEAR: Final = Corner(50.0, 50.0)
FAR: Final = Corner(100.0, 20.0)
FARTHEST: Final = Corner(math.pi * EARTH_RADIUS_KM, 0.0)
# The last line falls by a thousandth a kilometre, which rounding swallows in the first nanometres.  The edge stays sharp:
# what is past it scores below it.
PAST_FAR: Final = math.nextafter(FAR.score, 0.0)

# As wide as the distance that ends sessions.  GeoLite2 places 8.8.8.8 at the centroid of the United States, without a city.
VAGUE_KM: Final = 100.0


def score(distance_km: float) -> float:
    """
    How near *distance_km* is, from 100 (the same place) to 0 (as far as the earth allows): **low is bad**.

    Below 50 km it is above 50, from there to 100 km at least 20, and past that below 20.  It falls along straight lines and
    never rises.  Raises ValueError for NaN and for what is below 0.
    """
    if not distance_km >= 0:  # NaN fails every comparison, and would pass every threshold
        raise ValueError("a distance is a length in km")
    if distance_km <= NEAR.km:
        return _line(distance_km, SAME_PLACE, NEAR)
    if distance_km <= FAR.km:
        return _line(distance_km, NEAR, FAR)
    return min(PAST_FAR, max(FARTHEST.score, _line(distance_km, FAR, FARTHEST)))


def _line(km: float, near: Corner, far: Corner) -> float:
    # From the far corner, so that its score is exact, and no rounding of what is nearer falls below it.
    return far.score + (far.km - km) * (near.score - far.score) / (far.km - near.km)


def usable(place: Place | None) -> Place | None:
    """*place*, or None where it is too vague to measure from: without a city, or with a radius of 100 km or more."""
    # Without this a phone on a carrier's network "moves" to the centroid of its country and loses its session.
    if not isinstance(place, Place) or not place.city or _radius(place) >= VAGUE_KM:
        return None
    return place


def _radius(place: Place) -> float:
    return 0.0 if place.accuracy_km is None else place.accuracy_km


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """
    What is known when a cookie is accepted and something about it is odd.

    Addresses, places and devices *before* are the session's, those *now* the caller's.  A device is what headers tell, so a
    thief who copies them along with the cookie has the same one.
    """

    new_network: bool
    """The caller's network is none of those that the session knows."""
    new_device: bool
    """The caller's device strings differ from the session's."""
    redelivery: bool
    """A superseded token came, and its successor is about to be handed out once more."""
    lingering: bool
    """Superseded tokens came back late in several generations running."""
    rotation_off: bool
    """The caller asked to be served without rotation, and is no trusted proxy."""
    located: bool
    """There is a locator, so that places are known or ought to be."""
    place_before: Place | None
    place_now: Place | None
    ip_address_before: str | None
    ip_address: str | None

    @property
    def distance_km(self) -> float | None:
        """
        Kilometres that lie at least between both places; None where either is unknown or too vague.

        The accuracy radii are taken off: within them the data say nothing, and doubt is the owner's as long as the place is
        known at all.
        """
        before, now = usable(self.place_before), usable(self.place_now)
        if before is None or now is None:
            return None
        return max(0.0, distance_km(before, now) - _radius(before) - _radius(now))

    @property
    def score(self) -> float | None:
        """The score of that distance, 100 the same place and 0 the farthest (**low is bad**); None where it is unknown."""
        distance = self.distance_km
        return None if distance is None else score(distance)

    @property
    def place_counts(self) -> bool:
        """Whether the place is judged: only of a network that the session does not know, and only where places are known."""
        return self.new_network and self.located
