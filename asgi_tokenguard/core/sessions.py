"""What a user sees of a session."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from ulid import ULID

from asgi_tokenguard.core.address import unwrapped
from asgi_tokenguard.core.devices import Device, unpack_device
from asgi_tokenguard.core.places import Place, unpack_place
from asgi_tokenguard.core.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    One live session of a user.

    *id* is stable over rotations and safe to show: it proves nothing.  *last_seen_at* is the time of the last rotation or
    first sight of a token, so at most one access lifetime old.  *expires_at* is when it ends unless it is used.
    *ip_address* is that of the login or last rotation, where the server told one.  *current* marks the session that asks.
    *device* and *location* are what is known of both, None where nothing is.
    """

    id: str
    subject: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip_address: str | None
    current: bool = False
    device: Device | None = None
    location: Place | None = None

    def to_dict(self) -> dict[str, Any]:
        """The session as JSON values, times in ISO 8601."""
        return {
            "id": self.id,
            "subject": self.subject,
            "created_at": self.created_at.isoformat(),
            "last_seen_at": self.last_seen_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "ip_address": self.ip_address,
            "current": self.current,
            "device": None if self.device is None else asdict(self.device),
            "location": None if self.location is None else asdict(self.location),
        }


def session_of(subject: str, sid: str, record: Record, *, idle: int, current: bool) -> Session:
    head = record.head
    return Session(
        id=sid,
        subject=subject,
        created_at=began_at(sid),
        last_seen_at=_moment(max(head.refresh_issued, head.mark // 1000)),
        expires_at=_moment(head.ends_at(idle)),
        ip_address=unpack_address(record.address),
        current=current,
        device=unpack_device(record.device),
        location=unpack_place(record.place),
    )


def began_at(sid: str) -> datetime:
    """The whole second: the id is a ULID made at login, so that the time of creation needs no bytes of its own."""
    return ULID.from_str(sid).datetime.replace(microsecond=0)


def pack_address(text: str | None) -> bytes:
    """An IP address in 4 or 16 bytes; nothing for a unix socket, a host name or garbage."""
    if not text:
        return b""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return b""
    return unwrapped(address).packed


def unpack_address(packed: bytes) -> str | None:
    return str(ip_address(packed)) if packed else None


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
