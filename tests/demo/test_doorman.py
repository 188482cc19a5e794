"""A page of the web that has had its own name looked up as 127.0.0.1 is not let in to the demo."""

from __future__ import annotations

from contextlib import nullcontext

import httpx
import pytest
from support.http import serving
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from asgi_tokenguard import Lifetimes
from asgi_tokenguard.demo import app as demo
from asgi_tokenguard.demo.client import OWN

OURS = ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:8000"]
NOT_OURS = [
    "evil.example", "evil.example:8000", "localhost.evil.example", "evil.example:localhost", "127.0.0.1.evil.example:8000",
    "localhost@evil.example", "localhost:8000@evil.example", "evil.example/localhost", "localhost localhost", "::1", "[::1", "",
    "192.0.2.1:8000", "[::2]:8000",
]  # fmt: skip


@pytest.fixture(params=[True, False], ids=["this computer's", "everybody's"])
def is_local(request):
    return request.param


@pytest.fixture
async def url(server, options, is_local):
    guarded = demo.build(redis=server.url, lifetimes=Lifetimes(access=30), namespace=options["namespace"], loopback=is_local)
    with serving(guarded, ws="websockets-sansio") as url:
        yield url


async def statuses(url, hosts):
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        return {host: (await http.get("/demo/about", headers={"host": host})).status_code for host in hosts}


async def test_the_names_of_this_computer_are_let_in(url):
    assert dict.fromkeys(OURS, 200) == await statuses(url, OURS)


async def test_other_names_are_let_in_only_where_other_computers_are(url, is_local):
    assert dict.fromkeys(NOT_OURS, 421 if is_local else 200) == await statuses(url, NOT_OURS)


async def test_nobody_logs_in_under_another_name(url, is_local):
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        rebound = {**OWN, "host": "evil.example", "origin": "http://evil.example"}
        answer = await http.post("/login", data={"user": "ada", "password": "lovelace"}, headers=rebound)
    assert (421, None) == (answer.status_code, answer.headers.get("set-cookie")) if is_local else 200 == answer.status_code


async def test_a_socket_with_a_good_token_stays_out_as_well(url, is_local):
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        answer = await http.post("/login", data={"user": "ada", "password": "lovelace"})
    address = {"host": "127.0.0.1", "port": int(url.rpartition(":")[2])}
    door = pytest.raises(InvalidStatus) if is_local else nullcontext()
    with door as refused:
        async with connect(
            "ws://evil.example/live", subprotocols=["tokenguard", answer.headers["x-new-access-token"]], **address
        ):
            pass
    assert refused is None or 403 == refused.value.response.status_code
