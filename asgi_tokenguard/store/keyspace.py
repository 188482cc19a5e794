"""The names of keys.  Rule: a subject never appears in a key, only its digest."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from functools import lru_cache

# 160 bits: no two subjects meet, and none can be made to.
DIGEST_BYTES = 20


def session_key(namespace: str, subject: str) -> str:
    """
    The key of all sessions of *subject*.

    The digest is the hash tag, so that all keys of one user share a slot, whatever braces the subject holds.  It is written
    in 27 characters; each of a million users pays for them.
    """
    return f"{namespace}:s:{_tag(subject)}"


def tombstone_key(namespace: str, subject: str) -> str:
    """The key of what is remembered for a day of the sessions of *subject* that have ended."""
    return f"{namespace}:t:{_tag(subject)}"


def limit_key(namespace: str, subject: str) -> str:
    """The key of what is counted of *subject*; not under the prefix that is listened to, since no verdict depends on it."""
    return f"{namespace}:l:{_tag(subject)}"


def lineage_key(namespace: str, tag: str, replication_id: str) -> str:
    """The key on a node itself that says since when it has had *replication_id*; *tag* is of one of its slots, or empty."""
    return f"{namespace}:n:{{{tag}}}{replication_id}" if tag else f"{namespace}:n:{replication_id}"


def place_key(namespace: str, slot: int) -> str:
    """The key of one slot of the places that all processes share."""
    return f"{namespace}:g:{slot:x}"


def proof_key(namespace: str, name: bytes) -> str:
    """The key that remembers the use of one proof of possession."""
    return f"{namespace}:d:{urlsafe_b64encode(name).rstrip(b'=').decode()}"


# A check asks for the same key twice or thrice; a thousand of those at work at once are more than a process serves in a tick.
@lru_cache(maxsize=1024)
def _tag(subject: str) -> str:
    digest = hashlib.blake2b(subject.encode(), digest_size=DIGEST_BYTES).digest()
    return "{" + urlsafe_b64encode(digest).rstrip(b"=").decode() + "}"
