"""What is done off the request path: device and place of a session are found out, and the mirror follows the truth."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.core.devices import DeviceHeaders, pack_device
from asgi_tokenguard.core.places import pack_place
from asgi_tokenguard.core.sessions import Session
from asgi_tokenguard.events.outbox import Outbox
from asgi_tokenguard.events.tally import cause_of
from asgi_tokenguard.judgement import locate
from asgi_tokenguard.user_agents import describe

if TYPE_CHECKING:
    from asgi_tokenguard.core.records import Record
    from asgi_tokenguard.options import Settings
    from asgi_tokenguard.store.redis import RedisStore

logger = logging.getLogger("asgi_tokenguard")

# Stands in the record for a place that was looked for and is not known, so that it is not looked for again until the address
# changes; it reads as no place.
UNKNOWN_PLACE: Final = b"?"


class Background:
    """Puts jobs into an outbox; each method only notes what is to be done and returns at once."""

    def __init__(self, settings: Settings, store: RedisStore, read: Callable[[str], Awaitable[list[Session]]]) -> None:
        self.outbox = Outbox()
        self._settings = settings
        self._store = store
        self._read = read

    def describe(self, subject: str, sid: str, record: Record, headers: DeviceHeaders | None) -> None:
        """Find out what *record* does not tell yet of its device and its place."""
        if self._wants_place(record) or (headers is not None and not record.device):
            self.outbox.put(("describe", sid), lambda: self._describe(subject, sid, record, headers))
        else:
            self.changed(subject)

    def changed(self, subject: str) -> None:
        """Let the mirror follow: sessions of *subject* have begun, moved or ended."""
        mirror = self._settings.mirror
        if mirror is not None:
            self.outbox.put(("mirror", subject), lambda: mirror.sync(subject, self._read))

    async def aclose(self) -> None:
        await self.outbox.aclose()

    async def _describe(self, subject: str, sid: str, record: Record, headers: DeviceHeaders | None) -> None:
        try:
            device, place = await self._device(record, headers), await self._place(record)
        except Exception as error:  # noqa: BLE001 (parsers and places of locators are other people's programs)
            # The same headers and the same place would fail again and again; only Redis is worth another try.
            logger.warning("a session could not be described and stays as it is: %s", cause_of(error))
        else:
            async with self._store.patience():
                await self._store.describe(
                    subject, sid, name=record.head.device, device=device, address=record.address, place=place
                )
        self.changed(subject)

    async def _device(self, record: Record, headers: DeviceHeaders | None) -> bytes:
        if headers is None or record.device:
            return b""
        # In a thread: the parser's first import takes 100 ms.
        return pack_device(await asyncio.to_thread(describe, headers))

    async def _place(self, record: Record) -> bytes:
        if not self._wants_place(record):
            return b""
        found = await locate(self._settings, record.address)
        return UNKNOWN_PLACE if found is None else pack_place(found)

    def _wants_place(self, record: Record) -> bool:
        return bool(record.address and not record.place and self._settings.locator is not None)
