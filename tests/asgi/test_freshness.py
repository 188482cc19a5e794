"""I16: freshness travels in a token of its own, which only a login and a confirmed password hand out."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from support.actors import COOKIE, FRESH, METADATA, OWN, Browser
from support.desk import PASSWORD, Desk
from support.forge import altered, claims_of, header_of
from support.forgeries import HEADERS, MANGLED, TEXTS
from support.server import RedisServer
from support.stage import answer, carried, staged
from support.wire import call

from asgi_tokenguard import RefreshCookie, ResponseStarted, get_auth
from asgi_tokenguard.store.keyspace import session_key

CONFIRM = f"/desk/confirm?password={PASSWORD.replace(' ', '+')}"
SOME_SID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PUBLIC = ["/login", "/logout", "/public/*"]
LATE = 2  # seconds; the second look of I15 begins after one
FOREVER = "; Path=/; Secure; HttpOnly; SameSite=Strict"


@pytest.fixture
async def stage(options, clock):
    async with staged(options, clock, public=PUBLIC) as stage:
        stage.desk = Desk(stage.handlers)
        yield stage


def sid_of(tab):
    return claims_of(tab.browser.jar)["sid"]


def path_of(deed, sid=SOME_SID):
    return f"/desk/{deed}?sid={sid}" if deed == "end" else f"/desk/{deed}"


async def ids(stage, user="user-1"):
    return {session.id for session in await stage.guard.sessions(user)}


async def asked(stage):
    """What Redis has been asked so far, once what runs off the request path is done."""
    await stage.guard.engine.background.outbox.flush(5)
    return stage.commands()


def is_step_up(answer, max_age=300):
    """Whether this is the challenge of RFC 9470, whole."""
    challenge = answer.get("www-authenticate") or ""
    return (answer.status, answer.code) == (401, "step_up_required") and (
        challenge.startswith('Bearer error="insufficient_user_authentication", error_description="')
        and challenge.endswith(f'", max_age="{max_age}"')
    )


def proof_in(answer):
    """The freshness tokens that an answer hands out, by cookie and by header."""
    return answer.cookie(FRESH), answer.get("x-new-fresh-token")


class TestHandedOut:
    @pytest.mark.parametrize("kind", ["fetch", "form", "bare", "cross-form"])
    async def test_i16_a_login_hands_it_out_in_a_cookie_of_its_own(self, stage, kind):
        @stage.on("/login")
        async def login(scope, receive, send):
            await get_auth(scope).login("user-1", cross_site=True)
            await answer(send)

        result = await Browser(stage.app).tab().post("/login", kind=kind)
        (line,) = [line for line in result.all("set-cookie") if line.startswith(FRESH)]
        proof = result.cookie(FRESH)
        assert f"{FRESH}={proof}; Max-Age=300{FOREVER}" == line
        assert ["no-store"] == result.all("cache-control")
        claims = claims_of(proof)
        assert ("fr+jwt", {"sid", "iat", "exp"}) == (header_of(proof)["typ"], claims.keys())
        assert (claims_of(result.cookie())["sid"], 300) == (claims["sid"], claims["exp"] - claims["iat"])
        assert abs(stage.clock.time() - claims["iat"]) < 5

    @pytest.mark.parametrize("kind", ["fetch", "form", "bare"])
    async def test_i16_so_does_a_confirmed_password(self, stage, kind):
        tab = await stage.logged_in()
        first = tab.browser.fresh
        stage.clock.advance(200)
        result = await tab.post(CONFIRM, kind=kind)
        (line,) = [line for line in result.all("set-cookie") if line.startswith(FRESH)]
        assert f"{FRESH}={tab.browser.fresh}; Max-Age=300{FOREVER}" == line
        assert 200 <= claims_of(tab.browser.fresh)["iat"] - claims_of(first)["iat"] <= 205
        assert sid_of(tab) == claims_of(tab.browser.fresh)["sid"]

    @pytest.mark.parametrize(
        ("says", "as_header"),
        [
            ({}, True),
            ({"origin": OWN}, False),
            (METADATA["fetch"] | {"origin": OWN}, False),
            (METADATA["fetch"], False),
            (METADATA["form"], False),
            ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "origin": OWN}, False),
        ],
        ids=["a program", "an old browser", "a script", "a script without Origin", "a form", "a script with all"],
    )
    async def test_i16_only_programs_can_read_it(self, stage, says, as_header):
        """A page's script, and whoever gets one in, must not: the header is for callers that keep no cookies."""
        tab = Browser(stage.app).tab()
        result = await tab.post("/login", kind="bare", headers=says)
        in_cookie, in_header = proof_in(result)
        assert (in_cookie if as_header else None) == in_header
        confirmed = await tab.post(CONFIRM, kind="bare", headers=says)
        in_cookie, in_header = proof_in(confirmed)
        assert in_cookie
        assert (in_cookie if as_header else None) == in_header
        assert "x-new-fresh-token" not in (confirmed.get("access-control-expose-headers") or "").lower()

    async def test_i16_nothing_else_hands_it_out(self, stage):
        """Not a first sight, a rotation, a redelivery, a straggler, a repeat, nor a change of claims."""
        tab = await stage.logged_in()
        old = tab.browser.jar
        seen = [await tab.get()]
        stage.clock.advance(901)
        seen += [await tab.ask(), await tab.ask(), await tab.get(), await tab.get()]
        seen.append(await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={old}")]))
        await stage.guard.update_claims("user-1", {"role": "guest"})
        tab.reload()
        seen += [await tab.get(), await tab.get(kind="page"), await tab.post("/desk/fresh")]
        assert ["nothing", "both", "both", "both", "nothing", "nothing", "token", "nothing", "nothing"] == [*map(carried, seen)]
        assert [(None, None)] * len(seen) == [*map(proof_in, seen)]

    @pytest.mark.parametrize(
        ("cookie", "name"),
        [
            (RefreshCookie("__Host-r"), "__Host-r-fresh"),
            (RefreshCookie(same_site="none"), FRESH),
            (RefreshCookie("__Secure-refresh", domain="app.example"), FRESH),
            (RefreshCookie("session", path="/app"), "__Host-session-fresh"),
        ],
    )
    async def test_i16_it_stays_with_this_host_and_site_whatever_the_refresh_cookie_does(self, options, clock, cookie, name):
        async with staged(options, clock, cookie=cookie, fresh=timedelta(minutes=1)) as stage:
            Desk(stage.handlers)
            tab = Browser(stage.app, cookie=cookie).tab()
            result = await tab.post("/login")
            assert f"{name}={tab.browser.fresh}; Max-Age=60{FOREVER}" in result.all("set-cookie")
            assert 200 == (await tab.post("/desk/fresh")).status
            assert f"{name}=; Max-Age=0{FOREVER}" in (await tab.post("/logout")).all("set-cookie")


class TestProof:
    """What is asked for it, and what does not pass for it."""

    @pytest.mark.parametrize("deed", Desk.DEEDS)
    async def test_i16_a_fresh_login_may(self, stage, deed):
        other, tab = await stage.logged_in(), await stage.logged_in()
        result = await tab.post(path_of(deed, sid_of(other)))
        assert 200 == result.status
        left = {"fresh": {sid_of(other), sid_of(tab)}, "end-all": set()}.get(deed, {sid_of(tab)})
        assert left == await ids(stage)

    @pytest.mark.parametrize("deed", Desk.DEEDS)
    async def test_i16_without_it_the_challenge_of_rfc_9470_says_how_fresh_it_must_be(self, stage, deed):
        other, tab = await stage.logged_in(), await stage.logged_in()
        tab.browser.fresh = None
        for kind in ("fetch", "form", "bare"):
            assert is_step_up(await tab.post(path_of(deed, sid_of(other)), kind=kind))
        assert {sid_of(other), sid_of(tab)} == await ids(stage)
        assert [] == stage.desk.done

    @pytest.mark.parametrize("deed", Desk.DEEDS)
    @pytest.mark.parametrize("fresh", [60, 300, 3600])
    async def test_i16_it_lasts_for_fresh_seconds_and_no_longer(self, options, clock, deed, fresh):
        async with staged(options, clock, fresh=fresh) as stage:
            Desk(stage.handlers)
            other, tab = await stage.logged_in(), await stage.logged_in()
            clock.advance(fresh - 10)
            assert 200 == (await tab.post("/desk/fresh")).status
            clock.advance(11)
            # The browser has forgotten its cookie by now; who has not is refused.
            assert is_step_up(await tab.post(path_of(deed, sid_of(other))), max_age=fresh)
            assert {sid_of(other), sid_of(tab)} == await ids(stage)
            await tab.post(CONFIRM)
            assert 200 == (await tab.post(path_of(deed, sid_of(other)))).status

    async def test_i16_max_age_asks_for_less_and_never_grants_more(self, stage):
        tab = await stage.logged_in()
        assert 200 == (await tab.post("/desk/fresh?max_age=30")).status
        stage.clock.advance(40)
        assert is_step_up(await tab.post("/desk/fresh?max_age=30"), max_age=30)
        assert 200 == (await tab.post("/desk/fresh?max_age=100")).status
        stage.clock.advance(261)
        assert is_step_up(await tab.post("/desk/fresh?max_age=10000"))

    async def test_i16_no_limit_makes_everything_fresh(self, stage):
        """An app that takes the number from its query: the user may write any, and none of them grants more or breaks it."""
        tab = await stage.logged_in()
        stage.clock.advance(301)
        for text in ("inf", "1e999", "300.5"):
            assert is_step_up(await tab.post(f"/desk/fresh?max_age={text}"))
        assert is_step_up(await tab.post("/desk/fresh?max_age=0.5"), max_age=0)
        for text in ("nan", "-1", "-inf"):
            with pytest.raises(ValueError, match="^max_age: "):
                await tab.post(f"/desk/fresh?max_age={text}")

    async def test_i16_a_program_sends_it_in_a_header(self, stage):
        tab = Browser(stage.app).tab()
        proof = (await tab.post("/login", kind="bare")).get("x-new-fresh-token")
        tab.browser.fresh = None
        assert is_step_up(await tab.post("/desk/fresh", kind="bare"))
        for value in (proof, f" {proof} "):
            assert 200 == (await tab.post("/desk/fresh", kind="bare", headers={"x-fresh-token": value})).status

    @pytest.mark.parametrize("where", ["cookie", "header"])
    @pytest.mark.parametrize(
        "which", ["another session's", "another user's", "an access token", "a refresh token", "of an ended session", "older"]
    )
    async def test_i16_what_is_no_proof_of_this_session_is_none(self, stage, options, which, where):
        other, stranger, tab = await stage.logged_in(), await stage.logged_in("user-2"), await stage.logged_in()
        own = tab.browser.fresh
        wrong = {
            "another session's": other.browser.fresh,
            "another user's": stranger.browser.fresh,
            "an access token": tab.token,
            "a refresh token": tab.browser.jar,
            "of an ended session": altered(own, options["secret"], sid=SOME_SID),
            "older": altered(own, options["secret"], iat=claims_of(own)["iat"] - 301),
        }[which]
        tab.browser.fresh = wrong if where == "cookie" else None
        headers = {} if where == "cookie" else {"x-fresh-token": wrong}
        for deed in Desk.DEEDS:
            assert is_step_up(await tab.post(path_of(deed, sid_of(other)), headers=headers))
        assert {sid_of(other), sid_of(tab)} == await ids(stage)

    async def test_i16_forged_ones_are_none_and_no_error(self, stage, options):
        tab = await stage.logged_in()
        own = tab.browser.fresh
        for name, forge in (TEXTS | MANGLED | HEADERS).items():
            tab.browser.fresh = forge(own, options["secret"])
            if tab.browser.fresh != own:
                assert is_step_up(await tab.post("/desk/fresh")), name
        for changes in ({"sid": None}, {"sid": 7}, {"iat": None}, {"iat": "0"}, {"exp": None}, {"exp": True}, {"exp": -1}):
            tab.browser.fresh = altered(own, options["secret"], **changes)
            assert is_step_up(await tab.post("/desk/fresh")), changes
        tab.browser.fresh = own
        assert 200 == (await tab.post("/desk/fresh")).status

    @pytest.mark.parametrize("deed", Desk.DEEDS)
    @pytest.mark.parametrize("how", ["two cookies", "a cookie in each of two headers", "cookie and header", "two headers"])
    async def test_i4_of_two_neither_is_chosen(self, stage, how, deed):
        other, tab = await stage.logged_in(), await stage.logged_in()
        own, bearer = tab.browser.fresh, ("authorization", f"Bearer {tab.token}")
        headers = {
            "two cookies": [("cookie", f"{FRESH}={own}; {FRESH}={own}")],
            "a cookie in each of two headers": [("cookie", f"{FRESH}={own}")] * 2,
            "cookie and header": [("cookie", f"{FRESH}={own}"), ("x-fresh-token", own)],
            "two headers": [("x-fresh-token", own)] * 2,
        }[how]
        result = await call(stage.app, "POST", path_of(deed, sid_of(other)), [bearer, *headers])
        assert (400, "duplicate_credentials") == (result.status, result.code)
        assert {sid_of(other), sid_of(tab)} == await ids(stage)

    async def test_i16_a_freshness_token_alone_is_nobody(self, stage):
        """It opens no path, nobody is asked about it, and the methods know nobody."""
        fresh = {"cookie": f"{FRESH}={(await stage.logged_in()).browser.fresh}"}
        stage.handlers.by_path["/open/end-all"] = stage.handlers.by_path["/public/fresh"] = stage.desk
        before = await asked(stage)
        for path in ("/me", "/desk/end-all", "/open/end-all", "/public/fresh"):
            result = await Browser(stage.app).tab().post(path, headers=fresh)
            assert (401, "token_required") == (result.status, result.code)
        assert None is (await call(stage.app, "GET", "/open/x", fresh.items())).json()["subject"]
        assert not stage.commands() - before
        assert 1 == len(await ids(stage))

    @pytest.mark.parametrize("deed", Desk.DEEDS)
    async def test_i16_redis_is_asked_each_time(self, stage, deed):
        """The session has ended since the request was let in: no proof counts, and the answer says why."""
        other, tab = await stage.logged_in(), await stage.logged_in()

        @stage.on(f"/desk/{deed}")
        async def handler(scope, receive, send):
            async with stage.another_process() as process:
                await process.revoke("user-1", sid_of(tab))
            await stage.desk(scope, receive, send)

        result = await tab.post(path_of(deed, sid_of(other)))
        assert (401, "revoked") == (result.status, result.code)
        assert {sid_of(other)} == await ids(stage)

    @pytest.mark.parametrize("first", ["reauthenticated", "login"])
    async def test_i16_what_this_very_request_has_proved_needs_no_token(self, stage, first):
        """Change the password and end all others, in one handler; but not where the session ends in between."""
        other, tab = await stage.logged_in(), await stage.logged_in()
        tab.browser.fresh = None

        @stage.on("/new-password")
        async def handler(scope, receive, send):
            auth = get_auth(scope)
            await getattr(auth, first)("user-1")
            await auth.require_fresh(0)
            await answer(send, 200, await auth.revoke_others())

        @stage.on("/ended-meanwhile")
        async def ended(scope, receive, send):
            await getattr(get_auth(scope), first)("user-1")
            async with stage.another_process() as process:
                await process.revoke_all("user-1")
            stage.clock.advance(LATE)
            await get_auth(scope).require_fresh()

        result = await tab.post("/new-password")
        assert (200, 1, "both") == (result.status, result.json(), carried(result))
        assert {sid_of(tab)} == await ids(stage) != {sid_of(other)}
        result = await tab.post("/ended-meanwhile")
        assert (401, "revoked", "nothing") == (result.status, result.code, carried(result))

    @pytest.mark.parametrize("deed", [*Desk.DEEDS, "confirm"])
    async def test_i5_redis_away_is_503(self, options, deed):
        server = RedisServer().start()
        with contextlib.closing(server):
            async with staged(options | {"redis": server.url, "timeout": 0.3}, server.clock) as stage:
                desk = Desk(stage.handlers)

                async def handler(scope, receive, send):
                    server.kill()
                    await desk(scope, receive, send)

                stage.on(f"/desk/{deed}")(handler)
                tab = await stage.logged_in()
                result = await tab.post(CONFIRM if deed == "confirm" else path_of(deed, sid_of(tab)))
                assert (503, "store_unavailable", "1") == (result.status, result.code, result.get("retry-after"))
                assert [] == desk.done == result.all("set-cookie")


async def in_state(stage, state):
    """A tab whose next request finds the head of its session in *state*."""
    tab = await stage.logged_in()
    if state in {"seen, not settled", "seen, settled", "over", "unseen"}:
        stage.clock.advance(901)
        if state == "unseen":
            await tab.ask()  # the answer is lost, the old cookie comes again
            return tab
        await tab.get()
        await tab.get()
        stage.clock.advance({"seen, not settled": 0, "seen, settled": 31, "over": 932}[state])
    return tab


class TestRenewed:
    """What a confirmed password renews: what is safe, and nothing more."""

    @pytest.mark.parametrize(
        ("state", "rotations", "carries"),
        [
            ("of a login", 1, "both"),
            ("seen, not settled", 0, "token"),
            ("seen, settled", 1, "both"),
            ("over", 1, "both"),  # this request's way in rotates
            ("unseen", 0, "both"),  # this request's way in redelivers
        ],
    )
    async def test_i16_a_head_rotates_where_nobody_can_hold_its_predecessor(self, stage, state, rotations, carries):
        tab = await in_state(stage, state)
        before, dead, sid = await stage.head(tab), tab.token, sid_of(tab)
        result = await tab.ask(CONFIRM, method="POST")
        assert (200, carries) == (result.status, carried(result))
        assert result.cookie(FRESH)
        tab.take(result)
        after = await stage.head(tab)
        assert before.gen + rotations == after.gen
        assert claims_of(tab.token)["auth_time"] == after.auth_time >= before.auth_time
        assert abs(stage.clock.time() - after.auth_time) < 5
        assert (sid, "nothing") == ((await tab.get()).json()["session_id"], carried(await tab.get()))
        result = await call(stage.app, "GET", "/me", [("authorization", f"Bearer {dead}")])
        assert (401, "token_expired") == (result.status, result.code)

    @pytest.mark.parametrize("state", ["of a login", "seen, not settled", "seen, settled", "over", "unseen"])
    @pytest.mark.parametrize("later", [0, 31, 901, 24 * 3600])
    async def test_i16_a_lost_answer_costs_a_password_prompt_never_the_session(self, stage, state, later):
        """Twice over: what was confirmed before it was lost is confirmed again, and lost again."""
        tab = await in_state(stage, state)
        sid = sid_of(tab)
        for _ in range(2):
            assert 200 == (await tab.ask(CONFIRM, method="POST")).status
        stage.clock.advance(later)
        for _ in range(2):
            assert sid == (await tab.get()).json()["session_id"]
        assert {sid} == await ids(stage)
        if later > 300 or state != "of a login":  # the login's own proof may still be there
            tab.browser.fresh = None if later <= 300 else tab.browser.fresh
            assert is_step_up(await tab.post("/desk/fresh"))
        await tab.post(CONFIRM)
        assert 200 == (await tab.post("/desk/fresh")).status
        assert sid == (await tab.get()).json()["session_id"]

    async def test_i16_confirming_twice_in_one_handler_is_as_good_as_once(self, stage):
        @stage.on("/twice")
        async def handler(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        tab = await in_state(stage, "seen, settled")
        result = await tab.post("/twice")
        assert ("both", 2) == (carried(result), (await stage.head(tab)).gen)
        assert "nothing" == carried(await tab.get())

    @pytest.mark.parametrize("on_the_wire_for", [0, 100])
    async def test_i16_an_access_token_of_an_unseen_head_never_leaves_without_its_cookie(self, stage, on_the_wire_for):
        """
        While this handler worked, another tab has rotated, and its answer is on the wire: loses sessions in 11 steps.

        Nor is that head rotated, however long it has been under way: loses sessions in 7.
        """
        tab = await in_state(stage, "seen, settled")
        other, on_the_wire = tab.browser.tab(), []

        @stage.on("/slow")
        async def handler(scope, receive, send):
            stage.clock.advance(901)
            on_the_wire.append(await other.ask())
            stage.clock.advance(on_the_wire_for)
            await get_auth(scope).reauthenticated("user-1")
            await answer(send)

        result = await tab.get("/slow")
        assert (200, "nothing", "both") == (result.status, carried(result), carried(on_the_wire[0]))
        assert (True, 2) == (result.cookie(FRESH) is not None, (await stage.head(tab)).gen)
        assert 200 == (await tab.post("/desk/fresh")).status  # redelivers
        for each in (other, tab):
            each.take(on_the_wire[0])
            stage.clock.advance(931)
            assert 200 == (await each.get()).status

    async def test_i16_a_straggler_who_knows_the_password_is_served_and_the_session_lives(self, stage):
        tab = await stage.logged_in()
        old = tab.browser.jar
        stage.clock.advance(901)
        await tab.get()
        await tab.get()
        straggler = Browser(stage.app).tab()
        straggler.browser.jar = old
        assert 200 == (await straggler.post(CONFIRM)).status
        assert 200 == (await straggler.post("/desk/fresh")).status
        stage.clock.advance(901)
        assert [200, 200] == [(await tab.get()).status, (await tab.get()).status]

    async def test_i16_a_form_is_handed_cookies_alone(self, stage):
        """No script reads the head of a document's answer: its first call is handed the access token."""
        tab = await stage.logged_in()
        result = await tab.post(CONFIRM, kind="form")
        assert ("cookie", None) == (carried(result), result.get("access-control-expose-headers"))
        assert proof_in(result) == (tab.browser.fresh, None)
        assert "both" != carried(after := await tab.get())
        assert (200, "token") == (after.status, carried(after))
        assert 200 == (await tab.post("/desk/fresh", kind="form")).status

    @pytest.mark.parametrize(
        "says",
        [
            METADATA["image"],
            METADATA["frame"],
            METADATA["events"],
            METADATA["prefetch"],
            METADATA["cross-fetch"],
            {"x-token-rotation": "off"},
            METADATA["fetch"] | {"x-token-rotation": "off"},
            METADATA["page"] | {"x-token-rotation": "off"},
        ],
        ids=["image", "frame", "event stream", "prefetch", "foreign script", "off", "a script's off", "a page's off"],
    )
    async def test_i12_who_could_not_receive_it_is_refused_and_nothing_changes(self, stage, says):
        tab = await in_state(stage, "seen, settled")
        before = await stage.head(tab)
        result = await tab.get(CONFIRM, kind="bare", headers=says, token=False)
        assert (403, "cannot_receive", []) == (result.status, result.code, result.all("set-cookie"))
        assert before == await stage.head(tab)

    @pytest.mark.parametrize("state", ["of a login", "seen, settled", "over"])
    async def test_i16_another_user_than_the_sessions_is_a_mismatch_and_changes_nothing(self, stage, state):
        """Somebody else's password was right: that is a login, not a confirmation."""
        tab = await in_state(stage, state)
        await asked(stage)
        before = []

        @stage.on("/desk/confirm")
        async def handler(scope, receive, send):
            await asked(stage)
            before.append(await stage.guard.engine.store.check("user-1", get_auth(scope).session_id))
            commands = stage.commands()
            try:
                await stage.desk(scope, receive, send)
            finally:
                assert not stage.commands() - commands

        result = await tab.ask(f"{CONFIRM}&user=user-2", method="POST")
        assert (403, "subject_mismatch") == (result.status, result.code)
        assert proof_in(result) == (None, None)
        # What rotated on the way in still leaves.
        assert ("both" if state == "over" else "nothing") == carried(result)
        tab.take(result)
        assert before == [await stage.guard.engine.store.check("user-1", sid_of(tab))]

    async def test_i16_of_nobody_there_is_nothing_to_confirm(self, stage):
        stage.handlers.by_path["/public/confirm"] = stage.handlers.by_path["/open/confirm"] = stage.desk
        path = CONFIRM.removeprefix("/desk")
        tab = await stage.logged_in()
        before = await asked(stage)
        for kind in ("fetch", "form", "bare"):
            result = await Browser(stage.app).tab().post(f"/open{path}&user=user-1", kind=kind)
            assert (401, "token_required") == (result.status, result.code)
        # A public path looks at no credentials.
        assert "token_required" == (await tab.post(f"/public{path}&user=user-1")).code
        assert not stage.commands() - before

    async def test_i16_a_session_that_has_ended_meanwhile_is_not_brought_back(self, stage):
        tab = await stage.logged_in()

        @stage.on("/desk/confirm")
        async def handler(scope, receive, send):
            async with stage.another_process() as process:
                await process.revoke_all("user-1")
            await stage.desk(scope, receive, send)

        result = await tab.post(CONFIRM)
        assert (401, "revoked", "nothing") == (result.status, result.code, carried(result))
        assert (None, None) == proof_in(result)
        assert set() == await ids(stage)


class TestLate:
    """I15 for what a confirmed password hands out."""

    @staticmethod
    def slow(stage, meanwhile):
        @stage.on("/slow")
        async def handler(scope, receive, send):
            await get_auth(scope).reauthenticated("user-1")
            stage.clock.advance(LATE)
            await meanwhile()
            await answer(send, 200, b"served")

    async def test_i15_all_of_it_leaves_while_nothing_has_happened(self, stage):
        async def nothing():
            pass

        self.slow(stage, nothing)
        tab = await in_state(stage, "seen, settled")
        result = await tab.post("/slow")
        assert ("both", True) == (carried(result), proof_in(result)[0] is not None)
        assert "nothing" == carried(await tab.get())

    async def test_i15_the_freshness_token_leaves_alone_where_the_head_has_moved(self, stage):
        async def two_generations():
            await other.get()
            for _ in range(2):
                await other.get()
                stage.clock.advance(931)
            await other.get()

        self.slow(stage, two_generations)
        tab = await in_state(stage, "seen, settled")
        other = tab.browser.tab()
        result = await tab.ask("/slow", method="POST")
        assert (200, "nothing", b"served") == (result.status, carried(result), result.body)
        assert sid_of(tab) == claims_of(result.cookie(FRESH))["sid"]

    async def test_i15_the_cookie_stays_where_another_tab_has_it_and_freshness_leaves(self, stage):
        async def redelivered():
            other.take(await other.ask())
            await other.get()

        self.slow(stage, redelivered)
        tab = await in_state(stage, "seen, settled")
        other = tab.browser.tab()
        result = await tab.ask("/slow", method="POST")
        assert ("token", True) == (carried(result), proof_in(result)[0] is not None)

    @pytest.mark.parametrize("by", ["another process", "logout", "a new login", "revoke_all", "the database"])
    async def test_i15_nothing_leaves_of_a_session_that_has_ended(self, stage, by):
        async def end():
            match by:
                case "another process":
                    async with stage.another_process() as process:
                        await process.revoke_all("user-1")
                case "the database":
                    client = await stage.guard.engine.store._link.connector.client()
                    await client.flushdb()
                case _:
                    path = {"logout": "/logout", "a new login": "/login", "revoke_all": "/desk/end-all"}[by]
                    assert (await other.post(path)).status < 300

        self.slow(stage, end)
        tab = await in_state(stage, "of a login")
        other, old = tab.browser.tab(), tab.browser.jar
        result = await tab.ask("/slow", method="POST")
        assert (200, "nothing", (None, None)) == (result.status, carried(result), proof_in(result))
        if by == "a new login":
            assert old != tab.browser.jar
            assert [200, 200] == [(await other.get()).status, (await other.post("/desk/fresh")).status]

    async def test_i15_redis_away_at_the_second_look_costs_the_proof_not_the_answer(self, options):
        server = RedisServer().start()
        with contextlib.closing(server):
            async with staged(options | {"redis": server.url, "timeout": 0.3}, server.clock) as stage:

                async def away():
                    server.kill()

                self.slow(stage, away)
                tab = await stage.logged_in()
                result = await tab.ask("/slow", method="POST")
                assert (200, b"served", [], "nothing") == (result.status, result.body, result.headers, carried(result))


class TestTooLate:
    @pytest.mark.parametrize(
        "deed",
        [
            lambda auth: auth.reauthenticated("user-1"),
            lambda auth: auth.revoke(auth.session_id),
            lambda auth: auth.revoke_all(),
        ],
        ids=["reauthenticated", "revoke the current one", "revoke_all"],
    )
    async def test_once_the_head_has_left_it_raises_before_redis_is_touched(self, stage, deed):
        raised = []

        @stage.on("/late")
        async def late(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            before = await asked(stage)
            try:
                await deed(get_auth(scope))
            except ResponseStarted as error:
                raised.append(error)
            assert not stage.commands() - before
            await send({"type": "http.response.body", "body": b"served"})

        tab = await stage.logged_in()
        result = await tab.post("/late")
        assert (1, 200, b"served", []) == (len(raised), result.status, result.body, result.headers)
        assert {sid_of(tab)} == await ids(stage)

    async def test_other_sessions_may_still_be_ended(self, stage):
        @stage.on("/late")
        async def late(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await get_auth(scope).revoke(sid_of(others[0]))
            ended = await get_auth(scope).revoke_others()
            await send({"type": "http.response.body", "body": str(ended).encode()})

        others = [await stage.logged_in() for _ in range(3)]
        tab = await stage.logged_in()
        assert b"2" == (await tab.post("/late")).body
        assert {sid_of(tab)} == await ids(stage)


class TestEnding:
    """What ending sessions does to this answer, and to whom it cannot reach."""

    @pytest.mark.parametrize("kind", ["fetch", "form", "bare"])
    async def test_i16_logout_clears_both_cookies(self, stage, kind):
        tab = await stage.logged_in()
        result = await tab.post("/logout", kind=kind)
        cleared = {f"{FRESH}=; Max-Age=0{FOREVER}", f"{COOKIE}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"}
        assert cleared == {*result.all("set-cookie")}
        assert (None, None) == (tab.browser.jar, tab.browser.fresh)

    @pytest.mark.parametrize("how", ["end", "end-all"])
    @pytest.mark.parametrize("state", ["live", "rotated on the way in"])
    async def test_i13_ending_ones_own_session_writes_no_cookie(self, options, clock, how, state):
        """Neither one that clears, which could cross a login on the wire, nor that of a rotation on the way in."""
        async with staged(options, clock, fresh=3600) as stage:
            Desk(stage.handlers)
            tab = await stage.logged_in()
            if state != "live":
                clock.advance(901)
            result = await tab.post(path_of(how, sid_of(tab)))
            assert (200, [], None) == (result.status, result.all("set-cookie"), result.new_token)
            assert {"found": 1 if how == "end-all" else None, "is_authenticated": False, "subject": None} == result.json()
            assert (401, "revoked") == ((after := await tab.get()).status, after.code)

    @pytest.mark.parametrize("how", ["end", "end-others"])
    async def test_i13_ending_others_takes_nothing_from_this_one(self, options, clock, how):
        async with staged(options, clock, fresh=3600) as stage:
            Desk(stage.handlers)
            other, tab = await stage.logged_in(), await stage.logged_in()
            clock.advance(901)
            result = await tab.post(path_of(how, sid_of(other)))
            assert (200, "both", "user-1") == (result.status, carried(result), result.json()["subject"])
            assert {sid_of(tab)} == await ids(stage)
            assert "revoked" == (await other.get()).code

    @pytest.mark.parametrize(
        "sid", [SOME_SID, "", "*", "user-1", "a" * 5000, SOME_SID.lower(), "%00", "%F0%9F%94%91", "..%2F..", SOME_SID + "+"]
    )
    async def test_i3_an_unknown_session_is_404_whatever_stands_for_it(self, stage, sid):
        tab = await stage.logged_in()

        @stage.on("/desk/end")
        async def end(scope, receive, send):
            from urllib.parse import unquote

            await get_auth(scope).revoke(unquote(scope["query_string"].decode().removeprefix("sid=")))

        result = await tab.post(f"/desk/end?sid={sid}")
        assert (404, "no_such_session") == (result.status, result.code)
        assert {sid_of(tab)} == await ids(stage)

    async def test_i16_nobody_ends_another_users_session(self, stage):
        stranger, tab = await stage.logged_in("user-2"), await stage.logged_in()
        result = await tab.post(path_of("end", sid_of(stranger)))
        assert (404, "no_such_session") == (result.status, result.code)
        assert 1 == (await tab.post("/desk/end-all")).json()["found"]
        assert {sid_of(stranger)} == await ids(stage, "user-2")

    async def test_i16_how_many_have_ended_is_told(self, stage):
        for _ in range(3):
            await stage.logged_in()
        tab = await stage.logged_in()
        assert [3, 0] == [(await tab.post("/desk/end-others")).json()["found"] for _ in range(2)]
        assert [404, 404] == [(await tab.post(path_of("end"))).status for _ in range(2)]


class TestEnded:
    """`ended()`: why the presented session is over, for a sign-in page."""

    @staticmethod
    async def end(stage, tab, reason):
        old = tab.browser.jar
        match reason:
            case "logged_out":
                await tab.post("/logout")
            case "revoked":
                await stage.guard.revoke_all("user-1")
            case "replaced":
                await tab.post("/login")
            case "session_expired":
                stage.clock.advance(15 * 24 * 3600 + 1)
            case "session_ended":
                client = await stage.guard.engine.store._link.connector.client()
                assert await client.delete(session_key(stage.options["namespace"], "user-1"))
            case "cookie_not_stored":
                stage.clock.advance(901)
                tab.token = (await tab.ask()).new_token
                await tab.get()
                stage.clock.advance(901)
                assert reason == (await tab.get()).code
            case "rolled_back_client":
                stage.clock.advance(901)
                await tab.get()
                await tab.get()
                stage.clock.advance(31)
                assert reason == (await call(stage.app, "GET", "/me", [("cookie", f"{COOKIE}={old}")])).code
            case "reuse_detected":
                stage.clock.advance(901)
                await tab.get()
                await tab.get()
                stage.clock.advance(31)
                stolen = [("cookie", f"{COOKIE}={old}")]
                assert reason == (await call(stage.app, "GET", "/me", stolen, client=("203.0.113.9", 1))).code
        tab.browser.jar = old

    @pytest.mark.parametrize(
        "reason",
        [
            "logged_out", "revoked", "replaced", "reuse_detected", "rolled_back_client", "cookie_not_stored", "session_expired",
            "session_ended",
        ],
    )  # fmt: skip
    async def test_i16_it_tells_the_reason_on_every_path_and_so_does_the_401(self, stage, reason):
        stage.handlers.by_path["/public/ended"] = stage.handlers.by_path["/open/ended"] = stage.desk
        tab = await stage.logged_in()
        await self.end(stage, tab, reason)
        by_cookie = [("cookie", f"{COOKIE}={tab.browser.jar}")]
        for path in ("/public/ended", "/open/ended"):
            result = await call(stage.app, "GET", path, by_cookie)
            assert (200, reason, None) == (result.status, result.json()["found"], result.json()["subject"]), path
            assert [] == result.all("set-cookie")
        result = await call(stage.app, "GET", "/desk/ended", by_cookie)
        assert (401, reason) == (result.status, result.code)

    @pytest.mark.parametrize("reason", ["logged_out", "revoked", "replaced", "session_ended"])
    async def test_i16_an_access_token_tells_it_as_well(self, stage, reason):
        stage.handlers.by_path["/public/ended"] = stage.desk
        tab = await stage.logged_in()
        token = [("authorization", f"Bearer {tab.token}")]
        await self.end(stage, tab, reason)
        assert reason == (await call(stage.app, "GET", "/public/ended", token)).json()["found"]
        assert reason == (await call(stage.app, "GET", "/me", token)).code

    async def test_i16_where_nothing_is_over_there_is_no_reason(self, stage, options):
        stage.handlers.by_path["/public/ended"] = stage.handlers.by_path["/open/ended"] = stage.desk
        tab = await stage.logged_in()
        forged = altered(tab.browser.jar, options["secret"][::-1])
        for path in ("/public/ended", "/open/ended", "/desk/ended"):
            result = await tab.get(path)
            assert (200, None) == (result.status, result.json()["found"])
        before = await asked(stage)
        for headers in ({}, {"cookie": f"{COOKIE}={forged}"}, {"cookie": f"{FRESH}={tab.browser.fresh}"}):
            assert None is (await call(stage.app, "GET", "/public/ended", headers.items())).json()["found"]
        assert not stage.commands() - before
        # A session that only sleeps is not over, and asking wakes nothing.
        stage.clock.advance(901)
        head = await stage.head(tab)
        assert None is (await tab.ask("/public/ended")).json()["found"]
        assert head == await stage.head(tab)

    async def test_i4_two_cookies_have_no_one_reason(self, stage):
        stage.handlers.by_path["/public/ended"] = stage.desk
        cookie = (await stage.logged_in()).browser.jar
        result = await call(stage.app, "GET", "/public/ended", [("cookie", f"{COOKIE}={cookie}; {COOKIE}={cookie}")])
        assert (400, "duplicate_credentials") == (result.status, result.code)
