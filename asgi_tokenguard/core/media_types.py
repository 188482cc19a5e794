"""Media types of responses, as an option names them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from asgi_tokenguard.errors import ConfigurationError

EVENT_STREAM: Final = b"text/event-stream"
ANY: Final = "*/*"
# RFC 9110 section 8.3.1: two tokens; parameters say nothing about whether it is a stream.
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


@dataclass(frozen=True, slots=True)
class MediaTypes:
    types: frozenset[bytes]
    every: bool = False

    @classmethod
    def parse(cls, option: str, values: object) -> MediaTypes:
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ConfigurationError(option, f"{values!r} is no list", f"write {option}=['text/event-stream']")
        given = [value.lower() if isinstance(value, str) else value for value in values]
        for value in given:
            if value != ANY and (not isinstance(value, str) or not _TYPE.fullmatch(value)):
                remedy = "write 'text/event-stream', without parameters, or '*/*' for all"
                raise ConfigurationError(option, f"{value!r} is no media type", remedy)
        return cls(frozenset(value.encode() for value in given), every=ANY in given)

    def kind(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """
        The type in `Content-Type`, lower case and without parameters, where it is one of these; None where it is not.

        Empty where there is none and all are meant.
        """
        for name, value in headers:
            # Nearly all apps write it small, as ASGI asks them to.
            if name == b"content-type" or name.lower() == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
                return kind if self.every or kind in self.types else None
        return b"" if self.every else None


def has_length(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the size of the response is known from the start, as it is of no stream."""
    return any(name.lower() == b"content-length" for name, _ in headers)
