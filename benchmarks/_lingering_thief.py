"""The thief of `lingering.py`.  Rule: he knows what the library does, and learns the rest from answers to himself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from _lingering_world import Answer, Token, World

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.rotation import Outcome, Shown

# How long he waits for an owner whom he does not ask about: two thirds of the life of an access token, so that an owner at
# work has called in the meantime, and the next rotation is not there yet.
PATIENCE: Final = 600.0
Waits = Callable[[int, int], bool]


class Thief:
    """
    Has a copy of the cookie; presents the superseded one each *every* seconds and learns from the answers (I9).

    As long as the successor is handed out to him, nobody has used it, and to use it himself would give him away once the
    owner comes back; when he is served and handed nothing, the owner has moved on, and so may he.

    He knows the rule.  *waits*, asked with how many generations he has taken and how many the rule counts, says where he does
    not poll, but uses the successor after *PATIENCE* on the chance that the owner has moved on: in all, or in the one that
    would have him asked.  One who is *stubborn* does so as well when he has been asked, and gives up only where he holds no
    successor.
    """

    def __init__(
        self, world: World, *, generations: int, every: float, waits: Waits = lambda *_: False, stubborn: bool = False
    ) -> None:
        self.world, self.every, self._stubborn = world, every, stubborn
        self._waits, self._generations = waits, generations
        self.began, self.is_caught, self._taken, self._was_asked = 0.0, False, 0, False
        self._old: Shown = world.jar
        self._new: Shown | None = None
        self._token: Token | None = None
        self._trusts_from = 0.0

    def steal(self) -> None:
        self.began, self._old = self.world.now, self.world.jar
        self._turn()

    def _turn(self) -> None:
        server, now = self.world.server, self.world.now
        if self._new is not None and (self._was_asked or self._waits(self._taken, self._generations)):
            if now >= self._trusts_from:
                self._move_on()
        elif not (self._new is None and server.accepts(self._token, now)):
            self._poll(server.present(self._old, Caller.SCRIPT, now))
        self.world.is_over = self.is_caught
        self.world.after(self.every * self.world.random.uniform(0.9, 1.1), self._turn)

    def _poll(self, answer: Answer | None) -> None:
        if answer is None:
            return
        match answer.outcome:
            case Outcome.JUDGE:
                self._was_asked = self._stubborn and self._new is not None
                self.is_caught = not self._was_asked
            case Outcome.ROTATE | Outcome.REDELIVER:
                self._new = answer.cookie
                self._trusts_from = self.world.now + PATIENCE
            case Outcome.REPEAT:
                self._token = answer.token
            case Outcome.STRAGGLER if self._new is not None:
                self._move_on()
            case _:
                pass  # served, and none the wiser; or the session has ended

    def _move_on(self) -> None:
        if self._new is not None:
            self._old, self._new, self._token, self._was_asked = self._new, None, None, False
            self._taken += 1
