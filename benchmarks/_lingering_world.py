"""
The world of `lingering.py`: a server that holds one session, and its owner's browser, in simulated time.

Rule: what presenting a cookie does is asked of `asgi_tokenguard.core` alone; here is what people and networks do.  Seconds are
the world's, and start at 0; the library is told milliseconds.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.doubts import UNWATCHED, Doubt, Visit, Watch, doubts, remember
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.records import Head
from asgi_tokenguard.core.rotation import NOTHING, Handout, NewIds, Outcome, Presented, Shown, Step, look, present, renew, see

LIFETIMES: Final = Lifetimes()
START: Final = 1_800_000_000  # seconds since 1970; any time will do
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
# Owner and thief look the same: one network, one device.
HERE: Final = Visit(network=b"here", device=b"same")


class Token(NamedTuple):
    """An access token: it counts until *ends*, while its generation and jti are the live ones."""

    gen: int
    jti: bytes
    ends: float


class Answer(NamedTuple):
    """What the table said, for the head *at* its decision, and what is ready to leave."""

    outcome: Outcome
    handout: Handout
    cookie: Shown | None
    token: Token | None
    at: float


class Server:
    """
    One session.  *watch* is the rule that holds; *shadows* are rules that are only observed.

    A rule changes nothing before it asks for the first time, so that one run tells of all shadows when they first asked;
    for each number of seconds the one of most generations is stepped along, and the others are read off its head.
    """

    def __init__(self, watch: Watch = UNWATCHED, shadows: tuple[Watch, ...] = ()) -> None:
        head = Head(
            gen=0, access_jti=_jti(0), refresh_jti=_jti(1), access_issued=START, refresh_issued=START,
            seen=False, mark=START * 1000, absolute=START + LIFETIMES.absolute, auth_time=START,
        )  # fmt: skip
        self.head: Head | None = remember(head, replace(HERE, passed=True), frozenset())
        self.watch = watch
        self.first_asked: dict[Watch, float] = {}
        self.rotations = 0
        self.last: Step | None = None
        self._ids = 2
        self._shadows = shadows
        longest = {each.linger_after_ms: each for each in sorted(shadows, key=lambda each: each.linger_generations)}
        self._heads = dict.fromkeys(longest.values(), self.head)

    def login(self) -> tuple[Shown, Token]:
        return self._cookie(self.head), self._token(self.head)

    def accepts(self, token: Token | None, now: float) -> bool:
        if token is None or self.head is None or now >= token.ends:
            return False
        after = see(self.head, gen=token.gen, access_jti=token.jti, now_ms=_ms(now))
        if after is not None and after is not self.head:
            self._heads = {each: replace(head, seen=True, mark=after.mark) for each, head in self._heads.items()}
            self.head = after
        return after is not None

    def present(self, shown: Shown, caller: Caller, now: float, *, visit: Visit = HERE) -> Answer | None:
        """The answer to *shown*; None once the session has ended."""
        if self.head is None:
            return None
        asked: dict[str, Any] = {
            "now_ms": _ms(now),
            "lifetimes": LIFETIMES,
            "caller": caller,
            "new": self._new(),
            "visit": visit,
        }
        step = self.last = present(self.head, shown, watch=self.watch, **asked)
        self._observe(shown, asked)
        self.head = step.head
        if step.head is None:
            return Answer(step.outcome, NOTHING, None, None, now)
        self.rotations += step.outcome is Outcome.ROTATE
        return Answer(step.outcome, step.handout, self._cookie(step.head), self._token(step.head), now)

    def leave(self, answer: Answer, now: float) -> tuple[Shown | None, Token | None]:
        """What leaves at *now* of an answer that was decided before (I15)."""
        leaving = answer.handout
        if leaving == NOTHING or answer.cookie is None:
            return None, None
        if now - answer.at > LIFETIMES.look_again:
            place: dict[str, Any] = {"gen": answer.cookie.gen, "refresh_jti": answer.cookie.jti, "now_ms": _ms(now)}
            self._heads = {each: look(head, leaving, **place)[0] for each, head in self._heads.items()}
            self.head, leaving = look(self.head, leaving, **place)
        return answer.cookie if leaving.cookie else None, answer.token if leaving.token else None

    def confirm(self, shown: Shown, now: float) -> tuple[Shown | None, Token | None]:
        """Its owner has proved who they are: the cookie is let in, and what is safe is renewed, as `reauthenticated()` does."""
        answer = self.present(shown, Caller.SCRIPT, now, visit=replace(HERE, passed=True))
        if self.head is None or answer is None:
            return None, None
        self.head, leaving = renew(self.head, now_ms=_ms(now), lifetimes=LIFETIMES, new=self._new())
        has_cookie = leaving.cookie or answer.handout.cookie
        return self._cookie(self.head) if has_cookie else None, self._token(self.head)

    def _observe(self, shown: Shown, asked: dict[str, Any]) -> None:
        for longest, head in list(self._heads.items()):
            step = present(head, shown, watch=longest, **asked)
            self._heads[longest] = step.head
            if step.head is None or step.presented is not Presented.PREVIOUS:
                continue
            for each in self._shadows:
                if each.linger_after_ms == longest.linger_after_ms and each not in self.first_asked:
                    found = doubts(step.head, HERE, each, superseded=True, redelivery=False)
                    if Doubt.LINGERING in found:
                        self.first_asked[each] = asked["now_ms"] / 1000 - START
            if step.outcome is Outcome.JUDGE:  # from here on its world would be another one; all that it stands for have asked
                del self._heads[longest]

    def _new(self) -> NewIds:
        self._ids += 2
        return NewIds(access=_jti(self._ids), refresh=_jti(self._ids + 1))

    @staticmethod
    def _cookie(head: Head) -> Shown:
        return Shown(gen=head.gen, jti=head.refresh_jti, issued=head.refresh_issued)

    @staticmethod
    def _token(head: Head) -> Token:
        return Token(head.gen, head.access_jti, head.access_issued + LIFETIMES.access - START)


def _ms(now: float) -> int:
    return round((START + now) * 1000)


def _jti(number: int) -> bytes:
    return number.to_bytes(16, "big")


@dataclass(frozen=True, kw_only=True)
class Life:
    """
    How an owner works, over what network: *tabs* that act each *every* seconds on average, by one to three calls at once.

    Fractions: acts that are a *reload* of the page, answers that are *lost*, trips that are *late* by up to *latest* seconds,
    handlers that are *slow*, by up to *slowest*.  The first tab's calls are long polls of *poll* seconds, where it is not 0.
    """

    hours: float = 2.0
    tabs: int = 3
    every: float = 20.0
    reload: float = 0.05
    lost: float = 0.02
    late: float = 0.02
    latest: float = 9.0
    slow: float = 0.0
    slowest: float = 60.0
    poll: float = 0.0
    nights: bool = False  # works for the first eight hours of each day


class World:
    """A browser with one cookie jar before a `Server`, and whoever else there is, in events that are ordered by time."""

    def __init__(self, server: Server, life: Life, seed: str) -> None:
        self.server, self.life, self.random = server, life, random.Random(seed)
        self.now, self.is_over = 0.0, False
        self.owner_asked: list[float] = []
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._confirming = False
        self.jar, token = server.login()
        self._held: list[Token | None] = [token] + [None] * (life.tabs - 1)
        for tab in range(life.tabs):
            self.after(self.random.random() * life.every, self._act, tab)

    def after(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, what, args))

    def run(self) -> None:
        """Until the owner's hours are over, the session has ended, or somebody has set `is_over`."""
        while self.server.head is not None and not self.is_over:
            self.now, _, what, args = heapq.heappop(self._events)
            if self.now > self.life.hours * HOUR:
                return
            what(*args)

    def _trip(self) -> float:
        is_late = self.random.random() < self.life.late
        return self.random.random() * (self.life.latest if is_late else 0.15)

    def _act(self, tab: int) -> None:
        if self.life.nights and self.now % DAY > 8 * HOUR:
            self.after(DAY - self.now % DAY + self.random.random() * self.life.every, self._act, tab)
            return
        if self.random.random() < self.life.reload:
            self._held[tab] = None
            self._send(tab, Caller.DOCUMENT)  # the page's scripts call once it has arrived
        else:
            self._call(tab)
        self.after(self.random.expovariate(1 / self.life.every), self._act, tab)

    def _call(self, tab: int) -> None:
        for _ in range(self.random.choice((1, 1, 3))):
            self._send(tab, Caller.SCRIPT)

    def _send(self, tab: int, caller: Caller) -> None:
        self.after(self._trip(), self._serve, tab, caller, self.jar, self._held[tab])

    def _serve(self, tab: int, caller: Caller, shown: Shown, token: Token | None) -> None:
        answer = None if self.server.accepts(token, self.now) else self.server.present(shown, caller, self.now)
        if answer is not None and answer.outcome is Outcome.JUDGE:
            self.owner_asked.append(self.now)
            if not self._confirming:
                self._confirming = True
                self.after(self.random.uniform(10, 40), self._confirm)  # types the password
            return
        self.after(self._handling(tab, caller), self._leave, tab, caller, answer)

    def _handling(self, tab: int, caller: Caller) -> float:
        if self.life.poll and tab == 0 and caller is Caller.SCRIPT:
            return self.life.poll
        return self.random.random() * self.life.slowest if self.random.random() < self.life.slow else 0.02

    def _leave(self, tab: int, caller: Caller, answer: Answer | None) -> None:
        cookie, token = (None, None) if answer is None else self.server.leave(answer, self.now)
        if self.random.random() >= self.life.lost:
            self.after(self._trip(), self._arrive, tab, caller, cookie, token)

    def _arrive(self, tab: int, caller: Caller, cookie: Shown | None, token: Token | None) -> None:
        self.jar = cookie or self.jar
        self._held[tab] = token or self._held[tab]
        if caller is Caller.DOCUMENT:
            self._call(tab)

    def _confirm(self) -> None:
        self._confirming = False
        cookie, token = self.server.confirm(self.jar, self.now)
        self.after(self._trip(), self._arrive, 0, Caller.SCRIPT, cookie, token)
