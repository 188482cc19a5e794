"""What each option may be; every check says what is wrong and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from inspect import signature
from typing import Any, Final, TypeVar

from asgi_tokenguard.core.callers import normal_origin
from asgi_tokenguard.core.dpop import DPoP
from asgi_tokenguard.core.durability import Durability, Level
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.limits import Limits
from asgi_tokenguard.core.paths import Openness, Paths, Patterns, is_odd
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import Key, KeyFile, KeySet
from asgi_tokenguard.keys.pairs import require_cryptography

T = TypeVar("T")

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
# Of the characters that no client and no proxy ever escapes (RFC 3986 section 2.3).
_PAGE: Final = re.compile(r"/([A-Za-z0-9._~-]+/)*[A-Za-z0-9._~-]*", re.ASCII)
# Where the refresh header may not be: what our other tokens have, and what a page of another site may set without a preflight
# (Fetch standard, section 2.2.2, and what browsers write themselves).  That no page can send it is what proves a caller.
_NO_REFRESH_HEADERS: Final = frozenset(
    {
        b"accept-language",
        b"authorization",
        b"content-language",
        b"range",
        b"referer",
        b"user-agent",
        b"x-fresh-token",
        b"x-new-fresh-token",
        b"x-new-refresh-token",
    }
)
# Schemes of Authorization that people write alone.
_SCHEMES: Final = frozenset({"bearer", "basic", "token", "jwt", "dpop"})
# Names that mean something else to servers, proxies or us.
_TAKEN_HEADERS: Final = frozenset(
    {
        "cookie",
        "set-cookie",
        "host",
        "origin",
        "accept",
        "cache-control",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "upgrade",
        "vary",
        "location",
        "www-authenticate",
        "x-token-rotation",
    }
)


def keys(options: Mapping[str, Any]) -> KeySet | KeyFile:
    if ("secret" in options) == ("keys" in options):
        problem = (
            "both are given" if "secret" in options else "no secret is given, and a random one would differ in each worker"
        )
        raise ConfigurationError("secret", problem, "pass either secret=... or keys=KeySet([...])")
    if options.get("secret", "") is None:
        raise ConfigurationError("secret", "it is None", "set the environment variable that you read it from")
    if "secret" in options:
        return KeySet([Key(options["secret"])])
    return options["keys"] if isinstance(options["keys"], KeyFile) else instance("keys", options["keys"], KeySet)


def leeway(value: object, lifetimes: Lifetimes) -> int:
    # RFC 7519 section 4.1.4: "usually no more than a few minutes".
    most = min(300, lifetimes.access // 2)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        remedy = f"give whole seconds from 0 to {most}, half an access lifetime and 300 at most"
        raise ConfigurationError("leeway", f"{value!r} is out of range", remedy)
    return value


def dpop(value: object) -> DPoP | None:
    if value is None:
        return None
    require_cryptography()
    return instance("dpop", value, DPoP)


def instance(option: str, value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        # Not the value itself: it may be a secret, and errors end in logs.
        raise ConfigurationError(option, f"a {type(value).__name__} was given", f"pass {option}={kind.__name__}(...)")
    return value


def paths(options: Mapping[str, Any]) -> Paths:
    required = boolean("required", options.get("required", True))
    optional = Patterns.parse("optional", options.get("optional", ()))
    if not required and (optional.exact or optional.prefixes):
        raise ConfigurationError("optional", "with required=False every path is optional", "drop one of the two")
    public = Patterns.parse("public", options.get("public", ()))
    both = sorted({*public.exact, *public.prefixes} & {*optional.exact, *optional.prefixes})
    if both:
        raise ConfigurationError("optional", f"{both[0]!r} is public as well", "name it in one of the two")
    return Paths(public=public, optional=optional, required=required)


def reauthentication(value: object, paths: Paths) -> Patterns:
    """Where a doubted caller may confirm who they are; *paths* are those of the app."""
    patterns = Patterns.parse("reauthentication", value)
    # Where credentials are not looked at nobody is known, so that there is nobody to confirm.
    shadowed = [path for path in patterns.exact if paths.public.match(path)]
    shadowed += [f"{prefix}*" for prefix in patterns.prefixes if prefix.startswith(paths.public.prefixes)]
    if shadowed:
        problem = f"{min(shadowed)!r} is public, where nobody is known whose password could be asked for"
        raise ConfigurationError("reauthentication", problem, "take it out of public")
    return patterns


def fresh(value: object) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    # An hour: who is asked for a password less often than that is not asked for it at all.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= 3600 or seconds % 1:  # noqa: PLR2004
        raise ConfigurationError("fresh", f"{value!r} is out of range", "give whole seconds from 1 to 3600, or a timedelta")
    return int(seconds)


def max_age(value: object) -> float | None:
    """Seconds that a proof may be old, as `require_fresh` takes them; None where the option `fresh` is to decide alone."""
    # Not a number is neither above nor below any limit: nothing would be fresh, and the challenge could not say how much is.
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
        raise ConfigurationError("max_age", f"{value!r} is no number of seconds", "give 0 or more, or nothing for `fresh`")
    return value


def max_sessions(value: object) -> int:
    # A login looks at all sessions of its user in one script, which takes 3 ms at two thousand.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:  # noqa: PLR2004
        raise ConfigurationError("max_sessions", f"{value!r} is out of range", "give a whole number from 1 to 10,000")
    return value


def limits(value: object, lifetimes: Lifetimes) -> Limits | None:
    if value is None:
        return None
    found = instance("limits", value, Limits)
    found.check(lifetimes.access)
    return found


def protocol(option: str, value: Any, methods: Iterable[str], example: str) -> Any:
    if value is not None and (isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in methods)):
        wanted = ", ".join(methods)
        raise ConfigurationError(option, f"a {type(value).__name__} has not {wanted}", f"pass {option}={example}")
    return value


def namespace(value: object) -> str:
    # Braces would move the hash tag, and with it the slot, away from the user's digest.
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise ConfigurationError("namespace", f"{value!r} is no prefix", "use up to 64 of letters, digits, _ . : and -")
    return value


def timeout(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 60:  # noqa: PLR2004 (a minute is an outage)
        raise ConfigurationError("timeout", f"{value!r} is out of range", "give seconds, above 0 and up to 60")
    return float(value)


def durability(value: object, timeout: float, redis: object) -> Durability:
    """*timeout* is how long a request waits for *redis*, which is a URL or a client."""
    found = Durability(value) if isinstance(value, str) else instance("durability", value, Durability)
    found.check_time(timeout)
    waits = found.levels != {Level.PRIMARY}
    if waits and found.replicas and isinstance(redis, str) and redis.startswith("embedded:"):
        remedy = "use Durability(..., replicas=0) with 'fsynced', or a server of your own"
        raise ConfigurationError("durability", "an embedded server has no replicas", remedy)
    return found


def staleness(value: object) -> float:
    # Below a twentieth of a second each process would ask for 80 leases a second; above a minute it is no bound to rely on.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.05 <= value <= 60:  # noqa: PLR2004
        remedy = "give seconds from 0.05 to 60, or cache=False to ask Redis each time"
        raise ConfigurationError("staleness", f"{value!r} is out of range", remedy)
    return float(value)


def strict(value: object) -> Patterns | None:
    patterns = Patterns.parse("strict", value)
    return patterns if patterns.exact or patterns.prefixes else None


def sign_in(value: object, paths: Paths, endpoints: str | None) -> str | None:
    if value is None:
        return None
    page = _page("sign_in", value, endpoints)
    # Else whoever is sent there would be sent there.
    if paths.openness(page) is not Openness.PUBLIC:
        raise ConfigurationError("sign_in", f"{page!r} is not public", f"name it in public=[{page!r}, ...]")
    return page


def step_up(value: object, reauthentication: Patterns, paths: Paths, endpoints: str | None) -> str | None:
    if value is None:
        return None
    page = _page("step_up", value, endpoints)
    if not reauthentication.opens(page, None, ""):
        remedy = f"name it in reauthentication=[{page!r}, ...]"
        raise ConfigurationError("step_up", f"{page!r} lets in nobody who has to prove who they are", remedy)
    if paths.openness(page) is Openness.PUBLIC:
        raise ConfigurationError("step_up", f"{page!r} is public, where nobody is known", "take it out of public")
    return page


def _page(option: str, value: object, endpoints: str | None) -> str:
    if not isinstance(value, str) or not _PAGE.fullmatch(value) or is_odd(value, None):
        raise ConfigurationError(option, f"{value!r} is no path of a page", "write '/login', without host and query")
    if endpoints is not None and value.startswith(endpoints):
        raise ConfigurationError(option, f"{value!r} lies below endpoints, where the app is never reached", "move it")
    return value


def on_refusal(value: Any) -> Any:
    if value is not None and (isinstance(value, type) or not callable(value)):
        raise ConfigurationError("on_refusal", f"a {type(value).__name__} was given", "pass a function (scope, refusal)")
    if value is not None and not _takes_two(value):
        raise ConfigurationError("on_refusal", "it cannot be called with a scope and a refusal", "write (scope, refusal)")
    return value


def _takes_two(function: Callable[..., Any]) -> bool:
    # Else every refusal would be answered in our words, and only the log would say why.
    try:
        signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # some of those written in C tell nothing of themselves
        return True
    return True


def boolean(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(option, f"{value!r} is no boolean", "write True or False")
    return value


def access_header(value: object) -> tuple[bytes, str | None]:
    text = value if isinstance(value, str) else ""
    name, colon, scheme = (part.strip() for part in text.partition(":"))
    if not colon and name.lower() == "authorization":
        raise ConfigurationError("access_header", "Authorization needs a scheme", "write 'Authorization: Bearer'")
    if not colon and name.lower() in _SCHEMES:
        raise ConfigurationError("access_header", f"{value!r} is a scheme", "write 'Authorization: Bearer'")
    if colon and not _FIELD_NAME.fullmatch(scheme):
        raise ConfigurationError("access_header", f"{value!r} has no scheme after its colon", "write 'Authorization: Bearer'")
    return header_name("access_header", name).lower().encode(), scheme.lower() or None


def header_name(option: str, value: object) -> str:
    if not isinstance(value, str) or not _FIELD_NAME.fullmatch(value) or _is_taken(value.lower()):
        raise ConfigurationError(option, f"{value!r} cannot carry a token", "use a header name such as 'X-Access-Token'")
    return value


def refresh_header(value: object, *others: bytes) -> bytes | None:
    """The name in lower case; *others* are those of the headers that carry access tokens."""
    if value is None:
        return None
    name = header_name("refresh_header", value).lower().encode()
    if name in others or name in _NO_REFRESH_HEADERS:
        raise ConfigurationError("refresh_header", f"{value!r} has a meaning of its own", "write 'X-Refresh-Token'")
    return name


def _is_taken(name: str) -> bool:
    return name in _TAKEN_HEADERS or name.startswith(("sec-", "access-control-"))


def origins(values: object) -> frozenset[str]:
    if isinstance(values, str):
        raise ConfigurationError("trusted_origins", "a single string was given", f"write trusted_origins=[{values!r}]")
    if not isinstance(values, Iterable):
        kind = type(values).__name__
        raise ConfigurationError("trusted_origins", f"a {kind} was given", "write trusted_origins=['https://app.example.org']")
    return frozenset(_origin(value) for value in values)


def _origin(value: object) -> str:
    origin = normal_origin(value) if isinstance(value, str) else None
    if origin is None:
        raise ConfigurationError(
            "trusted_origins",
            f"{value!r} is no origin",
            "write scheme and host, 'https://app.example.org', no path, no star",
        )
    return origin
