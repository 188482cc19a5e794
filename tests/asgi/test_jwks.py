"""The public keys, for other services: what they verify with them, and what they cannot know."""

from __future__ import annotations

import json

import jwt
import pytest
from jwt import PyJWKClient
from support.http import send, serving
from support.pairs import pem
from support.stage import staged

from asgi_tokenguard import Key, KeySet, TokenGuardMiddleware

SECRET = "a secret of more than thirty-two bytes, for tests only"
# The clock of these tests travels, and PyJWT looks at the machine's.
TIMELESS = {"verify_exp": False, "verify_iat": False}
AUDIENCE, ISSUER = "https://api.example", "https://id.example"


async def never(scope, receive, send):
    raise AssertionError("the app was asked")


def site(keys: KeySet):
    """A server whose Redis is away: nothing here asks for it."""
    return serving(TokenGuardMiddleware(never, keys=keys, redis="redis://127.0.0.1:1/0", endpoints="/auth"))


def test_public_keys_are_published_and_may_be_kept_for_five_minutes():
    keys = KeySet([Key(SECRET), Key.from_pem(pem("RS256")), Key.from_pem(pem("ES256"))])
    with site(keys) as url:
        answer = send(url, "GET", "/auth/jwks.json", ())
        assert (200, keys.jwks()) == (answer.status, json.loads(answer.body))
        assert "application/jwk-set+json" == answer.get("content-type")
        assert "public, max-age=300" == answer.get("cache-control")
        assert b"" == send(url, "HEAD", "/auth/jwks.json", ()).body
        assert 405 == send(url, "POST", "/auth/jwks.json", ()).status


def test_a_secret_is_never_published():
    with site(KeySet([Key(SECRET)])) as url:
        assert {"keys": []} == json.loads(send(url, "GET", "/auth/jwks.json", ()).body)


@pytest.mark.parametrize("name", ["RS256", "PS256", "ES256", "ES512", "EdDSA"])
async def test_another_service_verifies_access_tokens_by_itself(options, clock, name):
    """With PyJWT alone: its client fetches the set, and takes the key that the token names."""
    keys = KeySet([Key(pem(name), algorithm=name)])
    rest = {key: value for key, value in options.items() if key != "secret"}
    async with staged(rest, clock, keys=keys, issuer=ISSUER, audience=AUDIENCE, endpoints="/auth") as stage:
        token = (await stage.logged_in()).token or ""
        with serving(stage.app) as url:
            signing_key = PyJWKClient(f"{url}/auth/jwks.json").get_signing_key_from_jwt(token)
        claims = jwt.decode(token, signing_key, algorithms=[name], audience=AUDIENCE, issuer=ISSUER, options=TIMELESS)
        assert ("user-1", "at+jwt") == (claims["sub"], jwt.get_unverified_header(token)["typ"])
        with pytest.raises(jwt.InvalidAudienceError):
            jwt.decode(token, signing_key, algorithms=[name], audience="https://other.example", issuer=ISSUER, options=TIMELESS)
