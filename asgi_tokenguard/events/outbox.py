"""Work off the request path: bounded, coalesced by key, retried."""

from __future__ import annotations

import asyncio
import random as chance
import time
from collections.abc import Awaitable, Callable, Hashable

from asgi_tokenguard.core.backoff import Backoff
from asgi_tokenguard.events.lane import Job, Lane, Policy
from asgi_tokenguard.events.tally import Tally
from asgi_tokenguard.loops import PerLoop


class Outbox:
    """
    Runs jobs later, the newest per key, until they succeed.

    A job says "bring this up to date", not "add this": of several puts under one key only the last may run, and a run that
    failed half-way is repeated.  Keys never wait for each other's retries, and no two jobs of one key run at once.  At most
    *capacity* keys are in the box of an event loop, *concurrency* jobs run at once, and one that takes more than *timeout*
    seconds (None: no limit) is cut off and counts as failed: four sinks that hang would else stop all others.

    Jobs run in the event loop of their first `put`; each loop has a box of its own.  *monotonic*, *sleep* and *random*
    (uniform in [0, 1)) are for tests.  Raises ValueError for numbers that cannot work.
    """

    def __init__(
        self,
        *,
        # A waiting job is about 500 bytes: 5 MB at most.
        capacity: int = 10_000,
        backoff: Backoff | None = None,
        # Jobs wait for a database nearly all of their time; SQLAlchemy's pool holds five connections by default.
        concurrency: int = 4,
        # What gunicorn gives a whole request by default.
        timeout: float | None = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        if capacity < 1 or concurrency < 1 or (timeout is not None and not timeout > 0):
            raise ValueError("capacity, concurrency and timeout are positive")
        self._policy = Policy(
            capacity=capacity,
            backoff=backoff or Backoff(),
            concurrency=concurrency,
            timeout=timeout,
            monotonic=monotonic,
            sleep=sleep,
            random=random,
        )
        self._tally = Tally(monotonic)
        self._lanes: PerLoop[Lane] = PerLoop(self._lost)

    @property
    def pending(self) -> int:
        """How many keys are in the box: waiting, running, or waiting to run again."""
        return sum(len(lane) for lane in self._lanes.everywhere())

    @property
    def dropped(self) -> int:
        """
        How many jobs were lost.

        To a full box, to *attempts*, to a shutdown that could not wait, or to the end of their event loop.
        """
        self._lanes.forget_ended_loops()
        return self._tally.dropped

    @property
    def failed(self) -> int:
        """How many runs raised; each is tried again until its job is given up."""
        return self._tally.failed

    def put(self, key: Hashable, job: Job) -> bool:
        """
        Let *job* run soon; False where the box is full and it was dropped.

        Takes microseconds and never waits.  A job that still waits under *key* is replaced and keeps its place; one that
        runs is followed by this one.  Raises RuntimeError where no event loop runs.
        """
        if self._lanes.get(self._lane).put(key, job):
            return True
        # The new one, not the oldest: which of them matters more nobody knows, and the oldest has been told that it is in.
        self._tally.refused(self._policy.capacity)
        return False

    async def flush(self, timeout: float) -> int:  # noqa: ASYNC109 (a bound on the wait, not a cancellation)
        """
        Give everything that waits one run now, retries included, for *timeout* seconds at most; how many jobs are left.

        What fails again goes back to waiting, so that a sink that is down does not hold a shutdown up.  What still runs
        goes on.
        """
        lane = self._lanes.found()
        return 0 if lane is None else await lane.flush(timeout)

    async def aclose(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """
        Flush, then cancel what still runs and drop what is left, counted and logged.

        A later `put` opens the outbox again.
        """
        # Five seconds: half of what Docker waits between SIGTERM and SIGKILL.
        lane = self._lanes.found()
        if lane is None:
            return
        try:
            await lane.flush(timeout)
        finally:
            await self._drop(lane)

    async def _drop(self, lane: Lane) -> None:
        try:
            await lane.close()
        finally:
            if self._lanes.found() is lane:  # not in a second `aclose` at the same time
                self._lanes.pop()
                self._tally.lost(len(lane), "the outbox was closed before they were done")

    def _lane(self) -> Lane:
        return Lane(self._policy, self._tally)

    def _lost(self, lane: Lane) -> None:
        self._tally.lost(len(lane), "their event loop has ended")
