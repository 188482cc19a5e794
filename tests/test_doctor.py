"""`tokenguard doctor` on real servers, each badly set up in one way, and on one that is fine."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster, command, until
from support.server import RedisServer, free_port

from asgi_tokenguard.cli import main
from asgi_tokenguard.doctor import findings as source
from asgi_tokenguard.doctor.findings import RULES, Weight, findings
from asgi_tokenguard.store.examination import NEEDED, Facts, ask

CAREFUL = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--min-replicas-to-write", "1")


@contextmanager
def a_pair(*more: str, travel: bool = False) -> Iterator[RedisServer]:
    """A primary as we want it, but for *more*, whose replica has caught up."""
    with ExitStack() as undo:
        primary = RedisServer(port=True, travel=travel, more=[*CAREFUL, *more])
        undo.callback(primary.close)
        primary.start()
        replica = RedisServer(travel=False, more=["--replicaof", f"127.0.0.1 {primary.port}"])
        undo.callback(replica.close)
        replica.start()
        until(lambda: command(primary, "INFO", "replication")["connected_slaves"], "the replica is there")
        yield primary


@pytest.fixture(scope="module")
def pair() -> Iterator[RedisServer]:
    with a_pair() as primary:
        yield primary


@pytest.fixture
def configured(pair: RedisServer) -> Iterator[Any]:
    """Changes settings of the good server for one test."""
    before: dict[str, str] = {}

    def change(**settings: str | int) -> None:
        for name, value in settings.items():
            name = name.replace("_", "-")  # noqa: PLW2901
            before.setdefault(name, *command(pair, "CONFIG", "GET", name).values())
            command(pair, "CONFIG", "SET", name, value)

    yield change
    for name, value in before.items():
        command(pair, "CONFIG", "SET", name, value)


def doctor(capsys: Any, url: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what it found: code -> finding."""
    code = main(["doctor", "--redis", url, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == report["exit"]
    return code, {each["code"]: each for each in report["findings"]}


def test_a_server_that_is_set_up_well_is_fine(pair, capsys):
    assert (0, {}) == doctor(capsys, pair.url)
    assert 0 == main(["doctor", "--redis", pair.url])
    assert capsys.readouterr().out.endswith(": fine\n")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_may_drop_sessions_is_told_of(pair, configured, capsys, policy):
    """All keys of sessions have an expiry, so that `volatile` spares none."""
    configured(maxmemory=10**9, maxmemory_policy=policy)
    code, found = doctor(capsys, pair.url)
    assert (1, ["eviction"]) == (code, list(found))
    assert policy in found["eviction"]["what"]
    assert "CONFIG SET maxmemory-policy noeviction" == found["eviction"]["remedy"]


@pytest.mark.parametrize(("memory", "policy"), [(0, "allkeys-lru"), (10**9, "noeviction")])
def test_a_server_that_drops_nothing_is_fine(pair, configured, capsys, memory, policy):
    configured(maxmemory=memory, maxmemory_policy=policy)
    assert (0, {}) == doctor(capsys, pair.url)


@pytest.mark.parametrize(
    ("settings", "code", "remedy"),
    [
        ({"appendonly": "no", "save": ""}, "no_persistence", "CONFIG SET appendonly yes"),
        ({"appendonly": "no", "save": "3600 1"}, "snapshots_only", "CONFIG SET appendonly yes"),
        ({"appendfsync": "no"}, "no_fsync", "CONFIG SET appendfsync everysec"),
        ({"min_replicas_to_write": 0}, "no_min_replicas", "CONFIG SET min-replicas-to-write 1"),
    ],
)
def test_what_is_unsafe_is_told_with_its_remedy_and_is_fine_after_it(pair, configured, capsys, settings, code, remedy):
    configured(**settings)
    exit_code, found = doctor(capsys, pair.url)
    assert (1, {code: remedy}) == (exit_code, {name: each["remedy"] for name, each in found.items()})
    assert "unsafe" == found[code]["weight"]
    command(pair, *remedy.split())
    assert (0, {}) == doctor(capsys, pair.url)


def test_a_server_without_a_replica_is_told_of(capsys):
    server = RedisServer(port=True, travel=False, more=["--appendonly", "yes"])
    try:
        code, found = doctor(capsys, server.start().url)
    finally:
        server.close()
    # Not of min-replicas-to-write: that would stop it.
    assert (1, ["no_replicas"]) == (code, list(found))
    assert f"REPLICAOF <host of this one> {server.port}" in found["no_replicas"]["remedy"]


def test_a_replica_is_no_server_for_sessions(pair, capsys):
    replica = RedisServer(port=True, travel=False, more=["--appendonly", "yes", "--replicaof", f"127.0.0.1 {pair.port}"])
    try:
        assert (1, ["replica"]) == ((told := doctor(capsys, replica.start().url))[0], list(told[1]))
    finally:
        replica.close()


@pytest.mark.parametrize(("seconds", "way"), [(30, "ahead of"), (-30, "behind")])
def test_a_clock_that_is_wrong_is_told_of(capsys, seconds, way):
    with a_pair(travel=True) as primary:
        primary.clock.file.write_text(f"{seconds:+}\n")
        until(lambda: abs(float(command(primary, "TIME")[0]) - time.time() - seconds) < 2, "the server's clock has moved")
        code, found = doctor(capsys, primary.url)
    assert (1, ["clock_skew"]) == (code, list(found))
    assert way in found["clock_skew"]["what"]


def test_a_command_that_was_taken_away_is_told_of(capsys):
    with a_pair("--rename-command", "EVALSHA", "") as primary:
        code, found = doctor(capsys, primary.url)
    assert (1, ["missing_commands"]) == (code, list(found))
    assert found["missing_commands"]["what"].endswith(": evalsha")


def test_without_waitaof_fsynced_cannot_be_had_which_is_no_danger(capsys):
    with a_pair("--rename-command", "WAITAOF", "") as primary:
        code, found = doctor(capsys, primary.url)
    assert (0, {"no_waitaof": "note"}) == (code, {name: each["weight"] for name, each in found.items()})


def denied(pair: RedisServer, *rules: str) -> str:
    command(pair, "ACL", "SETUSER", "app", "reset", "on", ">pw", "~*", "+@all", *rules)
    return f"redis://app:pw@127.0.0.1:{pair.port}"


@pytest.mark.parametrize(
    ("rule", "code"), [("-config", "config_unknown"), ("-info", "info_unknown"), ("-command", "commands_unknown")]
)
def test_what_its_user_may_not_ask_is_left_open(pair, capsys, rule, code):
    assert (0, {code: "cannot tell"}) == (
        (told := doctor(capsys, denied(pair, rule)))[0],
        {name: each["weight"] for name, each in told[1].items()},
    )


def test_eviction_is_seen_without_config_as_well(pair, configured, capsys):
    configured(maxmemory=10**9, maxmemory_policy="allkeys-lfu")
    code, found = doctor(capsys, denied(pair, "-config"))
    assert (1, ["eviction", "config_unknown"]) == (code, list(found))  # the worst first


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{closed}", "redis://app:wrong@127.0.0.1:{port}", "http://127.0.0.1"])
def test_a_server_that_cannot_be_asked_is_two(pair, capsys, url):
    assert 2 == main(["doctor", "--redis", url.format(closed=free_port(), port=pair.port)])
    told = capsys.readouterr()
    assert ("", True) == (told.out, told.err.startswith("tokenguard: redis: "))
    assert "wrong" not in told.err.replace("WRONGPASS", "")


def test_the_report_says_what_why_and_what_to_do(pair, configured, capsys):
    configured(appendonly="no", save="")
    assert 1 == main(["doctor", "--redis", pair.url])
    told = capsys.readouterr().out
    for part in (
        "unsafe: neither an append-only file",
        "a restart signs everybody out",
        "-> CONFIG SET appendonly yes",
        "REWRITE",
    ):
        assert part in told


@pytest.mark.thorough
def test_of_a_cluster_every_primary_is_examined(capsys):
    with Cluster(2, replicas=True, more=["--appendonly", "yes"]) as cluster:
        one, other = (f"127.0.0.1:{each.port}" for each in cluster.primaries)
        url = f"redis://{one}"
        assert (0, {}) == doctor(capsys, url)
        command(cluster.primaries[1], "CONFIG", "SET", "appendfsync", "no")
        code, found = doctor(capsys, url)  # asked of the first one, found at the second
        assert (1, {"no_fsync": other}) == (code, {name: each["node"] for name, each in found.items()})
        assert 1 == main(["doctor", "--redis", url])
        assert {f"at {one}: fine", f"at {other}: 1 to look at"} <= set(re.findall(r"at 127.*", capsys.readouterr().out))
        assert (code, found) == doctor(capsys, f"redis://127.0.0.1:{cluster.replicas[0].port}")  # a replica knows them as well


# --- Servers that cannot be had here


@pytest.fixture(scope="module")
def facts(pair: RedisServer) -> Facts:
    (found,) = asyncio.run(ask(pair.url))
    return found


@pytest.mark.parametrize(
    ("names", "is_told"),
    [
        ({"redis_version": "6.0.20"}, True),
        ({"redis_version": "6.2.14"}, False),
        ({"redis_version": "8.2.3"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.9"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.0"}, False),
    ],
)
def test_a_server_below_the_floor_is_told_of(facts, names, is_told):
    info = {name: value for name, value in facts.info.items() if name not in {"redis_version", "valkey_version"}}
    assert is_told == ("too_old" in {each.code for each in findings(replace(facts, info=info | names))})


def test_a_primary_of_a_cluster_stops_by_itself(facts):
    info = {name: value for name, value in facts.info.items() if name != "min_slaves_good_slaves"}
    assert ["no_min_replicas"] == [each.code for each in findings(replace(facts, info=info))]
    assert [] == findings(replace(facts, info=info | {"cluster_enabled": 1}))


def test_a_server_without_wait_is_told_of_once(facts):
    assert ["no_wait"] == [each.code for each in findings(replace(facts, missing=frozenset({"wait", "waitaof"})))]


def test_nothing_is_asked_for_that_the_floor_has_not(facts):
    assert len(set(NEEDED)) == len(NEEDED)
    assert facts.missing == frozenset()


def test_every_code_is_of_one_rule_and_documented():
    codes = re.findall(r'Said\(\s*"(\w+)"', Path(source.__file__).read_text())
    assert len(codes) == len(set(codes)) >= len(RULES)
    text = (Path(__file__).parent.parent / "docs" / "topics" / "durability.md").read_text()
    assert [] == [code for code in codes if f"`{code}`" not in text]
    assert {"unsafe", "note", "cannot tell"} == set(Weight)
