"""
What makes an accepted cookie odd.  Rule: a doubt changes nothing in the record; it asks for a judgement (`core/risk.py`).

The attacker has a copy of the refresh cookie.  The rotation table lets him in for a while, as it must let in a tab whose
answer was lost; what he cannot copy as easily is the network, and what he does not know to copy is the device's strings.
And a poller, who presents the superseded cookie again and again to learn from the answers when the owner has moved on,
comes late in every generation.

`store/lua/present.lua` says the same in Lua and is tested against this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.devices import same_device
from asgi_tokenguard.core.records import LONGEST_LEFT, LONGEST_RUN, NAME, NETWORKS, Head, known_networks

# A browser writes its cookies to disk every 30 s (Chromium: SQLitePersistentCookieStore); a crash loses what came since.
LOST_BY_CRASH_MS: Final = 30_000


class Doubt(Enum):
    """Why a judgement is wanted."""

    NETWORK = "network"  # none that the session knows
    DEVICE = "device"  # other strings than those of the device that rotated last
    LINGERING = "lingering"  # a superseded token has come back late, in several generations running


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """
    Where a cookie comes from: the packed *address* (or nothing) and the four-byte names of its network and device.

    *held* is the generation of a genuine access token of the same session beside it.  *passed* says that this visit has been
    judged, or that its user has proved who they are.
    """

    address: bytes = b""
    network: bytes
    device: bytes
    held: int | None = None
    passed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """
    What is doubted: unknown networks, other devices at every presentation and not at redelivery alone, and lingering.

    A superseded token lingers that comes back more than *linger_after_ms* after its successor's cookie left, in
    *linger_generations* running (0: never).
    """

    network: bool = False
    device: bool = False
    linger_after_ms: int = 5_000
    linger_generations: int = 0


UNSET: Final = bytes(NAME)  # the name of no device
UNWATCHED: Final = Watch()
ANYONE: Final = Visit(network=bytes(NAME), device=bytes(NAME), passed=True)


def left_at_ms(head: Head) -> int:
    """When the cookie of the head first left."""
    return (head.refresh_issued + head.left) * 1000


def leaving_now(head: Head, now_ms: int) -> Head:
    """The head whose cookie leaves first at *now_ms*; rounded up, since an early mark would call honest browsers late."""
    seconds = -(-now_ms // 1000) - head.refresh_issued
    return replace(head, left=max(0, min(LONGEST_LEFT, seconds)))


def note_late(head: Head, now_ms: int, watch: Watch) -> Head:
    """The head after its predecessor has been presented."""
    is_late = watch.linger_generations > 0 and now_ms > left_at_ms(head) + watch.linger_after_ms
    return replace(head, late=True) if is_late else head


def run_after(head: Head) -> int:
    """In how many generations running a predecessor has come back late, once the head is superseded itself."""
    return min(LONGEST_RUN, head.late_run + 1) if head.late else 0


def doubts(head: Head, visit: Visit, watch: Watch, *, superseded: bool, redelivery: bool) -> frozenset[Doubt]:
    """
    What is odd about *visit*, whose token was *superseded* or not, and would be answered by a *redelivery* or not.

    A redelivery that hands nothing out is none: Safari's media requests have a User-Agent of their own.
    """
    found = set()
    if watch.network and not head.knows(visit.network):
        found.add(Doubt.NETWORK)
    if (redelivery or watch.device) and is_other_device(head, visit):
        found.add(Doubt.DEVICE)
    if superseded and watch.linger_generations and head.late and head.late_run + 1 >= watch.linger_generations:
        found.add(Doubt.LINGERING)
    return frozenset(found)


def is_other_device(head: Head, visit: Visit) -> bool:
    # A session that a job has started has no device yet, and a job that rotates has none.  A request always has one, if it
    # is that of no headers at all.
    return UNSET not in {head.device, visit.device} and not same_device(head.device, visit.device)


def remember(head: Head, visit: Visit, found: frozenset[Doubt], *, receives: bool = True) -> Head:
    """
    The head that knows the network of *visit*, which has passed or rotates, and its device where that *receives* anything.

    An image's request may have strings of its own; the session's device is the one that holds its cookie.
    """
    if visit is ANYONE:
        return head
    others = [network for network in known_networks(head.networks) if network != visit.network]
    networks = b"".join([visit.network, *others][:NETWORKS])
    head = replace(head, networks=networks, device=visit.device if receives and visit.device != UNSET else head.device)
    return replace(head, late=False, late_run=0) if Doubt.LINGERING in found and visit.passed else head


def why_reused(head: Head, visit: Visit, *, previous: bool) -> Code:
    """
    What a reuse is called: theft, or a browser that fits one of two accidents.

    The session ends either way; the word is for people.  A thief can look like an accident, by the owner's network and
    strings, and gains a friendlier sentence on the owner's screen.
    """
    fits = previous and head.knows(visit.network) and not is_other_device(head, visit) and visit is not ANYONE
    if fits and visit.held == head.gen:
        # It holds the successor's access token and not its cookie: something on the way strips Set-Cookie.
        return Code.COOKIE_NOT_STORED
    if fits and abs(head.mark - left_at_ms(head)) <= LOST_BY_CRASH_MS:
        return Code.ROLLED_BACK_CLIENT
    return Code.REUSE_DETECTED
