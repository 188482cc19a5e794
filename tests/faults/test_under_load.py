"""
Harm to the store under load, and a record of everything that was asked and answered (I5, I7, I8, I10).

No revoked token is accepted after the bound, each refresh token has at most one successor, no session is lost that was
confirmed, and every request is answered with 200, 401 or 503.  `pytest -s` shows what happened.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.history import History
from support.server import RedisServer
from support.world import STALENESS, World, report, world

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(120)]
# What a server keeps through a kill; each write is on the disk before it is answered.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def own(request) -> Iterator[RedisServer]:
    server = RedisServer(port=True, travel=False, more=getattr(request, "param", ())).start()
    yield server
    server.close()


def clean(name: str, history: History, *, least: int = 300) -> None:
    wrong = history.violations(staleness=STALENESS)
    report(name, history, wrong)
    assert [] == wrong[:5]
    assert history.served() >= least, "too little was served to show anything"
    assert len(history.endings) >= 5


def served_since(history: History, moment: float) -> int:
    return sum(each.status == 200 and each.started > moment for each in history.exchanges)


async def nothing(world: World) -> None:
    pass


async def test_without_harm_everything_is_served(own):
    async with world({"redis": own.url}) as made:
        history = await made.play(10, nothing)
    clean("no harm", history)
    assert set() == {each.status for each in history.exchanges} - {200, 401}
