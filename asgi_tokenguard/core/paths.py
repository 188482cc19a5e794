"""Which paths are open.  Rule: a pattern opens a path exactly or by whole segments, and an odd path opens nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from asgi_tokenguard.errors import ConfigurationError

_ODD_CHARACTERS: Final = ("\\", "\0")
_ENCODED_SLASH: Final = b"%2f"


class Openness(Enum):
    """What a path asks of its caller."""

    PUBLIC = "public"  # credentials are not looked at
    OPTIONAL = "optional"  # they count, but are not required
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Patterns:
    """Paths, taken exactly (`/login`) or with all below them (`/static/*`, which is not `/static`)."""

    exact: frozenset[str]
    prefixes: tuple[str, ...]

    @classmethod
    def parse(cls, option: str, patterns: object) -> Patterns:
        if isinstance(patterns, str):
            raise ConfigurationError(option, "a single string was given", f"write {option}=[{patterns!r}]")
        if not isinstance(patterns, Iterable):
            raise ConfigurationError(option, f"a {type(patterns).__name__} was given", f"write {option}=['/static/*']")
        checked = [_checked(option, pattern) for pattern in patterns]
        return cls(
            frozenset(pattern for pattern in checked if not pattern.endswith("*")),
            tuple(pattern[:-1] for pattern in checked if pattern.endswith("*")),
        )

    def match(self, path: str) -> bool:
        return path in self.exact or path.startswith(self.prefixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The openness of every path of an app."""

    public: Patterns
    optional: Patterns
    required: bool

    def openness(self, path: str, raw_path: bytes | None) -> Openness:
        """The openness of the decoded *path*; *raw_path* shows what decoding has hidden."""
        fallback = Openness.REQUIRED if self.required else Openness.OPTIONAL
        if self.public.match(path):
            return fallback if is_odd(path, raw_path) else Openness.PUBLIC
        if self.required and self.optional.match(path) and not is_odd(path, raw_path):
            return Openness.OPTIONAL
        return fallback


def is_odd(path: str, raw_path: bytes | None) -> bool:
    """
    Whether an app, a proxy and we might read *path* differently.

    An attacker writes `/static/..%2fadmin` or `/static//admin`: open for us, the protected page for a router that folds it.
    """
    segments = path.split("/")[1:]
    return (
        "" in segments[:-1]
        or "." in segments
        or ".." in segments
        or any(character in path for character in _ODD_CHARACTERS)
        or (raw_path is not None and _ENCODED_SLASH in raw_path.lower())
    )


def below_root(path: str, root_path: str) -> str:
    """*path* as the app sees it: without *root_path*, which ASGI servers and routers put before it."""
    if root_path and path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] in {"", "/"}:
        return path[len(root_path) :] or "/"
    return path


def _checked(option: str, pattern: object) -> str:
    if not isinstance(pattern, str) or not pattern.startswith("/"):
        raise ConfigurationError(option, f"{pattern!r} does not start with a slash", "write '/login' or '/static/*'")
    if any(mark in pattern for mark in "?#%"):
        raise ConfigurationError(option, f"{pattern!r} has a query, a fragment or an escape", "write the decoded path alone")
    if "*" in pattern[:-1] or (pattern.endswith("*") and not pattern.endswith("/*")):
        raise ConfigurationError(option, f"{pattern!r} has a star elsewhere than as '/*' at its end", "write '/static/*'")
    if is_odd(pattern, None):
        raise ConfigurationError(option, f"{pattern!r} has an empty or dotted segment", "write the normal path")
    return pattern
