"""The options: typed once, checked once, when the guard is built."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict

from asgi_tokenguard import option_checks as checks
from asgi_tokenguard.core.address import TrustedProxies
from asgi_tokenguard.core.cookie import RefreshCookie
from asgi_tokenguard.core.doubts import Watch
from asgi_tokenguard.core.dpop import DPoP
from asgi_tokenguard.core.durability import Durability
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.limits import Limits
from asgi_tokenguard.core.media_types import MediaTypes
from asgi_tokenguard.core.parties import Parties
from asgi_tokenguard.core.paths import Paths, Patterns, mount_point
from asgi_tokenguard.core.risk import RiskPolicy
from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import KeyFile, KeySet

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster
    from starlette.responses import Response
    from starlette.types import Scope

    from asgi_tokenguard.errors import Refusal
    from asgi_tokenguard.events.mirror import Mirror
    from asgi_tokenguard.geo import Locator

# OWASP's Session Management Cheat Sheet asks for re-authentication before sensitive actions; GitHub's sudo mode lasts 2 hours,
# Google's minutes.  We take the short end: a password prompt more costs little, and thieves wait.
FRESH: Final = 300
# A script that logs in each minute would pile up 21,600 sessions in the 15 days of an idle lifetime (P60).
MAX_SESSIONS: Final = 100
# A second passes between a click on "log out everywhere" and the next look at the other screen.
STALENESS: Final = 1.0


OnRefusal: TypeAlias = "Callable[[Scope, Refusal], Response | Awaitable[Response | None] | None]"


class _Options(TypedDict, total=False):
    """What may be left out."""

    secret: str | bytes
    """The secret that signs tokens, at least 32 bytes; this or *keys* is required."""
    keys: KeySet | KeyFile
    """Several keys, from oldest to newest, in code or in a file that may change."""
    issuer: str
    """What tokens carry as `iss`, and must carry.  Default: none, and then none may."""
    audience: str | Iterable[str]
    """What tokens carry as `aud`; they must name one of these.  Default: none, and then none may."""
    leeway: int
    """Seconds for which an access token still counts once it is over.  Default: 0."""
    dpop: DPoP
    """Sessions may be bound to a key of their client's (RFC 9449).  Default: none, and proofs are not looked at."""
    namespace: str
    """Prefix of all keys in Redis.  Default: `"tg"`."""
    timeout: float
    """Seconds that one request waits for Redis before it is answered 503.  Default: 1."""
    durability: str | Durability
    """
    How safe a change has to be before it is confirmed: `"primary"`, `"replicated"` or `"fsynced"`, or a `Durability(...)`.

    Default: `"primary"`, which is what Redis itself confirms.
    """
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
    refresh_header: str | None
    """
    A header, `"X-Refresh-Token"`, in which native apps that keep no cookies carry the refresh token; never a browser.

    New ones leave in `X-New-Refresh-Token`, for callers that have sent the header, be it empty.  Default: none, off.
    """
    trusted_origins: Iterable[str]
    """Other origins that may send unsafe requests on the cookie and read tokens.  Default: none."""
    trusted_proxies: Iterable[str]
    """Addresses, networks or `"unix"` whose forwarded headers count.  Default: none."""
    reauthentication: Iterable[str]
    """Paths that a caller of whom step-up is demanded may still reach: where the password is asked for.  Default: none."""
    sign_in: str | None
    """
    The page where users sign in, one of the *public* paths: documents without a session are sent there (303), with `next=`.

    Default: none, they are answered 401 as everybody.
    """
    step_up: str | None
    """
    The page where a user's password is asked for once more, one of the *reauthentication* paths: documents are sent there.

    Default: *sign_in*.
    """
    on_refusal: OnRefusal | None
    """
    A callable `(scope, refusal) -> Response`, plain or async, for the app's own answers; None of it means ours.

    Status and challenge stay the refusal's.  Default: none, refusals are JSON.
    """
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
    limits: Limits | None
    """
    How often a user may log in and refresh tokens be presented: `Limits(logins_per_user=Rate(10, per=60), ...)`.

    Who has to wait is answered 429 with `Retry-After`, and never signed out.  Default: none.
    """
    locator: Locator
    """Where locations come from: `MaxMindLocator`, `HttpLocator`, `FixedLocator`.  Default: none, no place is judged."""
    risk: RiskPolicy
    """What a change of address leads to.  Default: `RiskPolicy()`."""
    mirror: Mirror
    """A table of sessions in your own database, written off the request path: `SqlMirror`.  Default: none."""


class GuardOptions(_Options):
    """The keywords of `TokenGuard`."""

    redis: str | Redis | RedisCluster
    """
    `redis://`, `rediss://`, `unix://` or `embedded://` URL, or a client of `redis.asyncio`, which stays yours to close.

    Clients: `Redis`, `RedisCluster`, and what `Sentinel.master_for` makes.  One that decodes replies or reads from replicas is
    refused.
    """


class MiddlewareOptions(_Options, total=False):
    """
    The keywords of `TokenGuardMiddleware`: beside a guard of its own stands none, so that none is required.

    Two overloads would say more, but mypy takes only the first of them through `add_middleware`.
    """

    redis: str | Redis | RedisCluster
    """As for `TokenGuard`; missing without a guard, it is a `ConfigurationError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options after their check, in the form that a request needs."""

    keys: KeySet | KeyFile
    parties: Parties
    leeway: int  # seconds
    dpop: DPoP | None
    redis: str | Redis | RedisCluster = field(repr=False)  # a URL holds a password
    namespace: str
    timeout: float
    durability: Durability
    cache: bool
    staleness: float
    strict: Patterns | None  # None: no path
    paths: Paths
    lifetimes: Lifetimes
    cookie: RefreshCookie
    access_header: bytes  # lower case
    access_scheme: str | None  # lower case; None: the header is the token
    new_token_header: bytes
    refresh_header: bytes | None  # lower case
    trusted_origins: frozenset[str]
    trusted_proxies: TrustedProxies
    reauthentication: Patterns
    sign_in: str | None
    step_up: str | None
    on_refusal: OnRefusal | None
    streams: MediaTypes
    endpoints: str | None  # with its slash: "/auth/"
    fresh: int  # seconds
    max_sessions: int
    limits: Limits | None
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
    access_header, access_scheme = checks.access_header(options.get("access_header", "Authorization: Bearer"))
    new_token_header = checks.header_name("new_token_header", options.get("new_token_header", "X-New-Access-Token")).encode()
    lifetimes = checks.instance("lifetimes", options.get("lifetimes", Lifetimes()), Lifetimes)
    timeout = checks.timeout(options.get("timeout", 1.0))
    paths = checks.paths(options)
    reauthentication = checks.reauthentication(options.get("reauthentication", ()), paths)
    patterns = {"public": paths.public, "optional": paths.optional, "reauthentication": reauthentication}
    endpoints = mount_point(options.get("endpoints"), patterns)
    return Settings(
        keys=checks.keys(options),
        parties=Parties.parse(options.get("issuer"), options.get("audience")),
        leeway=checks.leeway(options.get("leeway", 0), lifetimes),
        redis=options["redis"],
        dpop=checks.dpop(options.get("dpop")),
        namespace=checks.namespace(options.get("namespace", "tg")),
        timeout=timeout,
        durability=checks.durability(options.get("durability", "primary"), timeout, options["redis"]),
        cache=checks.boolean("cache", options.get("cache", True)),
        staleness=checks.staleness(options.get("staleness", STALENESS)),
        strict=checks.strict(options.get("strict", ())),
        paths=paths,
        lifetimes=lifetimes,
        cookie=checks.instance("cookie", options.get("cookie", RefreshCookie()), RefreshCookie),
        access_header=access_header,
        access_scheme=access_scheme,
        new_token_header=new_token_header,
        refresh_header=checks.refresh_header(options.get("refresh_header"), access_header, new_token_header.lower()),
        trusted_origins=checks.origins(options.get("trusted_origins", ())),
        trusted_proxies=TrustedProxies.parse(options.get("trusted_proxies", ())),
        reauthentication=reauthentication,
        sign_in=checks.sign_in(options.get("sign_in"), paths, endpoints),
        step_up=checks.step_up(options.get("step_up"), reauthentication, paths, endpoints),
        on_refusal=checks.on_refusal(options.get("on_refusal")),
        streams=MediaTypes.parse("streams", options.get("streams", ("text/event-stream",))),
        endpoints=endpoints,
        fresh=checks.fresh(options.get("fresh", FRESH)),
        max_sessions=checks.max_sessions(options.get("max_sessions", MAX_SESSIONS)),
        limits=checks.limits(options.get("limits"), lifetimes),
        locator=checks.protocol("locator", options.get("locator"), ("locate", "aclose"), "FixedLocator({...})"),
        risk=checks.instance("risk", options.get("risk", RiskPolicy()), RiskPolicy),
        mirror=checks.protocol("mirror", options.get("mirror"), ("sync", "subjects", "aclose"), "SqlMirror(engine)"),
    )


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    known = GuardOptions.__annotations__
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
            raise ConfigurationError(name, "there is no such option", remedy)
