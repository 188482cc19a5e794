"""`on_refusal`: an app words and dresses its refusals; status, challenge and what caches may keep stay the guard's."""

from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from support.actors import COOKIE, METADATA
from support.http import send, serving
from support.server import RedisServer
from support.sockets import Peer
from support.stage import carried, staged
from support.wire import call

from asgi_tokenguard import Code, CrossSiteRequest, NotAuthenticated, StepUpRequired, get_auth

PAGE = METADATA["page"]


def dressed(scope, refusal):
    return HTMLResponse(f"<h1>{refusal.code.value}</h1>", headers={"x-of-the-app": scope["path"]})


async def dressed_later(scope, refusal):
    await asyncio.sleep(0)
    return dressed(scope, refusal)


@pytest.fixture
def stage(options, clock):
    return lambda on_refusal, **more: staged(options, clock, on_refusal=on_refusal, **more)


async def ask(where, target="/me", headers=(), method="GET"):
    return await call(where.app, method, target, headers)


def is_json_challenge(result):
    """Whether this is the answer that there would be without the option."""
    head = (result.status, result.all("www-authenticate"), result.all("cache-control"), result.all("location"))
    return (*head, result.code) == (401, ["Bearer"], ["no-store"], [], "token_required")


@pytest.mark.parametrize("on_refusal", [dressed, dressed_later], ids=["plain", "async"])
async def test_an_app_words_what_is_refused_on_the_way_in_and_what_it_raises_itself(stage, on_refusal):
    async with stage(on_refusal) as where:

        @where.on("/email")
        async def sensitive(scope, receive, send):
            raise StepUpRequired(60)

        refused = await ask(where)
        raised = await (await where.logged_in()).get("/email")
    for result, path, body, challenge in (
        (refused, "/me", b"<h1>token_required</h1>", "Bearer"),
        (raised, "/email", b"<h1>step_up_required</h1>", str(StepUpRequired(60).headers["WWW-Authenticate"])),
    ):
        assert (401, body, path) == (result.status, result.body, result.get("x-of-the-app"))
        assert [challenge] == result.all("www-authenticate")
        assert ["no-store"] == result.all("cache-control")
        assert [str(len(body))] == result.all("content-length")
        assert ["text/html; charset=utf-8"] == result.all("content-type")


async def test_no_word_of_it_changes_status_challenge_or_what_caches_keep(stage):
    """An attacker would like the 401 to be kept, and an app to answer 200 by mistake."""
    lies = {
        "WWW-Authenticate": "Basic",
        "Retry-After": "9999",
        "Cache-Control": "public, max-age=600",
        "CDN-Cache-Control": "max-age=600",
        "Surrogate-Control": "max-age=600",
        "Content-Length": "9999",
        "X-Kept": "yes",
    }
    server = RedisServer(travel=False).start()
    async with stage(lambda *_: Response("x", 200, lies), redis=server.url, timeout=0.3) as where:
        tab = await where.logged_in()
        cross = await call(where.app, "POST", "/me", [("cookie", f"{COOKIE}={tab.browser.jar}")])
        twice = await ask(where, headers=[("authorization", "Bearer a"), ("authorization", "Bearer b")])
        nobody = await ask(where)
        server.close()
        away = await ask(where, headers=[("cookie", f"{COOKIE}={tab.browser.jar}")])
    for result, status, challenge in ((cross, 403, None), (twice, 400, "Bearer"), (nobody, 401, "Bearer"), (away, 503, None)):
        assert (status, b"x", "yes") == (result.status, result.body, result.get("x-kept"))
        assert (["no-store"], ["1"]) == (result.all("cache-control"), result.all("content-length"))
        assert [] == result.all("cdn-cache-control") + result.all("surrogate-control")
        assert challenge is None or result.get("www-authenticate").startswith(challenge)
        assert 1 >= len(result.all("www-authenticate"))
    assert ["1"] == away.all("retry-after")


def raises(scope, refusal):
    raise LookupError("no such template")


async def raises_later(scope, refusal):
    raise LookupError("no such template")


def refuses(scope, refusal):
    raise CrossSiteRequest


async def fails_halfway():
    yield b"<h1>"
    raise LookupError("no such template")


@pytest.mark.parametrize(
    "on_refusal",
    [
        raises,
        raises_later,
        refuses,
        lambda *_: "a text",
        lambda *_: {"a": "dict"},
        lambda *_: 401,
        lambda *_: Response,
        lambda *_: StreamingResponse(fails_halfway()),
        lambda *_: FileResponse("/no/such/file"),
    ],
)
async def test_an_app_that_fails_at_it_leaves_the_json_with_its_challenge_and_a_line_in_the_log(stage, on_refusal, caplog):
    async with stage(on_refusal) as where:
        assert is_json_challenge(await ask(where))
    (line,) = [record for record in caplog.records if "on_refusal failed" in record.msg]
    assert (logging.ERROR, True) == (line.levelno, line.exc_info is not None)


async def test_none_means_ours(stage, caplog):
    async with stage(lambda scope, refusal: None) as where:
        assert is_json_challenge(await ask(where))
    assert [] == caplog.records


async def whole():
    for part in (b"a", b"b", b"c"):
        yield part


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (JSONResponse({"error": 1}), b'{"error":1}'),
        (StreamingResponse(whole()), b"abc"),
        (RedirectResponse("/elsewhere"), b""),
        (Response(status_code=204), b""),
    ],
    ids=["json", "a stream", "a redirect", "empty"],
)
async def test_every_response_is_sent_as_a_whole(stage, response, body):
    async with stage(lambda *_: response) as where:
        result = await ask(where)
    assert (401, body, [str(len(body))]) == (result.status, result.body, result.all("content-length"))


async def test_a_file_as_well(stage, tmp_path):
    (tmp_path / "401.html").write_text("<h1>401</h1>")
    async with stage(lambda *_: FileResponse(tmp_path / "401.html")) as where:
        with serving(where.app) as url:
            result = send(url, "GET", "/me")
    assert (401, b"<h1>401</h1>", ["Bearer"]) == (result.status, result.body, result.all("www-authenticate"))


async def test_it_may_ask_who_is_refused_and_why(stage):
    """For a page that explains; nobody is signed in by it."""

    async def explain(scope, refusal):
        auth = get_auth(scope)
        return JSONResponse({"user": auth.subject, "ended": await auth.ended(), "code": refusal.code})

    async with stage(explain) as where:
        tab = await where.logged_in()
        await where.guard.revoke_all("user-1")
        assert {"user": None, "ended": "revoked", "code": "revoked"} == (await tab.get(token=False)).json()


async def test_what_a_rotation_hands_out_rides_on_it(stage):
    async with stage(dressed) as where:

        @where.on("/email")
        async def sensitive(scope, receive, send):
            raise StepUpRequired(60)

        tab = await where.expired()
        result = await tab.get("/email")
        assert (401, "both", ["no-store"]) == (result.status, carried(result), result.all("cache-control"))
        assert 200 == (await tab.get()).status


async def test_documents_are_sent_to_sign_in_and_all_others_hear_the_app(stage):
    async with stage(dressed, sign_in="/login") as where:
        assert 303 == (await ask(where, headers=PAGE.items())).status
        for kind in ("fetch", "image", "bare"):
            assert b"<h1>token_required</h1>" == (await ask(where, headers=METADATA[kind].items())).body
        assert b"<h1>token_required</h1>" == (await ask(where, headers=METADATA["form"].items(), method="POST")).body


async def test_after_the_head_has_left_nothing_is_said(stage):
    asked = []
    async with stage(lambda *_: asked.append(1)) as where:

        @where.on("/late")
        async def late(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise NotAuthenticated(Code.TOKEN_REQUIRED)

        with pytest.raises(NotAuthenticated):
            await (await where.logged_in()).get("/late")
    assert [] == asked


async def test_a_websocket_is_refused_as_ever(stage):
    """Before it is accepted nobody reads a page; the handshake's own metadata is no document's either."""
    async with stage(dressed, sign_in="/login") as where, Peer(where.app, headers=PAGE.items()) as peer:
        assert (401, "token_required") == await peer.refusal()
