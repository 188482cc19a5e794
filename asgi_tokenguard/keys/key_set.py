"""Several keys, from oldest to newest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys.jwk import read_set
from asgi_tokenguard.keys.key import Key

_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class KeySet:
    """
    Keys from oldest to newest: the newest signs, all verify.

    To exchange a key, append the new one, deploy, and take the old one out once its last token is dead: an idle lifetime
    after it has last signed (15 days), for each rotation signs anew.  Raises `ConfigurationError` for an empty set, for two
    keys of one name, and where the newest is a public key.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys) if isinstance(keys, Iterable) else ()
        if not self._keys or not all(isinstance(key, Key) for key in self._keys):
            raise ConfigurationError("keys", "a KeySet needs at least one Key", "write KeySet([Key(secret)])")
        if len({key.kid for key in self._keys}) < len(self._keys):
            raise ConfigurationError("keys", "two keys have the same kid", "give each secret once, each kid once")
        if self.signing.signing is None:
            raise ConfigurationError("keys", "the newest key is public and cannot sign", "put a private key or a secret last")

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, Any] | str | bytes) -> Self:
        """The keys of a JWK set (RFC 7517 section 5) or of one JWK, an object or its JSON; raises `ConfigurationError`."""
        return cls([Key.from_jwk(each) for each in read_set(jwks)])  # type: ignore[arg-type]  # checked there

    @classmethod
    def from_env(cls, name: str, *, environ: Mapping[str, str] | None = None, password: str | bytes | None = None) -> Self:
        """
        The keys in the environment variable *name*: a JWK set, a JWK, PEM (one after the other) or a secret.

        Raises `ConfigurationError`, also where it is not set or empty.
        """
        found = (os.environ if environ is None else environ).get(name, "")
        if not found.strip():
            raise ConfigurationError("keys", f"the environment variable {name} is not set", f"export {name}=...")
        return cls(read_keys(found.encode(errors="surrogatepass"), password))

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __repr__(self) -> str:
        return f"KeySet({list(self._keys)!r})"

    @property
    def signing(self) -> Key:
        return self._keys[-1]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public halves as a JWK set: what other services verify with.  Secrets are not in it."""
        return {"keys": [found for found in (key.public_jwk() for key in self._keys) if found is not None]}


def read_keys(text: bytes, password: str | bytes | None = None) -> list[Key]:
    """
    The keys in *text*, whatever its form: a JWK set, a JWK, PEM (one after the other) or a secret.

    Raises `ConfigurationError`.
    """
    if text.lstrip().startswith(b"{"):
        return [Key.from_jwk(each) for each in read_set(text)]  # type: ignore[arg-type]  # checked there
    pems = [match[0] for match in _PEM.finditer(text)]
    if pems:
        return [Key.from_pem(pem, password=password) for pem in pems]
    return [Key(text.rstrip(b"\r\n"))]  # editors and `echo` end a file with a line feed that is none of the secret
