"""The jobs of one event loop: what waits, what runs, what waits to run again."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextvars import Context
from dataclasses import dataclass
from typing import Final

from asgi_tokenguard.core.backoff import Backoff
from asgi_tokenguard.events.tally import Tally

Job = Callable[[], Awaitable[None]]

# How long a cancelled job may take to clean up before a shutdown goes on without it; rolling back takes milliseconds.
CLEAN_UP: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of `Outbox`, and where time and chance come from."""

    capacity: int
    backoff: Backoff
    concurrency: int
    timeout: float | None
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    random: Callable[[], float]


@dataclass(slots=True)
class Entry:
    """One key in the box: its newest *job*, whether that one *is_new* (no run of it has begun), and its *failures* so far."""

    job: Job
    is_new: bool = True
    failures: int = 0


class Lane:
    """
    Runs jobs in the event loop that it was made in.

    Each key has one entry from its first put to its last successful run, and stands in exactly one place: in `_ready`, in
    `_retries`, or in the hands of a runner.  That is why no two jobs of a key run at the same time.
    """

    def __init__(self, policy: Policy, tally: Tally) -> None:
        self._policy = policy
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._entries: dict[Hashable, Entry] = {}
        self._ready: deque[Hashable] = deque()
        self._retries: list[tuple[float, int, Hashable]] = []  # a heap: due (monotonic), a number against ties, key
        self._numbers = itertools.count()
        self._runners: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.Task[None]] = set()  # at most one that is not being cancelled
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: Hashable, job: Job) -> bool:
        entry = self._entries.get(key)
        if entry is not None and not self._is_closed:
            # Where it waits for its retry it keeps waiting: a sink that is down is not asked more often for being busy.
            entry.job, entry.is_new, entry.failures = job, True, 0
            return True
        if self._is_closed or len(self._entries) >= self._policy.capacity:
            return False
        self._entries[key] = Entry(job)
        self._make_ready(key)
        return True

    async def flush(self, timeout: float) -> int:  # noqa: ASYNC109 (a bound on the wait, not a cancellation)
        """Give each waiting job a run now, for *timeout* seconds at most; how many are left."""
        for _, _, key in sorted(self._retries):
            self._ready.append(key)
        self._retries.clear()
        self._stop_timers()
        self._spawn_runners()
        deadline = self._loop.time() + timeout
        while self._runners and (left := deadline - self._loop.time()) > 0:
            await asyncio.wait(self._runners, timeout=left)
        return len(self._entries)

    async def close(self) -> None:
        """Cancel what runs and take nothing any more; what is left stays counted by `len`."""
        self._is_closed = True
        tasks = self._runners | self._timers
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLEAN_UP)

    # --- Runners: tasks that end as soon as nothing is ready, so that an idle outbox has none

    def _make_ready(self, key: Hashable) -> None:
        self._ready.append(key)
        self._spawn_runners(1)

    def _spawn_runners(self, wanted: int | None = None) -> None:
        free = self._policy.concurrency - len(self._runners)
        for _ in range(min(free, len(self._ready) if wanted is None else wanted)):
            self._spawn(self._run(), self._runners).add_done_callback(self._runner_ended)

    def _runner_ended(self, task: asyncio.Task[None]) -> None:
        # A put between a runner's last look and this callback found all runners still counted.  After a cancellation or a
        # SystemExit the loop is being torn down, where a new task would outlive it.
        ended_well = not task.cancelled() and task.exception() is None
        if self._ready and ended_well and not self._is_closed:
            self._spawn_runners(1)

    async def _run(self) -> None:
        # With an eager task factory (Python 3.12) a task starts inside `put`, that is in a request.
        await asyncio.sleep(0)
        while self._ready and not self._is_closed:
            key = self._ready.popleft()
            await self._run_one(key, self._entries[key])

    async def _run_one(self, key: Hashable, entry: Entry) -> None:
        entry.is_new = False
        try:
            async with asyncio.timeout(self._policy.timeout):
                await entry.job()
        except Exception as error:  # noqa: BLE001 (jobs are hooks: other people's programs)
            self._failed(key, entry, error)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError) or is_being_cancelled():
                # The loop or the process ends: the job has not been done.
                self._ready.appendleft(key)
                raise
            # Something inside the job was cancelled, not its runner.
            self._failed(key, entry, error)
        else:
            self._succeeded(key, entry)

    def _succeeded(self, key: Hashable, entry: Entry) -> None:
        if entry.is_new:
            self._make_ready(key)
        else:
            self._forget(key)

    def _failed(self, key: Hashable, entry: Entry, error: BaseException) -> None:
        backoff = self._policy.backoff
        if not entry.is_new:
            entry.failures += 1
            if backoff.attempts is not None and entry.failures >= backoff.attempts:
                self._forget(key)
                self._tally.given_up(error, entry.failures)
                return
        self._tally.raised(error)
        self._retry(key, backoff.wait(entry.failures, self._policy.random()))

    def _forget(self, key: Hashable) -> None:
        del self._entries[key]
        if len(self._entries) <= self._policy.capacity // 2:
            self._tally.drained()

    # --- The timer: one task that sleeps until the next retry is due

    def _retry(self, key: Hashable, wait: float) -> None:
        number = next(self._numbers)
        heapq.heappush(self._retries, (self._policy.monotonic() + wait, number, key))
        is_next = self._retries[0][1] == number
        if (is_next or not self._timers) and not self._is_closed:
            self._stop_timers()
            self._spawn(self._wait_for_retries(), self._timers)

    async def _wait_for_retries(self) -> None:
        while self._retries:
            await self._policy.sleep(max(0.0, self._retries[0][0] - self._policy.monotonic()))
            while self._retries and self._retries[0][0] <= self._policy.monotonic():
                self._make_ready(heapq.heappop(self._retries)[2])

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _spawn(self, coroutine: Coroutine[object, object, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        # An empty context: jobs of many requests would else run with the variables of one, and keep them alive.
        task = self._loop.create_task(coroutine, name="tokenguard outbox", context=Context())
        tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(tasks.discard)
        return task


def is_being_cancelled() -> bool:
    """Whether a CancelledError is meant for the running task, and not the failure of something that it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
