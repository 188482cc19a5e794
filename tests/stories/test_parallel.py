"""Many requests with one expired token, truly at once, over two server processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from support.processes import served

ACCESS = 3


@pytest.fixture(scope="module")
def two_processes(server) -> Iterator[tuple[dict[str, Any], list[str]]]:
    options = {
        "secret": "a secret of more than thirty-two bytes, for tests only",
        "redis": server.url,
        "namespace": "parallel",
        "lifetimes": {"access": ACCESS, "idle": 60, "absolute": 600, "grace": 1},
    }
    with served(options, processes=2) as urls:
        yield options, urls


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=60), timeout=20) as client:
        yield client


def cookies(response: httpx.Response) -> list[str]:
    lines = response.headers.get_list("set-cookie")
    return [line.split(";")[0].split("=", 1)[1] for line in lines if line.startswith("__Host-refresh=")]


@pytest.mark.parametrize("round_", range(2))
async def test_i7_fifty_parallel_requests_rotate_once(two_processes, client, round_):
    """P1, P2: fifty 200s, one successor, whichever process was asked."""
    _, urls = two_processes
    login = await client.post(f"{urls[0]}/login?user=user-{round_}")
    (cookie,), token = cookies(login), login.headers["x-new-access-token"]
    await asyncio.sleep(ACCESS + 0.1)

    headers = {"cookie": f"__Host-refresh={cookie}", "authorization": f"Bearer {token}"}
    answers = await asyncio.gather(*(client.get(f"{urls[number % 2]}/me", headers=headers) for number in range(50)))

    assert [200] * 50 == [answer.status_code for answer in answers]
    assert 1 == len({successor for answer in answers for successor in cookies(answer)})
    handed_out = {answer.headers["x-new-access-token"] for answer in answers if "x-new-access-token" in answer.headers}
    assert 1 == len(handed_out)
    assert token not in handed_out

    after = {"authorization": f"Bearer {handed_out.pop()}"}
    sessions = (await client.get(f"{urls[1]}/sessions", headers=after)).json()
    assert 1 == len(sessions)


async def test_p04_a_loser_of_the_race_stays_in_its_family(two_processes, client):
    """A second login of the same browser while the first session rotates: no answer crosses from one to the other."""
    _, urls = two_processes
    first = await client.post(f"{urls[0]}/login?user=crossed")
    (cookie,) = cookies(first)
    await asyncio.sleep(ACCESS + 0.1)
    old = {"cookie": f"__Host-refresh={cookie}"}
    rotations = [client.get(f"{urls[number % 2]}/me", headers=old) for number in range(20)]
    logins = [client.post(f"{urls[number % 2]}/login?user=crossed") for number in range(5)]
    answers = await asyncio.gather(*rotations, *logins)
    ids = {answer.json()["session_id"] for answer in answers[:20]}
    assert 1 == len(ids)
