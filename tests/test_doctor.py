"""`tokenguard doctor` on real servers, each badly set up in one way, and on one that is fine."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.acl import rights
from support.cluster import Cluster, command, until
from support.needs import need_command
from support.sentinel import SentinelServer
from support.server import RedisServer, free_port
from support.topologies import mutual_tls, tls

import asgi_tokenguard.doctor
from asgi_tokenguard.cli import main
from asgi_tokenguard.doctor.finding import Weight
from asgi_tokenguard.doctor.findings import RULES, findings
from asgi_tokenguard.store.examination import NEEDED, OPTIONAL, Facts, ask, at

CAREFUL = (
    "--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2",
)  # fmt: skip


class Group:
    """A primary and its replicas, which have caught up."""

    def __init__(self, primary: RedisServer, replicas: list[RedisServer]) -> None:
        self.primary, self.replicas = primary, replicas
        self.url = primary.url

    @property
    def all(self) -> list[RedisServer]:
        return [self.primary, *self.replicas]


@contextmanager
def a_group(*more: str, travel: bool = False, replicas: int = 2, of_replicas: tuple[str, ...] = ()) -> Iterator[Group]:
    """All as we want them, but for *more* of the primary's settings, and those *of_replicas*."""
    with ExitStack() as undo:
        primary = RedisServer(port=True, travel=travel, more=[*CAREFUL, *more])
        undo.callback(primary.close)
        primary.start()
        follow = ("--replicaof", f"127.0.0.1 {primary.port}")
        followers = [RedisServer(port=True, travel=False, more=[*CAREFUL, *follow, *of_replicas]) for _ in range(replicas)]
        for replica in followers:
            undo.callback(replica.close)
            replica.start()
        for replica in followers:  # of them, as the primary's INFO may be renamed
            until(lambda replica=replica: command(replica, "INFO", "replication")["master_link_status"] == "up", "it follows")
        yield Group(primary, followers)


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    with a_group() as group:
        until(lambda: command(group.primary, "INFO", "replication")["connected_slaves"] == 2, "the replicas are there")
        yield group


@pytest.fixture
def pair(group: Group) -> RedisServer:
    """The primary of the group."""
    return group.primary


@pytest.fixture
def configured(group: Group) -> Iterator[Any]:
    """Changes settings of the good server for one test."""
    before: dict[tuple[RedisServer, str], str] = {}

    def change(server: RedisServer = group.primary, **settings: str | int) -> None:
        for name, value in settings.items():
            name = name.replace("_", "-")  # noqa: PLW2901
            before.setdefault((server, name), *command(server, "CONFIG", "GET", name).values())
            command(server, "CONFIG", "SET", name, value)

    yield change
    for (server, name), value in before.items():
        command(server, "CONFIG", "SET", name, value)


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
        ({"min_replicas_max_lag": 10}, "slow_min_replicas", "CONFIG SET min-replicas-max-lag 1"),  # the default
        ({"min_replicas_max_lag": 0}, "slow_min_replicas", "CONFIG SET min-replicas-max-lag 1"),
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
    with a_group(travel=True) as group:
        primary = group.primary
        primary.clock.file.write_text(f"{seconds:+}\n")
        until(lambda: abs(float(command(primary, "TIME")[0]) - time.time() - seconds) < 2, "the server's clock has moved")
        code, found = doctor(capsys, primary.url)
    assert (1, ["clock_skew"]) == (code, list(found))
    assert way in found["clock_skew"]["what"]


def test_a_command_that_was_taken_away_is_told_of(capsys):
    with a_group("--rename-command", "EVALSHA", "") as group:
        code, found = doctor(capsys, group.url)
    assert (1, ["missing_commands"]) == (code, list(found))
    assert found["missing_commands"]["what"].endswith(": evalsha")


@pytest.mark.parametrize(("name", "code"), [("WAITAOF", "no_waitaof"), ("CLIENT", "no_client")])
def test_what_can_be_done_without_is_no_danger(capsys, name, code):
    with a_group("--rename-command", name, "") as group:
        exit_code, found = doctor(capsys, group.url)
    assert (0, {code: "note"}) == (exit_code, {name: each["weight"] for name, each in found.items()})


UNANSWERED = {
    "config": "config_unknown", "info": "info_unknown", "command": "commands_unknown", "time": "clock_unknown",
}  # fmt: skip


def denied(group: Group, *rules: str) -> str:
    for server in group.all:
        command(server, "ACL", "SETUSER", "app", "reset", "on", ">pw", "~*", "+@all", *rules)
    return f"redis://app:pw@127.0.0.1:{group.primary.port}"


@pytest.mark.parametrize(("name", "code"), UNANSWERED.items())
def test_what_its_user_may_not_ask_is_left_open(group, capsys, name, code):
    exit_code, found = doctor(capsys, denied(group, f"-{name}"))
    assert (0, {code: "cannot tell"}) == (exit_code, {name: each["weight"] for name, each in found.items()})
    assert f"give +{name}" in found[code]["remedy"]


@pytest.mark.parametrize(("name", "code"), UNANSWERED.items())
def test_of_what_the_server_has_not_got_nothing_is_claimed_and_no_right_is_advised(capsys, name, code):
    with a_group("--rename-command", name, "") as group:
        exit_code, found = doctor(capsys, group.url)
    # INFO is not needed, TIME is: the one that is missing is told of, too.
    assert {code} == {each for each in found if found[each]["weight"] == "cannot tell"}
    assert set(found) - {code} == ({"missing_commands"} if name == "time" else set())
    assert exit_code == int(name == "time")
    assert f"unknown command '{name}'" in found[code]["what"].lower()
    assert "+" not in found[code]["remedy"]


def test_eviction_is_seen_without_config_as_well(group, configured, capsys):
    configured(maxmemory=10**9, maxmemory_policy="allkeys-lfu")
    code, found = doctor(capsys, denied(group, "-config"))
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


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(2, replicas=True, more=["--appendonly", "yes"]) as cluster:
        yield cluster


def places(capsys: Any, url: str) -> tuple[int, dict[str, list[str]]]:
    """The exit code, and where each was found."""
    code = main(["doctor", "--redis", url, "--json"])
    found: dict[str, list[str]] = {}
    for each in json.loads(capsys.readouterr().out)["findings"]:
        found.setdefault(each["code"], []).append(each["node"])
    return code, found


@pytest.mark.thorough
def test_of_a_cluster_every_server_is_examined(cluster, capsys):
    one, other = (f"127.0.0.1:{each.port}" for each in cluster.primaries)
    standby = f"127.0.0.1:{cluster.replicas[0].port}"
    url = f"redis://{one}"
    assert (0, {}) == places(capsys, url)
    command(cluster.primaries[1], "CONFIG", "SET", "appendfsync", "no")
    command(cluster.replicas[0], "CONFIG", "SET", "appendonly", "no")
    command(cluster.replicas[0], "CONFIG", "SET", "cluster-allow-reads-when-down", "yes")
    expected = (1, {"no_fsync": [other], "no_persistence": [standby], "reads_when_down": [standby]})
    assert expected == places(capsys, url)  # asked of the first one, found at the others
    assert expected == places(capsys, f"redis://{standby}")  # a replica knows them as well
    assert 1 == main(["doctor", "--redis", url])
    told = capsys.readouterr().out
    assert {f"at {one}: fine", f"at {other}: 1 to look at", f"at {standby}, a replica: 2 to look at"} <= set(
        re.findall(r"at 127.*", told)
    )
    assert "RedisCluster" in told


@pytest.mark.thorough
def test_a_user_of_a_cluster_has_to_find_its_members(cluster, capsys):
    for member in cluster.members:
        command(member, "ACL", "SETUSER", "app", "reset", "on", ">pw", *rights(), "+config|get", "+command|info")
    code, found = places(capsys, f"redis://app:pw@127.0.0.1:{cluster.primaries[0].port}")
    assert (0, {"cluster_unknown": [""]}) == (code, found)


@pytest.mark.thorough
def test_a_primary_of_a_cluster_that_cannot_be_asked_is_named(cluster, capsys):
    here, there = cluster.primaries
    command(here, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all")
    assert f"127.0.0.1:{there.port}: " in refusal(capsys, f"redis://app:pw@127.0.0.1:{here.port}")
    there.kill()
    assert f"127.0.0.1:{there.port}: " in refusal(capsys, f"redis://127.0.0.1:{here.port}")


@pytest.mark.thorough
def test_a_cluster_without_a_replica_is_told_the_command_that_a_cluster_takes(capsys):
    with Cluster(1, more=["--appendonly", "yes"]) as alone:
        code, found = doctor(capsys, f"redis://127.0.0.1:{alone.primaries[0].port}")
    assert (1, ["no_replicas"]) == (code, list(found))
    assert "CLUSTER REPLICATE" in found["no_replicas"]["remedy"]
    assert "REPLICAOF" not in found["no_replicas"]["remedy"]


# --- Who would take over


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"appendonly": "no"}, "no_persistence"),
        ({"maxmemory": 10**9, "maxmemory_policy": "allkeys-lru"}, "eviction"),
        ({"min_replicas_to_write": 0}, "no_min_replicas"),
        ({"min_replicas_max_lag": 10}, "slow_min_replicas"),
    ],
)
def test_a_replica_is_looked_at_as_the_next_primary(group, configured, capsys, settings, code):
    replica = group.replicas[1]
    configured(replica, **settings)
    assert (1, {code: [f"127.0.0.1:{replica.port}"]}) == places(capsys, group.url)


def test_with_as_many_replicas_as_a_write_wants_the_first_failover_stops_all_logins(capsys):
    with a_group(replicas=1) as group:
        code, found = doctor(capsys, group.url)
    assert (1, ["few_replicas"]) == (code, list(found))
    assert found["few_replicas"]["remedy"].startswith("have 2 at least")


def test_who_wants_two_replicas_for_a_write_needs_three(group, configured, capsys):
    configured(min_replicas_to_write=2)
    code, found = doctor(capsys, group.url)
    assert (1, ["few_replicas"]) == (code, list(found))
    assert found["few_replicas"]["remedy"].startswith("have 3 at least")


def test_a_user_whom_a_replica_does_not_know_is_locked_out_by_a_failover(group, capsys):
    url = denied(group)
    stranger = group.replicas[0]
    command(stranger, "ACL", "DELUSER", "app")
    code, found = doctor(capsys, url)
    assert (1, ["replica_refuses_user"]) == (code, list(found))
    assert f"127.0.0.1:{stranger.port} " in found["replica_refuses_user"]["what"]


def test_a_replica_that_cannot_be_reached_from_here_is_left_open(group, capsys):
    """As behind a tunnel: its address, as the primary tells it, is another server's, or nobody's."""
    other = RedisServer(port=True, travel=False).start()
    try:
        for port, why in ((other.port, "another server"), (free_port(), "Connect call failed")):
            more = [
                "--replicaof",
                f"127.0.0.1 {group.primary.port}",
                "--replica-announce-port",
                str(port),
                "--appendonly",
                "yes",
            ]
            hidden = RedisServer(port=True, travel=False, more=more)
            try:
                hidden.start()
                until(lambda it=hidden: command(it, "INFO", "replication")["master_link_status"] == "up", "it follows")
                code, found = doctor(capsys, group.url)
            finally:
                hidden.close()
            assert (0, {"replica_unknown": "cannot tell"}) == (code, {name: each["weight"] for name, each in found.items()})
            assert why in found["replica_unknown"]["what"]
    finally:
        other.close()


def test_a_replica_that_is_still_copying_is_left_open(group, configured, capsys):
    configured(repl_diskless_sync="yes", repl_diskless_sync_delay=60)
    late = RedisServer(port=True, travel=False, more=["--replicaof", f"127.0.0.1 {group.primary.port}"])
    try:
        late.start()
        until(lambda: command(group.primary, "INFO", "replication")["connected_slaves"] == 3, "it has come")
        code, found = doctor(capsys, group.url)
    finally:
        late.close()
    assert (0, ["replica_unknown"]) == (code, list(found))
    assert "still copying" in found["replica_unknown"]["what"]


@pytest.mark.parametrize(
    ("source", "host", "expected"),
    [
        ("redis://user:p%2Fw@one:6379/3", "10.0.0.2", "redis://user:p%2Fw@10.0.0.2:7/3"),
        ("rediss://one?ssl_ca_certs=/ca.pem", "::1", "rediss://[::1]:7?ssl_ca_certs=/ca.pem"),
        ("unix://user:pw@/run/redis.sock?db=2", "two", "redis://user:pw@two:7?db=2"),
    ],
)
def test_a_replica_is_asked_as_its_primary_was(source, host, expected):
    assert expected == at(source, host, 7)


# --- Memory


def test_memory_that_is_nearly_full_is_told_of(pair, configured, capsys):
    used = int(command(pair, "INFO", "memory")["used_memory"])
    configured(maxmemory=int(used * 1.03), maxmemory_policy="noeviction")
    code, found = doctor(capsys, pair.url)
    assert (1, ["memory"]) == (code, list(found))
    command(pair, *found["memory"]["remedy"].split())
    assert (0, {}) == doctor(capsys, pair.url)


# --- What is not the server that was meant


def refusal(capsys: Any, url: str) -> str:
    """The one line with which the command ends; no traceback, and nothing on the other stream."""
    assert 2 == main(["doctor", "--redis", url])
    told = capsys.readouterr()
    assert ("", 1) == (told.out, told.err.count("\n"))
    return told.err


def test_a_sentinel_is_told_apart(pair, capsys):
    sentinel = SentinelServer(pair)
    try:
        line = refusal(capsys, sentinel.start().url)
    finally:
        sentinel.close()
    assert "this is a Sentinel" in line
    assert f"main: redis://127.0.0.1:{pair.port}" in line


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("ssl_cacerts=/x", "did you mean ssl_ca_certs?"),
        ("ssl_=1", "what there is: "),
        ("ssl_ca_certs=/nowhere/ca.pem", "'/nowhere/ca.pem', which the URL gives as ssl_ca_certs, cannot be read"),
        ("ssl_min_version=TLSv1_2", "does not take the URL"),
        ("ssl_cert_reqs=maybe", "check the URL"),
    ],
)
def test_a_wrong_setting_of_tls_is_a_sentence(pair, capsys, query, said):
    assert said in refusal(capsys, f"rediss://user:secret@127.0.0.1:{pair.port}?{query}")


def test_settings_of_tls_want_tls(pair, capsys):
    assert "begin it with rediss://" in refusal(capsys, f"{pair.url}?ssl_ca_certs={__file__}")


def test_tls_to_a_plain_port_is_told_apart(pair, capsys, monkeypatch):
    monkeypatch.setattr("asgi_tokenguard.store.examination.PATIENCE", 1.0)
    line = refusal(capsys, f"rediss://user:secret@127.0.0.1:{pair.port}")
    assert "the server speaks no TLS on that port" in line
    assert "secret" not in line


async def source_of(reached: Any) -> str:
    async with reached.source() as url:
        return str(url)


@pytest.fixture
def _with_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    need_command("redis-server")  # Debian's; no wheel has a server with TLS
    monkeypatch.setenv("TOKENGUARD_REDIS_SERVER", str(shutil.which("redis-server")))


@pytest.mark.usefixtures("_with_tls")
def test_a_plain_url_to_a_tls_port_is_told_apart(capsys):
    with tls() as reached:
        url = asyncio.run(source_of(reached))
        assert 1 == doctor(capsys, url)[0]
        assert "begin the URL with rediss://" in refusal(capsys, url.partition("?")[0].replace("rediss:", "redis:"))
        assert "ssl_ca_certs is who signed its certificate" in refusal(capsys, url.partition("?")[0])


@pytest.mark.usefixtures("_with_tls")
def test_a_certificate_of_ours_that_is_missing_is_thought_of(capsys):
    with mutual_tls() as reached:
        url = asyncio.run(source_of(reached))
        assert "ssl_certfile and ssl_keyfile" in refusal(capsys, url.partition("&")[0])


# --- Where the URL comes from


def test_the_url_may_come_in_the_environment(pair, capsys, monkeypatch):
    monkeypatch.setenv("REDIS_URL", pair.url)
    assert 0 == main(["doctor"])
    assert ": fine" in capsys.readouterr().out
    assert 2 == main(["doctor", "--redis", f"redis://127.0.0.1:{free_port()}"])  # what is given counts


@pytest.mark.parametrize("url", [None, ""])
def test_without_it_the_server_of_this_computer_is_asked(capsys, monkeypatch, url):
    asked = []
    monkeypatch.setattr("asgi_tokenguard.doctor.report.main", lambda **each: asked.append(each["redis"]) or 0)
    monkeypatch.delenv("REDIS_URL", raising=False)
    if url is not None:
        monkeypatch.setenv("REDIS_URL", url)
    assert 0 == main(["doctor"])
    assert ["redis://localhost:6379/0"] == asked


def test_help_does_not_show_what_the_environment_holds(capsys, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://:secret@localhost")
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    told = capsys.readouterr().out
    assert "$REDIS_URL" in told
    assert "secret" not in told


# --- Servers that cannot be had here


@pytest.fixture(scope="module")
def facts(group: Group) -> Facts:
    return asyncio.run(ask(group.url))[0]


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
    alone = facts.settings | {"min-replicas-to-write": "0", "min-replicas-max-lag": "10"}
    assert ["no_min_replicas", "slow_min_replicas"] == [each.code for each in findings(replace(facts, settings=alone))]
    assert [] == findings(replace(facts, settings=alone, info=facts.info | {"cluster_enabled": 1}))


def test_without_config_info_says_whether_a_primary_stops(facts):
    info = {name: value for name, value in facts.info.items() if name != "min_slaves_good_slaves"}
    assert ["no_min_replicas"] == [each.code for each in findings(replace(facts, settings=None, info=info))]
    assert [] == findings(replace(facts, settings=None))
    assert [] == findings(replace(facts, settings=None, info=info, stands_by=True))  # of a replica it says nothing


def test_a_server_without_wait_is_told_of_once(facts):
    assert ["no_wait"] == [each.code for each in findings(replace(facts, missing=frozenset({"wait", "waitaof"})))]


def test_nothing_is_asked_for_that_the_floor_has_not(facts):
    names = (*NEEDED, *OPTIONAL)
    assert len(set(names)) == len(names)
    assert facts.missing == frozenset()


def test_every_code_is_of_one_rule_and_documented():
    folder = Path(asgi_tokenguard.doctor.__file__).parent
    sources = "".join((folder / name).read_text() for name in ("server.py", "replication.py"))
    codes = re.findall(r'(?:unsafe|note|unknown|: )\(\s*"(\w+)"', sources)
    assert len(codes) == len(set(codes)) >= len(RULES) + 10
    text = (Path(__file__).parent.parent / "docs" / "topics" / "durability.md").read_text()
    assert [] == [code for code in codes if f"`{code}`" not in text]
    assert {"unsafe", "note", "cannot tell"} == set(Weight)
