"""Who has made a token, and for whom (RFC 7519 sections 4.1.1 and 4.1.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asgi_tokenguard.errors import ConfigurationError

# Together with the longest subject they still have to fit into a cookie.
MAX_NAME: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """
    What `iss` and `aud` tokens carry, and must carry.

    What is not configured must not be there: a key that several apps share, or a key set that was given away, then makes
    tokens of one and not of all (RFC 8725 sections 3.8 and 3.9).
    """

    issuer: str | None = None
    audience: tuple[str, ...] = ()

    @classmethod
    def parse(cls, issuer: object, audience: object) -> Parties:
        """Of the options; raises ConfigurationError."""
        one = (audience,) if isinstance(audience, str) else audience
        if one is not None and (not isinstance(one, Iterable) or isinstance(one, bytes | Mapping)):
            raise ConfigurationError("audience", f"a {type(audience).__name__} was given", "pass a string, or a list of them")
        several = () if one is None else tuple(_name("audience", name) for name in one)
        if one is not None and not several:
            raise ConfigurationError("audience", "it is empty", "name who is to take the tokens, or leave it out")
        if sum(map(len, several)) > MAX_NAME:
            raise ConfigurationError("audience", f"it has more than {MAX_NAME} characters", "shorten it")
        return cls(issuer=None if issuer is None else _name("issuer", issuer), audience=several)

    def claims(self) -> dict[str, Any]:
        found: dict[str, Any] = {} if self.issuer is None else {"iss": self.issuer}
        if self.audience:
            found["aud"] = self.audience[0] if len(self.audience) == 1 else list(self.audience)
        return found

    def match(self, payload: Mapping[str, Any]) -> bool:
        """Whether a token that says *payload* is of this issuer, and for one of this audience."""
        if payload.get("iss") != self.issuer:
            return False
        named = payload.get("aud")
        if not self.audience:
            return named is None
        # A list of other types names nobody; to look for each of ours needs no hash of what is in it.
        return (
            named in self.audience
            if isinstance(named, str)
            else isinstance(named, list) and any(name in named for name in self.audience)
        )


def _name(option: str, name: object) -> str:
    if not isinstance(name, str) or not name or len(name) > MAX_NAME or not name.isascii() or not name.isprintable():
        remedy = "use a URL or a name of up to 256 printable ASCII characters"
        raise ConfigurationError(option, f"{name!r} is no name of a party", remedy)
    return name
