"""The codec of a guard, and its keys when they change while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import KeyFile, KeySet
from asgi_tokenguard.keys.files import Watch
from asgi_tokenguard.tokens import Codec

if TYPE_CHECKING:
    from asgi_tokenguard.options import Settings


class Signing:
    """
    *forget* drops what is known of tokens: what a key that is gone has signed does not count a moment longer.

    *monotonic* says when a file is due to be looked at.
    """

    def __init__(self, settings: Settings, *, monotonic: Callable[[], float], forget: Callable[[], None]) -> None:
        self._source = settings.keys
        self._forget = forget
        look = None
        if isinstance(self._source, KeyFile):
            self._watch = Watch(self._source, monotonic)
            look = self._look
        keys = self._source if isinstance(self._source, KeySet) else self._source.keys
        self.codec = Codec(keys, settings.lifetimes, parties=settings.parties, look=look)

    def reload(self, keys: KeySet | None) -> None:
        """Take *keys*, or those that the files hold now; raises ConfigurationError, and then nothing has changed."""
        if isinstance(self._source, KeyFile):
            if keys is not None:
                raise ConfigurationError("keys", "they are kept in a file", "change the file, and pass nothing")
            self._source.keys = keys = self._source.read()
        elif not isinstance(keys, KeySet):
            raise ConfigurationError(
                "keys", f"a {type(keys).__name__} was given", "pass the new KeySet, or build with a KeyFile"
            )
        self.codec.use(keys)
        self._forget()

    def _look(self, unknown: bool) -> KeySet | None:  # noqa: FBT001 (as the codec asks)
        found = self._watch.look(now=unknown)
        if found is not None:
            self._forget()
        return found
