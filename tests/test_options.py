"""The options: typed once, checked when the guard is built, each error naming the option and the remedy."""

from __future__ import annotations

import itertools
import pickle
import sys
import traceback
from dataclasses import fields
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio.cluster import LoadBalancingStrategy
from redis.asyncio.sentinel import Sentinel

from asgi_tokenguard import (
    ConfigurationError,
    DPoP,
    Durability,
    Key,
    KeySet,
    Lifetimes,
    Limits,
    Rate,
    RefreshCookie,
    TokenGuard,
    TokenGuardMiddleware,
)
from asgi_tokenguard.core.address import TrustedProxies
from asgi_tokenguard.core.media_types import MediaTypes
from asgi_tokenguard.core.parties import Parties
from asgi_tokenguard.core.paths import Openness, Patterns
from asgi_tokenguard.core.risk import RiskPolicy
from asgi_tokenguard.geo import FixedLocator
from asgi_tokenguard.options import GuardOptions, MiddlewareOptions, Settings, settle

SECRET = "a secret of these tests with more than 32 bytes"
PASSWORD = "hunter2-of-redis"
URL = f"redis://user:{PASSWORD}@localhost:6379/0"
GOOD: dict[str, Any] = {"secret": SECRET, "redis": URL}


def settled(**options: Any) -> Settings:
    return settle(GOOD | options)


def refusal(options: dict[str, Any]) -> ConfigurationError:
    """The error of building a guard; both doors give the same one."""
    with pytest.raises(ConfigurationError) as caught:
        TokenGuard(**options)
    with pytest.raises(ConfigurationError) as of_middleware:
        TokenGuardMiddleware(lambda *_: None, **options)
    assert str(caught.value) == str(of_middleware.value)
    return caught.value


# --- What the options become


def test_the_defaults_are_those_of_the_design():
    defaults = settled()
    assert (
        Settings(
            keys=defaults.keys,
            parties=Parties(issuer=None, audience=()),
            leeway=0,
            dpop=None,
            redis=URL,
            namespace="tg",
            timeout=1.0,
            durability=Durability(login="primary", rotation="primary", revocation="primary"),
            cache=True,
            staleness=1.0,
            strict=None,
            paths=defaults.paths,
            lifetimes=Lifetimes(access=900, idle=15 * 86_400, absolute=90 * 86_400, grace=30, socket=43_200),
            cookie=RefreshCookie("__Host-refresh", same_site="lax"),
            access_header=b"authorization",
            access_scheme="bearer",
            new_token_header=b"X-New-Access-Token",
            refresh_header=None,
            trusted_origins=frozenset(),
            trusted_proxies=TrustedProxies.parse(()),
            reauthentication=Patterns.parse("reauthentication", ()),
            sign_in=None,
            step_up=None,
            on_refusal=None,
            streams=MediaTypes(frozenset({b"text/event-stream"})),
            endpoints=None,
            fresh=300,
            max_sessions=100,
            limits=None,
            locator=None,
            risk=RiskPolicy(proceed_above=50, revoke_below=20, unknown="step_up"),
            mirror=None,
        )
        == defaults
    )
    assert [SECRET.encode()] == [key.signing for key in defaults.keys]
    assert Openness.REQUIRED is defaults.paths.openness("/", b"/")


LIMITS = Limits(logins_per_user=Rate(1, per=86_400), presentations_per_user=Rate(1, per=900))
KEYS = KeySet([Key(SECRET, kid="old"), Key(SECRET, kid="new")])


@pytest.mark.parametrize(
    ("option", "value", "field", "expected"),
    [
        ("redis", "unix:///run/redis.sock", "redis", "unix:///run/redis.sock"),
        ("namespace", "shop:1.x-y_z", "namespace", "shop:1.x-y_z"),
        ("timeout", 0.25, "timeout", 0.25),
        ("timeout", 60, "timeout", 60.0),
        ("durability", "replicated", "durability", Durability.everywhere("replicated")),
        ("durability", Durability(login="fsynced", replicas=0), "durability", Durability(login="fsynced", replicas=0)),
        ("lifetimes", Lifetimes(access=60), "lifetimes", Lifetimes(access=60)),
        ("cookie", RefreshCookie("r", path="/app"), "cookie", RefreshCookie("r", path="/app")),
        ("access_header", "authorization:bearer", "access_scheme", "bearer"),
        ("access_header", "X-Access-Token", "access_header", b"x-access-token"),
        ("access_header", "X-Access-Token", "access_scheme", None),
        ("access_header", " X-Auth : Token ", "access_header", b"x-auth"),
        ("access_header", " X-Auth : Token ", "access_scheme", "token"),
        ("new_token_header", "X-Fresh", "new_token_header", b"X-Fresh"),
        ("refresh_header", "X-Refresh-Token", "refresh_header", b"x-refresh-token"),
        ("sign_in", None, "sign_in", None),
        ("trusted_origins", ["https://SPA.example:443"], "trusted_origins", frozenset({"https://spa.example"})),
        ("trusted_proxies", ["10.0.0.0/8", "unix"], "trusted_proxies", TrustedProxies.parse(["10.0.0.0/8", "unix"])),
        ("reauthentication", ["/confirm"], "reauthentication", Patterns.parse("x", ["/confirm"])),
        ("fresh", timedelta(minutes=10), "fresh", 600),
        ("fresh", 60.0, "fresh", 60),
        ("endpoints", "/auth", "endpoints", "/auth/"),
        ("endpoints", "/api/v1.0/~me_-", "endpoints", "/api/v1.0/~me_-/"),
        ("endpoints", None, "endpoints", None),
        ("max_sessions", 1, "max_sessions", 1),
        ("limits", None, "limits", None),
        ("limits", LIMITS, "limits", LIMITS),
        ("risk", RiskPolicy(unknown="revoke"), "risk", RiskPolicy(unknown="revoke")),
        ("trusted_origins", iter(["http://localhost:5173"]), "trusted_origins", frozenset({"http://localhost:5173"})),
    ],
)
def test_each_option_arrives_in_the_form_that_a_request_needs(option, value, field, expected):
    assert expected == getattr(settled(**{option: value}), field)


def test_keys_arrive_as_they_are():
    assert KEYS is settle({"keys": KEYS, "redis": URL}).keys


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["required", "required"]),
        ({"public": ["/a"]}, ["public", "required"]),
        ({"optional": ["/a"]}, ["optional", "required"]),
        ({"required": False}, ["optional", "optional"]),
        ({"required": False, "public": ["/a"], "optional": []}, ["public", "optional"]),
        ({"required": True, "public": ["/a"], "optional": ["/b"]}, ["public", "optional"]),
    ],
)
def test_paths_are_opened_by_three_options(options, expected):
    paths = settled(**options).paths
    assert expected == [paths.openness(path, None).value for path in ("/a", "/b")]


# --- What is refused

NOT_TEXT = [None, 7, True, b"x", ["x"], {}]
NO_PATHS = ["/login", "", 7, None, True, ["login"], ["/a//b"], ["/a*"], ["/a?b"], [None], [b"/a"], [""]]
TAKEN = ["Set-Cookie", "cookie", "HOST", "origin", "Content-Length", "content-type", "Transfer-Encoding"]
NO_HEADER = ["", " ", "X Y", "X-Tökên", "X-Token\r\nSet-Cookie: a=b", "(x)", "X-Token\0", *TAKEN]
NO_ORIGIN = ["https://*.example", "*", "null", "", "app.example", "//app.example", "https://app.example/", "https://app.example/x",
             "https://u@app.example", "https://a.example?x", " https://app.example", None, 7, b"https://a.example"]  # fmt: skip
SYNC_CLIENT = redis.Redis()
NO_REDIS = ["", "localhost", "localhost:6379", "http://localhost", "redis:", "redis", "REDIS://localhost", "redis:/localhost",
            "memory://", "redis://[::1", "redis://localhost:99999", "redis://localhost:port", "redis://localhost?db=x",
            "redis://localhost?decode_responses=True", "redis://localhost?socket_timeout=3", "unix:///s?max_connections=1",
            "redis://localhost?foo=1", "redis://localhost/abc", "rediss://localhost/0/1", "redis://localhost/-1",
            "redis://localhost?socket_timeout=x", None, 7, True, b"redis://localhost", object(), {}, ["redis://localhost"],
            SYNC_CLIENT, redis.asyncio.Redis(decode_responses=True),
            redis.asyncio.RedisCluster("127.0.0.1", 1, decode_responses=True),
            redis.asyncio.RedisCluster("127.0.0.1", 1, load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN),
            Sentinel([("127.0.0.1", 1)]), Sentinel([("127.0.0.1", 1)]).slave_for("main")]  # fmt: skip

WRONG = [
    *[({"redis": value}, "redis") for value in NO_REDIS],
    *[({"secret": value}, "secret") for value in ("", b"", "short", None, 7, True, ["s" * 32], object(), KEYS)],
    *[({"issuer": value}, "issuer") for value in ("", 7, True, b"a", "é", "a\n", "i" * 257, ["https://id.example"])],
    *[({"audience": value}, "audience") for value in ("", 7, b"a", "é", [], [7], ["a", ""], ["a" * 200, "b" * 200], {"a": 1})],
    *[({"leeway": value}, "leeway") for value in (None, True, -1, 301, 0.5, "1", timedelta(seconds=1))],
    *[({"dpop": value}, "dpop") for value in ("https://api.example", True, 7, {}, DPoP)],
    *[({"namespace": value}, "namespace") for value in ("", "a b", "{x}", "é", "x\n", "x/y", "*", "n" * 65, *NOT_TEXT)],
    *[({"timeout": value}, "timeout") for value in (0, -1, 60.1, float("nan"), float("inf"), "1", None, True, [1], 1j)],
    *[({"durability": value}, "durability") for value in (
        None, True, 1, "", "disk", ["replicated"], Durability, Durability(timeout=1),  # as long as a request waits
        "fsynced", Durability(login="fsynced", timeout=0.9))],  # half a second, and replicas tell once a second
    *[({"cache": value}, "cache") for value in (None, 0, 1, "no", [])],
    *[({"staleness": value}, "staleness") for value in (0, 0.04, -1, 60.1, float("nan"), "1", None, True)],
    *[({"strict": value}, "strict") for value in NO_PATHS],
    *[({"public": value}, "public") for value in NO_PATHS],
    *[({"optional": value}, "optional") for value in NO_PATHS],
    *[({"required": value}, "required") for value in (None, 0, 1, "no", "False", [])],
    *[({"lifetimes": value}, "lifetimes") for value in (None, 900, {"access": 900}, "900", Lifetimes)],
    *[({"cookie": value}, "cookie") for value in (None, "refresh", {"name": "r"}, RefreshCookie)],
    *[({"access_header": value}, "access_header") for value in (
        *NOT_TEXT, *NO_HEADER, "Authorization", "authorization", "Authorization:", "Authorization: ", "Authorization: Bearer x",
        "Authorization: Bearer,", "X-Token:", ": Bearer", "Cookie: x", "A:B:C", "Authorization: Bé")],
    *[({"new_token_header": value}, "new_token_header") for value in (
        *NOT_TEXT, *NO_HEADER, "X-Token: x", "X-Token:", "X-Token\n", " X-Token", "Cache-Control", "Sec-Fetch-Site",
        "Access-Control-Expose-Headers", "X-Token-Rotation", "WWW-Authenticate")],
    *[({"refresh_header": value}, "refresh_header") for value in (
        *NOT_TEXT[1:], *NO_HEADER, "X-Token: x", "Authorization", "authorization", "Accept-Language", "Range", "User-Agent",
        "Referer", "Sec-Fetch-Site", "X-Fresh-Token", "X-New-Fresh-Token", "x-new-access-token", "X-New-Refresh-Token")],
    *[({"trusted_origins": value}, "trusted_origins") for value in (None, 7, True, "https://app.example", "", *[
        ["https://fine.example", origin] for origin in NO_ORIGIN])],
    *[({"trusted_proxies": value}, "trusted_proxies") for value in (
        None, 7, "10.0.0.1", ["*"], ["proxy.example"], ["0.0.0.0/0"])],
    *[({"reauthentication": value}, "reauthentication") for value in NO_PATHS],
    *[({option: value}, option) for option in ("sign_in", "step_up") for value in (
        *NOT_TEXT[1:], False, "", "login", "//evil.example", "/\\evil.example", "https://app.example/login", "/a//b", "/a/../b",
        "/login?next=/", "/login#a", "/a b", "/a%20b", "/é", "/login\n", "/*", "/{page}", "/login")],  # `/login` is not open
    *[({"on_refusal": value}, "on_refusal") for value in (*NOT_TEXT[1:], False, "JSON", type, object())],
    *[({"streams": value}, "streams") for value in (
        None, 7, "text/event-stream", [7], ["text"], ["text/*"], ["text/html; charset=utf-8"], ["text/html\n"])],
    *[({"fresh": value}, "fresh") for value in (
        None, True, 0, -1, 0.5, 1.5, float("nan"), 3601, "300", timedelta(days=1), timedelta(milliseconds=1500))],
    *[({"endpoints": value}, "endpoints") for value in (
        *NOT_TEXT[1:], False, "", "/", "auth", "auth/", "/auth/", "//auth", "/a//b", "/auth/*", "/a*", "*", "/a?b", "/a#b",
        "/a%62", "/{tenant}", "/a b", "/a\\b", "/a\n", "/é", "/.", "/a/..", "https://app.example/auth")],
    *[({"max_sessions": value}, "max_sessions") for value in (None, True, 0, "100", 10_001)],
    *[({"limits": value}, "limits") for value in (
        False, 10, {"logins_per_user": 10}, Limits, Rate(10, per=60), "10/minute",
        Limits(presentations_per_session=Rate(1, per=901)))],  # below one for each access token
    *[({"locator": value}, "locator") for value in ("GeoLite2-City.mmdb", 7, FixedLocator, object())],
    *[({"risk": value}, "risk") for value in (None, "step_up", {"unknown": "proceed"}, RiskPolicy)],
    *[({"mirror": value}, "mirror") for value in ("sqlite+aiosqlite:///x.db", 7, object())],
]  # fmt: skip


def label(row: tuple[dict[str, Any], str]) -> str:
    ((option, value),) = row[0].items()
    return f"{option}={value!r:.40}"


@pytest.mark.parametrize(("wrong", "option"), WRONG, ids=[label(row).partition(" object at ")[0] for row in WRONG])
def test_a_wrong_value_is_refused_at_start_up_with_its_option_and_a_remedy(wrong, option):
    error = refusal(GOOD | wrong)
    assert option == error.option
    assert str(error).startswith(f"{option}: ")
    assert error.problem
    assert error.remedy
    assert str(error).endswith(error.remedy)


def test_every_option_has_wrong_values_in_the_table_and_keys_below():
    assert set(GuardOptions.__annotations__) == {option for _, option in WRONG} | {"keys"}


@pytest.mark.parametrize("keys", [None, SECRET, [Key(SECRET)], Key(SECRET), {"a": SECRET}, KeySet])
def test_keys_are_a_key_set(keys):
    error = refusal({"keys": keys, "redis": URL})
    assert ("keys", "pass keys=KeySet(...)") == (error.option, error.remedy)


@pytest.mark.parametrize(
    ("options", "option", "problem"),
    [
        ({"redis": URL}, "secret", "no secret is given, and a random one would differ in each worker"),
        ({"redis": URL, "secret": SECRET, "keys": KEYS}, "secret", "both are given"),
        ({"secret": SECRET}, "redis", "it is missing or None"),
        ({}, "redis", "it is missing or None"),
        ({"secret": None, "redis": URL}, "secret", "it is None"),
        (GOOD | {"refresh_header": "X-A", "access_header": "x-a"}, "refresh_header", "'X-A' has a meaning of its own"),
        (GOOD | {"refresh_header": "X-A", "new_token_header": "x-a"}, "refresh_header", "'X-A' has a meaning of its own"),
        ({"secret": SECRET, "redis": None}, "redis", "it is missing or None"),
        (GOOD | {"access_header": "Bearer"}, "access_header", "'Bearer' is a scheme"),
        (GOOD | {"public": ["/a"], "optional": ["/a"]}, "optional", "'/a' is public as well"),
        *[
            (
                GOOD | {"endpoints": "/auth", option: [pattern]},
                option,
                f"{pattern!r} lies below endpoints='/auth', where the app is never reached",
            )
            for option in ("public", "optional", "reauthentication")
            for pattern in ("/auth/login", "/auth/*", "/auth/sessions/*")
        ],
        *[
            (
                GOOD | {"public": public, "reauthentication": ["/account/*", "/fine", confirm]},
                "reauthentication",
                f"{confirm!r} is public, where nobody is known whose password could be asked for",
            )
            for public, confirm in ((["/a"], "/a"), (["/x/*"], "/x/a"), (["/x/*"], "/x/*"), (["/x/*"], "/x/y/*"))
        ],
        (GOOD | {"required": False, "optional": ["/a"]}, "optional", "with required=False every path is optional"),
        (GOOD | {"required": False, "optional": ["/a/*"]}, "optional", "with required=False every path is optional"),
    ],
)
def test_p32_what_is_missing_or_contradicts_is_refused(options, option, problem):
    error = refusal(options)
    assert (option, problem) == (error.option, error.problem)


def test_a_public_path_below_those_where_the_password_is_asked_for_is_fine():
    """`/account/forgotten` needs nobody, all else of `/account/*` confirms who somebody is."""
    assert settled(public=["/account/forgotten", "/account"], reauthentication=["/account/*"]).reauthentication.match(
        "/account/x"
    )


class Words:
    def __call__(self, scope, refusal):
        return None


@pytest.mark.parametrize("takes", [lambda *_: None, lambda a, b, c=1: None, Words(), partial(lambda a, b, c: None, 1), max])
def test_on_refusal_is_whatever_takes_a_scope_and_a_refusal(takes):
    """Of `max` Python itself does not know what it takes."""
    assert takes is settled(on_refusal=takes).on_refusal


@pytest.mark.parametrize(
    "takes",
    [
        lambda: None,
        lambda scope: None,
        lambda scope, refusal, request: None,
        lambda scope, refusal, *, request: None,
        lambda *, scope, refusal: None,
        partial(Words(), 1),
    ],
)
def test_an_on_refusal_that_cannot_be_called_so_is_told_before_anybody_is_refused(takes):
    error = refusal(GOOD | {"on_refusal": takes})
    assert ("on_refusal", "it cannot be called with a scope and a refusal") == (error.option, error.problem)


NO_PAGES = ["", "login", "//evil.example", "/\\evil.example", "https://app.example/login", "/a//b", "/a/../b", "/login?next=/",
            "/login#a", "/a b", "/a%20b", "/é", "/login\n", "/login\r\nSet-Cookie: a=b", "/*", "/{page}"]  # fmt: skip


@pytest.mark.parametrize("value", NO_PAGES)
@pytest.mark.parametrize("option", ["sign_in", "step_up"])
def test_a_page_is_the_plain_path_of_one_even_where_every_path_is_open(option, value):
    """It is written into `Location` as it stands."""
    opened = {"public": ["/*"]} if option == "sign_in" else {"reauthentication": ["/*"]}
    error = refusal(GOOD | opened | {option: value})
    assert (option, f"{value!r} is no path of a page") == (error.option, error.problem)


@pytest.mark.parametrize("option", ["public", "optional", "reauthentication"])
def test_a_pattern_beside_or_around_the_endpoints_is_fine(option):
    """`/auth` itself is the app's, and a wider pattern counts everywhere else."""
    assert "/auth/" == settled(**{"endpoints": "/auth", option: ["/auth", "/authors/*", "/*", "/AUTH/x"]}).endpoints


# --- Unknown options

LATER = ["on_event"]


@pytest.mark.parametrize("option", LATER)
@pytest.mark.parametrize("value", [None, True, 7, "/x"])
def test_an_option_of_a_later_release_does_not_exist_yet(option, value):
    """Accepted and ignored, it would promise what is not done (P31)."""
    error = refusal(GOOD | {option: value})
    assert (option, "there is no such option") == (error.option, error.problem)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("secrets", "secret"),
        ("Secret", "secret"),
        ("key", "keys"),
        ("redis_", "redis"),
        ("name_space", "namespace"),
        ("time_out", "timeout"),
        ("publics", "public"),
        ("option", "optional"),
        ("require", "required"),
        ("lifetime", "lifetimes"),
        ("cookies", "cookie"),
        ("access_headers", "access_header"),
        ("new_token_heder", "new_token_header"),
        ("trusted_origin", "trusted_origins"),
    ],
)
def test_a_misspelt_option_is_told_what_was_meant(name, meant):
    error = refusal(GOOD | {name: "x"})
    assert (name, f"did you mean {meant!r}?") == (error.option, error.remedy)


def test_an_option_like_no_other_is_told_all_names():
    error = refusal(GOOD | {"qqq": 1})
    assert f"known are {', '.join(sorted(GuardOptions.__annotations__))}" == error.remedy


def test_a_misspelt_secret_is_not_shown():
    assert SECRET not in str(refusal({"redis": URL, "secrets": SECRET}))


def test_one_guard_stands_beside_no_other_option():
    guard = TokenGuard(**GOOD)
    assert guard is TokenGuardMiddleware(lambda *_: None, guard=guard).guard
    with pytest.raises(ConfigurationError, match="^guard: other options stand beside it; give the options to TokenGuard"):
        TokenGuardMiddleware(lambda *_: None, guard=guard, namespace="x")


@pytest.mark.parametrize("guard", [SECRET, GOOD, TokenGuard, 7, False])
def test_a_guard_is_a_token_guard(guard):
    """A secret in the second place, say."""
    with pytest.raises(ConfigurationError, match=r"^guard: .*pass guard=TokenGuard\(\.\.\.\)") as caught:
        TokenGuardMiddleware(lambda *_: None, guard)
    assert SECRET not in str(caught.value)


# --- Options are read, all and only those


class Recording(dict[str, Any]):
    """Options that note which of them are asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.read: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.read.add(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def test_p31_every_typed_option_is_read_and_every_read_option_is_typed():
    options = Recording(GOOD)
    settle(options)
    assert set(GuardOptions.__annotations__) == options.read


def test_every_option_is_documented_where_it_is_typed():
    """The sentence below each name is what editors show."""
    import ast
    import inspect

    found = ast.parse(inspect.getsource(sys.modules[GuardOptions.__module__]))
    kinds = {node.name: node.body for node in found.body if isinstance(node, ast.ClassDef) and node.name.endswith("Options")}
    for kind in (GuardOptions, MiddlewareOptions):
        bodies = [*kinds["_Options"], *kinds[kind.__name__]]
        named = [
            name.target.id
            for name, text in itertools.pairwise(bodies)
            if isinstance(name, ast.AnnAssign) and isinstance(text, ast.Expr)
        ]
        assert list(kind.__annotations__) == named
    assert ({"redis"}, set()) == (GuardOptions.__required_keys__, MiddlewareOptions.__required_keys__)


def test_p33_settings_belong_to_one_guard():
    one, two = TokenGuard(**GOOD, namespace="one"), TokenGuard(**GOOD, namespace="two")
    assert ["one", "two"] == [guard.engine.settings.namespace for guard in (one, two)]
    with pytest.raises(AttributeError):
        one.engine.settings.namespace = "two"


def test_what_is_to_be_on_two_disks_is_waited_for_long_enough():
    assert 4 == settled(timeout=4, durability="fsynced").timeout
    told = "write TokenGuard(timeout=4), or Durability(..., replicas=0) for the primary's disk alone"
    assert told == refusal(GOOD | {"durability": "fsynced"}).remedy


def test_a_wrong_durability_is_named_as_the_option_it_is():
    error = refusal(GOOD | {"durability": "replicate"})
    assert ("durability", "'replicate' is none of its words") == (error.option, error.problem)
    assert "'replicated'" in error.remedy


@pytest.mark.parametrize(
    "durability", ["replicated", Durability(login="fsynced", timeout=1.5), Durability(revocation="replicated")]
)
def test_an_embedded_server_has_no_replicas_that_could_confirm(durability):
    error = refusal(GOOD | {"redis": "embedded://", "timeout": 2, "durability": durability})
    assert "an embedded server has no replicas" == error.problem
    assert settle(GOOD | {"redis": "embedded:///tmp/x", "durability": Durability(login="fsynced", replicas=0)})


def test_what_rotates_a_session_may_be_presented_once_in_an_access_lifetime():
    """A limit of logins may be as strict as it likes."""
    short = Lifetimes(access=60)
    error = refusal(GOOD | {"lifetimes": short, "limits": Limits(presentations_per_address=Rate(2, per=121))})
    assert "Rate(count=2, per=121) lets no token be presented once in an access lifetime (60 s)" == error.problem
    strict = Limits(presentations_per_address=Rate(2, per=120), logins_per_user=Rate(1, per=86_400))
    assert strict is settled(lifetimes=short, limits=strict).limits


# --- Secrets stay secret


def test_p35_settings_show_no_secret():
    shown = repr(settled()) + repr(TokenGuard(**GOOD)) + repr(TokenGuard(**GOOD).engine)
    assert [] == [secret for secret in (SECRET, PASSWORD) if secret in shown]
    assert {field.name for field in fields(Settings)} - {"redis"} == {field.name for field in fields(Settings) if field.repr}


LEAKY = [
    {"secret": "hunter2-short"},
    {"secret": ["hunter2-in-a-list-of-more-than-32-bytes"]},
    {"keys": "hunter2-of-more-than-thirty-two-bytes", "secret": None},
    {"lifetimes": "hunter2"},
    {"cookie": "hunter2"},
    {"redis": "hunter2@localhost"},
    {"redis": ":hunter2@localhost:6379"},
    {"redis": "default:hunter2@localhost:6379"},
    {"redis": "hunter2:x@localhost"},
    {"redis": "rediss//:hunter2@localhost"},
    {"redis": "http://:hunter2@localhost"},
    {"redis": "redis://:hunter2@localhost:99999"},
    {"redis": "redis://user:hunter2/with/slashes@localhost:6379/0"},
    {"redis": "redis://:hunter2/@localhost:6379/0"},
    {"redis": "redis://:x@[hunter2"},
    {"redis": "redis://:hunter2@localhost/0?db=hunter2"},
    {"redis": "redis://:hunter2@localhost/0?socket_timeout=hunter2"},
    {"redis": b"redis://:hunter2@localhost"},
    {"redis": ["redis://:hunter2@localhost"]},
]


@pytest.mark.parametrize("wrong", LEAKY, ids=[str(number) for number in range(len(LEAKY))])
def test_p35_no_error_shows_a_secret_or_a_password(wrong):
    """Nor the errors behind it, nor its traceback as logs print it."""
    error = refusal(GOOD | wrong)
    printed = "".join(line for line in traceback.format_exception(error) if "hunter2" in line)
    assert "hunter2" not in str(error) + repr(error) + repr(error.__cause__) + pickle.dumps(error).decode("latin-1")
    assert "" == printed
    assert error.__context__ is None or error.__suppress_context__


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=8)


@given(st.sampled_from(sorted(GuardOptions.__annotations__)), ANYTHING | st.lists(ANYTHING, max_size=2))
@settings(deadline=None, database=None, max_examples=300)
def test_whatever_is_given_is_settled_or_refused_by_name(option, value):
    options = {**({"keys": KEYS} if option == "keys" else {"secret": SECRET}), "redis": URL, option: value}
    error = None
    try:
        settle(options)
    except ConfigurationError as refused:
        error = refused
    assert error is None or option == error.option
