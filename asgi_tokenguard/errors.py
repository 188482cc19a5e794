"""
Every error of the package, drawn as one tree.

TokenGuardError
├── ConfigurationError       an option is wrong; raised while the guard is built
├── SubjectError             a user's id cannot be carried in a token
├── ClaimsError              claims cannot be carried in a token
├── NotGuarded               no TokenGuardMiddleware stands around the app
├── ResponseStarted          too late: the response head has left
└── Refusal                  an answer: a status, a stable code, a sentence
    ├── DuplicateCredentials 400  two tokens of one kind in one request
    ├── InvalidQuery         400  a mounted endpoint does not take this query
    ├── NotAuthenticated     401  no token, or none that counts
    ├── ProofRefused         401  the session is bound to a key, and this is no proof of it (RFC 9449)
    ├── StepUpRequired       401  the user has to prove who they are once more (RFC 9470)
    ├── CrossSiteRequest     403  a cookie alone does not carry this across sites (I1)
    ├── CannotReceive        403  this caller could not receive what login() hands out (I12)
    ├── NotForPages          403  a browser has sent the header in which native apps carry refresh tokens
    ├── InsufficientScope    403  the session has not all the scopes that this needs (RFC 6750)
    ├── SubjectMismatch      403  another user was confirmed than the session's
    ├── NoSuchSession        404  the user has no live session of that id
    ├── NotFound             404  there is no such mounted endpoint
    ├── MethodNotAllowed     405  the mounted endpoint does not take this method
    ├── RateLimited          429  a login or a presented cookie is one too many (`limits`)
    └── StoreUnavailable     503  Redis did not answer in time (I5)
        └── NotConfirmed     503  it did, but fewer replicas or disks than `durability` asks for have the change

Each carries facts as fields; none carries a token, a key or an address.  What is an answer is a Starlette
`HTTPException` as well, so that an app's own exception handlers turn it into that answer and not into a 500.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.exceptions import HTTPException

from asgi_tokenguard.codes import DETAIL, Code


class TokenGuardError(Exception):
    """The root of all errors of this package."""


class ConfigurationError(TokenGuardError, ValueError):
    """
    An option cannot work; raised when the guard is built, or opens, never at a request.

    *option* is its name, *remedy* says what to write instead.
    """

    def __init__(self, option: str, problem: str, remedy: str) -> None:
        super().__init__(f"{option}: {problem}; {remedy}")
        self.option = option
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[str, str, str]]:
        return type(self), (self.option, self.problem, self.remedy)  # errors cross processes by pickle


class SubjectError(TokenGuardError, ValueError):
    """The subject is empty, no valid Unicode, or too long for a cookie."""


class ClaimsError(TokenGuardError, ValueError):
    """The claims are no JSON object, too large, or use a name that the token itself uses."""


class NotGuarded(TokenGuardError, LookupError):
    """`get_auth` was called where no guard stands around the app."""

    def __init__(self) -> None:
        super().__init__("this request did not come through TokenGuardMiddleware; wrap the app: TokenGuardMiddleware(app, ...)")

    def __reduce__(self) -> tuple[type[NotGuarded], tuple[()]]:
        return type(self), ()


class ResponseStarted(TokenGuardError, RuntimeError):
    """The response head has left, so nothing can be handed out or cleared any more; Redis was not touched."""


class Refusal(HTTPException, TokenGuardError):
    """
    A refusal that is an answer: `status_code`, *code* and a sentence for people.

    The `detail` is the sentence.  Challenges travel in `headers` (RFC 6750 section 3, RFC 9110 section 10.2.3).
    """

    status: int = 401

    def __init__(self, code: Code, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(self.status, DETAIL[code], headers)
        self.code = code

    def __reduce__(self) -> tuple[type[Refusal], tuple[Code]]:
        return type(self), (self.code,)


class DuplicateCredentials(Refusal):
    """Two tokens of one kind came in one request: neither is chosen (I4)."""

    status = 400

    def __init__(self, code: Code = Code.DUPLICATE_CREDENTIALS) -> None:
        super().__init__(code, headers={"WWW-Authenticate": 'Bearer error="invalid_request"'})


class InvalidQuery(Refusal):
    """A mounted endpoint that ends sessions got a query that it does not take: nothing was ended."""

    status = 400

    def __init__(self, code: Code = Code.INVALID_QUERY) -> None:
        super().__init__(code)


class NotAuthenticated(Refusal):
    """No token came, or none that counts; *code* says why."""

    status = 401

    def __init__(self, code: Code) -> None:
        # RFC 6750 section 3.1: a request without any token gets a bare challenge.
        challenge = (
            "Bearer" if code is Code.TOKEN_REQUIRED else f'Bearer error="invalid_token", error_description="{DETAIL[code]}"'
        )
        super().__init__(code, headers={"WWW-Authenticate": challenge})


class ProofRefused(Refusal):
    """
    A session that is bound to a key came without a proof of it that counts (RFC 9449 section 7.1); *flaw* says why.

    *algorithms* are those that proofs may have, *nonce* is what the next one is to carry.
    """

    status = 401

    def __init__(self, code: Code, flaw: str, *, algorithms: tuple[str, ...] = (), nonce: str | None = None) -> None:
        challenge = f'DPoP error="{code.value}", error_description="{flaw}"'
        if algorithms:
            challenge += f', algs="{" ".join(algorithms)}"'
        told = {} if nonce is None else {"DPoP-Nonce": nonce}
        super().__init__(code, headers={"WWW-Authenticate": challenge, **told})
        self.flaw, self.algorithms, self.nonce = flaw, algorithms, nonce
        if code is Code.INVALID_DPOP_PROOF:
            self.detail = f"{DETAIL[code]} The proof: {flaw}."

    def __reduce__(self) -> tuple[Callable[..., ProofRefused], tuple[Code, str]]:  # type: ignore[override]
        return partial(type(self), algorithms=self.algorithms, nonce=self.nonce), (self.code, self.flaw)


class StepUpRequired(Refusal):
    """
    The user has to prove who they are once more; *max_age* says how many seconds ago at most, *reason* why.

    The answer is the challenge of RFC 9470 section 3.
    """

    status = 401

    def __init__(self, max_age: int, reason: str = "not_fresh") -> None:
        code = Code.STEP_UP_REQUIRED
        challenge = f'Bearer error="insufficient_user_authentication", error_description="{DETAIL[code]}", max_age="{max_age}"'
        super().__init__(code, headers={"WWW-Authenticate": challenge})
        self.max_age = max_age
        self.reason = reason

    def __reduce__(self) -> tuple[type[StepUpRequired], tuple[int, str]]:  # type: ignore[override]
        return type(self), (self.max_age, self.reason)


class CrossSiteRequest(Refusal):
    """A cookie alone does not carry this request across sites (I1), nor may a foreign page log its visitor in."""

    status = 403

    def __init__(self, code: Code = Code.CROSS_SITE_REQUEST) -> None:
        super().__init__(code)


class CannotReceive(Refusal):
    """`login()` was called for a caller that could not receive the tokens (I12)."""

    status = 403

    def __init__(self, code: Code = Code.CANNOT_RECEIVE) -> None:
        super().__init__(code)


class NotForPages(Refusal):
    """A refresh token stood in the header of native apps, or one was asked for there, by what browsers send."""

    status = 403

    def __init__(self, code: Code = Code.NOT_FOR_PAGES) -> None:
        super().__init__(code)


class InsufficientScope(Refusal):
    """The session has not all of *scopes*, which this needs."""

    status = 403

    def __init__(self, *scopes: str) -> None:
        # RFC 6750 section 3: what is needed, not what is missing, which is nobody's business but the user's.
        challenge = f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'
        super().__init__(Code.INSUFFICIENT_SCOPE, headers={"WWW-Authenticate": challenge})
        self.scopes = scopes

    def __reduce__(self) -> tuple[type[InsufficientScope], tuple[str, ...]]:  # type: ignore[override]
        return type(self), self.scopes


class SubjectMismatch(Refusal):
    """`reauthenticated()` named another user than the session's: nothing was changed."""

    status = 403

    def __init__(self, code: Code = Code.SUBJECT_MISMATCH) -> None:
        super().__init__(code)


class NoSuchSession(Refusal):
    """This user has no live session of that id."""

    status = 404

    def __init__(self, code: Code = Code.NO_SUCH_SESSION) -> None:
        super().__init__(code)


class NotFound(Refusal):
    """Below the prefix of the mounted endpoints there is nothing of that name."""

    status = 404

    def __init__(self, code: Code = Code.NOT_FOUND) -> None:
        super().__init__(code)


class MethodNotAllowed(Refusal):
    """The mounted endpoint takes other methods: those in *allow*."""

    status = 405

    def __init__(self, allow: str) -> None:
        super().__init__(Code.METHOD_NOT_ALLOWED, headers={"Allow": allow})
        self.allow = allow

    def __reduce__(self) -> tuple[type[MethodNotAllowed], tuple[str]]:  # type: ignore[override]
        return type(self), (self.allow,)


class RateLimited(Refusal):
    """
    A login, or a request on the session cookie, is one too many for the option `limits`: nothing of it was done.

    *retry_after* is how many seconds to wait.  The session lives on, and its live access tokens are served as ever.
    """

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(Code.RATE_LIMITED, headers={"Retry-After": str(retry_after)})
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[RateLimited], tuple[int]]:  # type: ignore[override]
        return type(self), (self.retry_after,)


class StoreUnavailable(Refusal):
    """Redis did not answer in time (I5)."""

    status = 503

    def __init__(self, code: Code = Code.STORE_UNAVAILABLE) -> None:
        # One second: how long a restarted server needs to accept connections again.
        super().__init__(code, headers={"Retry-After": "1"})


class NotConfirmed(StoreUnavailable):
    """
    Redis has taken a change, but fewer replicas or disks than `durability` asks for have acknowledged it in time.

    A login is ended again and nothing of it was handed out.  A rotation or a revocation stands, for as long as this primary
    does: do it again, and it is confirmed then.
    """

    def __init__(self, code: Code = Code.NOT_CONFIRMED) -> None:
        super().__init__(code)
