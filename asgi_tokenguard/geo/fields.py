"""Where in a provider's answer the facts stand, and the shapes of well-known providers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from asgi_tokenguard.core.places import Place
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.geo.addresses import Address, parsed
from asgi_tokenguard.geo.records import place_of

# Not `float`, which also takes "nan", "1_0", " 1 " and digits of any script.
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,6}(?:\.[0-9]{1,20})?", re.ASCII)
_PATH: Final = re.compile(r"[^.\s]+(?:\.[^.\s]+)*")
_OPTIONAL: Final = {"coordinates", "country", "accuracy", "address"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """
    Where an answer, a JSON object, says what; each value is a path, its names joined by dots: `"location.latitude"`.

    The defaults fit flat answers.  Raises `ConfigurationError` for what is no path.
    """

    latitude: str = "latitude"
    longitude: str = "longitude"
    coordinates: str | None = None
    """One text, `"latitude,longitude"`, in the place of the two above."""
    city: str = "city"
    country: str | None = "country_code"
    """ISO 3166-1 alpha-2."""
    accuracy: str | None = None
    """A radius in km."""
    address: str | None = "ip"
    """The address that the answer is about.  One that differs from the asked one is refused; one that is missing is not."""
    failed: tuple[str, str | bool] | None = None
    """A path, and the value there that says that the answer is none."""
    numbers_as_text: bool = False
    """Whether numbers are written as text; otherwise text is no number."""

    IPINFO: ClassVar[Fields]
    IP_API: ClassVar[Fields]
    IPAPI_CO: ClassVar[Fields]
    IPGEOLOCATION: ClassVar[Fields]
    GEOIP2: ClassVar[Fields]

    def __post_init__(self) -> None:
        for name in ("latitude", "longitude", "coordinates", "city", "country", "accuracy", "address"):
            path = getattr(self, name)
            if not _is_path(path) and not (path is None and name in _OPTIONAL):
                raise ConfigurationError("locator", f"Fields({name}={path!r}) is no path", "write names joined by dots")
        match self.failed:
            case None:
                pass
            case (path, str() | bool()) if _is_path(path):
                pass
            case _:
                remedy = "write a path and a value, such as ('status', 'fail')"
                raise ConfigurationError("locator", f"Fields(failed={self.failed!r})", remedy)
        if not isinstance(self.numbers_as_text, bool):
            raise ConfigurationError("locator", f"Fields(numbers_as_text={self.numbers_as_text!r})", "write True or False")

    def is_about(self, answer: dict[str, object], asked: Address) -> bool:
        """
        Whether the answer is about the address that was asked for.

        A cache between us and the provider may mix answers up, and a URL whose parameter has the wrong name is answered
        with the place of our own server: for every user the same, so that no thief would ever be far away.
        """
        said = _follow(answer, self.address)
        return said is None or parsed(said) == asked

    def place(self, answer: dict[str, object]) -> Place | None:
        """The place that the answer states, or None: it may be wrong in any way, and then nothing is known."""
        if self.failed is not None:
            path, value = self.failed
            said = _follow(answer, path)
            if type(said) is type(value) and said == value:  # 1 is no True
                return None
        latitude, longitude = self._coordinates(answer)
        return place_of(
            latitude=latitude,
            longitude=longitude,
            city=_follow(answer, self.city),
            country=_follow(answer, self.country),
            accuracy=self._number(_follow(answer, self.accuracy)),
        )

    def _coordinates(self, answer: dict[str, object]) -> tuple[object, object]:
        if self.coordinates is None:
            return self._number(_follow(answer, self.latitude)), self._number(_follow(answer, self.longitude))
        pair = _follow(answer, self.coordinates)
        latitude, comma, longitude = pair.partition(",") if isinstance(pair, str) else ("", "", "")
        return (_read(latitude), _read(longitude.removeprefix(" "))) if comma else (None, None)

    def _number(self, value: object) -> object:
        if not self.numbers_as_text or not isinstance(value, str):
            return value
        return _read(value) if value else None


def _is_path(value: object) -> bool:
    return isinstance(value, str) and _PATH.fullmatch(value) is not None


def _follow(answer: object, path: str | None) -> object:
    if path is None:
        return None
    for name in path.split("."):
        if not isinstance(answer, dict):
            return None
        answer = answer.get(name)
    return answer


def _read(text: str) -> object:
    # What is no number stays text, which is no number to `place_of` either; None would mean "not stated".
    return float(text) if _NUMBER.fullmatch(text) else text


# https://ipinfo.io/{address}/json.  Its response schema has "loc": "42.0999,-72.5783", "country": "US" and "bogon" for
# reserved addresses (github.com/ipinfo/python: README and handlers).  An unknown city is "" (the README's 1.1.1.1).
Fields.IPINFO = Fields(coordinates="loc", country="country", failed=("bogon", True))

# https://ip-api.com/docs/api:json: "status" is "success" or "fail", "query" the address.  The free service has no TLS; the
# paid one is https://pro.ip-api.com/json/{address}?key=...
Fields.IP_API = Fields(
    latitude="lat", longitude="lon", country="countryCode", address="query", failed=("status", "fail")
)  # fmt: skip

# https://ipapi.co/api: https://ipapi.co/{address}/json/.  Errors come with status 200 as {"error": true, "reason": ...}; the
# free plan has said "Sign up to access" for numbers (github.com/ipapi-co/ipapi-python, issue 6), which is no place here.
Fields.IPAPI_CO = Fields(failed=("error", True))

# https://api.ipgeolocation.io/v3/ipgeo?apiKey=...&ip={address}, and v2: all numbers are text, an unknown radius is ""
# (github.com/IPGeolocation: the SDKs' Location model and sample responses).  The first version's answers are flat:
# Fields(country="country_code2", numbers_as_text=True).
Fields.IPGEOLOCATION = Fields(
    latitude="location.latitude",
    longitude="location.longitude",
    city="location.city",
    country="location.country_code2",
    accuracy="location.accuracy_radius",
    numbers_as_text=True,
)

# https://dev.maxmind.com/geoip/docs/web-services/responses (City, and GeoLite): as in the files of the same maker.  The
# account and the key go into the URL, https://ACCOUNT:KEY@geoip.maxmind.com/geoip/v2.1/city/{address}.
Fields.GEOIP2 = Fields(
    latitude="location.latitude",
    longitude="location.longitude",
    city="city.names.en",
    country="country.iso_code",
    accuracy="location.accuracy_radius",
    address="traits.ip_address",
)
