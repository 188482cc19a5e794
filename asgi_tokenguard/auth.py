"""One request's view of the engine."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser

from asgi_tokenguard import option_checks as checks
from asgi_tokenguard.codes import Code
from asgi_tokenguard.errors import InsufficientScope, NoSuchSession, NotAuthenticated, NotGuarded
from asgi_tokenguard.store.answers import Whose

if TYPE_CHECKING:
    from asgi_tokenguard.core.endings import Ending
    from asgi_tokenguard.core.sessions import Session
    from asgi_tokenguard.errors import Refusal, StepUpRequired
    from asgi_tokenguard.parcels import Identity

SCOPE_KEY: Final = "asgi_tokenguard"
_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})


class Carrier(Protocol):
    """The exchange that carries tokens out; `asgi/exchange.py` is one."""

    async def login(self, subject: str, claims: Mapping[str, Any] | None, *, keep_session: bool, cross_site: bool) -> None: ...

    async def logout(self) -> None: ...

    async def sessions(self, identity: Identity) -> list[Session]: ...

    async def endings(self, identity: Identity) -> list[Ending]: ...

    async def end(self, identity: Identity, whose: Whose, sid: str) -> int: ...

    async def reauthenticated(self, subject: str) -> None: ...

    async def require_fresh(self, identity: Identity, max_age: float | None) -> None: ...

    def step_up(self, reason: str) -> StepUpRequired: ...

    async def ended(self) -> Code | None: ...

    async def answered(self, refusal: Refusal) -> Any: ...  # what a refusal becomes; of asgi/responses.py


class User(BaseUser):
    """`request.user` of an authenticated request; *identity* is the subject."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        """The claim `name` where the app has set one, else the subject."""
        name = self._identity.claims.get("name")
        return name if isinstance(name, str) else self._identity.subject

    @property
    def identity(self) -> str:
        return self._identity.subject


class Auth:
    """
    Who a request is from, and what it may do about its session; from `get_auth`.

    The properties ask nobody; the methods may ask Redis and raise `StoreUnavailable`.
    """

    __slots__ = ("_carrier", "_claims", "_identity", "_pending")

    def __init__(self, carrier: Carrier, identity: Identity | None, pending: str | None = None) -> None:
        self._carrier = carrier
        self._identity = identity
        self._pending = pending
        self._claims: dict[str, Any] | None = None

    def become(self, identity: Identity | None) -> None:
        """Follow a login or logout of this request; for `follow` alone."""
        self._identity = identity
        self._pending = None
        self._claims = None

    @property
    def is_authenticated(self) -> bool:
        return self._identity is not None and self._pending is None

    @property
    def pending(self) -> str | None:
        """
        Why this caller has to prove who they are first: `"distance"`, `"unknown_location"`, `"other_device"` ...; else None.

        Only on `reauthentication` paths.  *subject* and *session_id* tell whom to ask for the password, all else is as for
        nobody until `reauthenticated` is called.
        """
        return self._pending

    @property
    def subject(self) -> str | None:
        """The user's id as it was given to `login`; None for nobody."""
        return None if self._identity is None else self._identity.subject

    @property
    def session_id(self) -> str | None:
        """The session's id: stable over rotations, a ULID, no secret; None for nobody."""
        return None if self._identity is None else self._identity.session_id

    @property
    def claims(self) -> Mapping[str, Any]:
        """The app's claims as they were given to `login` or `update_claims`; empty for nobody."""
        if self._identity is None or self._pending is not None:
            return _NO_CLAIMS
        if self._claims is None:
            # A copy for each request: the identity is shared by all that carry the same token, and what one request's code
            # writes into a list of its claims must never be what the next one is allowed.
            self._claims = deepcopy(dict(self._identity.claims))
        return self._claims

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes in the claim `scope`: words in a string, or a list of strings."""
        return () if self._identity is None or self._pending is not None else self._identity.scopes

    @property
    def auth_time(self) -> int | None:
        """When the user last proved who they are, in seconds since 1970 on Redis's clock; None for nobody."""
        return None if self._identity is None else self._identity.auth_time

    async def login(
        self,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        keep_session: bool = False,
        cross_site: bool = False,
    ) -> None:
        """
        Start a session of *subject*, after the app has checked who they are; the tokens travel in the response head.

        *claims* are JSON values for every access token of the session.  The session that the request carried ends, unless
        *keep_session*.  *cross_site* is for a POST callback of an identity provider whose `state` the app has checked.

        Raises `CrossSiteRequest` (login CSRF), `CannotReceive`, `ResponseStarted`, `SubjectError` and `ClaimsError`, all
        before Redis is asked.
        """
        await self._carrier.login(subject, claims, keep_session=keep_session, cross_site=cross_site)

    async def logout(self) -> None:
        """
        End the session that the request proves, and clear the cookie.

        Any genuine token is proof, live or not.  Nothing to end is fine.  Raises `CrossSiteRequest`, `ResponseStarted`.
        """
        await self._carrier.logout()

    async def reauthenticated(self, subject: str) -> None:
        """
        Take note that the app has checked once more who the user is: *subject*, who must be the session's.

        The answer hands a freshness token out, in a cookie of its own, and renews what is safe.  Where step-up was demanded,
        the session goes on from here, with the caller's network.

        Raises `SubjectMismatch`, `CannotReceive`, `ResponseStarted` and `NotAuthenticated`.
        """
        await self._carrier.reauthenticated(subject)

    async def require_fresh(self, max_age: float | None = None) -> None:
        """
        Raise `StepUpRequired` unless the user has logged in or confirmed within *max_age* seconds (default and most: `fresh`).

        The proof is the freshness token of `login` and `reauthenticated`.  A refresh cookie, copied or not, is none.
        Raises `ConfigurationError`, a ValueError, where *max_age* is below 0 or no number.
        """
        limit = checks.max_age(max_age)
        await self._carrier.require_fresh(self._known(), limit)

    def require_scopes(self, *scopes: str) -> None:
        """
        Raise `InsufficientScope` unless the session has all of *scopes*; without any, a session is enough.

        Asks nobody.  Raises `NotAuthenticated` for nobody, and `StepUpRequired` for who has to prove who they are first.
        """
        self._known()
        if not set(scopes) <= set(self.scopes):
            raise InsufficientScope(*scopes)

    async def sessions(self) -> list[Session]:
        """Every live session of this user, the one seen last first, the one that asks marked `current`."""
        return await self._carrier.sessions(self._known())

    async def endings(self) -> list[Ending]:
        """Why sessions of this user have ended in the last 24 hours, the latest first."""
        return await self._carrier.endings(self._known())

    async def revoke(self, sid: str) -> None:
        """
        End one session of this user, the current one or another; the cookies of this answer stay as they are.

        Raises `StepUpRequired` unless the login is fresh, `NoSuchSession`, and `ResponseStarted` for the current one.
        """
        if not await self._carrier.end(self._known(), Whose.ONE, sid):
            raise NoSuchSession

    async def revoke_others(self) -> int:
        """End every session of this user but the current one; how many.  Raises `StepUpRequired` unless the login is fresh."""
        identity = self._known()
        return await self._carrier.end(identity, Whose.OTHERS, identity.session_id)

    async def revoke_all(self) -> int:
        """End every session of this user; how many.  Raises `StepUpRequired` unless the login is fresh."""
        return await self._carrier.end(self._known(), Whose.ALL, "")

    async def ended(self) -> Code | None:
        """
        Why the session that this request presents is over, for a sign-in page that explains; None where none is over.

        Works on public paths too.  The bare reason: who has the cookie may not be its owner.
        """
        return await self._carrier.ended()

    def _known(self) -> Identity:
        if self._identity is None:
            raise NotAuthenticated(Code.TOKEN_REQUIRED)
        if self._pending is not None:
            raise self._carrier.step_up(self._pending)
        return self._identity


def get_auth(request_or_scope: Any) -> Auth:
    """
    The `Auth` of a request, a websocket or a raw ASGI scope.

    Raises `NotGuarded` where no `TokenGuardMiddleware` stands around the app.
    """
    scope = request_or_scope if isinstance(request_or_scope, MutableMapping) else getattr(request_or_scope, "scope", None)
    auth = scope.get(SCOPE_KEY) if isinstance(scope, Mapping) else None
    if not isinstance(auth, Auth):
        raise NotGuarded
    return auth


def presented_identity(auth: Auth) -> Identity:
    """Whose session a request is of, pending or not; raises `NotAuthenticated` for nobody."""
    identity = identity_behind(auth)
    if identity is None:
        raise NotAuthenticated(Code.TOKEN_REQUIRED)
    return identity


def identity_behind(auth: Auth) -> Identity | None:
    """Whose session a request is of, pending or not; None for nobody."""
    return auth._identity  # noqa: SLF001 (the same file)


def carrier_of_known(scope: Mapping[str, Any]) -> Carrier | None:
    """Who carries for a request that somebody has entered and found to be of a session; None before that."""
    auth = scope.get(SCOPE_KEY)
    return auth._carrier if isinstance(auth, Auth) and auth._identity is not None else None  # noqa: SLF001 (the same file)


def carrier_behind(auth: Auth) -> Carrier:
    """The exchange of a request."""
    return auth._carrier  # noqa: SLF001 (the same file)


def enter(scope: MutableMapping[str, Any], carrier: Carrier, identity: Identity | None, pending: str | None = None) -> Auth:
    """Fill *scope* for the app: ours, and Starlette's `request.user` and `request.auth` for `@requires`."""
    auth = scope[SCOPE_KEY] = Auth(carrier, identity, pending)
    _show(scope, identity if pending is None else None)
    return auth


def follow(scope: MutableMapping[str, Any], auth: Auth, identity: Identity | None) -> None:
    """
    Bring *auth* and its *scope* in line with a login or logout.

    A request has one `Auth`: who took it before a login, or from a copy of the scope, sees the login as well.
    """
    auth.become(identity)
    scope[SCOPE_KEY] = auth
    _show(scope, identity)


def _show(scope: MutableMapping[str, Any], identity: Identity | None) -> None:
    if identity is None:
        scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
    else:  # new ones for each request, since apps write in them
        scope["user"], scope["auth"] = User(identity), AuthCredentials(identity.granted)
