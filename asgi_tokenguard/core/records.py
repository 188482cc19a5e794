"""
What Redis keeps of one session: a fixed binary head that scripts read and write, and a tail that they only splice.

Rule: this layout and the one in `store/lua/record.lua` are the same; a test packs on one side and unpacks on the other.
A packed string costs a third of what a hash of named fields would.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final

from ulid import ULID

VERSION: Final = 2
# Flags: this generation was seen, its predecessor came back late, and how many generations before it had such a predecessor.
SEEN: Final = 1
LATE: Final = 2
RUN: Final = 4
LONGEST_RUN: Final = 15
# version, flags, gen, access jti, refresh jti, access issued (s), refresh issued (s), mark (ms, high and low part), absolute
# end (s), auth time (s), left (s after refresh issued), device, networks
HEAD: Final = struct.Struct(">BBI16s16sIIHIIIH4s16s")
NAME: Final = 4  # bytes of a network's or a device's name
NETWORKS: Final = 4  # how many are known: a phone's two, each in both families
LONGEST_LEFT: Final = 2**16 - 1
# 128 bits in 26 characters of 5: the first holds three.  Its digits are Crockford's, those of `int` go on from 9 to a.
# Reading each token's two ids through python-ulid, with a look whether it writes the same text, took eight times as long.
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
_DIGITS: Final = str.maketrans("ABCDEFGHJKMNPQRSTVWXYZ", "abcdefghijklmnopqrstuv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """
    The part of a record that decides.

    *gen* counts the rotations of the family; both jtis are those that are live now, as 16 bytes.  *seen* says whether this
    generation has come back once; *mark* is when its cookie was last sent or, later, when it was first seen, in
    milliseconds.  *left* is when its cookie first left, in seconds after *refresh_issued*.  *late* says whether its
    predecessor has come back long after that, *late_run* in how many generations before that was so.  *device* names the
    device that rotated last, *networks* the last four networks that passed, the latest first, 4 bytes each.  All other times
    are whole seconds, all on Redis's clock.
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
    left: int = 0
    late: bool = False
    late_run: int = 0
    device: bytes = bytes(NAME)
    networks: bytes = bytes(NAME * NETWORKS)

    def ends_at(self, idle: int) -> int:
        """When the session ends unless it rotates: at its idle or its absolute end."""
        return min(self.refresh_issued + idle, self.absolute)

    def knows(self, network: bytes) -> bool:
        return network in known_networks(self.networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    One session: its head, and what scripts only splice.

    *claims* are the app's as JSON bytes, *address* is the packed IP address of the last rotation or judgement (or nothing),
    *device* and *place* are the packed forms of what a session list shows.
    """

    head: Head
    claims: bytes = b""
    address: bytes = b""
    device: bytes = b""
    place: bytes = b""


def known_networks(networks: bytes) -> list[bytes]:
    return [networks[at : at + NAME] for at in range(0, len(networks), NAME)]


def encode(record: Record) -> bytes:
    head = record.head
    return HEAD.pack(
        VERSION,
        SEEN * head.seen + LATE * head.late + RUN * head.late_run,
        head.gen,
        head.access_jti,
        head.refresh_jti,
        head.access_issued,
        head.refresh_issued,
        head.mark >> 32,
        head.mark & 0xFFFFFFFF,
        head.absolute,
        head.auth_time,
        head.left,
        head.device,
        head.networks,
    ) + encode_tail(record.claims, record.address, record.device, record.place)


def encode_tail(claims: bytes, *parts: bytes) -> bytes:
    """The parts with their lengths: two bytes for the claims, one for the others."""
    return len(claims).to_bytes(2, "big") + claims + b"".join(bytes([len(part)]) + part for part in parts)


def decode(raw: bytes) -> Record | None:
    """The record in *raw*; None where it is not one of ours, which then counts as no session: fail closed."""
    if len(raw) < HEAD.size or raw[0] != VERSION:
        return None
    parts = _decode_tail(raw[HEAD.size :])
    if parts is None:
        return None
    _, flags, gen, access_jti, refresh_jti, access_issued, refresh_issued, high, low, *rest = HEAD.unpack_from(raw)
    absolute, auth_time, left, device, networks = rest
    head = Head(
        gen=gen,
        access_jti=access_jti,
        refresh_jti=refresh_jti,
        access_issued=access_issued,
        refresh_issued=refresh_issued,
        seen=bool(flags & SEEN),
        mark=high << 32 | low,
        absolute=absolute,
        auth_time=auth_time,
        left=left,
        late=bool(flags & LATE),
        late_run=flags // RUN & LONGEST_RUN,
        device=device,
        networks=networks,
    )
    claims, address, described, place = parts
    return Record(head=head, claims=claims, address=address, device=described, place=place)


def _decode_tail(tail: bytes) -> list[bytes] | None:
    parts: list[bytes] = []
    at = 0
    while at < len(tail):
        size = 1 if parts else 2
        start = at + size
        at = start + int.from_bytes(tail[at:start], "big")
        parts.append(tail[start:at])
    # Later versions may append parts; a reader of this one needs the first four.
    return parts[:4] if at == len(tail) and len(parts) >= 4 else None  # noqa: PLR2004


def new_ulid(now_ms: int, entropy: bytes) -> bytes:
    """A ULID of 48 bits of *now_ms* and the 10 bytes of *entropy*: ids of one session sort by time."""
    return now_ms.to_bytes(6, "big") + entropy


def ulid_text(raw: bytes) -> str:
    return str(ULID(raw))


def ulid_bytes(text: str) -> bytes | None:
    """The 16 bytes of a ULID in its canonical form (26 upper-case characters of Crockford's base 32), else None."""
    if _ULID.fullmatch(text) is None:
        return None
    return int(text.translate(_DIGITS), 32).to_bytes(16, "big")


def is_session_id(value: object) -> bool:
    return isinstance(value, str) and _ULID.fullmatch(value) is not None
