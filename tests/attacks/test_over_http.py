"""
Every attack of the table as an access token, a refresh cookie and a freshness cookie, over real HTTP.

Each has its exact status and code.  None is a 5xx, none rotates or hands anything out that was not the bearer's already, and
Redis hears of none whose signature is bad (I14).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms
from support.actors import COOKIE, FRESH
from support.forge import claims_of
from support.http import send, serving
from support.pairs import pair, pem, pem_of
from support.stage import Handlers, answer, commands, travelling
from support.wire import Answer

from asgi_tokenguard import Key, KeySet, TokenGuardMiddleware, get_auth
from attacks.loot import INVALID, OURS, Attack, Loot, compact
from attacks.table import ATTACKS

PLACES = ("access", "refresh", "fresh")


def signer(key: Key) -> Callable[[bytes], bytes]:
    """What signs with *key*: PyJWT's algorithm, which is not ours."""
    algorithm = get_default_algorithms()[key.algorithm]
    prepared = algorithm.prepare_key(key.signing)
    return lambda message: algorithm.sign(message, prepared)


def publics(private: Any) -> dict[str, bytes]:
    """How a public key is written down: each is a secret to who does not ask what it is for."""
    public = private.public_key()
    text = pem_of(private, private=False).encode()
    jwk = Key.from_pem(text).public_jwk()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"PEM": text, "PEM without its last line end": text.rstrip(), "DER": der, "JWK": compact(jwk)}


SECRET = "a secret of more than thirty-two bytes, for tests only"
# The keys of a site, and the public key that everybody knows: for a secret there is none, so it is that of another service.
SITES = {
    "HS256": lambda: (Key(SECRET, kid="k"), pair("ES256")),
    **{name: lambda name=name: (Key(pem(name), algorithm=name, kid="k"), pair(name)) for name in ("RS256", "ES256", "EdDSA")},
}


@pytest.fixture(scope="module", params=SITES)
def site(request, server) -> Iterator[Any]:
    """The plain app under uvicorn, with a user logged in and a page that asks for a fresh login."""
    key, public = SITES[request.param]()
    handlers = Handlers()

    @handlers.on("/fresh")
    async def fresh(scope, receive, send):
        await get_auth(scope).require_fresh()
        await answer(send)

    app = TokenGuardMiddleware(
        handlers,
        keys=KeySet([key]),
        redis=server.url,
        namespace=f"attacks-{request.param}",
        timeout=10,
        cache=False,
        public=["/login"],
    )
    travelling(app.guard, server.clock)
    with serving(app) as url:
        login = send(url, "POST", "/login")
        while app.guard.engine.background.outbox.pending:
            time.sleep(0.01)  # what runs off the request path would count as asked
        # Seen by now: a twin of an unseen head would be served, as after a write that the store has lost.
        send(url, "GET", "/me", [("Authorization", f"Bearer {login.new_token}")])
        kinds = {"access": login.new_token, "refresh": login.cookie(), "fresh": login.cookie(FRESH)}
        loots = {
            kind: Loot(token=token, kinds=kinds, publics=publics(public), sign=signer(key)) for kind, token in kinds.items()
        }
        yield SimpleNamespace(url=url, redis=server.url, kinds=kinds, loots=loots)


def sent(site: Any, place: str, token: str) -> Answer:
    live = ("Authorization", f"Bearer {site.kinds['access']}")
    match place:
        case "access":
            return send(site.url, "GET", "/me", [("Authorization", f"Bearer {token}")])
        case "refresh":
            return send(site.url, "GET", "/me", [("Cookie", f"{COOKIE}={token}")])
        case _:
            return send(site.url, "GET", "/fresh", [live, ("Cookie", f"{FRESH}={token}")])


def verdict(answer: Answer) -> str:
    return f"{answer.status} {answer.code or ''}".strip()


def test_the_table_has_every_attack_once():
    assert 250 <= len(ATTACKS)
    assert len(ATTACKS) == len({attack.name for attack in ATTACKS})


def test_without_an_attack_each_token_counts_in_its_place(site):
    assert [OURS] * 3 == [verdict(sent(site, place, site.kinds[place])) for place in PLACES]
    assert ["401 invalid_token", "401 invalid_token", "401 step_up_required"] == [
        verdict(sent(site, place, "")) for place in PLACES
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_i3_a_forged_token_has_its_exact_answer_wherever_it_comes(attack: Attack, site):
    for place in PLACES:
        expected = getattr(attack, place)
        if not expected:
            continue  # there it is a genuine one
        before = commands(site.redis)
        answer = sent(site, place, attack.forge(site.loots[place]))
        asked = commands(site.redis) - before

        assert expected == verdict(answer), place
        assert [] == answer.all("set-cookie"), "nothing rotates"
        if expected == OURS and place == "refresh":
            assert claims_of(site.kinds["access"]) == claims_of(answer.new_token), (
                "the cookie's own session, and its own generation"
            )
        else:
            assert answer.new_token is None
        if place != "fresh":  # beside which a live access token comes, of which Redis is asked
            assert (attack.asks and expected != INVALID) == bool(asked), (place, asked)
    assert OURS == verdict(sent(site, "access", site.kinds["access"]))
