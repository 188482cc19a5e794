"""Files in MaxMind's format, written for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write(path: Path, records: dict[str, Any], *, version: int = 6, kind: str = "Test-City") -> Path:
    """Write the file and rename it to *path*, as tools that update databases do."""
    writer = MMDBWriter(version, kind, languages=["en"], ipv4_compatible=version == 6, float_type="f64")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    fresh = path.with_name(path.name + ".fresh")
    writer.to_db_file(str(fresh))
    return fresh.replace(path)


def nested(latitude: Any, longitude: Any, city: Any = "Berlin", country: Any = "DE", radius: Any = 20) -> dict[str, Any]:
    """A record as MaxMind writes it."""
    return {
        "city": {"geoname_id": 1, "names": {"en": city} if isinstance(city, str) else city},
        "country": {"iso_code": country, "names": {"en": "somewhere"}},
        "location": {"latitude": latitude, "longitude": longitude, "accuracy_radius": radius, "time_zone": "Europe/Berlin"},
    }


def flat(latitude: Any, longitude: Any, city: Any = "Berlin", country: Any = "DE") -> dict[str, Any]:
    """A record as @ip-location-db writes it."""
    return {"city": city, "country_code": country, "latitude": latitude, "longitude": longitude, "postcode": "", "state1": ""}
