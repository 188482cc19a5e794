"""When a cluster is asked anew who owns what: once after each silence, and again where that fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis.asyncio import RedisCluster

from asgi_tokenguard import ConfigurationError, TokenGuard
from asgi_tokenguard.store.connect import Connector


@pytest.fixture
def connector(monkeypatch):
    monkeypatch.setattr("asgi_tokenguard.store.connect.READ_ANEW_SECONDS", 0.0)
    return Connector(RedisCluster("127.0.0.1", 1), 1)


@pytest.fixture
def read(monkeypatch) -> list[Callable[[], None]]:
    """What happens while the topology is read, one after the other."""
    meanwhile: list[Callable[[], None]] = []

    async def read_topology(client: RedisCluster, suspect: str) -> None:
        meanwhile.pop(0)()

    monkeypatch.setattr("asgi_tokenguard.store.connect.read_topology", read_topology)
    return meanwhile


async def test_it_is_read_once_for_each_doubt(connector, read):
    read.append(lambda: None)
    connector.doubt_owner("key")
    await connector.client()
    await connector.client()
    assert [] == read


async def test_a_doubt_that_comes_while_it_is_read_counts(connector, read):
    """Another node fell silent: what is being read may be the answer of before."""
    read += [lambda: connector.doubt_owner("another"), lambda: None]
    connector.doubt_owner("key")
    await connector.client()
    await connector.client()
    assert [] == read


async def test_a_reading_that_fails_leaves_the_doubt(connector, read):
    def fail() -> None:
        raise ConnectionError

    read += [fail, lambda: None]
    connector.doubt_owner("key")
    with pytest.raises(ConnectionError):
        await connector.client()
    await connector.client()
    assert [] == read


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rediss://localhost?ssl_ca_cert=/x", "did you mean ssl_ca_certs"),
        ("redis://localhost?ssl_cert_reqs=none", "without TLS"),
        ("rediss://localhost?ssl_ca_certs=/nowhere", "cannot be read"),
    ],
)
def test_what_a_url_says_wrongly_of_tls_is_refused_at_start_up(url, said):
    """redis-py fails at its first connection, with a `TypeError` that no app expects."""
    with pytest.raises(ConfigurationError, match=said):
        TokenGuard(secret="s" * 32, redis=url)
