"""The request table of the design: who is let in, on which credential, and with which code the others are refused."""

from __future__ import annotations

from itertools import product

import pytest

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller, Provenance
from asgi_tokenguard.core.decisions import (
    Accept,
    Access,
    Cookie,
    Facts,
    Pass,
    Reject,
    Rotate,
    StepUp,
    conclude,
    decide,
    judged,
    may_log_in,
    may_ride_on_cookie,
)
from asgi_tokenguard.core.risk import Action, Verdict
from asgi_tokenguard.core.rotation import Outcome


def facts(access=Access.ABSENT, cookie=Cookie.GENUINE, **others) -> Facts:
    usual = {"required": True, "method": "GET", "provenance": Provenance.SAME_ORIGIN, "caller": Caller.SCRIPT}
    return Facts(access=access, cookie=cookie, **usual | others)


# Rows: the access token; columns: the refresh cookie.  A code is what a required path answers; where nothing is required
# the caller is nobody instead, but `invalid_token!` holds everywhere.
TABLE = """
                absent           bad              expired            genuine
absent          token_required   invalid_token    session_expired    rotate
unknown-key     token_required   invalid_token    session_expired    rotate
expired         token_expired    invalid_token    session_expired    rotate
superseded      token_expired    invalid_token    session_expired    rotate
ended           session_ended    invalid_token    session_expired    rotate
bad             invalid_token!   invalid_token!   invalid_token!     invalid_token!
live            accept           accept           accept             accept
"""
HEADER, *LINES = [line.split() for line in TABLE.strip().splitlines()]
ROWS = [
    (Access(name.replace("-", " ")), Cookie(cookie), cell)
    for name, *cells in LINES
    for cookie, cell in zip(HEADER, cells, strict=True)
]


def expected_decision(cell: str, *, required: bool):
    if cell == "accept":
        return Accept()
    if cell == "rotate":
        return Rotate(caller=Caller.SCRIPT)
    if cell.endswith("!"):
        return Reject(code=Code(cell[:-1]))
    return Reject(code=Code(cell)) if required else Pass()


@pytest.mark.parametrize("required", [True, False], ids=["required", "optional"])
@pytest.mark.parametrize(("access", "cookie", "cell"), ROWS)
def test_the_request_table(access, cookie, cell, required):
    assert expected_decision(cell, required=required) == decide(facts(access, cookie, required=required))


def test_the_request_table_is_the_full_product():
    assert set(product(Access, Cookie)) == {(access, cookie) for access, cookie, _ in ROWS}


@pytest.mark.parametrize("access", [access for access in Access if access is not Access.LIVE])
@pytest.mark.parametrize("caller", Caller)
def test_i12_the_table_is_asked_as_the_caller_that_asks(access, caller):
    if access is not Access.BAD:
        assert Rotate(caller=caller) == decide(facts(access, caller=caller))


GENUINE = [Access.EXPIRED, Access.SUPERSEDED, Access.ENDED]


@pytest.mark.parametrize("access", GENUINE)
def test_two_users_in_one_request_rotate_nothing(access):
    """The cookie's session is asked as one that receives nothing, which changes nothing, only whether it is live."""
    assert Rotate(caller=Caller.OTHER) == decide(facts(access, other_subject=True, caller=Caller.SCRIPT))


# I1.  Methods that read pass from everywhere; others on the cookie alone only from here, and with proof from everywhere.
SAFE, UNSAFE = ["GET", "HEAD", "OPTIONS", "TRACE"], ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", ""]
FRIENDLY = {Provenance.SAME_ORIGIN, Provenance.TRUSTED}


@pytest.mark.parametrize("where", Provenance)
@pytest.mark.parametrize("method", SAFE)
def test_i1_a_method_that_reads_rides_on_the_cookie_from_everywhere(method, where):
    assert may_ride_on_cookie(method, where, proven=False)
    assert Rotate(caller=Caller.SCRIPT) == decide(facts(method=method, provenance=where))


@pytest.mark.parametrize("where", Provenance)
@pytest.mark.parametrize("method", UNSAFE)
def test_i1_an_unsafe_method_rides_on_the_cookie_alone_only_from_here(method, where):
    expected = Rotate(caller=Caller.SCRIPT) if where in FRIENDLY else Reject(code=Code.CROSS_SITE_REQUEST)
    assert expected == decide(facts(method=method, provenance=where))
    assert (where in FRIENDLY) == may_ride_on_cookie(method, where, proven=False)


@pytest.mark.parametrize("access", [Access.ABSENT, Access.UNKNOWN_KEY, *GENUINE])
@pytest.mark.parametrize("required", [True, False])
def test_i1_without_proof_of_the_same_session_no_access_token_helps(access, required):
    """Not on optional paths either: a foreign page must not act as its visitor."""
    sent = facts(access, method="POST", provenance=Provenance.FOREIGN, required=required)
    assert Reject(code=Code.CROSS_SITE_REQUEST) == decide(sent)


@pytest.mark.parametrize("where", Provenance)
@pytest.mark.parametrize("access", GENUINE)
def test_i1_an_access_token_of_the_same_session_proves_the_page(access, where):
    assert Rotate(caller=Caller.SCRIPT) == decide(facts(access, method="POST", provenance=where, same_session=True))


@pytest.mark.parametrize("where", Provenance)
def test_i1_a_live_access_token_needs_no_check_of_its_origin(where):
    assert Accept() == decide(facts(Access.LIVE, method="POST", provenance=where))


def test_i1_a_dead_cookie_is_answered_as_dead_from_everywhere():
    """Nothing can be done with it, so its owner learns the true reason."""
    sent = facts(cookie=Cookie.EXPIRED, method="POST", provenance=Provenance.FOREIGN)
    assert Reject(code=Code.SESSION_EXPIRED) == decide(sent)


@pytest.mark.parametrize(("method", "where"), list(product(SAFE + UNSAFE, Provenance)))
def test_i1_only_a_foreign_page_may_not_log_its_visitor_in(method, where):
    assert (method in SAFE or where is not Provenance.FOREIGN) == may_log_in(method, where)


SERVED = [Outcome.ROTATE, Outcome.REPEAT, Outcome.REDELIVER, Outcome.STRAGGLER, Outcome.ADOPT]
REFUSED = [
    (Outcome.REUSE, Code.REUSE_DETECTED),
    (Outcome.REFUSE, Code.SESSION_ENDED),
    (Code.REVOKED, Code.REVOKED),
    (Code.SESSION_ENDED, Code.SESSION_ENDED),
    (Code.SESSION_EXPIRED, Code.SESSION_EXPIRED),
]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("outcome", SERVED)
def test_whoever_the_rotation_table_serves_is_let_in(outcome, required):
    assert Accept() == conclude(facts(required=required), outcome)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("outcome", SERVED)
def test_a_tab_never_changes_its_user_silently(outcome, required):
    sent = facts(Access.EXPIRED, required=required, other_subject=True)
    assert Reject(code=Code.SESSION_MISMATCH) == conclude(sent, outcome)


@pytest.mark.parametrize("other_subject", [True, False])
@pytest.mark.parametrize(("outcome", "code"), REFUSED)
def test_a_cookie_that_does_not_count_is_401_or_nobody(outcome, code, other_subject):
    assert Reject(code=code) == conclude(facts(Access.EXPIRED, other_subject=other_subject), outcome)
    assert Pass() == conclude(facts(Access.EXPIRED, other_subject=other_subject, required=False), outcome)


def test_every_outcome_has_a_conclusion():
    assert set(Outcome) == {*SERVED, Outcome.JUDGE, *(outcome for outcome, _ in REFUSED if isinstance(outcome, Outcome))}


def test_a_doubt_that_nobody_has_judged_lets_nobody_in():
    assert Reject(code=Code.STEP_UP_REQUIRED) == conclude(facts(), Outcome.JUDGE)
    assert Reject(code=Code.SESSION_MISMATCH) == conclude(facts(Access.EXPIRED, other_subject=True), Outcome.JUDGE)


@pytest.mark.parametrize(
    ("action", "required", "expected"),
    [
        (Action.PROCEED, True, Rotate(caller=Caller.SCRIPT)),
        (Action.STEP_UP, True, StepUp(reason="distance")),
        (Action.STEP_UP, False, StepUp(reason="distance")),
        (Action.REVOKE, True, Reject(code=Code.REVOKED)),
        (Action.REVOKE, False, Pass()),
    ],
)
def test_a_verdict_becomes_a_decision(action, required, expected):
    verdict = Verdict(action=action, reason="distance", score=30.0)
    assert expected == judged(facts(required=required, caller=Caller.SCRIPT), verdict)
