"""
What a refusal means: a code for programs, and a sentence for people.

Rule: a code is never renamed, and each has one sentence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Code(StrEnum):
    """What a refusal means, for programs.  A code is never renamed."""

    DUPLICATE_CREDENTIALS = "duplicate_credentials"
    TOKEN_REQUIRED = "token_required"  # noqa: S105 (a code, not a token)
    INVALID_TOKEN = "invalid_token"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    SESSION_MISMATCH = "session_mismatch"
    SESSION_EXPIRED = "session_expired"
    SESSION_ENDED = "session_ended"
    REUSE_DETECTED = "reuse_detected"
    ROLLED_BACK_CLIENT = "rolled_back_client"
    COOKIE_NOT_STORED = "cookie_not_stored"
    LOGGED_OUT = "logged_out"
    REVOKED = "revoked"
    REPLACED = "replaced"
    STEP_UP_REQUIRED = "step_up_required"
    SUBJECT_MISMATCH = "subject_mismatch"
    NO_SUCH_SESSION = "no_such_session"
    CROSS_SITE_REQUEST = "cross_site_request"
    CANNOT_RECEIVE = "cannot_receive"
    STORE_UNAVAILABLE = "store_unavailable"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    INVALID_QUERY = "invalid_query"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    NOT_FOR_PAGES = "not_for_pages"
    NOT_CONFIRMED = "not_confirmed"
    INVALID_DPOP_PROOF = "invalid_dpop_proof"
    USE_DPOP_NONCE = "use_dpop_nonce"
    RATE_LIMITED = "rate_limited"


DETAIL: Final = {
    Code.DUPLICATE_CREDENTIALS: "The request carries two tokens of the same kind; send one.",
    Code.TOKEN_REQUIRED: "Log in first: the request carries no access token and no session cookie.",
    Code.INVALID_TOKEN: "The token is malformed, has a wrong signature or is of the wrong type.",
    Code.TOKEN_EXPIRED: "The access token is over and no session cookie came with it.",
    Code.SESSION_MISMATCH: "The access token and the session cookie belong to different users; reload the page.",
    Code.SESSION_EXPIRED: "The session has reached the end of its lifetime; log in again.",
    Code.SESSION_ENDED: "The session is over; log in again.",
    Code.REUSE_DETECTED: "A superseded refresh token came back, so the session was ended; log in again.",
    Code.ROLLED_BACK_CLIENT: "The browser came back with an older cookie, as after a crash, so the session was ended; log in "
    "again.",
    Code.COOKIE_NOT_STORED: "The browser or something on the way did not store the new session cookie; log in again.",
    Code.LOGGED_OUT: "The session was logged out; log in again.",
    Code.REVOKED: "The session was ended by its user, the app or a judgement of risk; log in again.",
    Code.REPLACED: "A newer login took the place of this session; log in again.",
    Code.STEP_UP_REQUIRED: "This needs a fresh proof of who you are; confirm it and try again.",
    Code.SUBJECT_MISMATCH: "The session belongs to another user than the one who was confirmed.",
    Code.NO_SUCH_SESSION: "This user has no live session of that id.",
    Code.CROSS_SITE_REQUEST: "Neither Origin nor Sec-Fetch-Site shows this site: a page of another origin has to be named in "
    "trusted_origins, and a program without them sends its access token beside the cookie, expired or not.",
    Code.CANNOT_RECEIVE: "This caller cannot receive tokens; log in from a page or a script of this site.",
    Code.STORE_UNAVAILABLE: "The session store does not answer; try again shortly.",
    Code.NOT_CONFIRMED: "The session store has taken the change but cannot confirm yet that it will last; try again shortly.",
    Code.NOT_FOUND: "There is no such endpoint; openapi.json beside them lists all.",
    Code.METHOD_NOT_ALLOWED: "This endpoint does not take this method; Allow lists those that it takes.",
    Code.INVALID_QUERY: "The endpoint does not take this query, so nothing was ended: DELETE sessions/ID takes none, and "
    "DELETE sessions?others ends all sessions but this one.",
    Code.INSUFFICIENT_SCOPE: "The session has not all the scopes that this needs.",
    Code.RATE_LIMITED: "Too many logins or requests on the session cookie; the session lives on, so try again later.",
    Code.NOT_FOR_PAGES: "The refresh header is for native apps; this request has Origin or Fetch Metadata, so it is a "
    "browser's, which has the cookie.",
    Code.INVALID_DPOP_PROOF: "The session is bound to a key of its client, and the request has no proof of it that counts.",
    Code.USE_DPOP_NONCE: "The proof has to carry the nonce that DPoP-Nonce tells; make a new one with it and try again.",
}
