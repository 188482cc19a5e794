"""DPoP with a client of somebody else's (requests-oauth2client), over real HTTP, on a real server."""

from __future__ import annotations

import socket
import time

import pytest
import requests
from requests_oauth2client import DPoPKey, DPoPToken
from support.apps import plain_app
from support.forge import claims_of
from support.http import serving

from asgi_tokenguard import DPoP, Lifetimes, TokenGuardMiddleware

SECRET = "a secret of more than thirty-two bytes, for tests only"


@pytest.fixture(params=[False, True], ids=["", "nonce"])
def nonce(request):
    return request.param


@pytest.fixture
def site(own, nonce):
    listener = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = TokenGuardMiddleware(
        plain_app,
        secret=SECRET,
        redis=own.url,
        public=["/login"],
        refresh_header="X-Refresh-Token",
        lifetimes=Lifetimes(access=2, idle=600, absolute=600, grace=1),
        dpop=DPoP(origin, nonce=nonce, algorithms=["ES256", "ES384", "EdDSA"]),
    )
    with serving(app, listener=listener) as url:
        yield url


def log_in(site: str, key: DPoPKey) -> requests.Response:
    """As any client would: with a proof, and once more with the nonce where one is asked for."""

    def once() -> requests.Response:
        proof = key.proof(htm="POST", htu=f"{site}/login", nonce=key.rs_nonce)
        return requests.post(f"{site}/login", headers={"DPoP": str(proof), "X-Refresh-Token": ""}, timeout=10)

    answer = once()
    if answer.status_code == 401:
        key.handle_rs_provided_dpop_nonce(answer)
        answer = once()
    assert 200 == answer.status_code
    return answer


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
def test_a_client_of_somebody_elses_logs_in_asks_and_rotates(site, algorithm):
    key = DPoPKey.generate(alg=algorithm)
    answer = log_in(site, key)
    token, refresh = answer.headers["X-New-Access-Token"], answer.headers["X-New-Refresh-Token"]
    assert {"jkt": key.dpop_jkt} == claims_of(token)["cnf"]
    for _ in range(2):
        served = requests.get(f"{site}/me?x=1", auth=DPoPToken(token, _dpop_key=key), timeout=10)
        assert (200, "user-1") == (served.status_code, served.json()["subject"])
    time.sleep(2.1)
    rotated = requests.get(f"{site}/me", auth=DPoPToken(token, _dpop_key=key), headers={"X-Refresh-Token": refresh}, timeout=10)
    assert 200 == rotated.status_code
    assert {"jkt": key.dpop_jkt} == claims_of(rotated.headers["X-New-Access-Token"])["cnf"]
    again = requests.get(f"{site}/me", auth=DPoPToken(rotated.headers["X-New-Access-Token"], _dpop_key=key), timeout=10)
    assert 200 == again.status_code


def test_its_tokens_are_no_use_to_a_client_with_another_key(site, nonce):
    key, thief = DPoPKey.generate(alg="ES256"), DPoPKey.generate(alg="ES256")
    token = log_in(site, key).headers["X-New-Access-Token"]
    thief.rs_nonce = key.rs_nonce
    proof = str(thief.proof(htm="GET", htu=f"{site}/me", ath=ath(token), nonce=thief.rs_nonce))
    for headers in (
        {"Authorization": f"DPoP {token}", "DPoP": proof},
        {"Authorization": f"DPoP {token}"},
        {"Authorization": f"Bearer {token}"},
    ):
        refused = requests.get(f"{site}/me", headers=headers, timeout=10)
        assert (401, "invalid_dpop_proof") == (refused.status_code, refused.json()["code"])
        assert ("DPoP-Nonce" in refused.headers) is (nonce and headers["Authorization"].startswith("DPoP"))


def ath(token: str) -> str:
    from asgi_tokenguard.proofs import hash_of

    return hash_of(token)
