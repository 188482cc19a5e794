"""
One request and its answer.

Rule: what a response head carries is decided once, when it leaves, and the app has the last word (I13): a login or logout in
the app replaces whatever a rotation on the way in has prepared.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard import freshness
from asgi_tokenguard.asgi import answers, brought, credentials, endpoints, gate, handout, order, responses
from asgi_tokenguard.asgi.possession import Possession
from asgi_tokenguard.asgi.streams import Stream
from asgi_tokenguard.auth import SCOPE_KEY, carrier_of_known, enter, follow, identity_behind, presented_identity
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller, Provenance, login_caller
from asgi_tokenguard.core.decisions import may_log_in, may_ride_on_cookie, refusal_code
from asgi_tokenguard.core.media_types import has_length
from asgi_tokenguard.core.paths import Openness
from asgi_tokenguard.errors import (
    CannotReceive,
    ConfigurationError,
    CrossSiteRequest,
    NotAuthenticated,
    Refusal,
    ResponseStarted,
    StepUpRequired,
    SubjectMismatch,
)
from asgi_tokenguard.store.answers import Whose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from starlette.types import ASGIApp, Message, Scope, Send

    from asgi_tokenguard.asgi.endpoints import Endpoint
    from asgi_tokenguard.asgi.responses import Answered
    from asgi_tokenguard.auth import Auth
    from asgi_tokenguard.core.endings import Ending
    from asgi_tokenguard.core.sessions import Session
    from asgi_tokenguard.engine import Engine
    from asgi_tokenguard.parcels import Delivery, Identity

START: Final = "http.response.start"


class Exchange:
    """One request: remembers what to add to the response head."""

    # Here and not in `__init__`, since a request with a known token sets none of them but `_started`.
    _delivery: Delivery | None = None
    _clears = False
    _started = False
    _made: Mapping[str, str] = MappingProxyType({})  # session id -> user, of a login made in this request
    _pending: gate.Pending | None = None
    _kind: bytes | None = None  # of what becomes a stream where more than one part follows
    _stream: Stream | None = None
    _auth: Auth

    def __init__(self, engine: Engine, scope: Scope, send: Send) -> None:
        self._engine = engine
        self._scope = scope
        self._send = send

    @classmethod
    def enter_socket(cls, engine: Engine, handshake: Scope, scope: Scope, identity: Identity | None) -> None:
        """Fill the *scope* of a WebSocket: nothing can be handed out or cleared in it, as after a response head."""
        exchange = cls(engine, handshake, _nowhere)
        exchange._started = True
        enter(scope, exchange, identity)

    def knows(self) -> bool:
        """Whether the request's token is known, and so nothing else is to be asked; the scope is filled then."""
        identity = gate.known(self._scope, self._engine)
        if identity is None:
            return False
        self._auth = enter(self._scope, self, identity)
        return True

    async def admit(self, app: ASGIApp) -> ASGIApp | None:
        """Ask all that is to be asked: what serves the request then, *app* or an endpoint of ours; None where answered."""
        self._refuse_to_be_second()
        mounted = endpoints.find(self._scope, self._engine) if gate.is_mounted(self._scope, self._engine) else None
        try:
            admission = await self._admission(mounted)
        except Refusal as refusal:
            self._auth = enter(self._scope, self, None)  # for the app's own answer
            await self._answer(refusal)
            return None
        self._delivery, self._pending = admission.delivery, admission.pending
        reason = None if admission.pending is None else admission.pending.reason
        self._auth = enter(self._scope, self, admission.identity, reason)
        return mounted or app

    def _refuse_to_be_second(self) -> None:
        # What an outer guard has rotated this one would be handed again, and two tokens in one header are none.
        outer = carrier_of_known(self._scope)
        if isinstance(outer, Exchange) and outer._engine.settings.cookie.name == self._engine.settings.cookie.name:  # noqa: SLF001
            raise ConfigurationError("guard", "a guard with the same cookie has let this request in already", order.ONCE)

    async def _admission(self, mounted: Endpoint | None) -> gate.Admission:
        # An endpoint of ours asks for what it needs, whatever the app's patterns open.
        asks = mounted.asks if mounted else gate.openness(self._scope, self._engine)
        if asks is Openness.PUBLIC or credentials.is_preflight(self._scope):
            return gate.NOBODY
        return await gate.admit(self._scope, self._engine, asks)

    async def answers(self, error: Exception) -> bool:
        """Answer for the app, which has raised *error*; False where the error is to go on to the server."""
        if isinstance(error, Refusal):
            if not self._started:
                await self._answer(error)
                return True
        elif self._stream is not None and self._stream.is_ended:
            return True  # whatever the app raises comes of that
        elif self._delivery is not None and not self._started:
            # The server answers 500 for an app that raises, but without our headers: the pair of a rotation would be lost
            # with it.  The error goes on to the server as it was.
            await responses.server_error(self.send)
        return False

    def let_go(self) -> Stream | None:
        """
        Part with what leads back here, so that nothing of a request waits for the collector of cycles; what is to be closed.

        The scope holds `Auth`, which holds the exchange, which held both and, through the server's `send`, the scope once more:
        as garbage that would be the dearest part of a guarded request.  Tasks that outlive the answer go on with a copy.
        """
        self._started = True  # an app that answered nothing has no answer any more either
        self._send, self._scope = _nowhere, {**self._scope}
        self._scope.pop(SCOPE_KEY, None)
        del self._auth
        return self._stream

    async def answered(self, refusal: Refusal) -> Answered:
        """What *refusal* becomes for the caller of this request."""
        return await answers.answered(refusal, self._scope, self._engine.settings)

    async def _answer(self, refusal: Refusal) -> None:
        await responses.send_whole(await self.answered(refusal), self.send)

    def send(self, message: Message) -> Awaitable[None]:
        """The app's `send`: the response head is looked at, and whether a stream follows."""
        if not self._started and message["type"] == START:
            self._started = True
            kind = self._engine.settings.streams.kind(message.get("headers", ()))
            if kind is not None:
                return self._send_head_of_stream(message, kind)
            if self._delivery is not None or self._clears:
                return self._send_head(message)
        elif self._stream is not None:
            return self._stream.send(message)
        elif self._kind is not None and message.get("more_body"):
            self._begin_stream(self._kind)
            return self.send(message)
        return self._send(message)

    async def _send_head_of_stream(self, head: Message, kind: bytes) -> None:
        await self._send_head(head)
        if has_length(head.get("headers", ())):
            self._kind = kind  # one part, mostly
        else:  # from here on: it may be silent for hours, and its first part is for a session that lives
            self._begin_stream(kind)

    def _begin_stream(self, kind: bytes) -> None:
        self._kind, identity = None, identity_behind(self._auth)
        if identity is not None:
            self._stream = Stream(self._engine, identity, self._send, kind)

    async def _send_head(self, message: Message) -> None:
        extra = await self._additions()
        if extra:
            headers = list(message.get("headers", ()))
            if responses.NO_STORE in headers:  # our own endpoints and refusals say it already
                extra.remove(responses.NO_STORE)
            extra += [(name, b"no-store") for name in {key.lower() for key, _ in headers} & responses.TARGETED_CACHE_CONTROL]
            message = {**message, "headers": [*headers, *extra]}
        await self._send(message)

    async def _additions(self) -> list[tuple[bytes, bytes]]:
        """What the response head carries besides the app's own headers: appended, never put in their place."""
        delivery = self._delivery
        cookie = self._engine.settings.cookie
        if delivery is not None:
            added = handout.headers(delivery, await self._engine.leaving(delivery), self._scope, self._engine)
        elif self._clears:
            # The refresh cookie last: of two cleared in one answer, curl 7.88 keeps the first in its jar.
            added = [(b"set-cookie", cookie.carry_fresh("", 0).encode()), (b"set-cookie", cookie.clear().encode())]
        else:
            added = []
        if added:
            added.append(responses.NO_STORE)
        return added

    async def login(self, subject: str, claims: Mapping[str, Any] | None, *, keep_session: bool, cross_site: bool) -> None:
        signs, where = brought.origin(self._scope, self._engine)
        self._refuse_if_started()
        if not cross_site and not may_log_in(signs.method, where):
            raise CrossSiteRequest
        brought.check(self._scope, self._engine)
        as_caller = login_caller(signs, where)
        if not as_caller.takes_cookie:
            raise CannotReceive
        # A login earlier in this request ends in any case: its tokens will never leave, so nobody would hold it.
        ended = self._made if keep_session else self._brought()
        async with self._engine.store.patience():
            jkt = await Possession(self._scope, self._engine).at_login()
            identity, self._delivery = await self._engine.login(
                subject, claims, caller=as_caller, source=gate.source(self._scope, self._engine), brought=ended, jkt=jkt
            )
        self._clears, self._pending = False, None
        self._made = {identity.session_id: subject}
        follow(self._scope, self._auth, identity)

    async def logout(self) -> None:
        signs, where = brought.origin(self._scope, self._engine)
        self._refuse_if_started()
        # I1: a cookie alone does not log anybody out from another site.
        if not may_ride_on_cookie(signs.method, where, proven=brought.proves_caller(self._scope, self._engine)):
            if where is Provenance.UNSTATED and not brought.anything(self._scope, self._engine):
                return  # a program without a session: nothing to end, and nothing to clear
            raise CrossSiteRequest
        async with self._engine.store.patience():
            for sid, owner in self._brought().items():
                await self._engine.end(owner, Whose.ONE, sid, Code.LOGGED_OUT)
        self._delivery, self._clears, self._made = None, True, {}
        follow(self._scope, self._auth, None)

    async def sessions(self, identity: Identity) -> list[Session]:
        async with self._engine.store.patience():
            return await self._engine.sessions(identity.subject, current=identity.session_id)

    async def endings(self, identity: Identity) -> list[Ending]:
        async with self._engine.store.patience():
            return await self._engine.store.endings(identity.subject)

    async def end(self, identity: Identity, whose: Whose, sid: str) -> int:
        """
        End sessions of a user who has lately proved who they are (I16).

        Where the current one is among them, nothing of its tokens leaves, and nobody is left.
        """
        ends_current = whose is Whose.ALL or (whose is Whose.ONE and sid == identity.session_id)
        if ends_current:
            self._refuse_if_started()
        await self.require_fresh(identity, None)
        async with self._engine.store.patience():
            ended = await self._engine.end(identity.subject, whose, sid)
        if ends_current:
            self._delivery, self._made = None, {}
            follow(self._scope, self._auth, None)
        return ended

    async def reauthenticated(self, subject: str) -> None:
        self._refuse_if_started()
        identity = presented_identity(self._auth)
        if subject != identity.subject:
            raise SubjectMismatch
        brought.check(self._scope, self._engine)
        signs, where = brought.origin(self._scope, self._engine)
        as_caller = login_caller(signs, where)
        if not as_caller.takes_cookie:
            raise CannotReceive
        async with self._engine.store.patience():
            if self._pending is not None:
                await self._pass(self._pending, as_caller)
            identity, self._delivery = await freshness.renew(self._engine, identity, as_caller, self._delivery)
        self._pending = None
        follow(self._scope, self._auth, identity)

    async def _pass(self, pending: gate.Pending, as_caller: Caller) -> None:
        """Let in the cookie that was doubted, now that its user has proved who they are."""
        answer = await self._engine.present(pending.claims, as_caller, pending.source, passed=True)
        code = refusal_code(answer.outcome)
        if code is not None:
            raise NotAuthenticated(code)
        self._delivery = answer.delivery

    async def require_fresh(self, identity: Identity, max_age: float | None) -> None:
        engine, most = self._engine, self._engine.settings.fresh
        limit = most if max_age is None else min(max_age, most)
        token = credentials.fresh_token(self._scope["headers"], engine.settings)
        async with engine.store.patience():
            if self._delivery is not None and self._delivery.handout.fresh and self._delivery.sid == identity.session_id:
                await freshness.require_live(engine, identity)  # proved within this very request
            elif not await freshness.is_fresh(engine, identity, token, limit):
                raise StepUpRequired(int(limit))

    def step_up(self, reason: str) -> StepUpRequired:
        """What a caller of whom a proof is demanded is answered, for *reason*."""
        return StepUpRequired(self._engine.settings.fresh, reason)

    async def ended(self) -> Code | None:
        access, refresh = brought.tokens(self._scope, self._engine)
        claims = refresh or access
        if claims is None:
            return None
        async with self._engine.store.patience():
            return await self._engine.ended(claims)

    def _brought(self) -> dict[str, str]:
        """Session id -> user, for each genuine token of the request and for a login made earlier in it."""
        return {**brought.sessions(self._scope, self._engine), **self._made}

    def _refuse_if_started(self) -> None:
        if self._started:
            raise ResponseStarted("the response head has left; call this before the response starts")


async def _nowhere(_: Message) -> None:
    raise ResponseStarted("there is no response any more, and in a WebSocket never was")
