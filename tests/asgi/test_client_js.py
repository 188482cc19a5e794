"""The browser client as it is served: its type, how caches may keep it, that it costs and tells nothing, and its size."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from support.http import send, serving
from support.stage import carried, staged
from support.wire import Answer, call

from asgi_tokenguard import TokenGuardMiddleware, browser
from asgi_tokenguard.asgi import openapi
from asgi_tokenguard.testing.guarding import SECRET

FOLDER = files("asgi_tokenguard.browser")
SOURCE = (FOLDER / "tokenguard.js").read_text("utf-8")
HASHED = browser.address("/auth")
LIMIT = 3 * 1024  # bytes, of the issue
TAG = f'"{browser.VERSION}"'


async def never(scope, receive, send):
    raise AssertionError("the app was asked")


@pytest.fixture(scope="module")
def site():
    """A server whose Redis is away: nothing here asks for it."""
    app = TokenGuardMiddleware(never, secret=SECRET, redis="redis://127.0.0.1:1/0", endpoints="/auth")
    with serving(app) as url:
        yield url


def get(site: str, path: str = "/auth/client.js", *headers: tuple[str, str], method: str = "GET") -> Answer:
    return send(site, method, path, headers)


def test_it_is_a_script_that_browsers_take_for_nothing_else(site):
    answer = get(site)
    assert (200, browser.SCRIPT) == (answer.status, answer.body)
    assert "text/javascript; charset=utf-8" == answer.get("content-type")
    assert "nosniff" == answer.get("x-content-type-options")
    assert str(len(answer.body)) == answer.get("content-length")


def test_it_hands_nothing_out(site):
    answer = get(site, "/auth/client.js", ("authorization", "Bearer x"), ("cookie", "__Host-refresh=x"))
    assert (200, None, None) == (answer.status, answer.get("set-cookie"), answer.new_token)


async def test_it_neither_rotates_nor_asks_redis(options, clock):
    async with staged(options, clock, endpoints="/auth") as stage:
        tab = await stage.expired()
        before = stage.commands()
        answer = await tab.get("/auth/client.js")
        assert (200, "nothing") == (answer.status, carried(answer))
        assert not stage.commands() - before


# --- Caches


def test_without_its_hash_it_is_asked_for_at_each_use(site):
    """So that the page after an upgrade has the client that belongs to the server."""
    answer = get(site)
    assert ("no-cache", TAG) == (answer.get("cache-control"), answer.get("etag"))


def test_with_its_hash_it_is_kept_for_ever(site):
    answer = get(site, HASHED)
    assert (200, "public, max-age=31536000, immutable") == (answer.status, answer.get("cache-control"))


@pytest.mark.parametrize("query", ["v=", "v=AAAAAAAAAAAAAAAA", f"v={browser.VERSION}&x", f"x&v={browser.VERSION}", "v"])
def test_under_another_hash_it_is_not_kept(site, query):
    """In the middle of an upgrade an old server is asked for the new client: its answer must not stay under that name."""
    answer = get(site, f"/auth/client.js?{query}")
    assert (200, "no-cache", browser.SCRIPT) == (answer.status, answer.get("cache-control"), answer.body)


@pytest.mark.parametrize("path", ["/auth/client.js", HASHED])
@pytest.mark.parametrize("tags", [TAG, f"W/{TAG}", f'"a", {TAG}', f'W/"a",W/{TAG}', "*", f'"a,b", {TAG}'])
def test_who_has_it_is_told_so(site, tags, path):
    answer = get(site, path, ("if-none-match", tags))
    assert (304, b"") == (answer.status, answer.body)
    whole = get(site, path)
    assert [whole.get(name) for name in ("etag", "cache-control")] == [answer.get(name) for name in ("etag", "cache-control")]
    assert None is answer.get("content-type")


def test_two_lines_of_tags_are_one_list(site):
    assert 304 == get(site, "/auth/client.js", ("if-none-match", '"a"'), ("if-none-match", TAG)).status


@pytest.mark.parametrize("tags", ['"a"', browser.VERSION, f'"{browser.VERSION}', f'"x{browser.VERSION}"', "", '"*"', '","'])
def test_who_has_another_one_is_sent_it(site, tags):
    assert 200 == get(site, "/auth/client.js", ("if-none-match", tags)).status


@pytest.mark.parametrize("headers", [(), (("if-none-match", TAG),)])
def test_head_is_get_without_a_body(site, headers):
    got, head = (get(site, HASHED, *headers, method=method) for method in ("GET", "HEAD"))
    known = ("content-type", "content-length", "etag", "cache-control", "x-content-type-options")
    assert (got.status, [got.get(name) for name in known]) == (head.status, [head.get(name) for name in known])
    assert b"" == head.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_else_can_be_done_with_it(site, method):
    answer = get(site, method=method)
    assert (405, "GET, HEAD, OPTIONS") == (answer.status, answer.get("allow"))


async def test_it_is_there_only_where_the_endpoints_are(options, clock):
    async with staged(options, clock, public=["/*"]) as stage:
        assert "javascript" not in ((await call(stage.app, "GET", "/auth/client.js")).get("content-type") or "")
        answer = await call(stage.app, "GET", "/auth/client.js")
        assert browser.SCRIPT != answer.body


# --- What is served


def test_what_is_served_is_the_file_without_its_comment_lines():
    served = browser.SCRIPT.decode().splitlines()
    lines = SOURCE.splitlines()
    rest = iter(lines)
    assert all(line in rest for line in served)  # the same lines, in the same order
    assert [] == [line for line in lines if line.strip() and not line.strip().startswith("//") and line not in served]
    assert 0 < len(served) < len(lines)
    # Or a line of it could look like a comment: `//` can stand at the head of a line in a template and in a block comment.
    assert "/*" not in SOURCE
    assert [] == [line for line in lines if line.count("`") % 2]


def test_it_is_small():
    """The issue allows 3 KB; the level is that of servers that compress once."""
    assert len(gzip.compress(browser.SCRIPT, 9)) <= LIMIT


def test_it_needs_nothing_else():
    assert [] == re.findall(r"^\s*import\b|\bimport\(|\brequire\(|\bfrom\s+[\"']", browser.SCRIPT.decode(), re.MULTILINE)


def test_it_keeps_nothing_and_evaluates_nothing():
    """Whatever a page's policy forbids: no storage, no cookie, no markup, no text that becomes code."""
    words = r"\b(localStorage|sessionStorage|indexedDB|caches|cookie|eval|Function|innerHTML|document\.write)\b"
    code = browser.SCRIPT.decode().replace("cookie_not_stored", "")
    assert [] == re.findall(words, code)


def test_its_integrity_is_that_of_its_bytes(site):
    digest = base64.b64encode(hashlib.sha384(get(site).body).digest()).decode()
    assert f"sha384-{digest}" == browser.integrity()
    assert re.fullmatch(r"/a/client\.js\?v=[\w-]{16}", browser.address("/a/"))


def test_it_knows_the_codes_of_the_guard():
    """All that a 401 of the guard can say, and no code that the guard has not."""
    known = set(" ".join(re.findall(r'"([a-z_ ]+)"\.split', SOURCE)).split()) | {"step_up_required"}
    assert {code.value for code in openapi._OF_SESSIONS[401]} == known


# --- The npm package


def test_the_package_is_the_folder():
    package = json.loads((FOLDER / "package.json").read_text("utf-8"))
    assert ("asgi-tokenguard", "module", "MIT") == (package["name"], package["type"], package["license"])
    entry = package["exports"]["."]
    assert ["./tokenguard.d.ts", "./tokenguard.js"] == [entry["types"], entry["default"]]
    named = {entry["types"], entry["default"], package["types"], *(f"./{name}" for name in package["files"])}
    assert {"./tokenguard.d.ts", "./tokenguard.js"} == named
    assert all((FOLDER / name).is_file() for name in named)
    assert "dependencies" not in package


def test_the_package_has_the_version_of_ours():
    from importlib.metadata import version

    package = json.loads((FOLDER / "package.json").read_text("utf-8"))
    # 0.1.0.dev0 is 0.1.0-dev.0 in the words of npm.
    assert version("asgi-tokenguard") == re.sub(r"-(\w+)\.(\d+)$", r".\1\2", package["version"])


def test_every_option_and_method_has_a_type():
    types = (FOLDER / "tokenguard.d.ts").read_text("utf-8")
    options = SOURCE.partition("createClient({")[2].partition("} = {}")[0]
    names = re.findall(r"^  (\w+)", options, re.MULTILINE)
    assert {"baseURL", "onStepUp", "tabPatience"} <= set(names)
    interface = types.partition("interface Options")[2].partition("export interface")[0]
    assert set(names) == set(re.findall(r"^  (\w+)\?:", interface, re.MULTILINE))
    page = (Path(__file__).parents[2] / "docs" / "browser.md").read_text("utf-8")
    assert [] == [name for name in names if f"| `{name}` |" not in page]
