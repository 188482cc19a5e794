"""A session as a row of a table, and text as databases take it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from asgi_tokenguard.core.devices import Device
from asgi_tokenguard.core.sessions import Session

# PostgreSQL's text refuses NUL, which a subject may hold.  It is stored as the picture of it, and what might be mistaken for
# that is marked: all other text, that is nearly all text, is stored as it is, so that apps can join on it.  No character
# becomes longer than its own UTF-8, so that 1024 bytes are at most 1024 characters still.
NUL: Final = "\N{SYMBOL FOR NULL}"
MARK: Final = "\N{SYMBOL FOR ESCAPE}"
ESCAPES: Final = str.maketrans({"\0": NUL, NUL: MARK + NUL, MARK: MARK + MARK})


def row_of(subject: str, session: Session) -> dict[str, Any]:
    device, place = session.device or Device(), session.location
    return {
        "id": session.id,
        "subject": escape(subject),
        "created_at": session.created_at.astimezone(UTC),
        "last_seen_at": session.last_seen_at.astimezone(UTC),
        "expires_at": session.expires_at.astimezone(UTC),
        "ip_address": session.ip_address,
        "browser": _text(device.browser),
        "system": _text(device.system),
        "kind": _text(device.kind) if session.device else None,
        "city": _text(place.city if place else None),
        "country": _text(place.country if place else None),
        "latitude": place.latitude if place else None,
        "longitude": place.longitude if place else None,
    }


def as_read(row: Mapping[str, Any]) -> dict[str, Any]:
    """*row* as it came from a database, in the shape that `row_of` gives: SQLite knows no time zones."""
    return {name: _aware(value) if isinstance(value, datetime) else value for name, value in row.items()}


def escape(text: str) -> str:
    return text.translate(ESCAPES)


def unescape(text: str) -> str:
    """What `escape` was given."""
    if NUL not in text and MARK not in text:
        return text
    plain, characters = [], iter(text)
    for character in characters:
        if character == MARK:
            plain.append(next(characters, MARK))
        else:
            plain.append("\0" if character == NUL else character)
    return "".join(plain)


def _text(text: str | None) -> str | None:
    # A locator's JSON can hold half of a surrogate pair, which no database takes.  One odd city name must not keep all rows of
    # its user from being written for ever.  Subjects are checked for it at login.
    return None if text is None else escape(text.encode("utf-8", "replace").decode())


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
