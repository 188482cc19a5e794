"""WebSockets: who gets in, by which of three ways, and that none outlives its session."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from support.sockets import PATIENCE, Peer, Room, bearer, cookie_of
from support.stage import staged

from asgi_tokenguard import Lifetimes, RiskPolicy, get_auth
from asgi_tokenguard.core.risk import change_of_device
from asgi_tokenguard.errors import NotGuarded, Refusal, ResponseStarted, StepUpRequired
from asgi_tokenguard.starlette import answer_refusal

ADA = {"subject": "user-1", "user": "user-1"}
FOREIGN = "https://evil.example"


@pytest.fixture
def room(stage):
    room = Room()
    for path in ("/ws", "/logout", "/open/ws"):
        stage.on(path)(room)
    return room


def opened(stage, headers=(), path="/ws", **more):
    return Peer(stage.app, path, headers, **more)


def watch_of(stage):
    return stage.guard.engine.vigil._watches.found()


async def until(met):
    async with asyncio.timeout(PATIENCE):
        while not met():
            await asyncio.sleep(0.01)


# --- three ways in


async def test_the_token_in_the_header_opens_a_socket(stage, room):
    tab = await stage.logged_in()
    async with opened(stage, bearer(tab)) as peer:
        await peer.accepted()
        assert ADA == await peer.says()


async def test_the_pair_of_subprotocols_opens_a_socket_and_is_hidden_from_the_app(stage, room):
    tab = await stage.logged_in()
    for pair, left in (
        (["tokenguard", tab.token], []),
        (["chat.v2", "tokenguard", tab.token, "chat.v1"], ["chat.v2", "chat.v1"]),
        ([f"chat.v2, tokenguard,{tab.token}", "chat.v1"], ["chat.v2", "chat.v1"]),  # uvicorn 0.35 to 0.50.0
    ):
        async with opened(stage, pair=pair) as peer:
            assert "tokenguard" == (await peer.accepted())["subprotocol"]
            assert ADA == await peer.says()
        scope = room.scopes[-1]
        assert left == scope["subprotocols"]
        assert [", ".join(left).encode()] * bool(left) == [v for k, v in scope["headers"] if k == b"sec-websocket-protocol"]
        assert tab.token not in repr(scope["headers"])


async def test_a_subprotocol_that_the_app_chose_stays(stage):
    @stage.on("/ws")
    async def app(scope, receive, send):
        await WebSocket(scope, receive, send).accept(subprotocol="chat.v2")

    tab = await stage.logged_in()
    async with opened(stage, pair=["tokenguard", tab.token, "chat.v2"]) as peer:
        assert "chat.v2" == (await peer.accepted())["subprotocol"]
    async with opened(stage, bearer(tab), pair=["chat.v2"]) as peer:
        assert "chat.v2" == (await peer.accepted())["subprotocol"]


@pytest.mark.parametrize("metadata", [[], [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "websocket")]])
async def test_the_cookie_opens_a_socket_of_the_own_origin_and_is_not_consumed(stage, room, metadata):
    tab = await stage.expired()
    before = await stage.head(tab)
    async with opened(stage, cookie_of(tab) + metadata) as peer:
        assert ADA == (await peer.accepted(), await peer.says())[1]
        assert [] == peer.sent[0].get("headers", [])
    assert before == await stage.head(tab)
    assert 200 == (await tab.get()).status


async def test_i1_a_cookie_alone_opens_no_socket_from_another_site(stage, room):
    tab = await stage.logged_in()
    for headers in (
        cookie_of(tab, FOREIGN),
        cookie_of(tab, "null"),
        cookie_of(tab, None),  # no browser: it can send the token
        [*cookie_of(tab), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "websocket")],
        cookie_of(tab, "http://app.example"),  # plain http, where ours is known to be encrypted
    ):
        async with opened(stage, headers) as peer:
            assert (403, "cross_site_request") == await peer.refusal()
    assert not room.scopes


async def test_a_trusted_origin_opens_a_socket_on_the_cookie(options, clock):
    async with staged(options, clock, trusted_origins=[FOREIGN]) as stage:
        stage.on("/ws")(Room())
        tab = await stage.logged_in()
        async with opened(stage, cookie_of(tab, FOREIGN)) as peer:
            await peer.accepted()


async def test_a_page_of_another_origin_that_holds_the_token_needs_no_cookie(stage, room):
    tab = await stage.logged_in()
    async with opened(stage, [("origin", FOREIGN)], pair=["tokenguard", tab.token]) as peer:
        await peer.accepted()


# --- refusals


async def test_what_does_not_count_is_refused_before_the_app_is_called(stage, room):
    tab, other = await stage.logged_in(), await stage.logged_in()
    expired = await stage.expired()
    await stage.guard.revoke_all("user-1")
    late = await stage.logged_in("user-2")
    for expected, headers, pair in (
        ((401, "token_required"), [], None),
        ((401, "token_required"), [], ["tokenguard"]),
        ((401, "invalid_token"), [], ["tokenguard", "x"]),
        ((401, "invalid_token"), [], ["tokenguard", "tökenguard"]),
        ((401, "invalid_token"), [("authorization", "Bearer x")], None),
        ((401, "invalid_token"), [*cookie_of(late), ("authorization", "Bearer x")], None),
        ((401, "token_expired"), bearer(expired), None),
        ((401, "token_expired"), bearer(tab), None),
        ((401, "revoked"), cookie_of(other), None),
        ((400, "duplicate_credentials"), bearer(late), ["tokenguard", late.token]),
        ((400, "duplicate_credentials"), [], ["tokenguard", late.token, "tokenguard", late.token]),
    ):
        async with opened(stage, headers, pair=pair) as peer:
            assert (expected, expected) == (await peer.refusal(), expected)
        async with opened(stage, headers, pair=pair, denials=False) as peer:
            assert (403, expected[1]) == await peer.refusal()
            assert [4401] == [message["code"] for message in peer.sent]
    assert not room.scopes


async def test_a_doubted_cookie_opens_no_socket_where_the_password_may_be_asked_for(options, clock):
    """There a request is served as of nobody with a name; a socket is no place to ask for a password."""
    risk = RiskPolicy(rules=[change_of_device])
    async with staged(options, clock, risk=risk, reauthentication=["/ws"]) as stage:
        room = stage.on("/ws")(Room())
        tab = await stage.expired()
        headers = [*cookie_of(tab), ("user-agent", "another browser")]
        async with opened(stage, headers) as peer:
            assert (401, "step_up_required") == await peer.refusal()
        assert not room.scopes


async def test_a_token_in_the_query_is_not_read(stage, room):
    tab = await stage.logged_in()
    async with opened(stage, path=f"/ws?token={tab.token}&access_token={tab.token}") as peer:
        assert (401, "token_required") == await peer.refusal()


async def test_who_hangs_up_before_the_handshake_is_told_nothing(stage):
    peer = Peer(stage.app)
    peer._inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
    async with peer:
        pass
    assert [] == peer.sent


async def test_nobody_gets_in_where_nothing_is_required(stage, room):
    for path in ("/logout", "/open/ws"):
        async with opened(stage, path=path) as peer:
            await peer.accepted()
            assert {"subject": None, "user": ""} == await peer.says()


async def test_a_public_path_looks_at_no_credentials_but_hides_the_pair(stage, room):
    tab = await stage.logged_in()
    before = stage.commands()
    async with opened(stage, bearer(tab), path="/logout", pair=["tokenguard", tab.token]) as peer:
        assert "tokenguard" == (await peer.accepted())["subprotocol"]
        assert {"subject": None, "user": ""} == await peer.says()
    assert not stage.commands() - before
    assert [] == room.scopes[0]["subprotocols"]


async def test_below_the_mounted_endpoints_there_is_no_socket(options, clock):
    async with staged(options, clock, endpoints="/auth") as stage:
        tab = await stage.logged_in()
        for path in ("/auth/sessions", "/auth/anything"):
            async with opened(stage, bearer(tab), path=path) as peer:
                assert 403 == (await peer.refusal())[0]
            assert not stage.handlers.calls[path]


@pytest.mark.parametrize("path", ["/ws/../login", "//login", "/login/ws"])
async def test_an_odd_path_opens_nothing(stage, path):
    async with opened(stage, path=path) as peer:
        assert 401 == (await peer.refusal())[0]


# --- inside


async def test_nothing_can_be_handed_out_or_cleared_in_a_socket(stage):
    found = []

    @stage.on("/ws")
    async def app(scope, receive, send):
        auth = get_auth(scope)
        for act in (
            auth.login("user-2"),
            auth.logout(),
            auth.reauthenticated("user-1"),
            auth.revoke(auth.session_id),
            auth.revoke_all(),
        ):
            with pytest.raises(ResponseStarted) as caught:
                await act
            found.append(caught.value)
        found.append(len(await auth.sessions()))
        with pytest.raises(StepUpRequired):
            await auth.require_fresh()
        await receive()
        await send({"type": "websocket.accept"})

    tab = await stage.logged_in()
    async with opened(stage, bearer(tab)) as peer:
        await peer.accepted()
    assert 1 == found[-1]
    assert await stage.head(tab) is not None


async def test_a_refusal_that_the_app_raises_is_the_answer(stage):
    @stage.on("/ws")
    async def early(scope, receive, send):
        await receive()
        await get_auth(scope).require_fresh()

    @stage.on("/open/ws")
    async def late(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await get_auth(scope).require_fresh()

    tab = await stage.logged_in()
    async with opened(stage, bearer(tab)) as peer:
        assert (401, "step_up_required") == await peer.refusal()
    async with opened(stage, bearer(tab), path="/open/ws") as peer:
        await peer.accepted()
        assert (4401, "step_up_required") == await peer.closed()


@pytest.mark.parametrize("ours", [False, True])
async def test_a_refusal_in_an_open_socket_of_starlette_closes_it(stage, ours):
    """Starlette makes a response of it there too, which servers raise at; the page would hear nothing (1006)."""

    async def view(socket):
        await socket.accept()
        await get_auth(socket).require_fresh()

    app = Starlette(routes=[WebSocketRoute("/ws", view)])
    if ours:
        app.add_exception_handler(Refusal, answer_refusal)
    stage.on("/ws")(app)
    tab = await stage.logged_in()
    peer = opened(stage, bearer(tab))
    async with peer:
        await peer.accepted()
        assert 4401 == (await peer.closed())[0]
        await asyncio.wait_for(peer.task, PATIENCE)
    assert ["websocket.accept", "websocket.close"] == [message["type"] for message in peer.sent]


async def test_an_error_of_the_app_is_the_servers(stage):
    @stage.on("/ws")
    async def app(scope, receive, send):
        raise ZeroDivisionError

    tab = await stage.logged_in()
    peer = opened(stage, bearer(tab))
    async with peer:
        pass
    assert isinstance(peer.task.exception(), ZeroDivisionError)


async def test_without_the_middleware_a_socket_is_not_guarded():
    with pytest.raises(NotGuarded):
        get_auth({"type": "websocket"})


# --- I6


async def test_i6_a_revoked_session_ends_its_sockets_and_no_others(stage, room):
    tab, phone, other = await stage.logged_in(), await stage.logged_in(), await stage.logged_in("user-2")
    async with (
        opened(stage, bearer(tab)) as mine,
        opened(stage, bearer(phone)) as same_user,
        opened(stage, bearer(other)) as else_,
    ):
        for peer in (mine, same_user, else_):
            await peer.accepted()
        sid = get_auth(room.scopes[0]).session_id
        await stage.guard.revoke("user-1", sid)
        assert (4401, "revoked") == await mine.closed()
        await asyncio.wait_for(mine.task, PATIENCE)
        assert [(4401, "revoked")] == room.ends
        for peer, subject in ((same_user, "user-1"), (else_, "user-2")):
            assert subject == (await peer.says())["subject"]


async def test_i6_another_process_revokes_and_by_hand_as_well(stage, room):
    tab, other = await stage.logged_in(), await stage.logged_in("user-2")
    elsewhere = stage.another_process()
    async with opened(stage, bearer(tab)) as peer, opened(stage, bearer(other)) as second:
        await peer.accepted()
        await second.accepted()
        await elsewhere.revoke_all("user-1")
        assert (4401, "revoked") == await peer.closed()
        client = await stage.guard.engine.store._link.connector.client()
        await client.delete(stage.guard.engine.store.key_of("user-2"))
        assert (4401, "session_ended") == await second.closed()
    await elsewhere.aclose()


async def test_i6_a_logout_in_another_tab_ends_the_socket(stage, room):
    tab = await stage.logged_in()
    async with opened(stage, cookie_of(tab)) as peer:
        await peer.accepted()
        await tab.post("/logout")
        assert (4401, "logged_out") == await peer.closed()


async def test_i6_p41_a_rotation_and_new_claims_close_nothing(stage, room):
    tab = await stage.logged_in()
    async with opened(stage, bearer(tab)) as peer:
        await peer.accepted()
        before = await stage.head(tab)
        stage.clock.advance(stage.guard.engine.settings.lifetimes.access + 1)
        assert 200 == (await tab.get()).status
        assert before.gen + 1 == (await stage.head(tab)).gen
        await stage.guard.update_claims("user-1", {"role": "reader"})
        (guest,) = watch_of(stage)._all()
        await until(lambda: guest not in watch_of(stage)._changed)  # it was asked about
        assert ADA == await peer.says()


async def test_i6_an_expired_session_ends_its_sockets(options, clock):
    lifetimes = Lifetimes(access=60, idle=600, absolute=1000, socket=5000)
    async with staged(options, clock, lifetimes=lifetimes) as stage:
        stage.on("/ws")(Room())
        tab = await stage.logged_in()
        async with opened(stage, bearer(tab)) as peer:
            await peer.accepted()
            clock.advance(500)
            await tab.get()
            clock.advance(499)
            assert ADA == await peer.says()
            clock.advance(2)
            code, reason = await peer.closed()
            assert 4401 == code
            assert reason in {"session_expired", "session_ended"}


async def test_i6_a_socket_ends_after_its_own_lifetime(options, clock):
    async with staged(options, clock, lifetimes=Lifetimes(socket=3600)) as stage:
        stage.on("/ws")(Room())
        tab = await stage.logged_in()
        async with opened(stage, bearer(tab)) as peer:
            await peer.accepted()
            clock.advance(3590)
            assert ADA == await peer.says()
            clock.advance(11)
            assert (4408, "too old") == await peer.closed()


async def test_i6_a_session_that_ends_before_the_app_accepts_gets_no_socket(stage):
    is_in, may_go_on = asyncio.Event(), asyncio.Event()

    @stage.on("/ws")
    async def slow(scope, receive, send):
        await receive()
        is_in.set()
        await may_go_on.wait()
        await send({"type": "websocket.accept"})

    tab = await stage.logged_in()
    async with opened(stage, bearer(tab)) as peer:
        await asyncio.wait_for(is_in.wait(), PATIENCE)  # its handshake was good
        await stage.guard.revoke_all("user-1")
        await until(lambda: not watch_of(stage)._all())
        may_go_on.set()
        assert (401, "revoked") == await peer.refusal()


async def test_i6_an_app_that_only_sends_is_told_as_servers_tell_it(stage):
    raised = []

    @stage.on("/ws")
    async def ticker(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.01)
        except OSError as error:
            raised.append(error)
            raise

    tab = await stage.logged_in()
    async with opened(stage, bearer(tab)) as peer:
        await peer.accepted()
        await stage.guard.revoke_all("user-1")
        await asyncio.wait_for(peer.task, PATIENCE)
    assert raised
    closes = [at for at, message in enumerate(peer.sent) if message["type"] == "websocket.close"]
    assert [len(peer.sent) - 1] == closes  # nothing leaves behind it


async def test_i6_without_a_cache_sockets_end_all_the_same(options, clock):
    async with staged(options, clock, cache=False) as stage:
        stage.on("/ws")(Room())
        tab = await stage.logged_in()
        async with opened(stage, bearer(tab)) as peer:
            await peer.accepted()
            elsewhere = stage.another_process()
            await elsewhere.revoke_all("user-1")
            assert (4401, "revoked") == await peer.closed()
            await elsewhere.aclose()


@pytest.mark.thorough
async def test_many_sockets_cost_no_polling(options, clock):
    """They hang on the channel that tells of changes (`ping` is its lease)."""
    async with staged(options, clock, staleness=4) as stage, AsyncExitStack() as sockets:
        stage.on("/ws")(Room())
        tab = await stage.logged_in()
        peers = [await sockets.enter_async_context(opened(stage, bearer(tab))) for _ in range(1000)]
        for peer in peers:
            await peer.accepted()
        watch = watch_of(stage)
        await until(lambda: not watch._changed and all(guest.until == float("inf") for guest in watch._all()))
        before = stage.commands()
        await asyncio.sleep(5)
        assert not stage.commands() - before
        await stage.guard.revoke_all("user-1")
        for peer in peers:
            assert (4401, "revoked") == await peer.closed()


async def test_a_watched_socket_that_is_gone_is_not_watched_any_more(stage, room):
    tab = await stage.logged_in()
    async with opened(stage, bearer(tab)) as peer:
        await peer.accepted()
    assert not watch_of(stage)._guests


@pytest.mark.parametrize("kind", ["webtransport", "tcp", "", "HTTP", None])
async def test_an_unknown_protocol_is_refused(stage, kind):
    """It cannot be judged, so it is not let through."""
    with pytest.raises(RuntimeError, match="does not know the ASGI scope type"):
        await stage.app({"type": kind, "path": "/login", "headers": []}, None, None)
    assert not stage.handlers.calls
