"""The sizing model of `benchmarks/capacity.py --model`: its arithmetic, its check, and the page that shows what it says."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from support.server import RedisServer

from asgi_tokenguard import TokenGuard

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "benchmarks"
PAGE = ROOT / "docs" / "topics" / "scale.md"
sys.path.append(str(ROOT / "benchmarks"))

from _capacity_town import packed  # noqa: E402 (scripts, not a package)
from _model import Plan, cell_of, session_bytes, size, slots_a_key, split  # noqa: E402
from _model_points import costs_of, line, read_reports, shared_line  # noqa: E402

COSTS = costs_of(read_reports())
PLANS = st.builds(
    Plan,
    sessions=st.floats(10_000, 1e9),
    active=st.floats(0.001, 1),
    requests=st.floats(0.001, 10),
    processes=st.integers(1, 20_000),
    reach=st.integers(0, 100),
    replicas=st.integers(0, 2),
)


@settings(deadline=None, database=None)
@given(plan=PLANS)
def test_twice_the_sessions_are_twice_the_data_and_the_rates(plan):
    one, two = size(plan, COSTS), size(replace(plan, sessions=plan.sessions * 2), COSTS)
    for key in ("data_gb", "rotations", "logins", "requests", "changes", "pushes"):
        assert getattr(two, key) == pytest.approx(2 * getattr(one, key))


@settings(deadline=None, database=None)
@given(plan=PLANS)
def test_twice_the_processes_are_twice_the_pushes_and_each_hears_as_many(plan):
    one, two = size(plan, COSTS), size(replace(plan, processes=plan.processes * 2), COSTS)
    assert two.pushes == pytest.approx(2 * one.pushes)
    assert (one.changes, 2 * one.leases) == pytest.approx((two.changes, two.leases))
    assert 2 * one.connections == two.connections


@settings(deadline=None, database=None)
@given(plan=PLANS, more=st.floats(1, 100))
def test_more_never_needs_fewer_primaries(plan, more):
    def primaries(of):
        return size(of, COSTS).primaries

    assert primaries(plan) <= primaries(replace(plan, sessions=plan.sessions * more))
    assert primaries(plan) >= primaries(replace(plan, primary_gb=plan.primary_gb * more))
    # Among more processes there may be room for tokens that fewer have to ask about, which is another matter.
    plan = replace(plan, requests=0)
    assert primaries(plan) <= primaries(replace(plan, processes=plan.processes * more))


@settings(deadline=None, database=None)
@given(plan=PLANS, more=st.floats(1, 100))
def test_what_needs_more_of_a_process_needs_more_processes(plan, more):
    plan = replace(plan, processes=0)
    found = size(plan, COSTS)
    assert found.processes <= size(replace(plan, handler=plan.handler * more), COSTS).processes
    assert found.processes * plan.busy >= found.requests * plan.handler / 1e6


@settings(deadline=None, database=None)
@given(plan=PLANS)
def test_cells_share_the_users_and_nobody_elses_changes(plan):
    whole, cell = size(plan, COSTS), size(cell_of(plan, 4), COSTS)
    assert 4 * cell.changes == pytest.approx(whole.changes)
    # A quarter of the changes to a quarter of the processes.
    assert cell.pushes <= whole.pushes / 16 * 1.01 + cell.changes


@settings(deadline=None, database=None)
@given(plan=PLANS)
def test_a_split_is_within_the_limits_and_one_cell_less_is_not(plan):
    plan = replace(plan, processes=0, sessions=min(plan.sessions, 1e8), active=min(plan.active, 0.1))
    cells, found = split(plan, COSTS)
    assert found.fits(plan)
    if cells > 1:
        assert not size(cell_of(plan, cells - 1), COSTS).fits(plan)


@settings(deadline=None, database=None)
@given(plan=PLANS)
def test_who_keeps_no_tokens_asks_each_time_and_hears_nothing(plan):
    found = size(replace(plan, cache=0), COSTS)
    assert (0, 0, 0, 0) == (found.pushes, found.heard, found.leases, found.tokens)
    assert found.checks == pytest.approx(found.requests)
    assert found.checks >= size(plan, COSTS).checks


@settings(deadline=None, database=None)
@given(plan=PLANS)
def test_no_process_is_told_to_know_more_tokens_than_its_cache_holds(plan):
    found = size(plan, COSTS)
    assert found.tokens <= 65_536
    assert 0 <= found.cold <= 1


def test_more_sessions_of_one_user_share_their_key():
    alone, with_others = session_bytes(Plan(), COSTS, 1), session_bytes(Plan(per_user=3), COSTS, 1)
    assert COSTS.key_bytes * 2 / 3 < alone - with_others < (COSTS.key_bytes + COSTS.slot_bytes) * 2 / 3 + 0.01


def test_a_table_has_the_next_power_of_two_of_slots():
    assert [1, 4 / 3, 1, 8 / 5] == [slots_a_key(keys) for keys in (2, 3, 4, 5)]


@settings(deadline=None, database=None)
@given(fixed=st.floats(0, 1000), each=st.floats(0, 1000))
def test_a_line_is_found_again(fixed, each):
    found = line([(number, fixed + each * number) for number in (1, 2, 7)])
    assert (fixed, each) == pytest.approx((found.fixed, found.each), abs=1e-6)
    shared = shared_line([(number, each + fixed / number) for number in (1, 100)])
    assert shared.of(10) == pytest.approx(each + fixed / 10, abs=1e-6)


# --- the command, the JSON and the page


@pytest.fixture(scope="module")
def documented():
    return json.loads((FOLDER / "model.json").read_text())


def ran(*words):
    command = [sys.executable, "benchmarks/capacity.py", "--model", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_command_writes_the_documented_json(documented, tmp_path):
    """It measures nothing, so that it says the same wherever it runs."""
    printed = ran("--json", str(tmp_path / "model.json"))
    assert documented == json.loads((tmp_path / "model.json").read_text())
    assert [] == [row["name"] for row in documented["rows"] if row["name"] not in printed]
    assert [] == [row["memory"] for row in documented["cells"] if row["memory"] not in printed]


def test_every_assumption_is_a_flag(tmp_path):
    """One that is told changes what is said; a size that is told is the only one."""
    told = {"sessions": "5e6", "active": "0.2", "access": "300", "processes": "64", "replicas": "2"}
    words = [word for name, value in told.items() for word in (f"--{name}", value)]
    ran("--json", str(tmp_path / "model.json"), *words)
    report = json.loads((tmp_path / "model.json").read_text())
    (row,) = report["whole"]
    numbers = row["numbers"]
    assert (5e6, 64) == (numbers["sessions"], numbers["processes"])
    assert numbers["rotations"] == pytest.approx(5e6 * 0.2 / 300, rel=1e-3)
    assert {each.name for each in fields(Plan)} - {"sessions"} == {each["name"] for each in report["assumptions"]}


def test_where_the_model_was_not_fitted_it_is_off_by_less_than_its_bound(documented):
    highest = [row["error_percent"] if row["high_percent"] == "above" else row["high_percent"] for row in documented["rows"]]
    errors = [(row["name"], row["low_percent"], row["error_percent"]) for row in documented["rows"]]
    assert [] == [each for each, most in zip(errors, highest, strict=True) if not each[1] <= each[2] <= most]
    assert len(documented["rows"]) >= 10


def test_the_page_shows_the_json(documented, monkeypatch):
    pieces = import_module("_model_report").pieces(documented)
    page = PAGE.read_text()
    for name, lines in pieces.items():
        assert f"<!-- {name} -->\n{lines}<!-- end -->" in page
    assert set(re.findall(r"<!-- (\w+) -->", page)) == {*pieces, "model", "end"}


def test_no_figure_stands_in_the_prose_of_the_page():
    prose = re.sub(r"<!-- \w+ -->.*?<!-- end -->", "", PAGE.read_text(), flags=re.DOTALL)
    assert [] == re.findall(r"\d+(?:\.\d+)? ?(?:µs|ms|%|times|GB|bytes|changes|connections)", prose)


# --- a few points on a real server


@pytest.fixture
def own():
    server = RedisServer(travel=False).start()
    yield server
    server.close()


async def test_each_change_is_pushed_to_every_process_that_listens_and_takes_66_bytes(own):
    """`>2`, `$10 invalidate`, `*1` and the key: the model's bytes of a push, for one listener and for four."""
    sent = {}
    async with Redis.from_url(own.url) as client:
        for number in (0, 1, 4):
            listening = [Redis.from_url(own.url, protocol=3) for _ in range(number)]
            channels = [await each.connection_pool.get_connection() for each in listening]
            for channel in channels:
                await channel.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "tg:s:")
                await channel.read_response()
            before = (await client.info("stats"))["total_net_output_bytes"]
            for at in range(100):
                await client.hset(f"tg:s:{{{at:027}}}", "~", str(number))
            sent[number] = (await client.info("stats"))["total_net_output_bytes"] - before
            for channel, owner in zip(channels, listening, strict=True):
                await channel.disconnect()
                await owner.aclose()
    # `INFO` itself is answered with some bytes more or less.
    assert 66 == pytest.approx((sent[1] - sent[0]) / 100, abs=1) == pytest.approx((sent[4] - sent[0]) / 400, abs=1)
    assert COSTS.push_bytes == pytest.approx(66, abs=0.5)


async def test_the_changes_that_the_model_counts_are_those_that_are_pushed(own):
    """A login and its first use; a rotation and its first use; its end."""
    heard: list[bytes] = []
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url, timeout=10) as guard, Redis.from_url(own.url, protocol=3) as other:
        channel = await other.connection_pool.get_connection()
        await channel.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "tg:s:")
        await channel.read_response()

        async def pushed(message):
            heard.extend(message[1])

        channel._parser.set_invalidation_push_handler(pushed)

        async def count():
            await channel.send_command("PING")
            while await channel.read_response(push_request=True) is None:
                pass
            found, heard[:] = len(heard), []
            return found

        login = await guard.login("user-1")
        assert 1 == await count()
        await guard.authenticate(login.access_token)
        assert 1 == await count()
        await guard.authenticate(login.access_token)
        assert 0 == await count()
        assert 1 == await guard.revoke_all("user-1")
        assert 1 == await count()
        await channel.disconnect()


async def test_a_listener_that_hangs_is_cut_off_by_the_limit_of_normal_clients(own):
    """The page tells operators to set that one: `pubsub` does not hold for it, and by default nothing does."""
    async with Redis.from_url(own.url, protocol=3) as hanging, Redis.from_url(own.url) as client:
        reader, writer = await asyncio.open_unix_connection(str(own.socket))
        for kind, is_cut_off in {"pubsub": False, "normal": True}.items():
            await client.config_set("client-output-buffer-limit", f"{kind} 100kb 0 0")
            channel = await hanging.connection_pool.get_connection()
            await channel.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "tg:s:")
            await channel.read_response()
            for _ in range(40):  # several times what the sockets between them hold
                writer.write(b"".join(packed(b"HSET", b"tg:s:%027d" % at, b"~", b"") for at in range(1_000)))
                await reader.readexactly(1_000 * len(b":1\r\n"))
            listening = [each for each in await client.client_list() if "t" in each["flags"]]
            assert is_cut_off == (listening == [])
            await channel.disconnect()
        writer.close()


async def test_without_a_cache_nobody_listens_until_there_is_a_stream(own):
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url, timeout=10, cache=False) as guard, Redis.from_url(own.url) as client:

        async def listening():
            return [each["name"] for each in await client.client_list() if "t" in each["flags"]]

        identity = await guard.authenticate((await guard.login("user-1")).access_token)
        assert [] == await listening()
        guest = guard.engine.vigil.attend(identity, lambda *_: None, since=guard.engine.store.clock.monotonic())
        async with asyncio.timeout(10):
            while not await listening():
                await asyncio.sleep(0.01)
        guard.engine.vigil.dismiss(guest)


async def test_users_are_tables_whatever_is_set_for_short_lists(own):
    """A record is longer than `hash-max-listpack-value` allows by default."""
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url, timeout=10) as guard, Redis.from_url(own.url) as client:
        await guard.login("user-1")
        assert b"hashtable" == await client.object("ENCODING", guard.engine.store.key_of("user-1"))


@pytest.mark.thorough
async def test_a_fresh_measurement_meets_the_model(own, monkeypatch):
    """Bytes of a session with two of a user, which nothing was fitted to; on whatever server is here."""
    memory = import_module("memory")
    monkeypatch.setitem(memory.TARGETS, 2, 0)
    secret = "a secret of more than thirty-two bytes, for tests only"
    async with TokenGuard(secret=secret, redis=own.url, timeout=60) as guard, Redis.from_url(own.url) as client:
        row = await memory.measured(guard, client, memory.claims_of(120), 20_000, 2)
    predicted = session_bytes(Plan(per_user=2), COSTS, slots_a_key(10_000))
    assert predicted == pytest.approx(row["bytes"], rel=0.05)


@pytest.mark.thorough
async def test_a_quick_run_of_the_points_has_all_that_the_model_reads(tmp_path):
    """Two and four processes listen: each hears every change, or the run ends with an error."""
    command = [sys.executable, "benchmarks/primary.py", "--quick", "--json", str(tmp_path / "primary.json")]
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.DEVNULL)
    assert 0 == await asyncio.wait_for(running.wait(), 110)
    report = json.loads((tmp_path / "primary.json").read_text())
    costs = costs_of(read_reports() | {"primary": report})
    assert 66 == pytest.approx(costs.push_bytes, abs=1)
    assert costs.script_us > costs.check_us > 0 < costs.push_us < costs.heard_us
