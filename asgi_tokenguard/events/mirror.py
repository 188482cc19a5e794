"""Copies of the session list elsewhere, kept equal to the truth in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Protocol

from asgi_tokenguard.core.sessions import Session

Read = Callable[[str], Awaitable[Sequence[Session]]]
"""Reads the live sessions of a user where they truly are."""

# Users in a row who fail before `reconcile` stops: then it is not the user, it is the mirror or the truth that is away.
IN_A_ROW: Final = 3
# What the error of a `reconcile` shows; a hundred thousand of the same kind would tell no more.
SHOWN: Final = 10


class Mirror(Protocol):
    """
    A place that shows the sessions of users to others: an app's own database, say.  It is read by the app, never by the guard.

    Rule: a mirror is told *who* changed, never *what*.  It takes the user's lock, then reads the truth, then writes, so that
    of two processes the later writer is the later reader.  A list of sessions as argument could not promise that: it may
    have been read before a newer one that is already written.
    """

    async def sync(self, subject: str, read: Read) -> None:
        """
        Make the rows of *subject* equal to what *read* tells, in one transaction that begins before *read* is called.

        At most one `sync` per user is between its read and its commit, over all processes.  Then the end state converges:
        each change is followed by a sync that reads after it, and the sync that writes last has read last.  Whatever *read*
        or the mirror raises goes to the caller, and the rows stay as they were.
        """
        ...

    def subjects(self) -> AsyncIterator[str]:
        """The users that have rows; no lock is held while the caller works on one."""
        ...

    async def aclose(self) -> None: ...


async def reconcile(mirror: Mirror, read: Read) -> int:
    """
    Compare the rows of every user in *mirror* with the truth; how many users were looked at.

    Rows of sessions that ended without a word (by expiry, eviction or by hand) go, those of a job that was dropped are made
    good.  Users without rows are not found here: there is no list of them but Redis itself.

    One user's failure does not keep the others from being looked at; three in a row end it.  Both raise an ExceptionGroup.
    It is to be run again now and then, and takes as long as it takes: it is no job for the outbox, which limits the time.
    """
    looked, in_a_row = 0, 0
    failures: list[Exception] = []
    async for subject in mirror.subjects():
        try:
            await mirror.sync(subject, read)
        except Exception as error:  # noqa: BLE001 (mirrors are other people's programs)
            failures.append(error)
            in_a_row += 1
            if in_a_row == IN_A_ROW:
                raise ExceptionGroup(f"gave up after {looked} users", failures[-SHOWN:]) from None
        else:
            looked += 1
            in_a_row = 0
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {looked + len(failures)} users failed", failures[:SHOWN])
    return looked
