"""
Login sessions for any ASGI app: revocable at once, rotating by themselves, cheap per request.

    app = TokenGuardMiddleware(app, secret=SECRET, redis="redis://localhost:6379/0", public=["/login"])
"""

from asgi_tokenguard.asgi.sign_in import next_path
from asgi_tokenguard.auth import Auth, get_auth
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.address import client_address
from asgi_tokenguard.core.cookie import InsecureCookieWarning, RefreshCookie
from asgi_tokenguard.core.devices import Device
from asgi_tokenguard.core.dpop import DPoP
from asgi_tokenguard.core.durability import Durability
from asgi_tokenguard.core.endings import Ending
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.limits import Limits, Rate
from asgi_tokenguard.core.places import Place
from asgi_tokenguard.core.risk import Action, RiskPolicy, Signals, Verdict
from asgi_tokenguard.core.sessions import Session
from asgi_tokenguard.errors import (
    CannotReceive,
    ClaimsError,
    ConfigurationError,
    CrossSiteRequest,
    DuplicateCredentials,
    InsufficientScope,
    NoSuchSession,
    NotAuthenticated,
    NotConfirmed,
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
from asgi_tokenguard.geo import FixedLocator, HttpLocator, MaxMindLocator
from asgi_tokenguard.guard import TokenGuard, Tokens
from asgi_tokenguard.keys import Key, KeyFile, KeySet
from asgi_tokenguard.middleware import TokenGuardMiddleware
from asgi_tokenguard.parcels import Identity
from asgi_tokenguard.store.answers import Tracking

__all__ = [
    "Action",
    "Auth",
    "CannotReceive",
    "ClaimsError",
    "Code",
    "ConfigurationError",
    "CrossSiteRequest",
    "DPoP",
    "Device",
    "DuplicateCredentials",
    "Durability",
    "Ending",
    "FixedLocator",
    "HttpLocator",
    "Identity",
    "InsecureCookieWarning",
    "InsufficientScope",
    "Key",
    "KeyFile",
    "KeySet",
    "Lifetimes",
    "Limits",
    "MaxMindLocator",
    "NoSuchSession",
    "NotAuthenticated",
    "NotConfirmed",
    "NotGuarded",
    "Place",
    "ProofRefused",
    "Rate",
    "RateLimited",
    "RefreshCookie",
    "Refusal",
    "ResponseStarted",
    "RiskPolicy",
    "Session",
    "Signals",
    "StepUpRequired",
    "StoreUnavailable",
    "SubjectError",
    "SubjectMismatch",
    "TokenGuard",
    "TokenGuardError",
    "TokenGuardMiddleware",
    "Tokens",
    "Tracking",
    "Verdict",
    "client_address",
    "get_auth",
    "next_path",
]
