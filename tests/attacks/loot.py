"""What an attacker has at best: genuine tokens, and somebody who signs for him with the true key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from support.forge import b64, claims_of, header_of

NO_TOKEN: Final = "401 token_required"
INVALID: Final = "401 invalid_token"
STALE: Final = "401 step_up_required"
OURS: Final = "200"
# h11 takes no control characters in a header; nothing of ours hears of the request.
NO_REQUEST: Final = "400"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loot:
    """Seen from one place of a request: its own *token*, those of the other *kinds*, and *publics*: what is no secret."""

    token: str
    kinds: Mapping[str, str]
    publics: Mapping[str, bytes]
    sign: Callable[[bytes], bytes]

    @property
    def segments(self) -> tuple[str, str, str]:
        header, payload, signature = self.token.split(".")
        return header, payload, signature

    @property
    def header(self) -> dict[str, Any]:
        return header_of(self.token)

    @property
    def claims(self) -> dict[str, Any]:
        return claims_of(self.token)

    def signed(self, header: str, payload: str) -> str:
        """Segments as they stand, with a good signature over them."""
        message = f"{header}.{payload}"
        return f"{message}.{b64(self.sign(message.encode('latin-1')))}"


Forge = Callable[[Loot], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """
    One forged token, and what it is answered in each place.

    *asks* says whether Redis hears of what is not `INVALID` (I14): where the signature is good and time does not decide.
    """

    name: str
    forge: Forge
    access: str = INVALID
    refresh: str = INVALID
    fresh: str = STALE
    asks: bool = False


def attacks(family: str, forges: Mapping[str, Forge], **answers: Any) -> list[Attack]:
    return [Attack(name=f"{family}: {name}", forge=forge, **answers) for name, forge in forges.items()]


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def wire(text: str) -> str:
    """*text* as UTF-8 on the wire, half surrogate pairs included; a header is sent as Latin-1."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def under(*, without: str | None = None, **fields: Any) -> Forge:
    """A good signature under our header with *fields* in it, or *without* one."""

    def forge(loot: Loot) -> str:
        header = {name: value for name, value in (loot.header | fields).items() if name != without}
        return loot.signed(b64(compact(header)), loot.segments[1])

    return forge


def under_raw(make: Callable[[bytes], bytes]) -> Forge:
    """A good signature under other bytes than those of our header's JSON."""
    return lambda loot: loot.signed(b64(make(compact(loot.header))), loot.segments[1])


def saying(make: Callable[[bytes], bytes]) -> Forge:
    """Our header and a good signature over other bytes than those of the genuine payload."""
    return lambda loot: loot.signed(loot.segments[0], b64(make(compact(loot.claims))))


def claiming(*, without: str | None = None, **claims: Any) -> Forge:
    def forge(loot: Loot) -> str:
        payload = {name: value for name, value in (loot.claims | claims).items() if name != without}
        return loot.signed(loot.segments[0], b64(compact(payload)))

    return forge


def literally(name: str, literal: bytes) -> Forge:
    """The claims with *literal* JSON under *name*, in the place of what was there."""

    def forge(loot: Loot) -> str:
        rest = {key: value for key, value in loot.claims.items() if key != name}
        body = compact(rest)[:-1] + b',"' + name.encode() + b'":' + literal + b"}"
        return loot.signed(loot.segments[0], b64(body))

    return forge
