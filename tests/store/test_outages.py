"""What the log says of troubles with the store: each once at its beginning and once at its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import closing, suppress

import pytest
from redis.exceptions import ConnectionError, OutOfMemoryError, ResponseError, TimeoutError  # noqa: A004 (redis-py's own)
from support.cluster import Cluster, client_of, command
from support.server import RedisServer
from support.time import Hand

from asgi_tokenguard import StoreUnavailable, TokenGuard
from asgi_tokenguard.store import outages as module
from asgi_tokenguard.store.keyspace import session_key
from asgi_tokenguard.store.outages import QUIET_SECONDS, SILENCE, Outages

SECRET = "a secret of more than thirty-two bytes, for tests only"
FULL = OutOfMemoryError("command not allowed when used memory > 'maxmemory'.", status_code="OOM")
CUT_OFF = ResponseError("NOREPLICAS Not enough good replicas to write.")


class Nodes:
    """Of a cluster whose primaries are *names*."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def is_asked(self, node: str) -> bool:
        return node in self.names

    def address(self, node: str) -> str:
        return node


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def nodes() -> Nodes:
    return Nodes("one", "two")


@pytest.fixture
def outages(nodes, clock) -> Outages:
    return Outages(nodes, clock)


def said(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "asgi_tokenguard"]


def test_a_silent_node_is_told_of_once_at_each_end(outages, caplog):
    for _ in range(3):
        outages.failed("one", "HGET", ConnectionError("refused"))
        outages.answered("two", "HGET", has_written=False)  # another's answer is no end of it
    for _ in range(3):
        outages.answered("one", "HGET", has_written=False)
    begun, ended = said(caplog)
    assert begun.startswith("Redis does not answer, requests with credentials get 503: ConnectionError: refused")
    assert "Redis answers again (one)" == ended
    assert outages.is_quiet


def test_another_reason_is_told_once_more_and_another_wording_is_none(outages, caplog):
    for error in (ConnectionError("refused"), OSError(104, "reset"), ConnectionError("closed"), TimeoutError("late")) * 3:
        outages.failed("one", "HGET", error)
    assert ["refused (one)", "no answer in time (one)"] == [line.rpartition(": ")[2] for line in said(caplog)]


def test_refused_writes_are_told_of_once_while_reads_are_answered(outages, clock, caplog):
    for _ in range(50):
        clock.now += 0.6
        outages.failed("one", "login", FULL)
        outages.answered("one", "HGET", has_written=False)
        outages.answered("one", "present", has_written=False)  # which had nothing to write
    (begun,) = said(caplog)
    refused = "OOM command not allowed when used memory > 'maxmemory'; give it more memory (maxmemory)"
    assert f"Redis refuses: {refused} (one)" == begun
    clock.now += QUIET_SECONDS
    outages.answered("one", "present", has_written=False)
    assert 1 == len(said(caplog))
    outages.answered("one", "present", has_written=True)
    assert "Redis takes writes again (one)" == said(caplog)[1]
    assert outages.is_quiet


def test_memory_that_is_full_now_and_then_is_one_trouble(outages, clock, caplog):
    for _ in range(50):
        clock.now += 0.6
        outages.failed("one", "login", FULL)
        outages.answered("one", "login", has_written=True)
    assert 1 == len(said(caplog))


def test_a_changed_reason_of_a_refusal_is_told_once_more(outages, caplog):
    for error in (FULL, CUT_OFF, FULL, CUT_OFF):
        outages.failed("one", "login", error)
    assert ["OOM", "NOREPLICAS"] == [line.split()[2] for line in said(caplog)]


def test_who_refuses_answers(outages, caplog):
    outages.failed("one", "login", TimeoutError("late"))
    outages.failed("one", "login", CUT_OFF)
    assert ["Redis does not", "Redis answers again", "Redis refuses: NOREPLICAS"] == [
        " ".join(line.split()[:3]) for line in said(caplog)
    ]


def test_what_one_command_may_not_ends_when_it_may(outages, clock, caplog):
    outages.failed("one", "SET", ResponseError("NOPERM this user has no permissions to run the 'set' command"))
    clock.now += QUIET_SECONDS
    outages.answered("one", "login", has_written=True)
    assert 1 == len(said(caplog))
    outages.answered("one", "SET", has_written=True)
    assert "Redis refuses no more (one)" == said(caplog)[1]


def test_a_primary_that_was_replaced_troubles_nobody_any_more(outages, nodes, caplog):
    outages.failed("one", "HGET", ConnectionError("refused"))
    nodes.names = {"two", "three"}
    outages.answered("three", "HGET", has_written=False)
    assert "Redis answers again (one)" == said(caplog)[1]
    assert outages.is_quiet


def test_a_deadline_tells_of_who_was_given_up_and_has_not_answered_since(outages, caplog):
    outages.gave_up("one")
    outages.gave_up("two")
    outages.answered("two", "HGET", has_written=False)
    outages.late()
    outages.late()
    assert ["no answer in time (one)"] == [line.rpartition(": ")[2] for line in said(caplog)]
    assert outages.lasts("one", SILENCE)
    assert not outages.lasts("two", SILENCE)


# --- Real servers


async def ask(questions: Iterable, seconds: float) -> None:
    """Again and again, until so long has passed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for question in questions:
            with suppress(StoreUnavailable):
                await question()
        await asyncio.sleep(0.01)


async def test_a_full_memory_is_told_of_once_while_tokens_are_checked(own, caplog, monkeypatch):
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.3)
    async with TokenGuard(secret=SECRET, redis=own.url, cache=False, timeout=10) as guard:
        tokens = await guard.login("user-1")
        questions = [
            lambda: guard.login("user-2"),
            lambda: guard.authenticate(tokens.access_token),
            lambda: guard.rotate(tokens.refresh_token),  # not over: it writes nothing
        ]
        command(own, "CONFIG", "SET", "maxmemory", 1)
        await ask(questions, 0.7)
        assert 1 == len(said(caplog)), said(caplog)
        assert said(caplog)[0].startswith("Redis refuses: OOM ")
        assert said(caplog)[0].endswith(f"give it more memory (maxmemory) (127.0.0.1:{own.port})")
        command(own, "CONFIG", "SET", "maxmemory", 0)
        await ask(questions, 0.7)
    assert [f"Redis takes writes again (127.0.0.1:{own.port})"] == said(caplog)[1:]


@pytest.mark.thorough
async def test_replicas_that_are_missing_and_a_password_that_is_wrong_are_told_as_what_they_are(caplog):
    with closing(RedisServer(port=True, travel=False, more=["--min-replicas-to-write", "1"]).start()) as server:
        command(server, "ACL", "SETUSER", "app", "on", ">hunter2", "~*", "&*", "+@all")
        url = "redis://app:{}@127.0.0.1:{}"
        async with TokenGuard(secret=SECRET, redis=url.format("hunter2", server.port), timeout=10) as guard:
            await ask([lambda: guard.login("user-1")], 0.1)
        (line,) = said(caplog)
        assert line.startswith("Redis refuses: NOREPLICAS ")
        assert line.endswith(f"bring its replicas back (min-replicas-to-write) (127.0.0.1:{server.port})")
        caplog.clear()
        guard = TokenGuard(secret=SECRET, redis=url.format("hunter3", server.port), timeout=10)
        await ask([guard.open, lambda: guard.login("user-1")], 0.1)
        await guard.aclose()
        (line,) = said(caplog)
        assert line.startswith("Redis refuses: WRONGPASS ")
        assert line.endswith(f"check user and password of `redis` (127.0.0.1:{server.port})")
        assert "hunter" not in caplog.text


@pytest.mark.thorough
async def test_on_a_cluster_one_dead_node_is_told_of_once_while_the_others_answer(caplog):
    with Cluster(3) as cluster:
        async with client_of(cluster) as client, TokenGuard(secret=SECRET, redis=client, timeout=1, cache=False) as guard:
            users = [f"user-{number}" for number in range(30)]
            tokens = [await guard.login(user) for user in users]
            victim = cluster.owner(session_key("tg", users[0]))
            caplog.set_level(logging.WARNING, "asgi_tokenguard")
            victim.kill()
            await asyncio.gather(*(ask([lambda each=each: guard.authenticate(each.access_token)], 1.0) for each in tokens))
            lines = said(caplog)
            assert 1 <= len(lines) <= 3  # one for each reason
            assert {True} == {line.startswith("Redis does not answer") for line in lines}
            assert {True} == {line.endswith(f"(127.0.0.1:{victim.port})") for line in lines}
            victim.start()
            async with asyncio.timeout(30):
                while len(said(caplog)) == len(lines):
                    await ask([lambda: guard.login(users[0])], 0.1)
            assert f"Redis answers again (127.0.0.1:{victim.port})" == said(caplog)[len(lines)]
