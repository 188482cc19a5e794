"""DPoP (RFC 9449) over ASGI: who copies the tokens of a bound session cannot use them, in whatever way they try."""

from __future__ import annotations

import pytest
from support.actors import Browser
from support.forge import altered, claims_of, rekeyed
from support.possession import ORIGIN, Holder
from support.stage import Stage, answer, staged
from support.wire import call

from asgi_tokenguard import DPoP, ProofRefused, TokenGuard, get_auth

OFFERED = "X-Refresh-Token"


class App:
    """A native app: it holds a key, keeps both tokens, and sends a proof with each request."""

    def __init__(self, stage: Stage, holder: Holder) -> None:
        self.stage, self.holder = stage, holder
        self.access = self.refresh = None

    async def login(self, user: str = "user-1", **proof):
        made = self.holder.proof("POST", f"{ORIGIN}/login", **proof)
        result = await call(self.stage.app, "POST", f"/login?user={user}", [("dpop", made), ("x-refresh-token", "")])
        return self.take(result)

    async def get(self, path="/me", *, scheme="DPoP", made=None, access=True, refresh=True, **changes):
        """*made* is the proof's text; *changes* are to what a good one says."""
        sent = []
        if access and self.access:
            sent.append(("authorization", f"{scheme} {self.access}"))
        if refresh and self.refresh:
            sent.append(("x-refresh-token", self.refresh))
        token = self.access if access else None
        proof = self.holder.proof("GET", f"{ORIGIN}{path}", token, **changes) if made is None else made
        if proof:
            sent.append(("dpop", proof))
        return self.take(await call(self.stage.app, "GET", path, sent))

    def take(self, result):
        self.access = result.new_token or self.access
        self.refresh = result.get("x-new-refresh-token") or self.refresh
        return result

    def copied(self) -> App:
        """A thief's: both tokens, and a key of his own."""
        thief = App(self.stage, Holder(now=self.holder.now))
        thief.access, thief.refresh = self.access, self.refresh
        return thief


@pytest.fixture
def policy():
    return DPoP(ORIGIN)


@pytest.fixture
async def stage(options, clock, policy):
    async with staged(options, clock, dpop=policy, refresh_header=OFFERED) as stage:
        yield stage


@pytest.fixture
async def app(stage, clock):
    app = App(stage, Holder(now=clock.time))
    await app.login()
    return app


def refused(result, flaw: str, code: str = "invalid_dpop_proof") -> bool:
    challenge = result.get("www-authenticate") or ""
    return (401, code) == (result.status, result.code) and challenge.startswith(f'DPoP error="{code}"') and flaw in challenge


async def test_a_login_with_a_proof_binds_its_tokens_and_each_request_proves_them(app, stage):
    for token in (app.access, app.refresh):
        assert {"jkt": app.holder.jkt} == claims_of(token)["cnf"]
    for _ in range(3):
        result = await app.get()
        assert (200, "user-1") == (result.status, result.json()["subject"])


async def test_a_bound_session_rotates_and_stays_bound(app, clock):
    for _ in range(3):
        before = app.access
        clock.advance(901)
        assert 200 == (await app.get()).status
        assert before != app.access
        assert [{"jkt": app.holder.jkt}] * 2 == [claims_of(token)["cnf"] for token in (app.access, app.refresh)]
        assert 200 == (await app.get()).status


async def test_its_refresh_token_alone_needs_a_proof_too(app, clock):
    clock.advance(901)
    assert refused(await app.get(access=False, made=""), "there is none")
    assert 200 == (await app.get(access=False)).status


async def test_a_thief_with_both_tokens_gets_nowhere_and_harms_nobody(app, clock):
    """And his attempts neither rotate nor end the session."""
    for wait in (0, 901):
        clock.advance(wait)
        thief = app.copied()
        for attempt in (
            thief.get(),
            thief.get(made=""),
            thief.get(access=False),
            thief.get(access=False, made=""),
            thief.get(refresh=False),
            thief.get(header={"jwk": app.holder.jwk}),  # the owner's public key is no secret
            thief.get(header={"jwk": thief.holder.jwk | {"kid": app.holder.jkt}}),
        ):
            result = await attempt
            assert (401, "invalid_dpop_proof") == (result.status, result.code)
            assert None is result.new_token
        assert 200 == (await app.get()).status


@pytest.mark.parametrize(
    ("sent", "flaw"),
    [
        ({"htm": "POST"}, "htm"),
        ({"htu": f"{ORIGIN}/open/me"}, "htu"),
        ({"htu": "https://other.example/me"}, "htu"),
        ({"ath": None}, "ath"),
        ({"ath": "A" * 43}, "ath"),
        ({"iat": 1}, "iat"),
        ({"jti": None}, "no proof"),
        ({"scheme": "Bearer"}, "Bearer"),
        ({"made": "proof"}, "no proof"),
        ({"made": ""}, "there is none"),
    ],
)
async def test_a_proof_is_for_this_request(app, sent, flaw):
    assert refused(await app.get(**sent), flaw)
    assert 200 == (await app.get()).status


async def test_whoever_serves_a_proof_elsewhere_cannot_send_it_here_under_their_own_name(app, stage):
    """A service to which the client has sent a proof replays it, with its own name as `Host`: that is not where we are."""
    made = app.holder.proof("GET", "https://evil.example/me", app.access)
    headers = [("authorization", f"DPoP {app.access}"), ("dpop", made), ("host", "evil.example")]
    assert refused(await call(stage.app, "GET", "/me", headers), "htu")


async def test_a_proof_is_good_once_in_all_processes(app, stage, clock):
    made = app.holder.proof("GET", f"{ORIGIN}/me", app.access)
    other = stage.another_process()
    try:
        assert 200 == (await app.get(made=made)).status
        assert refused(await app.get(made=made), "used")
        other_stage = Stage(stage.options, clock)
        async with other_stage.guard:
            app.stage = other_stage
            assert refused(await app.get(made=made), "used")
    finally:
        await other.aclose()


async def test_a_used_proof_is_forgotten_once_it_would_not_count_any_more(app, stage, clock):
    async def remembered():
        return await stage.guard.engine.store._link.read("", "KEYS", f"{stage.options['namespace']}:d:*")

    assert 1 == len(await remembered())  # of the login
    clock.advance(120)
    assert 1 == len(await remembered())
    clock.advance(2)
    assert [] == await remembered()


async def test_one_proof_serves_both_tokens_of_a_request(app, clock):
    """The access token is over, and the refresh token takes its place in the same request."""
    clock.advance(901)
    made = app.holder.proof("GET", f"{ORIGIN}/me", app.access)
    assert 200 == (await app.get(made=made)).status
    assert refused(await app.get(made=made), "ath")


async def test_two_proofs_are_none(app, stage):
    """RFC 9449 section 4.3, step 1."""
    proofs = [("dpop", app.holder.proof("GET", f"{ORIGIN}/me", app.access)) for _ in range(2)]
    result = await call(stage.app, "GET", "/me", [("authorization", f"DPoP {app.access}"), *proofs])
    assert (400, "duplicate_credentials") == (result.status, result.code)


async def test_tokens_of_two_holders_are_not_served_together(app, stage):
    other = App(stage, Holder(now=app.holder.now))
    await other.login("user-1")
    app.refresh = other.refresh
    app.stage.clock.advance(901)
    assert refused(await app.get(), "another key")


async def test_a_free_session_stays_one_and_is_not_taken_as_bound(stage, app):
    tab = await stage.logged_in("user-2")
    assert "cnf" not in claims_of(tab.token)
    assert 200 == (await tab.get()).status
    result = await call(stage.app, "GET", "/me", [("authorization", f"DPoP {tab.token}")])
    assert refused(result, "another key")


async def test_a_proof_that_does_not_count_starts_no_session_and_ends_none(stage, app):
    before = await stage.guard.sessions("user-1")
    assert refused(await app.login(htu="https://evil.example/login"), "htu")
    assert before == await stage.guard.sessions("user-1")


@pytest.mark.parametrize("policy", [DPoP(ORIGIN, required=True)], ids=["required"])
async def test_where_it_is_required_nobody_logs_in_without(stage, policy):
    result = await call(stage.app, "POST", "/login", ())
    assert refused(result, "there is none")
    assert [] == await stage.guard.sessions("user-1")


@pytest.mark.parametrize("policy", [DPoP(ORIGIN, nonce=True)], ids=["nonce"])
async def test_a_nonce_is_asked_for_and_then_the_clients_clock_does_not_matter(stage, policy, clock):
    app = App(stage, Holder(now=lambda: 0))
    result = await app.login()
    assert refused(result, "nonce", "use_dpop_nonce")
    nonce = result.get("dpop-nonce")
    assert 200 == (await app.login(nonce=nonce)).status
    assert 200 == (await app.get(nonce=nonce)).status
    clock.advance(600)
    over = await app.get(nonce=nonce)
    assert refused(over, "nonce", "use_dpop_nonce")
    assert 200 == (await app.get(nonce=over.get("dpop-nonce"))).status
    assert None is not (await app.get(made="")).get("dpop-nonce")


async def test_i14_nothing_is_asked_of_redis_before_token_and_proof_are_genuine(app, stage):
    before = stage.commands()
    for attempt in (
        app.get(htm="POST"),
        app.get(made=""),
        app.get(made="proof"),
        app.copied().get(),
        call(stage.app, "GET", "/me", [("authorization", f"DPoP {rekeyed(app.access)}"), ("dpop", app.holder.proof())]),
    ):
        assert 401 == (await attempt).status
    assert before == stage.commands()


async def test_a_bound_token_is_never_served_from_memory(app, stage):
    """There is no proof in the cache; a free session's token is in it by then."""
    known = stage.guard.engine.liveness.known
    tab = await stage.logged_in("user-2")
    while known(f"Bearer {tab.token}".encode()) is None:
        await tab.get()
    for _ in range(3):
        assert 200 == (await app.get()).status
    assert refused(await app.get(made=""), "there is none")
    assert None is known(f"DPoP {app.access}".encode())


async def test_revocation_is_as_quick_as_ever(app, stage):
    await stage.guard.revoke_all("user-1")
    assert (401, "revoked") == ((result := await app.get()).status, result.code)


@pytest.mark.parametrize(
    "cnf", [{"jkt": ""}, {"jkt": 7}, {"jkt": "short"}, {}, {"x5t#S256": "A" * 43}, {"jkt": "A" * 43, "jwk": {}}, None, "x"]
)
async def test_a_confirmation_that_is_not_understood_binds_all_the_same(app, stage, cnf, options):
    """Even with our own signature it makes no free token (RFC 7800 section 3.1)."""
    token = altered(app.access, options["secret"], cnf=cnf if cnf is not None else "null")
    result = await call(stage.app, "GET", "/me", [("authorization", f"Bearer {token}")])
    assert (401, "invalid_token") == (result.status, result.code)


async def test_a_guard_without_the_option_serves_no_bound_token(app, options, clock):
    async with staged(options, clock, refresh_header=OFFERED) as plain:
        for headers in ([("authorization", f"Bearer {app.access}")], [("x-refresh-token", app.refresh)]):
            result = await call(plain.app, "GET", "/me", headers)
            assert (401, "invalid_dpop_proof") == (result.status, result.code)


async def test_nor_does_a_guard_without_a_request(app, stage):
    for attempt in (stage.guard.authenticate(app.access), stage.guard.rotate(app.refresh)):
        with pytest.raises(ProofRefused, match="only a request"):
            await attempt


async def test_a_confirmed_password_keeps_the_session_bound(app, stage):
    @stage.on("/confirm")
    async def confirm(scope, receive, send):
        await get_auth(scope).reauthenticated("user-1")
        await answer(send)

    app.stage.clock.advance(10)
    assert 200 == (await app.get("/confirm")).status
    assert {"jkt": app.holder.jkt} == claims_of(app.access)["cnf"]
    assert 200 == (await app.get()).status


async def test_new_claims_keep_it_bound(app, stage):
    await stage.guard.update_claims("user-1", {"role": "admin"})
    assert 200 == (await app.get()).status
    assert ("admin", {"jkt": app.holder.jkt}) == (claims_of(app.access)["role"], claims_of(app.access)["cnf"])


async def test_a_browser_beside_it_goes_on_as_ever(stage):
    tab = Browser(stage.app).tab()
    assert 200 == (await tab.post("/login")).status
    stage.clock.advance(901)
    assert 200 == (await tab.get()).status


async def test_refusals_pickle(stage):
    """Errors cross processes."""
    import pickle

    from asgi_tokenguard import Code

    error = ProofRefused(Code.USE_DPOP_NONCE, "flaw", algorithms=("ES256",), nonce="n")
    other = pickle.loads(pickle.dumps(error))
    assert (error.headers, error.detail, error.flaw) == (other.headers, other.detail, other.flaw)


async def test_without_cryptography_the_option_says_what_to_install(options, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(ValueError, match=r"asgi-tokenguard\[keys\]"):
        TokenGuard(**options, dpop=DPoP(ORIGIN))
