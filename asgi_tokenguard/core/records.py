"""
What Redis keeps of one session: a fixed binary head that scripts read and write, and a tail that they only splice.

Rule: this layout and the one in `store/lua/record.lua` are the same; a test packs on one side and unpacks on the other.
A packed string costs a third of what a hash of named fields would.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from ulid import ULID

VERSION: Final = 1
SEEN: Final = 1
# version, flags, gen, access jti, refresh jti, access issued (s), refresh issued (s), mark (ms), absolute end (s),
# auth time (s)
HEAD: Final = struct.Struct(">BBI16s16sIIQII")
LENGTH: Final = struct.Struct(">H")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """
    The part of a record that decides.

    *gen* counts the rotations of the family; both jtis are those that are live now, as 16 bytes.  *seen* says whether this
    generation has come back once; *mark* is when its cookie was last sent or, later, when it was first seen, in
    milliseconds.  All other times are whole seconds, all on Redis's clock.
    """

    gen: int
    access_jti: bytes = field(repr=False)
    refresh_jti: bytes = field(repr=False)
    access_issued: int
    refresh_issued: int
    seen: bool
    mark: int
    absolute: int
    auth_time: int

    def ends_at(self, idle: int) -> int:
        """When the session ends unless it rotates: at its idle or its absolute end."""
        return min(self.refresh_issued + idle, self.absolute)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One session: its head, the app's claims as JSON bytes, and the packed IP address of the last rotation (or nothing)."""

    head: Head
    claims: bytes = b""
    address: bytes = b""


def encode(record: Record) -> bytes:
    head = record.head
    return HEAD.pack(
        VERSION,
        SEEN if head.seen else 0,
        head.gen,
        head.access_jti,
        head.refresh_jti,
        head.access_issued,
        head.refresh_issued,
        head.mark,
        head.absolute,
        head.auth_time,
    ) + encode_tail(record.claims, record.address)


def encode_tail(*parts: bytes) -> bytes:
    return b"".join(LENGTH.pack(len(part)) + part for part in parts)


def decode(raw: bytes) -> Record | None:
    """The record in *raw*; None where it is not one of ours, which then counts as no session: fail closed."""
    if len(raw) < HEAD.size or raw[0] != VERSION:
        return None
    parts = _decode_tail(raw[HEAD.size :])
    if parts is None:
        return None
    _, flags, gen, access_jti, refresh_jti, access_issued, refresh_issued, mark, absolute, auth_time = HEAD.unpack_from(raw)
    head = Head(
        gen=gen,
        access_jti=access_jti,
        refresh_jti=refresh_jti,
        access_issued=access_issued,
        refresh_issued=refresh_issued,
        seen=bool(flags & SEEN),
        mark=mark,
        absolute=absolute,
        auth_time=auth_time,
    )
    return Record(head=head, claims=parts[0], address=parts[1])


def _decode_tail(tail: bytes) -> tuple[bytes, bytes] | None:
    parts = []
    while len(tail) >= LENGTH.size:
        (length,) = LENGTH.unpack_from(tail)
        part, tail = tail[LENGTH.size : LENGTH.size + length], tail[LENGTH.size + length :]
        if len(part) < length:
            return None  # cut off
        parts.append(part)
    # Later versions may append parts; a reader of this one needs the first two.
    return (parts[0], parts[1]) if len(parts) >= 2 and not tail else None  # noqa: PLR2004


def new_ulid(now_ms: int, entropy: bytes) -> bytes:
    """A ULID of 48 bits of *now_ms* and the 10 bytes of *entropy*: ids of one session sort by time."""
    return now_ms.to_bytes(6, "big") + entropy


def ulid_text(raw: bytes) -> str:
    return str(ULID(raw))


def ulid_bytes(text: str) -> bytes | None:
    """The 16 bytes of a ULID in its canonical form (26 upper-case characters of Crockford's base 32), else None."""
    try:
        ulid = ULID.from_str(text)
    except ValueError:  # a lone surrogate as well: UnicodeError is one
        return None
    return bytes(ulid) if str(ulid) == text else None


def is_session_id(value: object) -> bool:
    return isinstance(value, str) and ulid_bytes(value) is not None
