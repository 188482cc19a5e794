"""The names of keys.  Rule: a subject never appears in a key, only its digest."""

from __future__ import annotations

import hashlib

# 160 bits: no two subjects meet, and none can be made to.
DIGEST_BYTES = 20


def session_key(namespace: str, subject: str) -> str:
    """
    The key of all sessions of *subject*.

    The digest is the hash tag, so that all keys of one user share a slot, whatever braces the subject holds.
    """
    digest = hashlib.blake2b(subject.encode(), digest_size=DIGEST_BYTES).hexdigest()
    return f"{namespace}:s:{{{digest}}}"
