"""P32 to P40, P45 and P46: keys, options, storage, and the loop; P31 is `tests/asgi/test_every_option.py`."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import logging
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
import redis.asyncio
from starlette.middleware.base import BaseHTTPMiddleware
from support.actors import METADATA, Browser
from support.apps import plain_app
from support.forge import claims_of, header_of, sign, unb64
from support.stage import carried, connections, staged, travelling
from support.wire import Answer, call

import asgi_tokenguard
from asgi_tokenguard import ConfigurationError, Key, KeySet, TokenGuard, TokenGuardMiddleware

PACKAGE = Path(asgi_tokenguard.__file__).parent
ROOT = Path(__file__).parents[2]


def test_p32_without_a_secret_it_does_not_start():
    """A random one would be another in each worker."""
    with pytest.raises(ConfigurationError, match="secret: no secret is given"):
        TokenGuardMiddleware(plain_app, redis="redis://localhost")


async def test_p33_two_apps_in_one_process_share_no_option(options, clock):
    async with staged(options, clock, public=["/a"], namespace="p33a") as one, staged(options, clock, namespace="p33b") as two:
        assert (200, 401) == tuple([(await call(where.app, "GET", "/a")).status for where in (one, two)])
        tab = await two.logged_in()
        assert 401 == (await call(one.app, "GET", "/me", [("authorization", f"Bearer {tab.token}")])).status


async def test_p34_the_cookie_is_secure_unless_an_unsafe_name_says_otherwise(stage):
    answer = await call(stage.app, "POST", "/login")
    (line,) = answer.cookie_lines
    assert line.startswith("__Host-refresh=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; "))
    assert "Domain" not in line


class TestP35:
    """No token, nor anything that stands for one, in Redis, lists, logs or errors."""

    async def secrets(self, stage):
        """A life with all kinds of trouble, and every token that was in it."""
        tab = await stage.expired("user-secret")
        tokens = [tab.token, tab.browser.jar]
        await tab.get()
        await tab.get()
        tokens += [tab.token, tab.browser.jar]
        stage.clock.advance(31)
        await call(stage.app, "GET", "/me", [("cookie", f"__Host-refresh={tokens[1]}")])
        await call(stage.app, "GET", "/me", [("authorization", f"Bearer {tokens[0]}x")])
        tab = await stage.logged_in("user-secret")
        return [*tokens, tab.token, tab.browser.jar]

    def parts(self, tokens):
        return [part for token in tokens for part in (token, token.rpartition(".")[2])]

    async def test_p35_redis_holds_no_token(self, stage):
        tokens = await self.secrets(stage)
        client = await stage.guard.engine.store._link.connector.client()
        keys = [key async for key in client.scan_iter()]
        hashes = [key for key in keys if b"hash" == await client.type(key)]
        stored = keys + [part for key in hashes for pair in (await client.hgetall(key)).items() for part in pair]
        stored += [await client.get(key) for key in set(keys) - set(hashes)]
        for token in tokens:
            signature = token.rpartition(".")[2]
            for form in (token.encode(), signature.encode(), urlsafe_b64decode(signature + "="), unb64(token.split(".")[1])):
                assert not any(form in value for value in stored)
        assert not any(b"user-secret" in value for value in stored)

    async def test_p35_logs_lists_and_errors_hold_no_token(self, stage, caplog):
        caplog.set_level(logging.DEBUG)
        tokens = await self.secrets(stage)
        assert "reuse detected" in caplog.text
        shown = caplog.text + repr([session.to_dict() for session in await stage.guard.sessions("user-secret")])
        minted = await stage.guard.login("user-secret")
        shown += repr(minted) + repr(await stage.guard.authenticate(minted.access_token))
        shown += repr(stage.guard.engine.settings) + repr(stage.guard.engine.codec.read_access(minted.access_token))
        for part in self.parts([*tokens, minted.access_token, minted.refresh_token]):
            assert part not in shown
        assert stage.options["secret"] not in shown
        # A `jti` stands for its token: whoever may name one must not be able to use it, but it is not shown either.
        assert claims_of(minted.refresh_token)["jti"] not in shown


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "none", "RS256"])
async def test_p36_the_algorithm_is_the_keys_not_the_tokens(options, clock, algorithm):
    secret = "a secret that is long enough for any of the three algorithms, so that only the rule refuses"
    options = {name: value for name, value in options.items() if name != "secret"}
    async with staged(options, clock, keys=KeySet([Key(secret)])) as stage:
        tab = await stage.logged_in()
        mac = algorithm if algorithm.startswith("HS") else "HS256"
        other = sign(header_of(tab.token) | {"alg": algorithm}, claims_of(tab.token), secret, algorithm=mac)
        assert "invalid_token" == (await call(stage.app, "GET", "/me", [("authorization", f"Bearer {other}")])).code


async def test_p37_what_was_opened_is_closed_and_only_that(options, clock):
    before = connections(options["redis"])
    client = redis.asyncio.Redis.from_url(options["redis"])
    for source in (options["redis"], client):
        async with travelling(TokenGuard(**options | {"redis": source}), clock) as guard:
            await guard.login("user-1")
    assert before + 1 == connections(options["redis"], before + 1)
    assert await client.ping()
    await client.aclose()


async def test_p38_a_server_that_cannot_do_it_is_not_served_in_silence(options, clock, caplog):
    """It refuses our scripts, as one that is too old would: the log says so at start-up or at the first use."""
    admin = redis.asyncio.Redis.from_url(options["redis"])
    await admin.execute_command("ACL", "SETUSER", "weak", "on", ">weak", "~*", "&*", "+@connection", "+hget", "+time")
    url = options["redis"].replace("unix://", "unix://weak:weak@")
    async with staged(options | {"redis": url}, clock) as stage:
        answer = await call(stage.app, "POST", "/login")
        assert (503, "store_unavailable") == (answer.status, answer.code)
        assert "Redis refuses: NOPERM" in caplog.text
    await admin.execute_command("ACL", "DELUSER", "weak")
    await admin.aclose()


async def test_p39_no_table_grows_with_what_requests_bring(stage):
    """Addresses, tokens, subjects and paths of three hundred strangers leave nothing behind in the process."""

    async def strangers(first, number):
        for at in range(first, first + number):
            extra = {"client": (f"192.0.2.{at % 250}", at)}
            await call(stage.app, "GET", f"/path-{at}", [("authorization", f"Bearer a.b.{at}")], **extra)
            await call(stage.app, "GET", "/me", [("cookie", f"__Host-refresh=x{at}")], **extra)
            await call(stage.app, "POST", f"/login?user=user-{at}", METADATA["bare"].items(), **extra)

    await strangers(0, 20)
    await stage.quiet()
    before = sizes(stage.guard)
    await strangers(100, 100)
    await stage.quiet()
    assert before == sizes(stage.guard)


def sizes(guard):
    """The lengths of all containers, and the bounds of all caches, reached from *guard* and our modules by objects of ours."""
    found, seen = {}, set()
    todo = [("guard", guard), *((name, module) for name, module in sys.modules.items() if name.startswith("asgi_tokenguard"))]
    while todo:
        where, item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if type(item).__name__ == "_lru_cache_wrapper":
            # How full a bounded one is depends on the tests before this one; what counts is that it is bounded.
            assert (most := item.cache_info().maxsize) is not None, where
            found[where] = most
        elif isinstance(item, dict | list | set | frozenset | tuple):
            found[where] = len(item)
            todo += [(f"{where}[]", value) for value in (item.values() if isinstance(item, dict) else item)]
        elif where in sys.modules or type(item).__module__.startswith(("asgi_tokenguard", "weakref")):
            slots = [name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ())]
            names = [*getattr(item, "__dict__", {}), *slots]
            todo += [(f"{where}.{name}", getattr(item, name, None)) for name in names if not name.startswith("__")]
    assert [1] == [size for where, size in found.items() if where.endswith("connector._clients._things")]
    return found


def test_p40_nothing_blocks_the_loop(options, clock):
    """The loop's own debugging reports every step of more than 100 ms; a busy machine may cause one, a blocking call always."""

    async def core():
        asyncio.get_running_loop().slow_callback_duration = 0.1
        async with staged(options, clock) as stage:
            for user in ("user-1", "user-2"):
                tab = await stage.expired(user)
                await asyncio.gather(*(tab.ask() for _ in range(10)))
                await tab.get()
                await tab.get("/sessions")
                await tab.post("/logout")
            await stage.guard.revoke_all("user-1")

    def slow_steps():
        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        logging.getLogger("asyncio").addHandler(handler)
        try:
            with asyncio.Runner(debug=True) as runner:
                runner.run(core())
        finally:
            logging.getLogger("asyncio").removeHandler(handler)
        return [line for line in records if "took" in line]

    tries = [slow_steps()]
    while tries[-1] and len(tries) < 5:
        tries.append(slow_steps())
    assert [] == tries[-1]


async def test_p45_it_is_pure_asgi(stage):
    """Context variables of the server reach the app, the app's task is the server's, and a stream is not buffered."""
    assert not issubclass(TokenGuardMiddleware, BaseHTTPMiddleware)
    color = contextvars.ContextVar("color", default="none")
    seen = []

    @stage.on("/stream")
    async def stream(scope, receive, send):
        seen.append((color.get(), asyncio.current_task()))
        color.set("green")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for letter in (b"a", b"b"):
            await send({"type": "http.response.body", "body": letter, "more_body": True})
            seen.append(len(got.messages))
        await send({"type": "http.response.body", "body": b""})

    got = Answer()
    tab = await stage.expired()
    color.set("blue")
    await tab.ask("/stream", answer=got)
    assert [("blue", asyncio.current_task()), 2, 3] == seen
    assert "green" == color.get()
    assert "both" == carried(got)


class TestP46:
    """Configuration is checked by real errors, which `python -O` keeps."""

    def test_p46_the_package_has_no_assert(self):
        asserts = [
            f"{file.name}:{node.lineno}"
            for file in PACKAGE.rglob("*.py")
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Assert)
        ]
        assert [] == asserts

    @pytest.mark.thorough
    def test_p46_the_suite_also_passes_under_optimisation(self, tmp_path):
        """One test must fail there, or the run would prove nothing: pytest writes the asserts of tests anew."""
        (tmp_path / "test_canary.py").write_text("def test_canary():\n    assert not __debug__\n    assert 1 == 2\n")
        parts = ["test_options.py", "core/test_cookie.py", "asgi/test_credentials.py", "asgi/test_exchange.py"]
        command = [sys.executable, "-O", "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "--tb=short"]
        # What pytest warns of are the asserts of plug-ins and helpers.
        command += ["-W", "ignore::pytest.PytestConfigWarning", *(f"tests/{part}" for part in parts), str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
        failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        assert (1, ["test_canary"]) == (done.returncode, [name.rpartition("::")[2] for name in failed]), done.stdout
        assert "assert 1 == 2" in done.stdout


async def test_p42_without_tls_a_browser_sends_no_secure_cookie_and_the_access_token_still_works(stage):
    """The rest of P42 is `tests/frameworks/test_starlette_testclient.py`."""
    tab = Browser(stage.app).tab()
    await tab.post("/login", scheme="http")
    tab.browser.jar = None
    assert 200 == (await tab.get(scheme="http")).status
    stage.clock.advance(901)
    assert "token_expired" == (await tab.get(scheme="http")).code
