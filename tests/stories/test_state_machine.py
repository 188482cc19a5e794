"""
One session and everybody who has a copy of its tokens, in any order of events, over the library's engine on a real server.

Three tabs share a cookie jar; their requests and answers are delayed, lost and swapped, some handlers are slow; a thief may
copy the jar and come back; an admin ends sessions and changes claims; the clock moves.  The model beside it knows nothing of
the rotation table: it keeps what was handed out, and what I7 to I11 promise about that.

    TOKENGUARD_EXAMPLES=2000 pytest -n 0 tests/stories/test_state_machine.py     a longer search, other each time
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from asgi_tokenguard import Lifetimes, NotAuthenticated, TokenGuard
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims
from asgi_tokenguard.core.rotation import Outcome
from asgi_tokenguard.engine import Delivery
from asgi_tokenguard.errors import Code

if TYPE_CHECKING:
    from support.clock import TravelClock

T = TypeVar("T")

USER = "user-1"
LIFETIMES = Lifetimes(access=300, idle=7200, absolute=40_000, grace=30)
# Request and answer of the owner's tabs are each on the wire for less than this.
WIRE = 14.0
SERVED = {Outcome.ROTATE, Outcome.REPEAT, Outcome.REDELIVER, Outcome.STRAGGLER}
_numbers = itertools.count()


@dataclass
class Request:
    tab: int
    refresh: str
    access: str | None
    due: float


@dataclass
class Answer:
    tab: int
    refresh: str | None
    access: str | None
    due: float


@dataclass
class Seen:
    """What the model knows of the session, from what went over the table."""

    generations: dict[int, str] = field(default_factory=dict)  # each generation's refresh token
    issued: dict[int, int] = field(default_factory=dict)
    first_sight: dict[int, float] = field(default_factory=dict)
    successors: dict[str, set[str]] = field(default_factory=dict)  # by the token that was presented
    access: dict[str, int] = field(default_factory=dict)  # every access token, with the claims that it carries
    alive: bool = True

    @property
    def head(self) -> int:
        return max(self.generations)


class SessionMachine(RuleBasedStateMachine):
    def __init__(self, options: dict[str, Any], clock: TravelClock) -> None:
        super().__init__()
        self.clock = clock
        self.runner = asyncio.Runner()
        self.guard = TokenGuard(**options | {"namespace": f"m{next(_numbers)}", "lifetimes": LIFETIMES})
        self.guard.engine.monotonic = self.guard.engine.store.clock.monotonic = clock.monotonic
        self.engine = self.guard.engine
        self.seen = Seen()
        self.version = 0
        self.requests: list[Request] = []
        self.handlers: list[tuple[int, Delivery]] = []
        self.answers: list[Answer] = []
        self.tabs: list[str | None] = [None, None, None]
        self.loot: str | None = None
        self.loot_access: str | None = None
        self.thief_acted = False

    def teardown(self) -> None:
        if self.seen.generations:
            if not self.seen.alive:
                self.nothing_of_it_is_accepted()
            self.run(self.guard.revoke_all(USER))
            self.run(self.guard.aclose())
        self.runner.close()

    def run(self, step: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await step

        return self.runner.run(wrapped())

    def attempt(self, step: Awaitable[T]) -> T | Code:
        try:
            return self.run(step)
        except NotAuthenticated as refusal:
            return refusal.code

    # The book-keeping of the model, and what holds for every token that is handed out.

    def refresh_claims(self, token: str) -> RefreshClaims:
        claims = self.engine.codec.read_refresh(token)
        assert isinstance(claims, RefreshClaims)
        return claims

    def access_claims(self, token: str) -> AccessClaims:
        claims = self.engine.codec.read_access(token)
        assert isinstance(claims, AccessClaims)
        return claims

    def note_refresh(self, token: str) -> None:
        """I7: one refresh token a generation, and no two within one access lifetime."""
        claims = self.refresh_claims(token)
        assert self.sid == claims.sid
        assert token == self.seen.generations.setdefault(claims.gen, token), "a generation has two refresh tokens"
        self.seen.issued[claims.gen] = claims.iat
        if claims.gen > 0:
            assert claims.iat - self.seen.issued[claims.gen - 1] >= LIFETIMES.access, "two rotations in one access lifetime"

    def note_access(self, token: str) -> None:
        claims = self.access_claims(token)
        assert self.sid == claims.sid
        self.seen.access[token] = claims.claims["version"]

    def note_handed_out(self, shown: str, refresh: str | None, access: str | None) -> None:
        if access is not None:
            self.note_access(access)
        if refresh is not None:
            self.note_refresh(refresh)
            found = self.seen.successors.setdefault(shown, set())
            found.add(refresh)
            assert 1 == len(found), "two successors of one refresh token"
            assert self.refresh_claims(refresh).gen == self.refresh_claims(shown).gen + 1

    def note_sight(self, gen: int) -> None:
        self.seen.first_sight.setdefault(gen, self.clock.time())

    @property
    def deadline(self) -> float:
        return min(self.seen.issued[self.seen.head] + LIFETIMES.idle, self.seen.issued[0] + LIFETIMES.absolute)

    def must_be_reuse(self, token: str) -> bool:
        """I9: superseded, and the head was seen more than a grace ago (or it is older than that)."""
        gen, head = self.refresh_claims(token).gen, self.seen.head
        settled = self.clock.time() > self.seen.first_sight.get(head, float("inf")) + LIFETIMES.grace + 0.5
        return gen < head - 1 or (gen == head - 1 and settled)

    def over(self) -> None:
        self.seen.alive = False

    # What happens.

    @initialize()
    def log_in(self) -> None:
        tokens = self.run(self.guard.login(USER, {"version": 0}))
        self.sid, self.jar, self.tabs[0] = tokens.session_id, tokens.refresh_token, tokens.access_token
        self.note_refresh(tokens.refresh_token)
        self.note_access(tokens.access_token)
        self.phone = self.run(self.guard.login(USER, {"version": 0}))
        self.phone_is_live = True

    @rule(tab=st.integers(0, 2))
    def a_tab_sends(self, tab: int) -> None:
        self.requests.append(Request(tab, self.jar, self.tabs[tab], self.clock.time() + WIRE))

    @rule(tab=st.integers(0, 2))
    def a_tab_reloads(self, tab: int) -> None:
        self.tabs[tab] = None

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), slow=st.booleans())
    def a_request_comes_in(self, data: st.DataObject, slow: bool) -> None:
        self.serve(self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1))), slow=slow)

    @precondition(lambda self: self.handlers)
    @rule(data=st.data())
    def a_handler_ends(self, data: st.DataObject) -> None:
        self.leave(*self.handlers.pop(data.draw(st.integers(0, len(self.handlers) - 1))))

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), lost=st.booleans())
    def an_answer_comes_in(self, data: st.DataObject, lost: bool) -> None:
        answer = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        if not lost:
            self.receive(answer)

    @rule(together=st.integers(2, 6))
    def tabs_ask_in_parallel(self, together: int) -> None:
        """Truly at once: however many, one rotates, and all are handed the same."""
        found = self.run(together_(self.guard.rotate(self.jar) for _ in range(together)))
        if not self.expect_service(self.jar):
            assert all(isinstance(tokens, NotAuthenticated) for tokens in found) or self.thief_acted
            return
        refreshed = {tokens.refresh_token for tokens in found if tokens.refresh_token is not None}
        assert len(refreshed) <= 1
        for tokens in found:
            self.note_handed_out(self.jar, tokens.refresh_token, tokens.access_token)
            self.answers.append(Answer(0, tokens.refresh_token, tokens.access_token, self.clock.time() + WIRE))
        self.note_presented(self.jar)

    @precondition(lambda self: self.seen.alive)
    @rule()
    def the_thief_copies_the_jar(self) -> None:
        self.loot = self.jar

    @precondition(lambda self: self.loot is not None)
    @rule()
    def the_thief_comes_back(self) -> None:
        """He is served, or he ends the session: a settled successor leaves no third way (I9)."""
        self.thief_acted = True
        superseded = self.must_be_reuse(self.loot)
        found = self.attempt(self.guard.rotate(self.loot))
        if not self.seen.alive:
            assert isinstance(found, Code), "tokens of a session that is over were accepted"
        elif superseded:
            assert Code.REUSE_DETECTED is found
        if found is Code.REUSE_DETECTED:
            assert self.refresh_claims(self.loot).gen < self.seen.head
            self.over()
        elif not isinstance(found, Code):
            self.note_handed_out(self.loot, found.refresh_token, found.access_token)
            self.note_presented(self.loot)
            self.loot = found.refresh_token or self.loot
            self.loot_access = found.access_token or self.loot_access

    @precondition(lambda self: self.loot_access is not None)
    @rule()
    def the_thief_uses_what_he_got(self) -> None:
        self.is_accepted(self.loot_access)

    @rule(seconds=st.sampled_from([1, 6, 13, 31, 62, 290, 301, 600]))
    def time_passes(self, seconds: int) -> None:
        """What is on the wire comes in when it is due, at the latest."""
        until = self.clock.time() + seconds
        while self.requests or self.answers:
            due = min((*self.requests, *self.answers), key=lambda message: message.due)
            if due.due >= until:
                break
            self.clock.advance(max(0.0, due.due - self.clock.time()))
            if isinstance(due, Request):
                self.requests.remove(due)
                self.serve(due, slow=False)
            else:
                self.answers.remove(due)
                self.receive(due)
        self.clock.advance(max(0.0, until - self.clock.time()))

    @precondition(lambda self: not self.requests and not self.answers)
    @rule()
    def the_owner_goes_on_holiday(self) -> None:
        self.clock.advance(LIFETIMES.idle + 1)

    @rule()
    def an_admin_changes_the_claims(self) -> None:
        self.note_expiry()
        self.version += 1
        changed = self.run(self.guard.update_claims(USER, {"version": self.version}, self.sid))
        assert self.seen.alive == bool(changed)

    @precondition(lambda self: self.seen.alive)
    @rule(how=st.sampled_from(["this one", "the others", "all", "only the phone"]), times=st.integers(0, 3))
    def an_admin_ends_sessions(self, how: str, times: int) -> None:
        if times:  # seldom, since it is the end of the story
            return
        self.note_expiry()
        match how:
            case "this one":
                assert self.seen.alive == self.run(self.guard.revoke(USER, self.sid))
            case "the others":
                self.run(self.guard.revoke_others(USER, self.phone.session_id))
            case "all":
                self.run(self.guard.revoke_all(USER))
            case "only the phone":
                assert self.phone_is_live == self.run(self.guard.revoke(USER, self.phone.session_id))
        if how in {"all", "only the phone"}:
            self.phone_is_live = False
        if how != "only the phone":
            self.over()

    # What holds at any moment.

    @invariant()
    def i11_the_list_is_the_truth(self) -> None:
        if not self.seen.generations:
            return
        self.note_expiry()
        expected = {self.sid} if self.seen.alive else set()
        if self.phone_is_live:
            expected.add(self.phone.session_id)
        assert expected == {session.id for session in self.run(self.guard.sessions(USER))}

    @precondition(lambda self: self.seen.generations and not self.seen.alive)
    @rule()
    def nothing_of_it_is_accepted(self) -> None:
        """I10: whatever was ever handed out, and whatever is still on its way."""
        for token in self.seen.generations.values():
            assert isinstance(self.attempt(self.guard.rotate(token)), Code)
        for token in self.seen.access:
            assert isinstance(self.attempt(self.guard.authenticate(token)), Code)
        for _, delivery in self.handlers:
            leaving = self.run(self.engine.leaving(delivery))
            assert (False, False) == (leaving.cookie, leaving.token)

    # How a request goes through, as the middleware does it.

    def note_expiry(self) -> None:
        now = self.clock.time()
        if now > self.deadline:
            self.over()
        phone = self.refresh_claims(self.phone.refresh_token)
        if now > min(phone.iat + LIFETIMES.idle, phone.exp):
            self.phone_is_live = False

    def expect_service(self, token: str) -> bool:
        """Whether the owner may rely on being served now; else the session is over, or the thief has been there."""
        self.note_expiry()
        if self.seen.alive and self.thief_acted and self.must_be_reuse(token):
            self.over()
        return self.seen.alive

    def note_presented(self, token: str) -> None:
        gen = self.refresh_claims(token).gen
        if gen == self.seen.head:
            self.note_sight(gen)

    def serve(self, request: Request, *, slow: bool) -> None:
        if request.access is not None and self.is_accepted(request.access):
            return
        serving = self.expect_service(request.refresh)
        outcome, identity, delivery = self.run(self.engine.present(self.refresh_claims(request.refresh), Caller.SCRIPT, b""))
        if not serving or (self.thief_acted and outcome is Outcome.REUSE):
            assert identity is None, "a session that is over was served"
            self.over()
            return
        assert outcome in SERVED, f"the owner is logged out by {outcome}"
        assert {"version": self.version} == identity.claims
        if delivery is None:
            return
        refresh = self.engine.refresh_token(delivery)[0] if delivery.handout.cookie else None
        self.note_handed_out(request.refresh, refresh, self.engine.access_token(delivery))
        self.note_presented(request.refresh)
        if slow:
            self.handlers.append((request.tab, delivery))
        else:
            self.leave(request.tab, delivery)

    def is_accepted(self, token: str) -> bool:
        self.note_expiry()
        found = self.attempt(self.guard.authenticate(token))
        if isinstance(found, Code):
            return False
        assert self.seen.alive, "an access token of a session that is over was accepted"
        claims = self.access_claims(token)
        assert self.seen.head == claims.gen, "an access token of another generation was accepted"
        assert {"version": self.version} == found.claims, "an access token with old claims was accepted"
        self.note_sight(claims.gen)
        return True

    def leave(self, tab: int, delivery: Delivery) -> None:
        leaving = self.run(self.engine.leaving(delivery))
        refresh = self.engine.refresh_token(delivery)[0] if leaving.cookie else None
        access = self.engine.access_token(delivery) if leaving.token else None
        if refresh is not None:
            assert self.seen.head == self.refresh_claims(refresh).gen, "an old cookie left after a newer one (I15)"
        if refresh or access:
            self.answers.append(Answer(tab, refresh, access, self.clock.time() + WIRE))

    def receive(self, answer: Answer) -> None:
        self.jar = answer.refresh or self.jar
        self.tabs[answer.tab] = answer.access or self.tabs[answer.tab]


async def together_(steps: Any) -> list[Any]:
    return await asyncio.gather(*steps, return_exceptions=True)


EXAMPLES = os.environ.get("TOKENGUARD_EXAMPLES")
PROFILE = settings(
    max_examples=int(EXAMPLES or 60),
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=list(HealthCheck),
)


def test_i7_i8_i9_i10_i11_one_session_in_any_order_of_events(options, clock):
    run_state_machine_as_test(lambda: SessionMachine(options, clock), settings=PROFILE)
