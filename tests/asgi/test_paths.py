"""I14: what is open is open exactly, and Redis hears only of tokens whose signature is good."""

from __future__ import annotations

import pytest
from support.actors import COOKIE, Browser
from support.forge import aged, altered, rekeyed
from support.stage import staged, who
from support.wire import Answer, call, scope_of

PUBLIC = ["/login", "/static/*", "/"]


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock, public=PUBLIC, optional=["/shop", "/shop/*"]) as stage:
        yield stage


OPEN = ["/", "/login", "/static/", "/static/a", "/static/a/b.css", "/static/a/", "/static/...", "/static/.a", "/static/a b"]
CLOSED = [
    "/login/", "/login/x", "/Login", "/loginx", "/xlogin", "/login ", " /login", "login", "", "/me", "/me/login",
    "/static", "/staticx", "/static2/a", "/x/static/a", "/static//a", "//static/a", "/static/../me", "/static/..", "/static/.",
    "/static/./a", "/static/a/../../me",
    "/static\\a", "/static/\\a", "/static/a\\..\\b", "/static/a\0", "/login\0", "/login?x", "//", "///login",
    "/./", "/../", "/\uff0flogin",
]  # fmt: skip


async def ask(app, path, headers=(), **more):
    """A request whose scope says *path*, whatever a client would have made of it."""
    scope = scope_of("GET", "/", headers) | {"raw_path": path.encode(), "path": path} | more
    result = Answer()

    async def send(message):
        result.messages.append(message)

    await app(scope, None, send)
    return result


@pytest.mark.parametrize("path", OPEN)
async def test_i14_a_pattern_opens_its_path_and_whole_segments_below(stage, path):
    assert 200 == (await ask(stage.app, path)).status


@pytest.mark.parametrize("path", CLOSED)
async def test_i14_no_other_path_is_open(stage, path):
    result = await ask(stage.app, path)
    assert (401, "token_required") == (result.status, result.code)


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/static/a/b", b"/static/a%2fb"),
        ("/static/a/b", b"/static/a%2Fb"),
        ("/static/a", b"/static%2Fa"),
        ("/login", b"%2flogin"),
    ],
)
async def test_i14_an_encoded_slash_opens_nothing(stage, path, raw):
    """Decoded, it looks like a separator; the app behind may have kept it as a letter, or the other way round."""
    assert 401 == (await ask(stage.app, path, raw_path=raw)).status
    assert 200 == (await ask(stage.app, path, raw_path=path.encode())).status


async def test_i14_a_server_that_tells_no_raw_path_is_fine(stage):
    assert 200 == (await ask(stage.app, "/static/a", raw_path=None)).status
    assert 401 == (await ask(stage.app, "/static/../a", raw_path=None)).status


@pytest.mark.parametrize("query", [b"next=/login", b"/login", b"/static/a", b"a=/../login"])
async def test_i14_the_query_opens_and_closes_nothing(stage, query):
    assert 401 == (await ask(stage.app, "/me", query_string=query)).status
    assert 200 == (await ask(stage.app, "/static/a", query_string=query + b"/..%2f")).status


@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/app/static/a", "/app", 200),
        ("/app", "/app", 200),
        ("/app/me", "/app", 401),
        ("/static/a", "/app", 200),  # servers that leave the root out of the path
        ("/application/static/a", "/app", 401),
        ("/static/static/a", "/static", 200),
        ("/static/a", "/static", 401),  # the app sees /a
        ("/app/../static/a", "/app", 401),
    ],
)
async def test_i14_patterns_are_about_the_path_as_the_app_sees_it(stage, path, root_path, status):
    assert status == (await ask(stage.app, path, root_path=root_path)).status


async def test_i14_odd_paths_are_not_optional_either(stage):
    for path in ("/shop", "/shop/", "/shop/7"):
        assert 200 == (await ask(stage.app, path)).status
    for path in ("/shop//7", "/shop/../me", "/shop/7\0", "/shop/.\\me"):
        assert 401 == (await ask(stage.app, path)).status
    assert 401 == (await ask(stage.app, "/shop/a/b", raw_path=b"/shop/a%2fb")).status


async def test_i14_where_nothing_is_required_odd_paths_are_judged_as_all_others(options, clock):
    async with staged(options, clock, optional=[], public=["/static/*"], required=False) as stage:
        stage.on("/static/../me")(who)
        tab = await Browser(stage.app).tab().ask("/x")
        assert 200 == tab.status
        bad = [("authorization", "Bearer forged")]
        assert 200 == (await ask(stage.app, "/static/me", bad)).status
        assert "invalid_token" == (await ask(stage.app, "/static/../me", bad)).code


async def test_i14_public_paths_look_at_no_credentials(stage):
    """A live session is nobody there, and its cookie is not rotated."""
    stage.on("/static/who")(who)
    tab = await stage.expired()
    before = stage.commands()
    result = await tab.ask("/static/who")
    assert (200, {"subject": None}, []) == (result.status, result.json(), result.headers)
    assert not stage.commands() - before


class TestRedisIsNotAsked:
    """Whoever has no good signature cannot make Redis work."""

    @pytest.mark.parametrize("path", ["/me", "/shop", "/static/a"])
    async def test_i14_without_a_token(self, stage, path):
        stage.on("/static/a")(who)
        before = stage.commands()
        for _ in range(20):
            await ask(stage.app, path, [("cookie", "theme=dark"), ("authorization", "Basic eDp5")])
        assert not stage.commands() - before

    @pytest.mark.parametrize("path", ["/me", "/shop", "/login", "/logout"])
    async def test_i14_with_forged_tokens(self, options, clock, path):
        async with staged(options, clock, public=["/logout"]) as stage:
            tab = Browser(stage.app).tab()
            tokens = await stage.guard.login("user-1")
            wrong = options["secret"][::-1]
            before = stage.commands()
            for forged in (
                altered(tokens.access_token, wrong),
                altered(tokens.access_token, wrong, sub="user-2"),
                rekeyed(tokens.access_token),
                tokens.refresh_token,
                "garbage",
            ):
                await call(stage.app, "GET", path, [("authorization", f"Bearer {forged}")])
            for forged in (
                altered(tokens.refresh_token, wrong),
                rekeyed(tokens.refresh_token),
                tokens.access_token,
                "garbage",
                "",
            ):
                tab.browser.jar = forged
                await tab.ask(path)
            assert not stage.commands() - before

    async def test_i14_with_tokens_past_their_end(self, stage, options):
        """Their signature is good, but the clock alone refuses them."""
        tab = await Browser(stage.app).tab().ask("/login")
        before = stage.commands()
        access = aged(tab.new_token, options["secret"], 901)
        refresh = aged(tab.cookie(), options["secret"], 15 * 24 * 3600 + 1)
        assert "token_expired" == (await ask(stage.app, "/me", [("authorization", f"Bearer {access}")])).code
        assert "session_expired" == (await ask(stage.app, "/me", [("cookie", f"{COOKIE}={refresh}")])).code
        assert not stage.commands() - before


@pytest.mark.parametrize("root", ["/me", "/static", "/x"])
async def test_i14_a_root_path_that_a_client_can_choose_opens_nothing(stage, root):
    """Daphne takes it from a request header: `/me` below the root `/me` would be the open `/`."""
    result = await call(stage.app, "GET", "/me", [("daphne-root-path", root)], root_path=root)
    assert 401 == result.status
