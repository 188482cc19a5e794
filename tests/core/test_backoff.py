"""How long a failed job waits before it runs again."""

from __future__ import annotations

import math

import pytest

from asgi_tokenguard.core.backoff import Backoff


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"),
    [(1, 1, 1), (2, 1, 2), (3, 1, 4), (5, 1, 16), (6, 1, 30), (7, 1, 30), (1, 0, 0.5), (3, 0.5, 3), (10**9, 0, 15), (0, 1, 1)],
)
def test_waits_double_up_to_a_cap_and_part_by_chance(failures, chance, seconds):
    assert seconds == Backoff().wait(failures, chance)


@pytest.mark.parametrize(
    "wrong", [{"first": 0}, {"first": 2, "most": 1}, {"most": math.inf}, {"first": math.nan}, {"attempts": 0}]
)
def test_waits_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValueError):
        Backoff(**wrong)
