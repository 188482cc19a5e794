"""The refresh cookie: its option value, its reading and its writing (RFC 6265bis)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from asgi_tokenguard.errors import ConfigurationError

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PATH: Final = re.compile(r"/[!-:<-~]*", re.ASCII)
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)
_SITES: Final = re.compile(r"lax|strict|none")


# RFC 6265bis section 5.6: browsers ignore a cookie whose name and value are longer together.
MAX_COOKIE: Final = 4096


class InsecureCookieWarning(UserWarning):
    """The refresh cookie travels over plain HTTP, where anyone on the way reads it."""


@dataclass(frozen=True, slots=True)
class RefreshCookie:
    """
    Name and attributes of the refresh cookie; it is always `HttpOnly`.

    *same_site* is `"lax"`, `"strict"` or `"none"`; *path* and *domain* need a name without the `__Host-` prefix.
    *unsafe_plain_http* leaves `Secure` out, for a test bed without TLS only; it needs a name without prefix, and warns.

    Raises `ConfigurationError` for what browsers would refuse to store.
    """

    name: str = "__Host-refresh"
    same_site: Literal["lax", "strict", "none"] = "lax"
    path: str = "/"
    domain: str | None = None
    unsafe_plain_http: bool = False

    def __post_init__(self) -> None:
        self._check_syntax()
        self._check_prefix()
        if self.unsafe_plain_http:
            warnings.warn("the refresh cookie is sent without Secure", InsecureCookieWarning, stacklevel=3)

    def _check_syntax(self) -> None:
        if not _is_text(self.name, _NAME):
            raise ConfigurationError("cookie", f"{self.name!r} is no cookie name", "use letters, digits, - and _")
        if not _is_text(self.same_site, _SITES):
            raise ConfigurationError("cookie", f"same_site={self.same_site!r}", "use 'lax', 'strict' or 'none'")
        if not _is_text(self.path, _PATH):
            raise ConfigurationError("cookie", f"path={self.path!r}", "use a path such as '/' or '/app'")
        if self.domain is not None and not _is_text(self.domain, _DOMAIN):
            raise ConfigurationError("cookie", f"domain={self.domain!r}", "use a lower-case domain such as 'example.org'")
        if not isinstance(self.unsafe_plain_http, bool):
            # The text "false" of an environment variable is true for Python.
            raise ConfigurationError("cookie", f"unsafe_plain_http={self.unsafe_plain_http!r}", "write True or False")

    def _check_prefix(self) -> None:
        name = self.name.lower()  # browsers compare prefixes without case
        if name.startswith("__host-") and (self.path != "/" or self.domain is not None):
            raise ConfigurationError(
                "cookie",
                "a __Host- cookie has path '/' and no domain",
                "choose a name without the prefix, or drop both",
            )
        if self.unsafe_plain_http and (name.startswith(("__host-", "__secure-")) or self.same_site == "none"):
            raise ConfigurationError(
                "cookie",
                "browsers store this cookie only with Secure",
                "drop unsafe_plain_http, or the prefix and 'none'",
            )

    def carry(self, token: str, max_age: int) -> str:
        """The `Set-Cookie` value that stores *token* for *max_age* seconds."""
        return self._render(token, max_age)

    def clear(self) -> str:
        """The `Set-Cookie` value that makes browsers forget the token."""
        return self._render("", 0)

    @property
    def fresh_name(self) -> str:
        """The name of the cookie with the freshness token: `__Host-fresh` beside `__Host-refresh`."""
        base = re.sub("^__(host|secure)-", "", self.name, flags=re.IGNORECASE)
        name = "fresh" if base == "refresh" else f"{base}-fresh"
        return name if self.unsafe_plain_http else f"__Host-{name}"

    def carry_fresh(self, token: str, max_age: int) -> str:
        """
        The `Set-Cookie` value of a freshness token: of this host alone, and never sent from another site.

        It is so whatever the refresh cookie's attributes are: nothing but the user's own clicks here needs it (I16).
        """
        secure = [] if self.unsafe_plain_http else ["Secure"]
        parts = [f"{self.fresh_name}={token}", f"Max-Age={max_age}", "Path=/", *secure, "HttpOnly", "SameSite=Strict"]
        return "; ".join(parts)

    def values(self, headers: Iterable[str], name: str | None = None) -> list[str]:
        """
        Every value under this name (or *name*) in *headers* (`Cookie` header values), without quotes.

        All of them, since choosing one would let whoever planted a second cookie choose for us (I4).
        """
        found, wanted = [], name or self.name
        for header in headers:
            for pair in header.split(";"):
                key, equals, value = pair.strip(" \t").partition("=")
                if equals and key == wanted:
                    found.append(_unquoted(value))
        return found

    def _render(self, value: str, max_age: int) -> str:
        parts = [f"{self.name}={value}", f"Max-Age={max_age}", f"Path={self.path}"]
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        if not self.unsafe_plain_http:
            parts.append("Secure")
        return "; ".join([*parts, "HttpOnly", f"SameSite={self.same_site.title()}"])


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
