"""Keys that change while the app runs: nobody is logged out, and a key that is gone does not count a moment longer."""

from __future__ import annotations

import json

import pytest
from support.forge import b64, claims_of, header_of, rekeyed, sign
from support.pairs import pem, pem_of, rsa_pair
from support.stage import staged
from support.wire import call

from asgi_tokenguard import ConfigurationError, Key, KeyFile, KeySet, SubjectError
from asgi_tokenguard.keys.files import LOOK_EVERY

OLD, NEW = "the old secret, of more than thirty-two bytes", "the new secret, of more than thirty-two bytes"


def kid_of(token: str | None) -> str:
    return header_of(token or "")["kid"]


@pytest.fixture
def options(options):
    return {name: value for name, value in options.items() if name != "secret"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(jwks(OLD))
    return path


def jwks(*secrets: str) -> str:
    return json.dumps({"keys": [{"kty": "oct", "k": b64(secret.encode())} for secret in secrets]})


def replace(path, text: str) -> None:
    other = path.with_name("next")
    other.write_text(text)
    other.replace(path)


async def test_a_key_is_exchanged_while_the_app_runs_and_nobody_is_logged_out(options, clock, file):
    async with staged(options, clock, keys=KeyFile(file)) as stage:
        tab = await stage.logged_in()
        assert Key(OLD).kid == kid_of(tab.token)
        replace(file, jwks(OLD, NEW))
        stage.guard.reload_keys()
        assert 200 == (await tab.get()).status
        clock.advance(901)
        await tab.get()
        assert [Key(NEW).kid] * 2 == [kid_of(tab.token), kid_of(tab.browser.jar)]
        replace(file, jwks(NEW))
        stage.guard.reload_keys()
        assert 200 == (await tab.get()).status


async def test_a_changed_file_counts_without_a_call(options, clock, file):
    async with staged(options, clock, keys=KeyFile(file)) as stage:
        replace(file, jwks(OLD, NEW))
        stage.guard.engine.signing._watch._next -= LOOK_EVERY
        assert Key(NEW).kid == kid_of((await stage.logged_in()).token)


async def test_a_token_of_a_process_that_has_read_the_file_earlier_is_known_at_once(options, clock, file):
    """The two look a moment apart: what one signs, the other looks up, and nobody is turned away meanwhile."""
    async with staged(options, clock, keys=KeyFile(file)) as one, staged(options, clock, keys=KeyFile(file)) as other:
        replace(file, jwks(OLD, NEW))
        one.guard.reload_keys()
        tab = await one.logged_in()
        assert Key(NEW).kid == kid_of(tab.token)
        tab.browser.app = other.app
        assert 200 == (await tab.get()).status


async def test_a_key_that_is_gone_does_not_count_a_moment_longer(options, clock, file):
    """Its tokens are in the cache, where they would be served without a look at their signature."""
    async with staged(options, clock, keys=KeyFile(file)) as stage:
        tab = await stage.logged_in()
        while not stage.guard.engine.liveness.known(f"Bearer {tab.token}".encode()):
            assert 200 == (await tab.get()).status
        replace(file, jwks(NEW))
        stage.guard.reload_keys()
        answer = await tab.get()
        assert (401, "invalid_token") == (answer.status, answer.code)


async def test_a_key_that_is_not_known_is_looked_for_and_asks_nothing_of_redis(options, clock, file):
    """I14: with names that he makes up an attacker makes the file be looked at, and no more."""
    async with staged(options, clock, keys=KeyFile(file)) as stage:
        tab = await stage.logged_in()
        before = stage.commands()
        for number in range(20):
            forged = rekeyed(tab.token or "", kid=f"kid-{number}")
            assert 401 == (await call(stage.app, "GET", "/me", [("authorization", f"Bearer {forged}")])).status
        assert before == stage.commands()


async def test_a_broken_file_is_told_to_whoever_calls_and_changes_nothing(options, clock, file):
    async with staged(options, clock, keys=KeyFile(file)) as stage:
        tab = await stage.logged_in()
        replace(file, '{"keys": []}')
        with pytest.raises(ConfigurationError, match="at least one Key"):
            stage.guard.reload_keys()
        assert 200 == (await tab.get()).status
        assert Key(OLD).kid == kid_of((await stage.logged_in("user-2")).token)


async def test_keys_in_code_are_exchanged_by_a_call(options, clock):
    async with staged(options, clock, keys=KeySet([Key(OLD)])) as stage:
        tab = await stage.logged_in()
        stage.guard.reload_keys(KeySet([Key(OLD), Key.from_pem(pem("ES256"))]))
        assert 200 == (await tab.get()).status
        clock.advance(901)
        await tab.get()
        assert "ES256" == header_of(tab.token or "")["alg"]
        assert ["ES256"] == [jwk["alg"] for jwk in stage.guard.jwks()["keys"]]


@pytest.mark.parametrize("wrong", [None, [Key(OLD)], Key(OLD), OLD])
async def test_a_call_without_keys_needs_a_file(options, clock, wrong):
    async with staged(options, clock, keys=KeySet([Key(OLD)])) as stage:
        with pytest.raises(ConfigurationError, match="KeyFile"):
            stage.guard.reload_keys(wrong)


async def test_keys_in_a_file_are_not_replaced_by_a_call(options, clock, file):
    """The next change of the file would undo it, without a word."""
    async with staged(options, clock, keys=KeyFile(file)) as stage:
        with pytest.raises(ConfigurationError, match="change the file"):
            stage.guard.reload_keys(KeySet([Key(NEW)]))


async def test_a_retired_pair_verifies_with_its_public_half_until_its_last_token_is_dead(options, clock):
    """Whoever retires a key need not keep what could sign."""
    async with staged(options, clock, keys=KeySet([Key.from_pem(pem("EdDSA"))])) as before:
        tab = await before.logged_in()
    retired = KeySet([Key.from_pem(pem("EdDSA", private=False)), Key(NEW)])
    async with staged(options, clock, keys=retired) as after:
        tab.browser.app = after.app
        clock.advance(14 * 86_400)  # a day before its cookie is over
        assert 200 == (await tab.get()).status
        assert [Key(NEW).kid] * 2 == [kid_of(tab.token), kid_of(tab.browser.jar)]


async def test_a_public_key_in_the_set_lets_nobody_sign_with_it_as_a_secret(options, clock):
    """Algorithm confusion: everybody has the public key, and an HMAC of it verifies where the token chooses the algorithm."""
    public = pem("RS256", private=False)
    keys = KeySet([Key.from_pem(pem("RS256"))])
    async with staged(options, clock, keys=keys) as stage:
        tab = await stage.logged_in()
        header = header_of(tab.token or "")
        for form in (public, public.strip(), public.replace("\n", "")):
            forged = sign(header | {"alg": "HS256"}, claims_of(tab.token or ""), form)
            answer = await call(stage.app, "GET", "/me", [("authorization", f"Bearer {forged}")])
            assert (401, "invalid_token") == (answer.status, answer.code)


async def test_the_longest_subject_is_refused_where_its_cookie_would_be_dropped(options, clock):
    """Browsers keep 4096 bytes of name and value, and drop what is longer without a word; a signature of RSA is long."""
    names = {"issuer": "i" * 256, "audience": "a" * 256, "public": ["/login"]}
    async with staged(options, clock, keys=KeySet([Key.from_pem(pem("RS256"))]), **names) as stage:
        tokens = await stage.guard.login('"' * 1024)
        assert 4000 < len(tokens.refresh_token or "") + len("__Host-refresh") <= 4096
    async with staged(options, clock, keys=KeySet([Key.from_pem(pem_of(rsa_pair(4096)))]), **names) as stage:
        before = stage.commands()
        with pytest.raises(SubjectError, match="4407 bytes, and a cookie 4082"):
            await stage.guard.login('"' * 1024)
        assert before == stage.commands()
