"""The options: typed once, checked once, when the guard is built."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Required, TypedDict, TypeVar

from asgi_tokenguard.core.address import TrustedProxies
from asgi_tokenguard.core.callers import normal_origin
from asgi_tokenguard.core.cookie import RefreshCookie
from asgi_tokenguard.core.doubts import Watch
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.media_types import MediaTypes
from asgi_tokenguard.core.paths import Paths, Patterns, mount_point
from asgi_tokenguard.core.risk import RiskPolicy
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import Key, KeySet

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

    from asgi_tokenguard.events.mirror import Mirror
    from asgi_tokenguard.geo import Locator

T = TypeVar("T")

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
# OWASP's Session Management Cheat Sheet asks for re-authentication before sensitive actions; GitHub's sudo mode lasts 2 hours,
# Google's minutes.  We take the short end: a password prompt more costs little, and thieves wait.
FRESH: Final = 300
# A script that logs in each minute would pile up 21,600 sessions in the 15 days of an idle lifetime (P60).
MAX_SESSIONS: Final = 100
# A second passes between a click on "log out everywhere" and the next look at the other screen.
STALENESS: Final = 1.0
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


class GuardOptions(TypedDict, total=False):
    """The keywords of `TokenGuard` and `TokenGuardMiddleware`."""

    secret: str | bytes
    """The secret that signs tokens, at least 32 bytes; this or *keys* is required."""
    keys: KeySet
    """Several secrets, from oldest to newest."""
    redis: Required[str | Redis | RedisCluster]
    """
    `redis://`, `rediss://`, `unix://` or `embedded://` URL, or a client of `redis.asyncio`, which stays yours to close.

    Clients: `Redis`, `RedisCluster`, and what `Sentinel.master_for` makes.  One that decodes replies or reads from replicas is
    refused.
    """
    namespace: str
    """Prefix of all keys in Redis.  Default: `"tg"`."""
    timeout: float
    """Seconds that one request waits for Redis before it is answered 503.  Default: 1."""
    cache: bool
    """Whether a token that was live within *staleness* is served without asking Redis.  Default: True."""
    staleness: float
    """Seconds after which a revocation counts at the latest, whatever fails; normally it takes milliseconds.  Default: 1."""
    strict: Iterable[str]
    """Paths where every request asks Redis.  Default: none."""
    public: Iterable[str]
    """Paths where credentials are not looked at: `/login`, `/logout`, `/static/*`.  Default: none."""
    optional: Iterable[str]
    """Paths where credentials count but are not required.  Default: none."""
    required: bool
    """False makes every path that is not public optional.  Default: True."""
    lifetimes: Lifetimes
    """Of tokens and sessions.  Default: `Lifetimes()`: 15 minutes, 15 days, 90 days."""
    cookie: RefreshCookie
    """Name and attributes of the refresh cookie.  Default: `RefreshCookie("__Host-refresh", same_site="lax")`."""
    access_header: str
    """Where the access token is read: a header and a scheme, or a header alone.  Default: `"Authorization: Bearer"`."""
    new_token_header: str
    """The response header that hands a new access token out.  Default: `"X-New-Access-Token"`."""
    trusted_origins: Iterable[str]
    """Other origins that may send unsafe requests on the cookie and read tokens.  Default: none."""
    trusted_proxies: Iterable[str]
    """Addresses, networks or `"unix"` whose forwarded headers count.  Default: none."""
    reauthentication: Iterable[str]
    """Paths that a caller of whom step-up is demanded may still reach: where the password is asked for.  Default: none."""
    streams: Iterable[str]
    """
    Media types of responses that end with their session: `["text/event-stream"]`, or `["*/*"]` for downloads as well.

    Default: `["text/event-stream"]`.
    """
    endpoints: str | None
    """Mounts logout, refresh and the list of sessions below this prefix: `"/auth"`.  Default: none, off."""
    fresh: int | timedelta
    """Seconds for which a login or re-authentication counts as fresh.  Default: 300."""
    max_sessions: int
    """Live sessions of one user; the one rotated longest ago ends when one more starts.  Default: 100."""
    locator: Locator
    """Where locations come from: `MaxMindLocator`, `HttpLocator`, `FixedLocator`.  Default: none, no place is judged."""
    risk: RiskPolicy
    """What a change of address leads to.  Default: `RiskPolicy()`."""
    mirror: Mirror
    """A table of sessions in your own database, written off the request path: `SqlMirror`.  Default: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options after their check, in the form that a request needs."""

    keys: KeySet
    redis: str | Redis | RedisCluster = field(repr=False)  # a URL holds a password
    namespace: str
    timeout: float
    cache: bool
    staleness: float
    strict: Patterns | None  # None: no path
    paths: Paths
    lifetimes: Lifetimes
    cookie: RefreshCookie
    access_header: bytes  # lower case
    access_scheme: str | None  # lower case; None: the header is the token
    new_token_header: bytes
    trusted_origins: frozenset[str]
    trusted_proxies: TrustedProxies
    reauthentication: Patterns
    streams: MediaTypes
    endpoints: str | None  # with its slash: "/auth/"
    fresh: int  # seconds
    max_sessions: int
    locator: Locator | None
    risk: RiskPolicy
    mirror: Mirror | None

    @property
    def watch(self) -> Watch:
        """What of an accepted cookie's visit is doubted."""
        return Watch(
            network=self.locator is not None,
            device=bool(self.risk.rules),
            linger_after_ms=round(self.risk.linger_after * 1000),
            linger_generations=self.risk.linger_generations,
        )


def settle(options: Mapping[str, Any]) -> Settings:
    """*options* as `Settings`; raises `ConfigurationError` that names the option and the remedy."""
    _refuse_unknown(options)
    if options.get("redis") is None:
        raise ConfigurationError("redis", "it is missing or None", "pass redis='redis://localhost:6379/0'")
    access_header, access_scheme = _access_header(options.get("access_header", "Authorization: Bearer"))
    paths, reauthentication = _paths(options), Patterns.parse("reauthentication", options.get("reauthentication", ()))
    patterns = {"public": paths.public, "optional": paths.optional, "reauthentication": reauthentication}
    return Settings(
        keys=_keys(options),
        redis=options["redis"],
        namespace=_namespace(options.get("namespace", "tg")),
        timeout=_timeout(options.get("timeout", 1.0)),
        cache=_boolean("cache", options.get("cache", True)),
        staleness=_staleness(options.get("staleness", STALENESS)),
        strict=_strict(options.get("strict", ())),
        paths=paths,
        lifetimes=_instance("lifetimes", options.get("lifetimes", Lifetimes()), Lifetimes),
        cookie=_instance("cookie", options.get("cookie", RefreshCookie()), RefreshCookie),
        access_header=access_header,
        access_scheme=access_scheme,
        new_token_header=_header_name("new_token_header", options.get("new_token_header", "X-New-Access-Token")).encode(),
        trusted_origins=_origins(options.get("trusted_origins", ())),
        trusted_proxies=TrustedProxies.parse(options.get("trusted_proxies", ())),
        reauthentication=reauthentication,
        streams=MediaTypes.parse("streams", options.get("streams", ("text/event-stream",))),
        endpoints=mount_point(options.get("endpoints"), patterns),
        fresh=_fresh(options.get("fresh", FRESH)),
        max_sessions=_max_sessions(options.get("max_sessions", MAX_SESSIONS)),
        locator=_protocol("locator", options.get("locator"), ("locate", "aclose"), "FixedLocator({...})"),
        risk=_instance("risk", options.get("risk", RiskPolicy()), RiskPolicy),
        mirror=_protocol("mirror", options.get("mirror"), ("sync", "subjects", "aclose"), "SqlMirror(engine)"),
    )


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    known = GuardOptions.__annotations__
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
            raise ConfigurationError(name, "there is no such option", remedy)


def _keys(options: Mapping[str, Any]) -> KeySet:
    if ("secret" in options) == ("keys" in options):
        problem = (
            "both are given" if "secret" in options else "no secret is given, and a random one would differ in each worker"
        )
        raise ConfigurationError("secret", problem, "pass either secret=... or keys=KeySet([...])")
    if options.get("secret", "") is None:
        raise ConfigurationError("secret", "it is None", "set the environment variable that you read it from")
    if "secret" in options:
        return KeySet([Key(options["secret"])])
    return _instance("keys", options["keys"], KeySet)


def _instance(option: str, value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        # Not the value itself: it may be a secret, and errors end in logs.
        raise ConfigurationError(option, f"a {type(value).__name__} was given", f"pass {option}={kind.__name__}(...)")
    return value


def _paths(options: Mapping[str, Any]) -> Paths:
    required = _boolean("required", options.get("required", True))
    optional = Patterns.parse("optional", options.get("optional", ()))
    if not required and (optional.exact or optional.prefixes):
        raise ConfigurationError("optional", "with required=False every path is optional", "drop one of the two")
    public = Patterns.parse("public", options.get("public", ()))
    both = sorted({*public.exact, *public.prefixes} & {*optional.exact, *optional.prefixes})
    if both:
        raise ConfigurationError("optional", f"{both[0]!r} is public as well", "name it in one of the two")
    return Paths(public=public, optional=optional, required=required)


def _fresh(value: object) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    # An hour: who is asked for a password less often than that is not asked for it at all.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= 3600 or seconds % 1:  # noqa: PLR2004
        raise ConfigurationError("fresh", f"{value!r} is out of range", "give whole seconds from 1 to 3600, or a timedelta")
    return int(seconds)


def _max_sessions(value: object) -> int:
    # A login looks at all sessions of its user in one script, which takes 3 ms at two thousand.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:  # noqa: PLR2004
        raise ConfigurationError("max_sessions", f"{value!r} is out of range", "give a whole number from 1 to 10,000")
    return value


def _protocol(option: str, value: Any, methods: Iterable[str], example: str) -> Any:
    if value is not None and (isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in methods)):
        wanted = ", ".join(methods)
        raise ConfigurationError(option, f"a {type(value).__name__} has not {wanted}", f"pass {option}={example}")
    return value


def _namespace(value: object) -> str:
    # Braces would move the hash tag, and with it the slot, away from the user's digest.
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise ConfigurationError("namespace", f"{value!r} is no prefix", "use up to 64 of letters, digits, _ . : and -")
    return value


def _timeout(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 60:  # noqa: PLR2004 (a minute is an outage)
        raise ConfigurationError("timeout", f"{value!r} is out of range", "give seconds, above 0 and up to 60")
    return float(value)


def _staleness(value: object) -> float:
    # Below a twentieth of a second each process would ask for 80 leases a second; above a minute it is no bound to rely on.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.05 <= value <= 60:  # noqa: PLR2004
        remedy = "give seconds from 0.05 to 60, or cache=False to ask Redis each time"
        raise ConfigurationError("staleness", f"{value!r} is out of range", remedy)
    return float(value)


def _strict(value: object) -> Patterns | None:
    patterns = Patterns.parse("strict", value)
    return patterns if patterns.exact or patterns.prefixes else None


def _boolean(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(option, f"{value!r} is no boolean", "write True or False")
    return value


def _access_header(value: object) -> tuple[bytes, str | None]:
    text = value if isinstance(value, str) else ""
    name, colon, scheme = (part.strip() for part in text.partition(":"))
    if not colon and name.lower() == "authorization":
        raise ConfigurationError("access_header", "Authorization needs a scheme", "write 'Authorization: Bearer'")
    if not colon and name.lower() in _SCHEMES:
        raise ConfigurationError("access_header", f"{value!r} is a scheme", "write 'Authorization: Bearer'")
    if colon and not _FIELD_NAME.fullmatch(scheme):
        raise ConfigurationError("access_header", f"{value!r} has no scheme after its colon", "write 'Authorization: Bearer'")
    return _header_name("access_header", name).lower().encode(), scheme.lower() or None


def _header_name(option: str, value: object) -> str:
    if not isinstance(value, str) or not _FIELD_NAME.fullmatch(value) or _is_taken(value.lower()):
        raise ConfigurationError(option, f"{value!r} cannot carry a token", "use a header name such as 'X-Access-Token'")
    return value


def _is_taken(name: str) -> bool:
    return name in _TAKEN_HEADERS or name.startswith(("sec-", "access-control-"))


def _origins(values: object) -> frozenset[str]:
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
