"""
The thief of `simulation.py`: he has one copy of the refresh cookie, and nothing else.

Rule: what he is answered is the library's word (`core/rotation.py`, `core/doubts.py`, `core/risk.py`); here is only what he
tries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from _lingering_world import DAY, HERE, HOUR, Answer, Token, World

from asgi_tokenguard import Place, RiskPolicy
from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.doubts import Doubt, Visit
from asgi_tokenguard.core.risk import Action
from asgi_tokenguard.core.rotation import Outcome, Presented, Shown, Step
from asgi_tokenguard.core.signals import Signals

OWNERS_PLACE: Final = Place(latitude=52.52, longitude=13.40, city="Berlin")
POLICY: Final = RiskPolicy()
FIRST_HOUR: Final = (600.0, 600.0 + HOUR)


def always(_: float) -> bool:
    return True


def at_night(now: float) -> bool:
    """Between an hour after the owner's day and an hour before the next one."""
    return 9 * HOUR < now % DAY < 23 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    From where he comes, when, and how often, in seconds; *place* is None where no locator tells.

    He copies the cookie at some time between *steals*.
    """

    visit: Visit = HERE
    place: Place | None = None
    comes: Callable[[float], bool] = always
    steals: tuple[float, float] = FIRST_HOUR
    every: tuple[float, float] = (600, 1200)


class Copyist:
    """
    Comes back with the newest that he has been handed, and uses what he gets.

    *end* is how his story ended: "asked" for a password that he does not know, "judged" (too far away, the session is over),
    "reuse" (he or the owner showed a superseded token, the session is over); until then he is "at large".
    """

    def __init__(self, world: World, plan: Plan) -> None:
        self.world, self.plan = world, plan
        self.began, self.end = 0.0, "at large"
        self.served, self.proofs, self.last_served = 0, 0, 0.0
        self._jar: Shown = world.jar
        self._token: Token | None = None

    def steal(self) -> None:
        self.began, self._jar = self.world.now, self.world.jar
        self._turn()

    def _turn(self) -> None:
        if self.plan.comes(self.world.now):
            self._come()
        self.world.is_over = self.end != "at large"
        self.world.after(self.world.random.uniform(*self.plan.every), self._turn)

    def _come(self) -> None:
        server, now = self.world.server, self.world.now
        if self._token is not None and server.accepts(self._token, now):
            self._is_served()
            return
        answer = server.present(self._jar, Caller.SCRIPT, now, visit=self.plan.visit)
        if answer is None or answer.outcome is Outcome.REUSE:
            self.end = "reuse"
        elif answer.outcome is Outcome.JUDGE and server.last is not None:
            self._is_judged(server.last)
        else:
            self._takes(answer)

    def _takes(self, answer: Answer) -> None:
        self._is_served()
        self.proofs += answer.handout.fresh
        if answer.handout.cookie and answer.cookie is not None:
            self._jar = answer.cookie
        self._token = answer.token if answer.handout.token else self._token

    def _is_served(self) -> None:
        self.served, self.last_served = self.served + 1, self.world.now

    def _is_judged(self, found: Step) -> None:
        """As the shell does: from near enough he goes on, else he is asked for the password, or the session ends."""
        server = self.world.server
        verdict = POLICY.judge(
            Signals(
                new_network=Doubt.NETWORK in found.doubts,
                new_device=Doubt.DEVICE in found.doubts,
                redelivery=found.presented is Presented.PREVIOUS and server.head is not None and not server.head.seen,
                lingering=Doubt.LINGERING in found.doubts,
                rotation_off=False,
                located=self.plan.place is not None,
                place_before=OWNERS_PLACE,
                place_now=self.plan.place,
                ip_address_before=None,
                ip_address=None,
            )
        )
        if verdict.action is Action.REVOKE:
            server.head, self.end = None, "judged"
        elif verdict.action is Action.STEP_UP:
            self.end = "asked"
        else:
            passed = server.present(self._jar, Caller.SCRIPT, self.world.now, visit=replace(self.plan.visit, passed=True))
            if passed is not None:
                self._takes(passed)
