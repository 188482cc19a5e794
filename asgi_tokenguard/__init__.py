"""
Login sessions for any ASGI app: revocable at once, rotating by themselves, cheap per request.

    app = TokenGuardMiddleware(app, secret=SECRET, redis="redis://localhost:6379/0", public=["/login"])
"""

from asgi_tokenguard.auth import Auth, get_auth
from asgi_tokenguard.core.cookie import InsecureCookieWarning, RefreshCookie
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.sessions import Session
from asgi_tokenguard.errors import (
    CannotReceive,
    ClaimsError,
    Code,
    ConfigurationError,
    CrossSiteRequest,
    DuplicateCredentials,
    NotAuthenticated,
    NotGuarded,
    Refusal,
    ResponseStarted,
    StoreUnavailable,
    SubjectError,
    TokenGuardError,
)
from asgi_tokenguard.guard import TokenGuard, Tokens
from asgi_tokenguard.keys import Key, KeySet
from asgi_tokenguard.middleware import TokenGuardMiddleware
from asgi_tokenguard.parcels import Identity

__all__ = [
    "Auth",
    "CannotReceive",
    "ClaimsError",
    "Code",
    "ConfigurationError",
    "CrossSiteRequest",
    "DuplicateCredentials",
    "Identity",
    "InsecureCookieWarning",
    "Key",
    "KeySet",
    "Lifetimes",
    "NotAuthenticated",
    "NotGuarded",
    "RefreshCookie",
    "Refusal",
    "ResponseStarted",
    "Session",
    "StoreUnavailable",
    "SubjectError",
    "TokenGuard",
    "TokenGuardError",
    "TokenGuardMiddleware",
    "Tokens",
    "get_auth",
]
