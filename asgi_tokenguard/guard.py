"""The engine without a request: for jobs, admin code and other transports."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, Unpack, assert_never

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.claims import RefreshClaims, TokenClaims, check_subject
from asgi_tokenguard.core.decisions import ACCESS_CODES, Access, refusal_code
from asgi_tokenguard.core.endings import Ending
from asgi_tokenguard.core.risk import Action
from asgi_tokenguard.core.sessions import Session, pack_address
from asgi_tokenguard.engine import Engine
from asgi_tokenguard.errors import ConfigurationError, NotAuthenticated, ProofRefused, StepUpRequired
from asgi_tokenguard.events.mirror import reconcile
from asgi_tokenguard.keys import KeySet
from asgi_tokenguard.options import GuardOptions, settle
from asgi_tokenguard.parcels import Answer, Delivery, Identity, Source, identity_in
from asgi_tokenguard.store.answers import Presentation, Tracking, Whose
from asgi_tokenguard.store.patience import Patience
from asgi_tokenguard.tokens import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """
    What a login or rotation hands out.

    *refresh_token* is None where the presented one stays the newest; both are None for a straggler, whose successor another
    caller has already used.
    """

    session_id: str
    access_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)


class TokenGuard:
    """
    Sessions of users, without a request.

    The options are those of `TokenGuardMiddleware`; wrong ones raise `ConfigurationError`.  It opens at its first use or by
    `async with`, and opens again after `aclose` or in another event loop.  Every method raises `StoreUnavailable` where
    Redis does not answer within `timeout`.
    """

    def __init__(self, **options: Unpack[GuardOptions]) -> None:
        self.engine = Engine(settle(options))

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:  # there is no __aexit__ then
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Connect to Redis (and start an embedded server); raise `ConfigurationError` where it is too old."""
        store = self.engine.store
        await store.start()
        async with self._patience():
            await store.open()
            try:
                await store.check_version()
                await store.check_durability()
            except ConfigurationError:
                await store.aclose()  # nobody closes what did not open
                raise

    async def aclose(self) -> None:
        """
        Finish the work in the background (5 s at most), and close what belongs to this event loop.

        A Redis client that you passed stays open.
        """
        settings = self.engine.settings
        async with AsyncExitStack() as closing:  # each is closed, whatever another one's end raises
            closing.push_async_callback(self.engine.store.aclose)
            closing.push_async_callback(self.engine.vigil.aclose)  # and the channel, which the cache hears as well
            for opened in (settings.locator, settings.mirror):
                if opened is not None:
                    closing.push_async_callback(opened.aclose)
            closing.push_async_callback(self.engine.background.aclose)

    @property
    def tracking(self) -> Tracking:
        """
        How the running event loop hears of changes in Redis: whether tokens are served from memory.

        For a gauge or a health page, read in the loop that serves.  `REFUSED` is lasting and costs speed, never safety.
        Raises RuntimeError outside of a loop.
        """
        return self.engine.liveness.tracking

    async def login(self, subject: str, claims: Mapping[str, Any] | None = None, *, ip_address: str | None = None) -> Tokens:
        """
        Start a session of *subject*; *claims* travel in every access token of it.

        Raises `SubjectError` and `ClaimsError`.
        """
        async with self._patience():
            _, delivery = await self.engine.login(
                subject, claims, caller=Caller.SCRIPT, source=Source(address=pack_address(ip_address))
            )
        return self._tokens(delivery)

    async def authenticate(self, access_token: str) -> Identity:
        """Who *access_token* is; raises `NotAuthenticated` with its code where it is not live."""
        claims = self.engine.codec.read_access(access_token)
        if isinstance(claims, Fault):
            raise NotAuthenticated(Code.INVALID_TOKEN)
        _refuse_bound(claims)
        async with self._patience():
            access = await self.engine.liveness.judge(claims)
            if access is Access.LIVE:
                return identity_in(claims)
            reason = await self.engine.why(claims.sub, claims.sid) if access is Access.ENDED else None
        raise NotAuthenticated(reason or ACCESS_CODES[access])

    async def rotate(self, refresh_token: str, *, ip_address: str | None = None) -> Tokens:
        """
        Present *refresh_token* to the rotation table.

        Where *ip_address* is given it is judged as that of a request.  Raises `NotAuthenticated`, whose code says why
        (`reuse_detected`: the session was ended), and `StepUpRequired`.
        """
        claims = self.engine.codec.read_refresh(refresh_token)
        if isinstance(claims, Fault):
            raise NotAuthenticated(Code.INVALID_TOKEN)
        _refuse_bound(claims)
        source = None if ip_address is None else Source(address=pack_address(ip_address))
        async with self._patience():
            answer = await self.engine.present(claims, Caller.SCRIPT, source)
        if answer.found is not None and source is not None:
            answer = await self._judged(claims, answer.found, source)
        code = refusal_code(answer.outcome)
        if code is not None:
            raise NotAuthenticated(code)
        if answer.delivery is None:
            return Tokens(session_id=claims.sid, access_token=None, refresh_token=None)
        return self._tokens(answer.delivery)

    async def _judged(self, claims: RefreshClaims, found: Presentation, source: Source) -> Answer:
        verdict = await self.engine.weigh(claims, found, source)
        async with self._patience():
            match verdict.action:
                case Action.PROCEED:
                    return await self.engine.present(claims, Caller.SCRIPT, source, passed=True)
                case Action.STEP_UP:
                    raise StepUpRequired(self.engine.settings.fresh, verdict.reason)
                case Action.REVOKE:
                    await self.engine.end(claims.sub, Whose.ONE, claims.sid)
                    raise NotAuthenticated(Code.REVOKED)
                case _:
                    assert_never(verdict.action)

    def reload_keys(self, keys: KeySet | None = None) -> None:
        """
        From now on *keys* sign and verify; None: read the files of a `KeyFile` again, without waiting until they are looked at.

        Tokens of a key that is gone do not count a moment longer.  Raises `ConfigurationError`, and then nothing has changed.
        """
        self.engine.signing.reload(keys)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK set, for services that verify access tokens themselves; secrets are not in it."""
        return self.engine.codec.jwks()

    async def endings(self, subject: str) -> list[Ending]:
        """Why sessions of *subject* have ended in the last 24 hours, the latest first."""
        check_subject(subject)
        async with self._patience():
            return await self.engine.store.endings(subject)

    async def reconcile(self) -> int:
        """
        Make every row of the mirror equal to the truth; how many users were looked at.

        To be run now and then: sessions that expire or are deleted by hand end without a word.
        """
        mirror = self.engine.settings.mirror
        return 0 if mirror is None else await reconcile(mirror, self.engine.read_sessions)

    async def sessions(self, subject: str) -> list[Session]:
        """Every live session of *subject*, the one seen last first."""
        async with self._patience():
            return await self.engine.sessions(subject)

    async def revoke(self, subject: str, sid: str) -> bool:
        """End one session; False where it was not live."""
        async with self._patience():
            return bool(await self.engine.end(subject, Whose.ONE, sid))

    async def revoke_others(self, subject: str, sid: str) -> int:
        """End every session of *subject* but *sid* (all of them where it is not live); how many.  0 where *sid* is no id."""
        async with self._patience():
            return await self.engine.end(subject, Whose.OTHERS, sid)

    async def revoke_all(self, subject: str) -> int:
        """End every session of *subject*; how many."""
        async with self._patience():
            return await self.engine.end(subject, Whose.ALL)

    async def update_claims(self, subject: str, claims: Mapping[str, Any], sid: str | None = None) -> int:
        """
        Replace the claims of one session of *subject*, or of all; how many.

        The access tokens with the old claims are dead at once; clients are handed new ones with their next requests.
        *sid* None means all; what is no session id changes none.  Raises `SubjectError` and `ClaimsError`.
        """
        async with self._patience():
            return await self.engine.update_claims(subject, claims, sid)

    def _patience(self) -> Patience:
        return self.engine.store.patience()

    def _tokens(self, delivery: Delivery) -> Tokens:
        return Tokens(
            session_id=delivery.sid,
            access_token=self.engine.access_token(delivery),
            refresh_token=self.engine.refresh_token(delivery)[0] if delivery.handout.cookie else None,
        )


def _refuse_bound(claims: TokenClaims) -> None:
    # There is no request here whose proof could be looked at (RFC 9449), and without one a copy would serve.
    if claims.jkt:
        raise ProofRefused(Code.INVALID_DPOP_PROOF, "only a request can prove it")
