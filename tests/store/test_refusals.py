"""What the log makes of a server's refusals."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import DefaultParser
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.store.refusals import Scope, refusal_in


def refusal(said: str):
    """Of what a server has said, as redis-py raises it."""
    return refusal_in(DefaultParser.parse_error(said))


@pytest.mark.parametrize(
    ("said", "code", "scope"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", Scope.WRITES),
        ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", Scope.WRITES),
        ("READONLY You can't write against a read only replica.", "READONLY", Scope.WRITES),
        ("MISCONF Errors writing to the AOF file: No space left", "MISCONF", Scope.WRITES),
        ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS", Scope.ALL),
        ("NOAUTH Authentication required.", "NOAUTH", Scope.ALL),
        ("LOADING Redis is loading the dataset in memory", "LOADING", Scope.ALL),
        ("ERR max number of clients reached", "max number of clients reached", Scope.ALL),
        ("NOPERM User app has no permissions to run the 'evalsha' command", "NOPERM", Scope.ONE),
        ("MOVED 7777 127.0.0.1:7001", "MOVED", Scope.ONE),
        ("CLUSTERDOWN Hash slot not served", "CLUSTERDOWN", Scope.ONE),
        # Redis 6.2, of a script
        ("ERR Error running script (call to f_1): @user_script:11: -OOM command not allowed", "OOM", Scope.WRITES),
    ],
)
def test_what_is_known_has_a_remedy_and_its_words(said, code, scope):
    found = refusal(said)
    assert (code, scope) == (found.code, found.scope)
    assert found.remedy
    assert said.removeprefix("ERR ").rstrip(".") in found.text


def test_what_is_not_known_is_a_refusal_all_the_same():
    found = refusal("ERR unknown command 'HGET'")
    assert ("", Scope.ONE, "") == (found.code, found.scope, found.remedy)
    assert Scope.ALL is refusal_in(AuthenticationError("invalid password")).scope
    assert "WRONGTYPE" in refusal_in(ResponseError("WRONGTYPE Operation against a key")).text


@pytest.mark.parametrize(
    "error", [ConnectionError("Connection closed by server."), TimeoutError("Timeout"), OSError(111, "no")]
)
def test_who_does_not_answer_refuses_nothing(error):
    assert refusal_in(error) is None
