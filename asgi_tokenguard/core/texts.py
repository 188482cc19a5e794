"""Short texts inside a record of Redis: a byte of length, then UTF-8, so that a place or a device needs no JSON."""

from __future__ import annotations

from typing import Final

# The byte in front is the length plus one, so that None (0) is not the same as an empty text (1).
LONGEST: Final = 254


def pack_text(text: str | None, limit: int) -> bytes:
    """
    *text* in at most *limit* bytes (254 at most) after the byte of its length; one byte for None.

    A longer text is cut between two characters.  Nothing raises: half a surrogate pair, which UTF-8 does not have, becomes `?`.
    """
    if text is None:
        return b"\x00"
    limit = min(limit, LONGEST)
    # No character takes less than a byte: the first cut bounds the work, the second the bytes.
    cut = text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode("utf-8")
    return bytes([len(cut) + 1]) + cut


def unpack_texts(raw: bytes, count: int) -> list[str | None] | None:
    """The texts of *raw*, if it is exactly *count* of them; None where it is cut off, longer, or not UTF-8."""
    texts: list[str | None] = []
    while raw and len(texts) < count:
        size, raw = raw[0] - 1, raw[1:]
        if size < 0:
            texts.append(None)
            continue
        text, raw = raw[:size], raw[size:]
        if len(text) < size:
            return None
        try:
            texts.append(text.decode("utf-8"))
        except UnicodeDecodeError:
            return None
    return texts if len(texts) == count and not raw else None
