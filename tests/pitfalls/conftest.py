"""A stage for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from support.stage import Stage, staged

if TYPE_CHECKING:
    from support.clock import TravelClock


@pytest.fixture
async def stage(options: dict[str, Any], clock: TravelClock) -> AsyncIterator[Stage]:
    """`/login` and `/logout` are public, `/open/*` is optional, all else is required."""
    async with staged(options, clock) as stage:
        yield stage
