"""
The keys that sign tokens: secrets and pairs, from oldest to newest, in code, in the environment or in files.

`algorithms` what keys may be for, `pairs` PEM, `jwk` JSON, `key` one, `key_set` several, `files` those that may change.
"""

from __future__ import annotations

from asgi_tokenguard.keys.files import KeyFile
from asgi_tokenguard.keys.key import Key
from asgi_tokenguard.keys.key_set import KeySet

__all__ = ["Key", "KeyFile", "KeySet"]
