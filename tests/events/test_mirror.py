"""Reconciliation, with a mirror of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.truth import Truth, session

from asgi_tokenguard.events.mirror import Mirror, Read, reconcile


class MemoryMirror:
    """A mirror in a dictionary; whoever is in *broken* fails."""

    def __init__(self, subjects: list[str], broken: set[str]) -> None:
        self.rows: dict[str, list[str]] = {subject: ["stale"] for subject in subjects}
        self.broken = broken

    async def sync(self, subject: str, read: Read) -> None:
        if subject in self.broken:
            raise OSError(subject)
        self.rows[subject] = [each.id for each in await read(subject)]

    async def subjects(self) -> AsyncIterator[str]:
        for subject in list(self.rows):
            yield subject

    async def aclose(self) -> None: ...


def mirror_of(count: int, *broken: int) -> MemoryMirror:
    return MemoryMirror([f"user-{number}" for number in range(count)], {f"user-{number}" for number in broken})


async def test_every_user_with_rows_is_looked_at():
    mirror: Mirror = mirror_of(3)
    truth = Truth(**{"user-1": [session(1)]})
    assert 3 == await reconcile(mirror, truth.read)
    assert {"user-0": [], "user-1": [session(1).id], "user-2": []} == mirror.rows
    assert ["user-0", "user-1", "user-2"] == truth.reads


async def test_the_failure_of_one_user_does_not_keep_the_others_from_being_looked_at():
    mirror = mirror_of(9, 1, 2, 4, 5, 8)
    with pytest.raises(ExceptionGroup, match="5 of 9 users failed") as raised:
        await reconcile(mirror, Truth().read)
    assert 5 == len(raised.value.exceptions)
    assert {f"user-{number}" for number in (1, 2, 4, 5, 8)} == {subject for subject, rows in mirror.rows.items() if rows}


async def test_a_mirror_that_is_away_is_not_asked_for_each_user():
    mirror = mirror_of(100, *range(10, 100))
    truth = Truth()
    with pytest.raises(ExceptionGroup, match="gave up after 10 users"):
        await reconcile(mirror, truth.read)


async def test_neither_is_a_truth_that_is_away():
    truth = Truth()
    truth.error = OSError()
    with pytest.raises(ExceptionGroup):
        await reconcile(mirror_of(100), truth.read)
    assert 3 == len(truth.reads)


async def test_an_error_shows_no_more_than_a_few():
    with pytest.raises(ExceptionGroup, match="50 of 100") as raised:
        await reconcile(mirror_of(100, *range(0, 100, 2)), Truth().read)
    assert 10 == len(raised.value.exceptions)
