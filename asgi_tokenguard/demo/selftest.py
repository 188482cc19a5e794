"""
`tokenguard demo --selftest`: a server of its own, driven over real HTTP, step by step, with a verdict for each.

Rule: a step is a story of `stories.py` with its own browsers, so all run side by side and none hides behind another.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import httpx

from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.demo import app
from asgi_tokenguard.demo.serve import serving
from asgi_tokenguard.demo.stories import STORIES, Stage, Story, Unexpected
from asgi_tokenguard.errors import TokenGuardError

# Short, so that a rotation can be waited for; not shorter, so that a machine that is out of breath for a second still passes.
LIFETIMES: Final = Lifetimes(access=5, grace=2, idle=60, absolute=600)
# A step of six seconds that takes this long hangs.
PATIENCE: Final = 15.0


def main(*, redis: str) -> int:
    """Run all steps; 0 where each is as promised, else 1."""
    return asyncio.run(_main(redis))


async def _main(redis: str) -> int:
    started = time.monotonic()
    guarded = app.build(redis=redis, lifetimes=LIFETIMES, namespace=f"{app.NAMESPACE}-selftest")
    async with serving(guarded, "127.0.0.1", 0) as (_, port):
        url = f"http://127.0.0.1:{port}"
        print(f"The demo serves {url}; access tokens live {LIFETIMES.access} s, the grace is {LIFETIMES.grace:g} s.\n")
        # Every story has connections of its own, 20 at a time.
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=httpx.Limits(max_connections=None)) as http:
            passed = await _run(Stage(http=http, guard=guarded.guard, lifetimes=LIFETIMES))
    print(f"\n{passed} of {len(STORIES)} steps ok in {time.monotonic() - started:.1f} s")
    return 0 if passed == len(STORIES) else 1


async def _run(stage: Stage) -> int:
    """Run the stories side by side and print them in order; how many are as promised."""
    passed = 0
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_verdict(story, stage)) for story in STORIES]
        for number, (story, task) in enumerate(zip(STORIES, running, strict=True), 1):
            ok, remark = await task
            passed += ok
            print(f"{number:2} {'ok    ' if ok else 'FAILED'}  {story.promise}\n           {remark}", flush=True)
    return passed


async def _verdict(story: Story, stage: Stage) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(PATIENCE):
            return True, await story.play(stage)
    except Unexpected as unexpected:
        return False, str(unexpected)
    except (httpx.HTTPError, TokenGuardError, TimeoutError) as error:
        return False, f"expected an answer, came {type(error).__name__}: {error}"
