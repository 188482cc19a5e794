"""What `capacity.py` asks of a town: single operations of random users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from _capacity_town import Town
from _common import ask, bare_app, scope_of

from asgi_tokenguard import Lifetimes, TokenGuardMiddleware
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.rotation import Outcome, Shown

OPERATIONS = ("check", "request", "rotation", "rotating_request", "list")
Step = Callable[[], Awaitable[None]]


class Desk:
    """The operations on one town."""

    def __init__(self, town: Town, client: Any) -> None:
        self.town = town
        self.client = client
        self.checker = town.guard(cache=False)
        # To this guard the access tokens of all sessions are over, so that every presented cookie rotates.
        self.rotator = town.guard(cache=False, lifetimes=Lifetimes(access=1))
        self.apps = {guard: TokenGuardMiddleware(bare_app, guard=guard) for guard in (self.checker, self.rotator)}
        self._rotated: list[int] = []

    async def steps(self, operation: str, count: int) -> list[Step]:
        """*operation* for *count* different users at random, ready to be run and timed."""
        # Put back before others are picked, not before they are asked: a record just written would be in the caches.
        await self.restore()
        rotates = operation in {"rotation", "rotating_request"}
        numbers = self.town.some(count, half=int(rotates))
        self._rotated = numbers if rotates else []
        of: Callable[[int], Step] = getattr(self, f"{operation}_of")
        return [of(number) for number in numbers]

    async def restore(self) -> None:
        await self.town.restore(self.client, self._rotated)
        self._rotated = []

    def check_of(self, number: int) -> Step:
        subject, sid = self.town.subject(number), self.town.sid(number)

        async def step() -> None:
            if await self.checker.engine.store.check(subject, sid) is None:
                raise RuntimeError("a session is not there")

        return step

    def request_of(self, number: int) -> Step:
        scope = scope_of([("authorization", f"Bearer {self.town.access_token(self.checker, number)}")])
        return self._asking(self.apps[self.checker], scope, tokens=False)

    def rotation_of(self, number: int) -> Step:
        engine = self.rotator.engine
        claims = engine.codec.read_refresh(self.town.refresh_token(self.rotator, number))
        shown = Shown(gen=claims.gen, jti=claims.jti, issued=claims.iat)

        async def step() -> None:
            new = await engine.new_ids()
            answer = await engine.store.present(claims.sub, claims.sid, shown, caller=Caller.SCRIPT, new=new)
            if answer.outcome is not Outcome.ROTATE:
                raise RuntimeError(f"{answer.outcome}: there is nothing to compare")

        return step

    def rotating_request_of(self, number: int) -> Step:
        scope = scope_of([("cookie", f"__Host-refresh={self.town.refresh_token(self.rotator, number)}")])
        return self._asking(self.apps[self.rotator], scope, tokens=True)

    def list_of(self, number: int) -> Step:
        subject = self.town.subject(number)

        async def step() -> None:
            if len(await self.checker.engine.sessions(subject)) != 1:
                raise RuntimeError("a session is not listed")

        return step

    @staticmethod
    def _asking(app: Any, scope: dict[str, Any], *, tokens: bool) -> Step:
        async def step() -> None:
            sent = await ask(app, scope)
            has_tokens = any(name == b"x-new-access-token" for name, _ in sent[0]["headers"])
            if sent[0]["status"] != 200 or has_tokens != tokens:
                raise RuntimeError(f"answered {sent[0]['status']}, tokens: {has_tokens}")

        return step
