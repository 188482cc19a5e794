"""One request's view of the engine."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser

from asgi_tokenguard.core.claims import scopes
from asgi_tokenguard.errors import Code, NotAuthenticated, NotGuarded

if TYPE_CHECKING:
    from asgi_tokenguard.core.sessions import Session
    from asgi_tokenguard.engine import Identity

SCOPE_KEY: Final = "asgi_tokenguard"
_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})


class Carrier(Protocol):
    """The exchange that carries tokens out; `asgi/exchange.py` is one."""

    async def login(self, subject: str, claims: Mapping[str, Any] | None, *, keep_session: bool, cross_site: bool) -> None: ...

    async def logout(self) -> None: ...

    async def sessions(self, identity: Identity) -> list[Session]: ...


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

    __slots__ = ("_carrier", "_identity")

    def __init__(self, carrier: Carrier, identity: Identity | None) -> None:
        self._carrier = carrier
        self._identity = identity

    def is_of(self, carrier: Carrier) -> bool:
        return self._carrier is carrier

    def become(self, identity: Identity | None) -> None:
        """Follow a login or logout of this request; for the exchange alone."""
        self._identity = identity

    @property
    def is_authenticated(self) -> bool:
        return self._identity is not None

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
        return _NO_CLAIMS if self._identity is None else self._identity.claims

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes in the claim `scope`: words in a string, or a list of strings."""
        return scopes(self.claims)

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

    async def sessions(self) -> list[Session]:
        """Every live session of this user, the one seen last first, the one that asks marked `current`."""
        if self._identity is None:
            raise NotAuthenticated(Code.TOKEN_REQUIRED)
        return await self._carrier.sessions(self._identity)


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


def enter(scope: MutableMapping[str, Any], carrier: Carrier, identity: Identity | None) -> None:
    """
    Fill *scope* for the app: ours, and Starlette's `request.user` and `request.auth` for `@requires`.

    A request has one `Auth`: who took it before a login, or from a copy of the scope, sees the login as well.
    """
    auth = scope.get(SCOPE_KEY)
    if isinstance(auth, Auth) and auth.is_of(carrier):
        auth.become(identity)
    else:
        auth = scope[SCOPE_KEY] = Auth(carrier, identity)
    if identity is None:
        scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
    else:
        scope["user"], scope["auth"] = User(identity), AuthCredentials(["authenticated", *auth.scopes])
