"""Why sessions ended: the tombstones that Redis keeps for a day, and what people are shown of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from asgi_tokenguard.codes import Code
from asgi_tokenguard.core.devices import Device, unpack_device
from asgi_tokenguard.core.sessions import unpack_address

# The field that stands for all sessions of a user where too many ended at once to name each.
ALL: Final = "*"
REMEMBERED: Final = 86_400  # seconds: long enough for a user to come back and ask
# What `store/lua/record.lua` writes: time, reason, row of the table, the holder's address and device, the other's.
PARTS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """
    The end of a session, as it is remembered for 24 hours; from `TokenGuard.endings`.

    *session_id* is None where more than 100 sessions of the user ended at once.  For a reuse, *presented* is the row of the
    rotation table, *holder_* tells where the session was and *other_* where the superseded token came from.  Which of the
    two is the owner nobody can tell but they: show it to a signed-in user only.
    """

    session_id: str | None
    reason: Code
    at: datetime
    presented: str | None = None
    holder_address: str | None = None
    holder_device: Device | None = None
    other_address: str | None = None
    other_user_agent: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The ending as JSON values, the time in ISO 8601."""
        return asdict(self) | {"reason": self.reason.value, "at": self.at.isoformat()}


def unpack_ending(sid: str, raw: bytes) -> Ending | None:
    """The ending in *raw*; None where it is none of ours."""
    texts = _parts(raw[4:])
    if texts is None:
        return None
    reason, presented, address, device, other, agent = texts + [b""] * (PARTS - len(texts))
    try:
        return Ending(
            session_id=None if sid == ALL else sid,
            reason=Code(reason.decode()),
            at=datetime.fromtimestamp(int.from_bytes(raw[:4], "big"), UTC),
            presented=presented.decode() or None,
            holder_address=unpack_address(address),
            holder_device=unpack_device(device),
            other_address=unpack_address(other),
            other_user_agent=agent.decode("latin-1") or None,
        )
    except ValueError:
        return None


def reason_in(packed: bytes) -> Code | None:
    """The reason that a script answered with; None where there is none or the tombstone was none of ours."""
    try:
        return Code(packed.decode())
    except ValueError:
        return None


def _parts(packed: bytes) -> list[bytes] | None:
    parts, at = [], 0
    while at < len(packed):
        end = at + 1 + packed[at]
        parts.append(packed[at + 1 : end])
        at = end
    return parts if at == len(packed) and 1 <= len(parts) <= PARTS else None
