"""What a locator is: the question where an address is, and nothing else."""

from __future__ import annotations

from typing import Protocol

from asgi_tokenguard.core.places import Place


class Locator(Protocol):
    """
    Answers where an IP address is.

    *locate* takes whatever text the server or a proxy calls an address and never raises: what is no address, and what the
    locator does not know, has no place, and a judgement of risk treats that as unknown (I3).  *aclose* gives back what the
    locator has opened in the running event loop.
    """

    async def locate(self, address: str) -> Place | None: ...

    async def aclose(self) -> None: ...
