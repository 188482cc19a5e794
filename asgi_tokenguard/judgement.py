"""
From a doubt to a verdict: the places are looked up, the policy decides.

Rule: whatever goes wrong on the way to a place makes that place unknown, and never a neighbour.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.doubts import Doubt
from asgi_tokenguard.core.places import Place, unpack_place
from asgi_tokenguard.core.risk import Signals, Verdict
from asgi_tokenguard.core.rotation import Presented
from asgi_tokenguard.core.sessions import unpack_address
from asgi_tokenguard.events.lane import is_being_cancelled

if TYPE_CHECKING:
    from asgi_tokenguard.core.records import Record
    from asgi_tokenguard.options import Settings
    from asgi_tokenguard.store.answers import Presentation

logger = logging.getLogger("asgi_tokenguard")

SUPERSEDED: Final = frozenset({Presented.PREVIOUS, Presented.TWIN})


async def weigh(
    settings: Settings, record: Record, found: Presentation, *, sid: str, address: bytes, rotation_off: bool
) -> Verdict:
    """What the policy says to the doubts of *found* about a visit from *address* to the session of *record*."""
    before = now = None
    if Doubt.NETWORK in found.doubts:
        before, now = await _places(settings, record, address)
    verdict = settings.risk.judge(
        Signals(
            new_network=Doubt.NETWORK in found.doubts,
            new_device=Doubt.DEVICE in found.doubts,
            redelivery=found.presented in SUPERSEDED and not record.head.seen,
            lingering=Doubt.LINGERING in found.doubts,
            rotation_off=rotation_off,
            located=settings.locator is not None,
            place_before=before,
            place_now=now,
            ip_address_before=unpack_address(record.address),
            ip_address=unpack_address(address),
        )
    )
    if verdict.error is not None:
        logger.error("a risk rule failed, which counts as a demand for step-up", exc_info=verdict.error)
    # Neither address nor place: logs are read by more people than sessions are.
    logger.info("session %s was judged: %s (%s)", sid, verdict.action.value, verdict.reason)
    return verdict


async def _places(settings: Settings, record: Record, address: bytes) -> tuple[Place | None, Place | None]:
    known = unpack_place(record.place)
    if known is not None:
        return known, await locate(settings, address)
    before, now = await asyncio.gather(locate(settings, record.address), locate(settings, address))
    return before, now


async def locate(settings: Settings, address: bytes) -> Place | None:
    """The place of *address*; None where there is no locator, or it fails, hangs or answers with something else."""
    text = unpack_address(address)
    if settings.locator is None or text is None:
        return None
    try:
        # Locators bound themselves; this is for those of other people.
        async with asyncio.timeout(settings.timeout):
            place = await settings.locator.locate(text)
    except (Exception, asyncio.CancelledError) as error:
        # Something inside the locator may have been cancelled; only a request that is being cancelled itself ends here.
        if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
            raise
        # Without the error's text, which may hold the address.
        logger.warning("the locator %s failed, so that a place is unknown", type(settings.locator).__name__)
        return None
    return place if isinstance(place, Place) else None
