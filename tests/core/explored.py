"""What `explorer.py` searches: the browser, the messages and the store as values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from asgi_tokenguard.core.callers import Caller
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.rotation import ROWS, TABLE, Handout, Outcome, Presented, Row, Table, expand

# The tightest that are allowed: the grace is half the access lifetime.
LIFETIMES = Lifetimes(access=60, grace=30)
GRACE = LIFETIMES.grace_ms
NOW = 1_800_000_000_000
SERVED = {Outcome.ROTATE, Outcome.REPEAT, Outcome.REDELIVER, Outcome.STRAGGLER}

# What a tab or a message holds of access tokens, and messages of cookies.  An access token that was the head's and is not
# any more is as good as none to the library; taking `access_belongs` away makes a difference.
NONE, OLD, CURRENT = -1, 0, 1

# How many graces have passed since the store lost writes; two are long ago.
NEVER, JUST, LONG_AGO = -1, 0, 2


class Rules(NamedTuple):
    """What the protocol rests on."""

    only_when_over: bool = True  # rotate only a settled head whose access token is over
    heal: bool = True  # an unseen head is redelivered without a time limit
    look_again: bool = True  # a cookie leaves late only while its generation is the head and unseen
    mark_at_sending: bool = True  # grace of an unseen head counts from the last sending, not from the rotation
    access_belongs: bool = True  # only the access token minted with the head makes it seen
    two_trips: bool = True  # an unseen head settles after two graces: its answer's trip, and that of a request which crosses it
    decided_since: bool = True  # what was decided before the store lost writes does not leave late
    lost_marks: bool = True  # a store that has lost writes has lost marks: none counts as older than that

    @property
    def table(self) -> Table:
        rows = list(ROWS)
        if not self.only_when_over:
            rows = [row for row in rows if row.presented is not Presented.HEAD] + [Row(Presented.HEAD, Outcome.ROTATE)]
        if not self.heal:
            rows = [row for row in rows if row.outcome is not Outcome.REDELIVER or row.presented is not Presented.PREVIOUS]
            rows += [
                Row(Presented.PREVIOUS, Outcome.REDELIVER, seen=False, settled=False),
                Row(Presented.PREVIOUS, Outcome.REUSE, seen=False, settled=True),
            ]
        return TABLE if rows == list(ROWS) else expand(rows)


class World(NamedTuple):
    """How much happens at once."""

    tabs: int = 2
    in_flight: int = 3
    last_generation: int = 2
    callers: tuple[Caller, ...] = (Caller.SCRIPT,)
    loses: bool = False  # once, the store goes back to what a replica had heard of


class Session(NamedTuple):
    """The record; *graces* have passed since `mark` (2 stands for more)."""

    gen: int
    seen: bool
    graces: int
    live: bool  # its access token has not ended
    resent: bool  # `mark` has moved since the access token's issue
    branch: int = 0  # of the head's refresh token: 1 where it was minted after the store had lost writes
    minting: int = 0  # the branch of the next one

    @property
    def head(self) -> int:
        """The head's refresh token."""
        return token(self.gen, self.branch)


class Request(NamedTuple):
    tab: int
    refresh: int  # the token in the cookie
    access: int
    caller: str
    sent: int  # graces since `mark` when it was sent, -1: before; 0 where it carries no superseded cookie
    sent_there: int = 0  # as *sent*, since the replica's `mark`
    past: bool = False  # sent before the store lost writes


class Answer(NamedTuple):
    """Decided while *refresh* was the head's token; with or without it in a cookie."""

    tab: int
    refresh: int
    cookie: bool
    access: int
    past: bool = False  # sent, or decided, before the store lost writes


class State(NamedTuple):
    session: Session | None  # None: over
    jar: int
    tabs: tuple[int, ...]
    requests: tuple[Request, ...]
    handlers: tuple[Answer, ...]  # decided, the slow handler has not answered yet
    answers: tuple[Answer, ...]
    backup: Session | None = None  # what the replica has heard of
    same_access: bool = True  # whether the replica's access token is still the head's,
    same_mark: bool = True  # and its `mark`
    lost: int = NEVER


class Verdict(NamedTuple):
    """What the library says: *marked* and *minted* tell whether it has set `mark` and replaced the access token."""

    outcome: str
    session: Session | None
    handout: Handout
    marked: bool = False
    minted: bool = False


Steps = Iterator[tuple[str, State]]
NOBODY_HOLDS = Handout(cookie=False, token=False)


def token(gen: int, branch: int = 0) -> int:
    """A refresh token as a number; what was minted again for a lost generation is of branch 1."""
    return 2 * gen + branch


def generation(refresh: int) -> int:
    return refresh // 2


def jti(refresh: int) -> bytes:
    return bytes([refresh]) * 16


def put(messages: tuple, message: NamedTuple) -> tuple:
    return tuple(sorted((*messages, message)))


def take(messages: tuple, message: NamedTuple) -> tuple:
    at = messages.index(message)
    return messages[:at] + messages[at + 1 :]


def name(refresh: int) -> str:
    return f"R{generation(refresh)}" + "'" * (refresh % 2)


def text(answer: Answer) -> str:
    return leaving_text(answer, Handout(cookie=answer.cookie, token=answer.access != NONE))


def leaving_text(answer: Answer, leaving: Handout) -> str:
    parts = [name(answer.refresh)] * leaving.cookie + ["an access token"] * leaving.token
    return " and ".join(parts) or "nothing"
