"""What is read out of `CLUSTER NODES`."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from asgi_tokenguard.store.topology import tag_in, view_of

ONE, TWO, THREE, REPLICA, LONE = "1" * 40, "2" * 40, "3" * 40, "4" * 40, "5" * 40
# As Valkey 9 writes them, and Redis 6.2 (no host name, no shard).
LINES = [
    f"{ONE} 127.0.0.1:7001@17001,,tls-port=0,shard-id=ab myself,master - 0 0 1 connected 0-9 100 [7->-{TWO}] [100->-{LONE}]",
    f"{TWO} 127.0.0.1:7002@17002 master - 0 1795659017512 2 connected 10-99",
    f"{THREE} :0@0 master,fail,noaddr - 0 1795659017512 3 disconnected 101-16383",
    f"{REPLICA} 127.0.0.1:7004@17004 slave {TWO} 0 1795659017512 2 connected",
    f"{LONE} 127.0.0.1:7005@17005,host.example master - 0 1795659017512 0 connected",
]


def test_who_may_take_a_write():
    """Owners of slots, dead or not, and whoever is being given one; no replica, no member that only waits."""
    view = view_of("\n".join(LINES))
    assert (ONE, {ONE, TWO, THREE, LONE}) == (view.me, view.writers)
    assert LONE not in view_of("\n".join(LINES).replace(f" [100->-{LONE}]", "")).writers


def test_a_node_that_is_only_about_to_own_its_first_slot_is_no_writer_to_itself_yet():
    """Its own line names the giver, who knows of it: the giver's view counts."""
    view = view_of(f"{LONE} 127.0.0.1:7005@17005 myself,master - 0 0 0 connected [100-<-{ONE}]")
    assert (LONE, frozenset(), ()) == (view.me, view.writers, view.slots)


def test_slots_that_leave_are_no_place_for_a_lease():
    assert (range(7), range(8, 10)) == view_of("\n".join(LINES)).slots


@pytest.mark.parametrize("slots", [(range(16_384),), (range(5461), range(9000, 9001)), (range(12_000, 12_003),)])
def test_a_tag_hashes_to_a_slot_of_the_node(slots):
    tag = tag_in(slots, key_slot)
    assert any(key_slot(f"tg:lease:{{{tag}}}".encode()) in each for each in slots)


@pytest.mark.parametrize("text", ["", "OK", LINES[1], LINES[0][:60]])
def test_what_is_no_view_is_refused(text):
    """Rather than taken for a cluster of nobody, which every set of listeners would cover."""
    with pytest.raises(ValueError):
        view_of(text)
