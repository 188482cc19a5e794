"""Whether what a server acknowledges is on its disk, by what it says of itself; what was seen stands in store/disks.py."""

from __future__ import annotations

import pytest

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.store.disks import check_disk

VALKEY = {"redis_version": "7.2.4", "valkey_version": "9.1.2"}
# Some day Valkey may call itself compatible with a newer Redis: that mends nothing.
LATER_VALKEY = {"redis_version": "8.4.0", "valkey_version": "10.0.0"}


@pytest.mark.parametrize("server", [VALKEY, LATER_VALKEY, {"redis_version": "7.2.0"}, {"redis_version": "8.2.3"}, {}])
def test_what_is_written_through_at_once_is_there(server):
    check_disk(server, "always")


def test_redis_waits_for_the_fsync_of_each_second():
    check_disk({"redis_version": "8.2.3"}, "everysec")
    check_disk({"redis_version": "10.0.0"}, "everysec")


@pytest.mark.parametrize(
    "server", [VALKEY, LATER_VALKEY, {"redis_version": "7.4.2"}, {"redis_version": "8.0.0"}, {"redis_version": "?"}, {}]
)
def test_who_was_not_seen_to_wait_for_it_is_refused(server):
    with pytest.raises(ConfigurationError, match="may answer before the disk has the write") as caught:
        check_disk(server, "everysec")
    assert "durability" == caught.value.option


@pytest.mark.parametrize("server", [VALKEY, {"redis_version": "8.2.3"}])
def test_a_disk_that_nobody_waits_for_is_refused(server):
    with pytest.raises(ConfigurationError, match="never tells"):
        check_disk(server, "no")
