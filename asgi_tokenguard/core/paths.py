"""Which paths are open.  Rule: a pattern opens a path exactly or by whole segments, and an odd path opens nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import unquote_to_bytes

from asgi_tokenguard.errors import ConfigurationError

_ODD_CHARACTERS: Final = ("\\", "\0")
_ENCODED_SLASH: Final = b"%2f"
# Of the characters that no client and no proxy ever escapes (RFC 3986 section 2.3).
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII)


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

    def may_match(self, path: str, raw_path: bytes | None, root_path: str) -> bool:
        """Whether *path* matches, or somebody could read it as one that does: for patterns that close, not open."""
        for reading in (path, below_root(path, root_path)):
            # Litestar serves `/admin/` as `/admin`, and the other way round.
            if self.match(reading) or self.match(reading.rstrip("/")) or self.match(f"{reading}/"):
                return True
        return is_odd(path, raw_path) or is_misplaced(path, raw_path, root_path)

    def opens(self, path: str, raw_path: bytes | None, root_path: str) -> bool:
        """Whether *path* matches, and nobody could read it differently."""
        return self.match(below_root(path, root_path)) and not (
            is_odd(path, raw_path) or is_misplaced(path, raw_path, root_path)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The openness of every path of an app."""

    public: Patterns
    optional: Patterns
    required: bool

    @property
    def fallback(self) -> Openness:
        """What a path is that no pattern opens."""
        return Openness.REQUIRED if self.required else Openness.OPTIONAL

    def openness(self, path: str, raw_path: bytes | None = None, root_path: str = "") -> Openness:
        """The openness of the decoded *path*; *raw_path* shows what decoding and routers have hidden."""
        below = below_root(path, root_path) if root_path else path
        if self.public.match(below) and self.public.opens(path, raw_path, root_path):
            return Openness.PUBLIC
        if not self.required:
            return Openness.OPTIONAL
        if self.optional.match(below) and self.optional.opens(path, raw_path, root_path):
            return Openness.OPTIONAL
        return Openness.REQUIRED


def mount_point(value: object, patterns: Mapping[str, Patterns]) -> str | None:
    """
    The prefix of the mounted endpoints with its slash, `/auth/`; None where there are none.

    *patterns* are those of the app by option.  None may lie below the prefix: it would open nothing, since what is ours says
    itself what it asks for, and what is the app's is not reached there.  A wider one, `/*`, counts everywhere else.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not _PREFIX.fullmatch(value) or is_odd(value, None):
        raise ConfigurationError("endpoints", f"{value!r} is no prefix", "write '/auth': a slash before each name, none behind")
    prefix = f"{value}/"
    for option, found in patterns.items():
        given = [*found.exact, *(f"{start}*" for start in found.prefixes)]
        below = sorted(pattern for pattern in given if pattern.startswith(prefix))
        if below:
            problem = f"{below[0]!r} lies below endpoints={value!r}, where the app is never reached"
            raise ConfigurationError(option, problem, "move it, or give the endpoints a prefix of their own")
    return prefix


def special(paths: Paths, mounted: str | None) -> Patterns:
    """
    The paths on which more has to be asked than whether a token is live: public ones, and those below *mounted*.

    It takes in a few more, such as odd ones that look public; of all others none is public, or ours.
    """
    return Patterns(paths.public.exact, (*paths.public.prefixes, *([] if mounted is None else [mounted])))


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


def is_misplaced(path: str, raw_path: bytes | None, root_path: str) -> bool:
    """
    Whether frameworks differ about what of *path* is theirs.

    Starlette takes *root_path* off the front, Litestar cuts the path after its first occurrence anywhere: under `/api` it
    serves `/static/api/admin` as `/admin`.  And a router that rewrites the path for what it has mounted (Litestar) leaves
    the raw one as it came: `/login` may be `/admin/login` then.  Of a root with a slash at its end, `/static/`, Litestar serves
    `/static/admin` as `/admin`, and Starlette as it is.
    """
    root = root_path.rstrip("/")
    below = below_root(path, root)
    if root and root in path and (below == path or below != below_root(path, root_path)):
        return True
    if raw_path is None:
        return False
    came = unquote_to_bytes(raw_path.partition(b"?")[0]).decode("utf-8", "replace")
    return came not in {path, path.removeprefix(root)}


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
    if "{" in pattern or "}" in pattern:
        raise ConfigurationError(option, f"{pattern!r} is a template", "paths are taken as they come: write '/users/*'")
    if is_odd(pattern, None):
        raise ConfigurationError(option, f"{pattern!r} has an empty or dotted segment", "write the normal path")
    return pattern
