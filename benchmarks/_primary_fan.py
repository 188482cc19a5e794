"""What a change costs the server that pushes it and each process that listens, for `primary.py`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from _capacity_town import Town
from _primary_load import AS_FAST, PATIENCE, changes, send, shuffled

Ask = Callable[[str], Any]
# How many changes together, how many a second (0: as fast as they come), and beside what: a process that is half busy with
# requests, as an app's is, or one that sleeps between two messages, and pays for waking up.
BUSY, ALONE = "a half busy process", "a process that sleeps"
PACES = ((1, 1_000, BUSY), (1, 2_000, BUSY), (1, 1_000, ALONE), (10, 10_000, ALONE), (1_000, 0, ALONE))
RATE = 1_000


async def used_by(client: Any) -> float:
    """Seconds of processor that the server has used."""
    said = await client.info("cpu")
    return float(said["used_cpu_user"] + said["used_cpu_sys"])


async def output_of(client: Any) -> int:
    return int((await client.info("stats"))["total_net_output_bytes"])


class Fan:
    """What a change costs the server and each process that listens."""

    def __init__(self, town: Town, client: Any, count: int, rounds: int) -> None:
        self.town, self.client, self.rounds = town, client, rounds
        self.commands = changes(town, shuffled(1, min(count, town.size - 1)))

    async def pushed(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """What pushes cost the server, by the connections that track."""
        found: dict[int, list[dict[str, float]]] = {number: [] for number in numbers}
        async with listener(self.town, "drain") as ask:
            for _ in range(self.rounds):
                for number in random.sample(numbers, len(numbers)):
                    await ask(str(number))
                    found[number].append(await self.told([], together=1, rate=RATE))
        return [{"name": f"change, {n} connections", "connections": n} | medians(each) for n, each in found.items()]

    async def heard(self, numbers: Sequence[int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What pushes cost a process, by their pace and by the processes that listen."""
        by_pace: dict[tuple[int, int, str], list[dict[str, float]]] = {pace: [] for pace in PACES}
        by_number: dict[int, list[dict[str, float]]] = {number: [] for number in numbers}
        async with contextlib.AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(listener(self.town, "listen")) for _ in range(max(numbers))]
            for _ in range(self.rounds):
                for number in random.sample(numbers, len(numbers)):
                    by_number[number].append(await self.told(crowd[:number], together=1, rate=RATE))
                for together, rate, beside in random.sample(PACES, len(PACES)):
                    one = crowd[:1]
                    by_pace[together, rate, beside].append(await self.told(one, together=together, rate=rate, beside=beside))
        merged = [named(*pace) | medians(found) for pace, found in by_pace.items()]
        return merged, [{"name": f"change, {n} listening", "listeners": n} | medians(each) for n, each in by_number.items()]

    async def told(self, crowd: Sequence[Ask], *, together: int, rate: int, beside: str = ALONE) -> dict[str, float]:
        commands = self.commands * (max(1, rate // RATE) if rate else AS_FAST)
        for ask in crowd:
            await ask("on")
            if beside == BUSY:
                await ask("busy")
        idle = await self.window(crowd, lambda: time.sleep(1))
        # As fast as they come, a key may change twice in one turn of the server's loop, which is told once.
        due = len(commands) * len(crowd) if rate else 0
        busy = await self.window(crowd, lambda: send(self.town, commands, together=together, rate=rate), due)
        for ask in crowd:
            await ask("off")
        count = len(commands)
        passed = busy["seconds"] / idle["seconds"]
        found = {"server_us": (busy["used"] - idle["used"] * passed) * 1e6 / count}
        found["output_bytes"] = (busy["output"] - idle["output"] * passed) / count
        if crowd:
            found["processor_us"] = (busy["using"] - idle["using"] * passed) * 1e6 / busy["heard"]
            found["keys_a_message"] = busy["heard"] / busy["messages"]
            found["idle_us_a_second"] = idle["using"] * 1e6 / idle["seconds"] / len(crowd)
        return found

    async def window(self, crowd: Sequence[Ask], work: Callable[[], object], due: int = 0) -> dict[str, float]:
        """What everybody uses while *work* runs, and until *due* pushes of it are heard."""
        before = await self.state(crowd)
        await asyncio.to_thread(work)
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0.2)
                after = await self.state(crowd)
                found = {key: after[key] - before[key] for key in after}
                if found["heard"] >= due:
                    return found

    async def state(self, crowd: Sequence[Ask]) -> dict[str, float]:
        said = [await ask("look") for ask in crowd]
        found = {"seconds": time.perf_counter(), "used": await used_by(self.client), "output": await output_of(self.client)}
        found["using"] = sum(each["used"] for each in said)
        return found | {key: sum(each[key] for each in said) for key in ("heard", "messages")}


@contextlib.asynccontextmanager
async def listener(town: Town, work: str) -> AsyncIterator[Ask]:
    script = str(Path(__file__).with_name("_primary_process.py"))
    running = await asyncio.create_subprocess_exec(
        sys.executable, script, work, town.url, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if running.stdin is None or running.stdout is None:
        raise RuntimeError("there are no pipes")
    to, said = running.stdin, running.stdout

    async def ask(word: str) -> dict[str, float]:
        to.write(f"{word}\n".encode())
        found: dict[str, float] = json.loads(await said.readline())
        return found

    try:
        yield ask
    finally:
        to.close()
        await running.wait()


def medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(median(each[key] for each in found), 2) for key in found[0]}


def named(together: int, rate: int, beside: str) -> dict[str, Any]:
    pace = f"{rate:,} a second" if rate else "as fast as they come"
    return {"name": f"{together:,} together, {pace}, {beside}", "together": together, "rate": rate, "busy": beside == BUSY}
