"""The error tree: one root, facts as fields, answers with a status, a code and a challenge."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest
from starlette.exceptions import HTTPException

from asgi_tokenguard import errors
from asgi_tokenguard.codes import DETAIL, Code
from asgi_tokenguard.errors import (
    CannotReceive,
    ClaimsError,
    ConfigurationError,
    CrossSiteRequest,
    DuplicateCredentials,
    InsufficientScope,
    InvalidQuery,
    MethodNotAllowed,
    NoSuchSession,
    NotAuthenticated,
    NotConfirmed,
    NotForPages,
    NotFound,
    NotGuarded,
    ProofRefused,
    RateLimited,
    Refusal,
    ResponseStarted,
    StepUpRequired,
    StoreUnavailable,
    SubjectError,
    SubjectMismatch,
    TokenGuardError,
)

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, Exception) and kind is not HTTPException
}


def drawn_tree() -> dict[str, str]:
    """The tree in the module's docstring: each error and its parent."""
    parents, path = {}, ["TokenGuardError"]
    for line in errors.__doc__.splitlines():
        match = re.match(r"([│ ]*)[├└]── (\w+)", line)
        if match:
            depth = len(match[1]) // 4 + 1
            parents[match[2]] = path[depth - 1]
            path[depth:] = [match[2]]
    return parents


def test_the_tree_is_as_it_is_drawn():
    drawn = drawn_tree()
    assert {*drawn, "TokenGuardError"} == set(CLASSES)
    assert {name: CLASSES[parent] for name, parent in drawn.items()} == {
        name: next(base for base in kind.__bases__ if issubclass(base, TokenGuardError))
        for name, kind in CLASSES.items()
        if kind is not TokenGuardError
    }


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigurationError, ValueError),
        (SubjectError, ValueError),
        (ClaimsError, ValueError),
        (NotGuarded, LookupError),
        (ResponseStarted, RuntimeError),
        (Refusal, HTTPException),
    ],
)
def test_each_error_is_also_the_builtin_that_fits(kind, builtin):
    assert issubclass(kind, builtin)


# --- Answers

UNAUTHORIZED = [
    Code.INVALID_TOKEN,
    Code.TOKEN_EXPIRED,
    Code.SESSION_MISMATCH,
    Code.SESSION_EXPIRED,
    Code.SESSION_ENDED,
    Code.REUSE_DETECTED,
    Code.ROLLED_BACK_CLIENT,
    Code.COOKIE_NOT_STORED,
    Code.LOGGED_OUT,
    Code.REVOKED,
    Code.REPLACED,
]
ANSWERS = [
    (DuplicateCredentials(), 400, "duplicate_credentials", {"WWW-Authenticate": 'Bearer error="invalid_request"'}),
    (NotAuthenticated(Code.TOKEN_REQUIRED), 401, "token_required", {"WWW-Authenticate": "Bearer"}),
    *[
        (
            NotAuthenticated(code),
            401,
            code.value,
            {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{DETAIL[code]}"'},
        )
        for code in UNAUTHORIZED
    ],
    (
        ProofRefused(Code.INVALID_DPOP_PROOF, "it has been used", algorithms=("ES256", "EdDSA")),
        401,
        "invalid_dpop_proof",
        {"WWW-Authenticate": 'DPoP error="invalid_dpop_proof", error_description="it has been used", algs="ES256 EdDSA"'},
    ),
    (
        ProofRefused(Code.USE_DPOP_NONCE, "it is over", nonce="new"),
        401,
        "use_dpop_nonce",
        {"WWW-Authenticate": 'DPoP error="use_dpop_nonce", error_description="it is over"', "DPoP-Nonce": "new"},
    ),
    (
        StepUpRequired(300, "distance"),
        401,
        "step_up_required",
        {
            "WWW-Authenticate": 'Bearer error="insufficient_user_authentication", '
            f'error_description="{DETAIL[Code.STEP_UP_REQUIRED]}", max_age="300"'
        },
    ),
    (
        InsufficientScope("read", "write"),
        403,
        "insufficient_scope",
        {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="read write"'},
    ),
    (SubjectMismatch(), 403, "subject_mismatch", None),
    (NoSuchSession(), 404, "no_such_session", None),
    (CrossSiteRequest(), 403, "cross_site_request", None),
    (CannotReceive(), 403, "cannot_receive", None),
    (NotForPages(), 403, "not_for_pages", None),
    (NotFound(), 404, "not_found", None),
    (MethodNotAllowed("GET, HEAD"), 405, "method_not_allowed", {"Allow": "GET, HEAD"}),
    (InvalidQuery(), 400, "invalid_query", None),
    (RateLimited(7), 429, "rate_limited", {"Retry-After": "7"}),
    (StoreUnavailable(), 503, "store_unavailable", {"Retry-After": "1"}),
    (NotConfirmed(), 503, "not_confirmed", {"Retry-After": "1"}),
]


@pytest.mark.parametrize(("refusal", "status", "code", "headers"), ANSWERS, ids=[row[2] for row in ANSWERS])
def test_p29_each_refusal_is_an_answer_with_status_code_and_challenge(refusal, status, code, headers):
    # What is wrong with a proof its maker has to know; the other sentences are one for each code.
    sentence = DETAIL[refusal.code] + (" The proof: it has been used." if code == "invalid_dpop_proof" else "")
    assert (status, code, sentence, headers) == (
        refusal.status_code,
        refusal.code,
        refusal.detail,
        refusal.headers,
    )


def test_every_code_has_its_answer_and_its_sentence():
    assert set(Code) == {refusal.code for refusal, *_ in ANSWERS} == set(DETAIL)


def test_codes_are_never_renamed():
    """Clients compare them; this list only ever grows."""
    assert [
        "duplicate_credentials",
        "token_required",
        "invalid_token",
        "token_expired",
        "session_mismatch",
        "session_expired",
        "session_ended",
        "reuse_detected",
        "rolled_back_client",
        "cookie_not_stored",
        "logged_out",
        "revoked",
        "replaced",
        "step_up_required",
        "subject_mismatch",
        "no_such_session",
        "cross_site_request",
        "cannot_receive",
        "store_unavailable",
        "not_found",
        "method_not_allowed",
        "invalid_query",
        "insufficient_scope",
        "not_for_pages",
        "not_confirmed",
        "invalid_dpop_proof",
        "use_dpop_nonce",
        "rate_limited",
    ] == [code.value for code in Code]


@pytest.mark.parametrize("code", Code)
def test_a_sentence_fits_into_a_challenge(code):
    """RFC 6750 section 3: printable ASCII without quotes and backslashes."""
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+\.", DETAIL[code])


def test_a_bare_refusal_may_carry_headers_of_its_own():
    refusal = Refusal(Code.TOKEN_REQUIRED, headers={"X-A": "b"})
    assert (401, {"X-A": "b"}) == (refusal.status_code, refusal.headers)


# --- All of them

EXAMPLES = [
    TokenGuardError("x"),
    ConfigurationError("timeout", "it is negative", "give seconds"),
    SubjectError("x"),
    ClaimsError("x"),
    NotGuarded(),
    ResponseStarted("x"),
    Refusal(Code.TOKEN_REQUIRED),
    *[refusal for refusal, *_ in ANSWERS],
]


def facts(error: Exception) -> tuple[object, ...]:
    return type(error), str(error), vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: f"{type(error).__name__}-{getattr(error, 'code', '')}")
def test_every_error_crosses_processes(error):
    assert facts(error) == facts(pickle.loads(pickle.dumps(error))) == facts(copy.copy(error))


def test_every_class_has_an_example():
    assert set(CLASSES.values()) == {type(error) for error in EXAMPLES}


def test_a_configuration_error_names_option_problem_and_remedy():
    error = ConfigurationError("timeout", "it is negative", "give seconds")
    assert "timeout: it is negative; give seconds" == str(error)
    assert ("timeout", "it is negative", "give seconds") == (error.option, error.problem, error.remedy)


def test_who_is_not_guarded_is_told_what_to_write():
    assert "TokenGuardMiddleware(app, ...)" in str(NotGuarded())
