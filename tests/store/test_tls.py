"""Behind TLS: who cannot prove who they are is not asked, and who asks without a certificate is not answered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from support.certificates import Certificates
from support.needs import need_command
from support.topologies import Reached, mutual_tls, tls

from asgi_tokenguard import StoreUnavailable, TokenGuard

SECRET = "a secret of more than thirty-two bytes, for tests only"


@pytest.fixture(autouse=True)
def _with_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    need_command("redis-server")  # Debian's; no wheel has a server with TLS
    monkeypatch.setenv("TOKENGUARD_REDIS_SERVER", str(shutil.which("redis-server")))


@pytest.fixture
def stranger() -> Iterator[str]:
    """The certificate of an authority that the server has nothing to do with."""
    with Certificates() as others:
        yield others.authority


async def url_of(reached: Reached) -> str:
    async with reached.source() as url:
        return str(url)


async def logs_in(url: str) -> bool:
    try:
        async with TokenGuard(secret=SECRET, redis=url, timeout=5) as guard:
            return bool((await guard.login("user-1")).access_token)
    except StoreUnavailable:
        return False


async def test_the_server_is_trusted_by_its_authority_and_its_name(stranger):
    with tls() as reached:
        url = await url_of(reached)
        base, _, _ = url.partition("?")
        assert await logs_in(url)
        assert not await logs_in(base)  # the system's authorities know nothing of it
        assert not await logs_in(f"{base}?ssl_ca_certs={stranger}")
        assert not await logs_in(url.replace("localhost", "127.0.0.1"))  # the same server, under a name it does not prove
        assert await logs_in(url.replace("localhost", "127.0.0.1") + "&ssl_check_hostname=false")
        assert not await logs_in(base.replace("rediss:", "redis:"))


async def test_the_server_wants_a_certificate_where_it_says_so():
    with mutual_tls() as reached:
        url = await url_of(reached)
        assert await logs_in(url)
        assert not await logs_in(url.partition("&")[0])
