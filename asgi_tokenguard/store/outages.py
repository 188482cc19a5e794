"""What the log says of the nodes of the store: each trouble once at its beginning and once at its end, with its reason."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from redis.exceptions import ConnectionError, TimeoutError  # noqa: A004 (redis-py's own)

from asgi_tokenguard.store.refusals import Refusal, Scope, refusal_in

if TYPE_CHECKING:
    from asgi_tokenguard.store.connect import Connector

logger = logging.getLogger("asgi_tokenguard")

# What is refused on and off, as memory that is about full, is one trouble: it is over when for so long nobody was refused.
QUIET_SECONDS: Final = 5.0
# A trouble has few reasons; whatever else it says is not worth a line.
MOST_REASONS: Final = 5

SILENCE: Final = "silence"
UNCONFIRMED: Final = "unconfirmed"
_BEGINS: Final = {
    SILENCE: "Redis does not answer, requests with credentials get 503: %s",
    UNCONFIRMED: "Redis takes writes, but too few acknowledge them in time; what needs them is answered 503: %s",
}
_ENDS: Final = {
    SILENCE: "Redis answers again",
    UNCONFIRMED: "writes are acknowledged in time again",
    Scope.WRITES.value: "Redis takes writes again",
}
_REFUSES, _REFUSES_NO_MORE = "Redis refuses: %s", "Redis refuses no more"
_LATE: Final = "no answer in time"


class _Trouble:
    __slots__ = ("last", "told")

    def __init__(self) -> None:
        self.told: set[str] = set()
        self.last = 0.0


class Outages:
    """
    Logs a trouble of a node once at its beginning, once for each new reason and once at its end, however many requests fail.

    Three kinds are kept apart, since each ends by something else: a node that is silent by any answer; one that refuses by
    what was refused, done; one whose replicas are silent by an acknowledgement.  Of a cluster each node has its own.
    """

    def __init__(self, connector: Connector, monotonic: Callable[[], float]) -> None:
        self._connector = connector
        self._monotonic = monotonic
        self._troubles: dict[tuple[str, str], _Trouble] = {}  # by node and kind
        self._given_up: set[str] = set()

    @property
    def is_quiet(self) -> bool:
        """Whether an answer is no news."""
        return not self._troubles and not self._given_up

    def lasts(self, node: str, kind: str) -> bool:
        return (node, kind) in self._troubles

    def failed(self, node: str, what: str, error: BaseException) -> None:
        """The question *what* was not answered, or refused."""
        refusal = refusal_in(error)
        if refusal is not None:
            self._answers(node)
            self._refused(node, _kind(refusal, what), refusal)
        elif isinstance(error, TimeoutError | builtins.TimeoutError):
            self.began(node, SILENCE, _LATE)
        else:
            # One reason, however it is worded: refused, reset, closed.
            is_broken = isinstance(error, ConnectionError | OSError)
            words = f"{type(error).__name__}: {error}"
            self.began(node, SILENCE, words, "broken" if is_broken else type(error).__name__)

    def gave_up(self, node: str) -> None:
        """Somebody waits no more for *node*, which has not answered; `late` says whether that was in vain."""
        self._given_up.add(node)

    def late(self) -> None:
        """A deadline has passed: whoever was given up and has not answered since is silent."""
        for node in list(self._given_up):
            self.began(node, SILENCE, _LATE)
        self._given_up.clear()

    def answered(self, node: str, what: str, *, has_written: bool) -> None:
        """The question *what* was answered with success, and *has_written* where that proves that writes are taken."""
        self._answers(node)
        for kind in (Scope.ALL.value, what, *([Scope.WRITES.value] if has_written else [])):
            trouble = self._troubles.get((node, kind))
            if trouble is not None and self._monotonic() - trouble.last >= QUIET_SECONDS:
                self.ended(node, kind)
        # Somebody else took the place of a primary that died: it will never be asked again, and its trouble is over.
        for other, kind in list(self._troubles):
            if other != node and not self._connector.is_asked(other):
                self.ended(other, kind)

    def began(self, node: str, kind: str, reason: str, sort: str = "") -> None:
        """*sort* tells reasons apart; the reason itself, where there is none."""
        self._tell(node, kind, _BEGINS[kind], reason, sort or reason)

    def ended(self, node: str, kind: str) -> None:
        if self._troubles.pop((node, kind), None) is not None:
            logger.warning("%s%s", _ENDS.get(kind, _REFUSES_NO_MORE), self._at(node))

    def _answers(self, node: str) -> None:
        self._given_up.discard(node)
        self.ended(node, SILENCE)

    def _refused(self, node: str, kind: str, refusal: Refusal) -> None:
        words = f"{refusal.text}; {refusal.remedy}" if refusal.remedy else refusal.text
        self._tell(node, kind, _REFUSES, words, refusal.code or refusal.text)

    def _tell(self, node: str, kind: str, begins: str, reason: str, sort: str) -> None:
        trouble = self._troubles.setdefault((node, kind), _Trouble())
        trouble.last = self._monotonic()
        if sort not in trouble.told and len(trouble.told) < MOST_REASONS:
            trouble.told.add(sort)
            logger.error("%s%s", begins % reason, self._at(node))

    def _at(self, node: str) -> str:
        address = self._connector.address(node)
        return f" ({address})" if address else ""


def _kind(refusal: Refusal, what: str) -> str:
    return what if refusal.scope is Scope.ONE else refusal.scope.value
