"""
One session and everybody who has a copy of its tokens, in any order of events, over the library's engine on a real server.

Three tabs share a cookie jar; their requests and answers are delayed, lost and swapped, some handlers are slow; a thief may
copy the jar and come back; an admin ends sessions and changes claims; the clock moves.  The model beside it knows nothing of
the rotation table: it keeps what was handed out, and what I7 to I11 promise about that.

    TOKENGUARD_EXAMPLES=2000 pytest -n 0 tests/stories/test_state_machine.py     a longer search, another each time
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis
from support.needs import missing
from support.server import RedisServer

from asgi_tokenguard import Lifetimes, NotAuthenticated, TokenGuard
from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.claims import AccessClaims, RefreshClaims
from asgi_tokenguard.core.rotation import Outcome

if TYPE_CHECKING:
    from asgi_tokenguard.engine import Delivery

T = TypeVar("T")

USER = "user-1"
LIFETIMES = Lifetimes(access=90, idle=7200, absolute=40_000, grace=30)
SERVED = {Outcome.ROTATE, Outcome.REPEAT, Outcome.REDELIVER, Outcome.STRAGGLER}
_numbers = itertools.count()


class StandingClock:
    """
    Time stands still until it is set: a run is the same each time, and the model knows every edge to the second.

    libfaketime freezes a server's clock where its file holds a date instead of an offset.
    """

    def __init__(self, server: RedisServer) -> None:
        self._file = server.clock.file
        self._redis = Redis(unix_socket_path=str(server.socket))
        self.now = 0
        self.set(1_800_000_000)

    def set(self, now: int) -> None:
        if now == self.now:
            return
        self.now = now
        text = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S\n")
        with self._file.open("r+") as file:  # in place, since the server may look at any moment
            file.write(text)
            file.truncate()
        while self._redis.time()[0] != now:  # it notices within a millisecond
            pass

    def close(self) -> None:
        self._redis.close()


class Ask(NamedTuple):
    """A tab's request: seconds on the wire, in the handler, and back."""

    tab: int
    reload: bool
    request: int
    handler: int
    answer: int
    lost: bool


# Seconds on the wire, each within the grace less the second of I15.  The first is what failures shrink to.
WIRE = (0, 0, 1, 3, 14, 28)
HANDLER = (0, 0, 0, 2, 20, 45, 130)
CHOICES = [Ask(*choice) for choice in product(range(3), (False, True), WIRE, HANDLER, WIRE, (False, False, True))]
ASKS = st.integers(0, len(CHOICES) - 1).map(lambda number: CHOICES[number])  # one draw, which is faster than six


@dataclass
class Known:
    """What the model knows of one session, from what went over the table."""

    sid: str
    refresh: dict[int, str] = field(default_factory=dict)  # each generation's refresh token
    issued: dict[int, int] = field(default_factory=dict)
    first_sight: dict[int, int] = field(default_factory=dict)
    successors: dict[str, set[str]] = field(default_factory=dict)  # by the token that was presented
    access: set[str] = field(default_factory=set)
    deliveries: list[Delivery] = field(default_factory=list)  # of slow handlers
    alive: bool = True
    revoked: bool = False
    thief_was_here: bool = False

    @property
    def head(self) -> int:
        return max(self.refresh)

    @property
    def deadline(self) -> float:
        return min(self.issued[self.head] + LIFETIMES.idle, self.issued[0] + LIFETIMES.absolute)


class SessionMachine(RuleBasedStateMachine):
    def __init__(self, options: dict[str, Any], clock: StandingClock) -> None:
        super().__init__()
        self.clock = clock
        self.runner = asyncio.Runner()
        self.guard = TokenGuard(**options | {"namespace": f"m{next(_numbers)}", "lifetimes": LIFETIMES})
        self.engine = self.guard.engine
        self.engine.monotonic = self.engine.store.clock.monotonic = lambda: float(clock.now)
        self.known: Known | None = None
        self.past: list[Known] = []
        self.claims = {"version": 0}
        # What is on its way, by the moment when it arrives.
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.jar = ""
        self.tabs: list[str | None] = [None, None, None]
        self.loot: str | None = None
        self.loot_access: str | None = None

    def teardown(self) -> None:
        if self.known is not None:
            self.i10_nothing_of_a_session_that_is_over_is_accepted()
            self.run(self.guard.revoke_all(USER))
            self.run(self.guard.aclose())
        self.runner.close()

    # What happens.

    @initialize(with_thief=st.booleans())
    def the_story_begins(self, with_thief: bool) -> None:
        self.with_thief = with_thief
        self.phone = self.run(self.guard.login(USER, self.claims))
        self.phone_is_live = True
        self.log_in()

    @precondition(lambda self: not self.known.alive)
    @rule()
    def the_owner_logs_in_again(self) -> None:
        self.past.append(self.known)
        self.log_in()

    @rule(asks=st.lists(ASKS, max_size=4), then=st.sampled_from([1, 0, 2, 13, 31, 62, 91, 125]))
    def tabs_ask_and_time_passes(self, asks: list[Ask], then: int) -> None:
        for ask in asks:
            self.send(ask)
        self.pass_time(then)

    @rule(together=st.integers(2, 6), answer=st.sampled_from(WIRE))
    def tabs_ask_in_parallel(self, together: int, answer: int) -> None:
        """Truly at once: however many, one rotates, and all are handed the same."""
        shown = self.jar
        expected = self.expect_service(shown)
        found = self.run(gather(self.guard.rotate(shown) for _ in range(together)))
        if not expected:
            assert all(isinstance(tokens, NotAuthenticated) for tokens in found)
            return
        assert 1 >= len({tokens.refresh_token for tokens in found} - {None})
        for tokens in found:
            self.note_handed_out(shown, tokens.refresh_token, tokens.access_token)
        self.note_presented(shown)
        for tokens in found:
            self.later(answer, lambda got=(tokens.refresh_token, tokens.access_token): self.receive(0, *got))

    def pass_time(self, seconds: int) -> None:
        until = self.clock.now + seconds
        while self.queue and self.queue[0][0] <= until:
            due, _, happens = heapq.heappop(self.queue)
            self.set_clock(due)
            happens()
        self.set_clock(until)

    def set_clock(self, now: int) -> None:
        self.clock.set(now)
        self.known.alive = self.known.alive and now < self.known.deadline
        self.phone_is_live = self.phone_is_live and now < self.read_refresh(self.phone.refresh_token).exp

    @precondition(lambda self: self.with_thief)
    @rule(does=st.sampled_from(["copies the jar", "comes back", "comes back", "uses what he got"]))
    def the_thief(self, does: str) -> None:
        if does == "copies the jar" and self.known.alive:
            self.loot, self.loot_access = self.jar, None
        elif does == "comes back" and self.loot is not None:
            self.the_thief_comes_back()
        elif does == "uses what he got" and self.loot_access is not None:
            self.is_accepted(self.loot_access)

    def the_thief_comes_back(self) -> None:
        """He is served, or he ends the session: a settled successor leaves no third way (I9)."""
        known = self.owner_of(self.loot)
        known.thief_was_here = True
        superseded = known.alive and self.must_be_reuse(self.loot)
        found = self.attempt(self.guard.rotate(self.loot))
        if not known.alive:
            assert isinstance(found, Code), "a token of a session that is over was accepted"
        elif superseded:
            assert Code.REUSE_DETECTED is found
        if found is Code.REUSE_DETECTED:
            assert self.read_refresh(self.loot).gen < known.head
            known.alive = False
        elif not isinstance(found, Code):
            self.note_handed_out(self.loot, found.refresh_token, found.access_token)
            self.note_presented(self.loot)
            self.loot = found.refresh_token or self.loot
            self.loot_access = found.access_token or self.loot_access

    @rule(does=st.sampled_from(["new claims", "the phone", "this one", "all but the phone", "all", "nothing for long"]))
    def the_admin(self, does: str) -> None:
        """Sessions end only after some rotations, since short stories teach little."""
        if does != "new claims" and self.known.head < 2:
            return
        known, both = self.known, self.known.alive + self.phone_is_live
        match does:
            case "new claims":
                self.claims = {"version": self.claims["version"] + 1}
                assert both == self.run(self.guard.update_claims(USER, self.claims))
            case "this one":
                assert known.alive == self.run(self.guard.revoke(USER, known.sid))
            case "all but the phone":
                assert known.alive == self.run(self.guard.revoke_others(USER, self.phone.session_id))
            case "all":
                assert both == self.run(self.guard.revoke_all(USER))
            case "the phone":
                assert self.phone_is_live == self.run(self.guard.revoke(USER, self.phone.session_id))
            case "nothing for long":
                self.pass_time(LIFETIMES.idle)
        known.revoked = known.revoked or (known.alive and does in {"this one", "all but the phone", "all"})
        known.alive = known.alive and not known.revoked
        self.phone_is_live = self.phone_is_live and does not in {"all", "the phone"}

    # What holds at any moment.

    @precondition(lambda self: self.known is not None)
    @invariant()
    def i11_the_list_is_the_truth(self) -> None:
        expected = {self.known.sid} if self.known.alive else set()
        if self.phone_is_live:
            expected.add(self.phone.session_id)
        assert expected == {session.id for session in self.run(self.guard.sessions(USER))}

    @precondition(lambda self: self.past or not self.known.alive)
    @rule()
    def i10_nothing_of_a_session_that_is_over_is_accepted(self) -> None:
        """Whatever was ever handed out, and whatever is still on its way."""
        for known in [*self.past, self.known]:
            if known.alive:
                continue
            for token in known.refresh.values():
                assert isinstance(self.attempt(self.guard.rotate(token)), Code)
            for token in known.access:
                assert isinstance(self.attempt(self.guard.authenticate(token)), Code)
            for delivery in known.deliveries:
                leaving = self.run(self.engine.leaving(delivery))
                assert (False, False) == (leaving.cookie, leaving.token) or self.looks_not(known, delivery)

    # A request on its way through, as the middleware does it.

    def send(self, ask: Ask) -> None:
        """With what the tab has now; the rest happens as the clock moves."""
        if ask.reload:
            self.tabs[ask.tab] = None
        refresh, access, known = self.jar, self.tabs[ask.tab], self.known

        def comes_in() -> None:
            # What is on its way when the owner logs in anew belongs to the session before.
            if known is self.known:
                delivery = self.serve(refresh, access)
                if delivery is not None:
                    known.deliveries.append(delivery)
                    self.later(ask.handler, lambda: leaves(delivery))

        def leaves(delivery: Delivery) -> None:
            leaving = self.leave(known, delivery)
            if leaving != (None, None) and not ask.lost:
                self.later(ask.answer, lambda: self.receive(ask.tab, *leaving))

        self.later(ask.request, comes_in)

    def serve(self, refresh: str, access: str | None) -> Delivery | None:
        if access is not None and self.is_accepted(access):
            return None
        expected = self.expect_service(refresh)
        outcome, identity, delivery, _ = self.run(self.engine.present(self.read_refresh(refresh), Caller.SCRIPT, None))
        if not expected or (outcome in {Outcome.REUSE, Code.REUSE_DETECTED} and self.known.thief_was_here):
            assert identity is None, "a token of a session that is over was accepted"
            self.known.alive = False
            return None
        assert outcome in SERVED, f"the owner is logged out by {outcome}"
        assert self.claims == identity.claims
        if delivery is not None:
            token = self.engine.refresh_token(delivery)[0] if delivery.handout.cookie else None
            self.note_handed_out(refresh, token, self.engine.access_token(delivery))
        self.note_presented(refresh)
        return delivery

    def is_accepted(self, token: str) -> bool:
        found = self.attempt(self.guard.authenticate(token))
        if isinstance(found, Code):
            return False
        known, claims = self.known, self.read_access(token)
        assert known.sid == claims.sid
        assert known.alive, "an access token of a session that is over was accepted"
        assert known.head == claims.gen, "an access token of another generation was accepted"
        assert self.claims == found.claims, "an access token with old claims was accepted"
        self.note_sight(claims.gen)
        return True

    def leave(self, known: Known, delivery: Delivery) -> tuple[str | None, str | None]:
        leaving = self.run(self.engine.leaving(delivery))
        refresh = self.engine.refresh_token(delivery)[0] if leaving.cookie else None
        access = self.engine.access_token(delivery) if leaving.token else None
        if refresh or access:
            assert known.alive or self.looks_not(known, delivery), "tokens of a session that is over left"
        if refresh is not None:
            assert known.head == self.read_refresh(refresh).gen, "an old cookie left after a newer one (I15)"
        return refresh, access

    def looks_not(self, known: Known, delivery: Delivery) -> bool:
        """Within the second of I15 tokens may leave that a reuse has killed meanwhile; not those that we have revoked."""
        return not known.revoked and self.clock.now - delivery.decided_at <= LIFETIMES.look_again

    def receive(self, tab: int, refresh: str | None, access: str | None) -> None:
        token = refresh or access
        if token and self.known.sid == (self.read_refresh(token) if refresh else self.read_access(token)).sid:
            self.jar = refresh or self.jar
            self.tabs[tab] = access or self.tabs[tab]

    # The book-keeping of the model, and what holds for every token that is handed out.

    def log_in(self) -> None:
        tokens = self.run(self.guard.login(USER, self.claims))
        assert tokens.session_id not in {known.sid for known in self.past}
        self.known = Known(tokens.session_id)
        self.jar, self.tabs, self.loot, self.loot_access = tokens.refresh_token, [tokens.access_token, None, None], None, None
        self.note_refresh(tokens.refresh_token)
        self.known.access.add(tokens.access_token)

    def note_refresh(self, token: str) -> None:
        """I7: one refresh token a generation, and no two within one access lifetime."""
        known, claims = self.known, self.read_refresh(token)
        assert known.sid == claims.sid
        assert token == known.refresh.setdefault(claims.gen, token), "a generation has two refresh tokens"
        known.issued[claims.gen] = claims.iat
        if claims.gen > 0:
            assert claims.iat - known.issued[claims.gen - 1] >= LIFETIMES.access, "two rotations in one access lifetime"

    def note_handed_out(self, shown: str, refresh: str | None, access: str | None) -> None:
        known = self.known
        if refresh is not None:
            self.note_refresh(refresh)
            found = known.successors.setdefault(shown, set())
            found.add(refresh)
            assert 1 == len(found), "two successors of one refresh token"
            assert self.read_refresh(shown).gen + 1 == self.read_refresh(refresh).gen
        if access is not None:
            claims = self.read_access(access)
            assert (known.sid, known.head) == (claims.sid, claims.gen)
            assert self.claims == claims.claims
            assert refresh is not None or known.head == self.read_refresh(shown).gen, "an access token without its cookie"
            known.access.add(access)

    def note_presented(self, token: str) -> None:
        gen = self.read_refresh(token).gen
        if gen == self.known.head:  # which a rotation has moved by now
            self.note_sight(gen)

    def note_sight(self, gen: int) -> None:
        self.known.first_sight.setdefault(gen, self.clock.now)

    def expect_service(self, token: str) -> bool:
        """Whether the owner must be served now; else the session is over, or his token betrays the thief."""
        known = self.known
        if known.alive and known.thief_was_here and self.must_be_reuse(token):
            known.alive = False
        return known.alive

    def must_be_reuse(self, token: str) -> bool:
        """I9: superseded, and the head was first seen more than a grace ago, or the token is still older."""
        gen, head = self.read_refresh(token).gen, self.known.head
        settled = self.clock.now >= self.known.first_sight.get(head, float("inf")) + LIFETIMES.grace
        return gen < head - 1 or (gen == head - 1 and settled)

    def owner_of(self, token: str) -> Known:
        sid = self.read_refresh(token).sid
        return next(known for known in [self.known, *self.past] if known.sid == sid)

    def read_refresh(self, token: str) -> RefreshClaims:
        claims = self.engine.codec.read_refresh(token)
        assert isinstance(claims, RefreshClaims)
        return claims

    def read_access(self, token: str) -> AccessClaims:
        claims = self.engine.codec.read_access(token)
        assert isinstance(claims, AccessClaims)
        return claims

    def later(self, seconds: int, happens: Callable[[], None]) -> None:
        if seconds:
            heapq.heappush(self.queue, (self.clock.now + seconds, next(_numbers), happens))
        else:
            happens()

    def run(self, step: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await step

        return self.runner.run(wrapped())

    def attempt(self, step: Awaitable[T]) -> T | Code:
        try:
            return self.run(step)
        except NotAuthenticated as refusal:
            return refusal.code


async def gather(steps: Iterable[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*steps, return_exceptions=True)


EXAMPLES = os.environ.get("TOKENGUARD_EXAMPLES")
PROFILE = settings(
    max_examples=int(EXAMPLES or 50),
    stateful_step_count=60,
    deadline=None,
    database=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def standing_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    monkeypatch.setenv("TZ", "UTC")  # in which libfaketime reads dates
    server = RedisServer().start()
    if not server.travels:
        missing("stopping the server's clock needs libfaketime: Linux on x86_64")
    yield server
    server.close()


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_i7_i8_i9_i10_i11_one_session_in_any_order_of_events(options, standing_server):
    options["redis"] = standing_server.url
    clock = StandingClock(standing_server)
    run_state_machine_as_test(lambda: SessionMachine(options, clock), settings=PROFILE)
    clock.close()
