"""Who is asking, and what can be handed to them: the caller table of the design, row by row."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.callers import CONTRADICTION, Caller, Kind, Provenance, Signs, caller, kind, normal_origin, provenance

HOST = "app.example"
TRUSTED = frozenset({"https://spa.example"})

OWN_ORIGIN, TRUSTED_ORIGIN, FOREIGN_ORIGIN = "https://app.example", "https://spa.example", "https://evil.example"
SAME, CROSS, SITE, TYPED = "same-origin", "cross-site", "same-site", "none"


def signs(site=None, mode=None, dest=None, *, method="GET", origin=None, **others):
    return Signs(method=method, host=HOST, origin=origin, site=site, mode=mode, dest=dest, **others)


def ask(request: Signs) -> Caller:
    return caller(request, provenance(request, TRUSTED))


# Each row: who sends it, its headers, what it can receive.
CALLERS = [
    # a script: access token and cookie
    ("fetch of the own origin", signs(SAME, "cors", "empty"), Caller.SCRIPT),
    ("fetch by POST", signs(SAME, "cors", "empty", method="POST", origin=OWN_ORIGIN), Caller.SCRIPT),
    ("fetch with mode same-origin", signs(SAME, "same-origin", "empty"), Caller.SCRIPT),
    ("fetch of a trusted origin", signs(CROSS, "cors", "empty", origin=TRUSTED_ORIGIN), Caller.SCRIPT),
    ("fetch of a trusted origin of this site", signs(SITE, "cors", "empty", origin=TRUSTED_ORIGIN), Caller.SCRIPT),
    ("a program", signs(), Caller.SCRIPT),
    ("a program that posts", signs(method="POST"), Caller.SCRIPT),
    ("an old browser's script", signs(origin=OWN_ORIGIN), Caller.SCRIPT),
    ("an old browser's trusted script", signs(origin=TRUSTED_ORIGIN), Caller.SCRIPT),
    # a document: the cookie
    ("a typed address", signs(TYPED, "navigate", "document"), Caller.DOCUMENT),
    ("a link", signs(SAME, "navigate", "document"), Caller.DOCUMENT),
    ("a link from another site", signs(CROSS, "navigate", "document"), Caller.DOCUMENT),
    ("a link from another site, HEAD", signs(CROSS, "navigate", "document", method="HEAD"), Caller.DOCUMENT),
    ("a link from a sister site", signs(SITE, "navigate", "document"), Caller.DOCUMENT),
    ("doubled site: read as another one", signs(CONTRADICTION, "navigate", "document"), Caller.DOCUMENT),
    ("a link, passed on by a service worker", signs(SAME, "navigate", "empty"), Caller.DOCUMENT),
    ("a link from another site, passed on", signs(CROSS, "navigate", "empty"), Caller.DOCUMENT),
    ("a form, passed on", signs(SAME, "navigate", "empty", method="POST", origin=OWN_ORIGIN), Caller.DOCUMENT),
    ("a form", signs(SAME, "navigate", "document", method="POST", origin=OWN_ORIGIN), Caller.DOCUMENT),
    ("a form sent again by reload", signs(TYPED, "navigate", "document", method="POST", origin=OWN_ORIGIN), Caller.DOCUMENT),
    # other: nothing
    ("a form of another site", signs(CROSS, "navigate", "document", method="POST", origin=FOREIGN_ORIGIN), Caller.OTHER),
    ("a form of others, passed on", signs(CROSS, "navigate", "empty", method="POST", origin=FOREIGN_ORIGIN), Caller.OTHER),
    ("a form of a sister site", signs(SITE, "navigate", "document", method="POST", origin="https://x.example"), Caller.OTHER),
    ("a form of a trusted site", signs(CROSS, "navigate", "document", method="POST", origin=TRUSTED_ORIGIN), Caller.OTHER),
    ("an image", signs(SAME, "no-cors", "image"), Caller.OTHER),
    ("a frame", signs(SAME, "navigate", "iframe"), Caller.OTHER),
    ("a module script", signs(SAME, "cors", "script"), Caller.OTHER),
    ("a stylesheet", signs(SAME, "no-cors", "style"), Caller.OTHER),
    ("a beacon", signs(SAME, "no-cors", "empty", method="POST", origin=OWN_ORIGIN), Caller.OTHER),
    ("an event stream", signs(SAME, "cors", "empty", event_stream=True), Caller.OTHER),
    ("a prefetch", signs(SAME, "navigate", "document", purpose="prefetch"), Caller.OTHER),
    ("a prerender", signs(SAME, "navigate", "document", purpose="prefetch;prerender"), Caller.OTHER),
    ("a prefetch, passed on", signs(SAME, "navigate", "empty", purpose="prefetch"), Caller.OTHER),
    ("a prefetching script", signs(SAME, "cors", "empty", purpose="prefetch"), Caller.OTHER),
    ("a purpose alone", signs(purpose="prefetch"), Caller.OTHER),
    ("a WebSocket handshake", signs(SAME, "websocket", "websocket", origin=OWN_ORIGIN), Caller.OTHER),
    ("a fetch of a foreign origin", signs(CROSS, "cors", "empty", origin=FOREIGN_ORIGIN), Caller.OTHER),
    ("a fetch of a sandboxed frame", signs(CROSS, "cors", "empty", origin="null"), Caller.OTHER),
    ("a fetch of a sister site", signs(SITE, "cors", "empty", origin="https://x.example"), Caller.OTHER),
    ("an old browser's foreign script", signs(origin=FOREIGN_ORIGIN), Caller.OTHER),
    ("an old browser's sandboxed frame", signs(origin="null"), Caller.OTHER),
    ("a script that no page has made", signs(TYPED, "cors", "empty"), Caller.OTHER),
    ("half-sent: no site", signs(None, "cors", "empty"), Caller.OTHER),
    ("half-sent: no site, a document", signs(None, "navigate", "document"), Caller.OTHER),
    ("half-sent: no site, own origin", signs(None, "cors", "empty", origin=OWN_ORIGIN), Caller.OTHER),
    ("half-sent: no site, trusted origin", signs(None, "cors", "empty", origin=TRUSTED_ORIGIN), Caller.OTHER),
    ("half-sent: no mode", signs(SAME, None, "empty"), Caller.OTHER),
    ("half-sent: no destination", signs(SAME, "cors"), Caller.OTHER),
    ("half-sent: the site alone", signs(SAME), Caller.OTHER),
    ("doubled site", signs(CONTRADICTION, "cors", "empty"), Caller.OTHER),
    ("doubled mode", signs(SAME, CONTRADICTION, "empty"), Caller.OTHER),
    ("doubled destination", signs(SAME, "cors", CONTRADICTION), Caller.OTHER),
    ("doubled origin", signs(SAME, "cors", "empty", origin=CONTRADICTION), Caller.OTHER),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "expected"), [row[1:] for row in CALLERS], ids=[row[0] for row in CALLERS])
def test_i12_each_caller_is_handed_what_it_can_receive_and_no_more(request_, expected):
    assert expected is ask(request_)


@pytest.mark.parametrize("request_", [row[1] for row in CALLERS], ids=[row[0] for row in CALLERS])
def test_p51_rotation_off_turns_every_caller_into_one_that_receives_nothing(request_):
    assert Caller.OTHER is ask(replace(request_, rotation_off=True))


def test_what_each_caller_takes():
    assert [(True, True), (False, True), (False, False)] == [(who.takes_token, who.takes_cookie) for who in Caller]


ORIGINS = {
    "absent": None,
    "own": OWN_ORIGIN,
    "trusted": TRUSTED_ORIGIN,
    "foreign": FOREIGN_ORIGIN,
    "null": "null",
    "doubled": CONTRADICTION,
}
SITES = {
    "absent": None,
    SAME: SAME,
    SITE: SITE,
    CROSS: CROSS,
    TYPED: TYPED,
    "doubled": CONTRADICTION,
    "odd": "Same-Origin",
}
# The full product.  Where the two headers contradict each other the stricter reading holds (I4).
#            site:   absent       same-origin  same-site  cross-site none       doubled    odd
PROVENANCES = """
absent      unstated     same-origin  foreign    foreign    user       foreign    foreign
own         same-origin  same-origin  foreign    foreign    user       foreign    foreign
trusted     trusted      trusted      trusted    trusted    trusted    foreign    foreign
foreign     foreign      foreign      foreign    foreign    foreign    foreign    foreign
null        foreign      foreign      foreign    foreign    foreign    foreign    foreign
doubled     foreign      foreign      foreign    foreign    foreign    foreign    foreign
"""
GRID = [
    (origin, site, Provenance(word))
    for origin, *words in map(str.split, PROVENANCES.strip().splitlines())
    for site, word in zip(SITES, words, strict=True)
]


@pytest.mark.parametrize(("origin", "site", "expected"), GRID)
def test_i4_origin_and_site_are_read_together_and_strictly(origin, site, expected):
    sent = signs(SITES[site], origin=ORIGINS[origin])
    assert expected is provenance(sent, TRUSTED)


def test_the_grid_of_provenances_is_the_full_product():
    assert set(product(ORIGINS, SITES)) == {(origin, site) for origin, site, _ in GRID}


@pytest.mark.parametrize("part", ["mode", "dest", "purpose"])
@pytest.mark.parametrize("origin", [None, OWN_ORIGIN, TRUSTED_ORIGIN])
def test_metadata_without_a_site_is_foreign_whatever_the_origin(part, origin):
    assert Provenance.FOREIGN is provenance(replace(signs(origin=origin), **{part: "empty"}), TRUSTED)


OWN = [
    # Host and Origin of one request
    ("app.example", "https://app.example"),
    ("app.example", "http://app.example"),
    ("app.example", "HTTPS://APP.EXAMPLE"),
    ("APP.example", "https://app.example"),
    ("app.example:443", "https://app.example"),
    ("app.example", "https://app.example:443"),
    ("app.example:80", "http://app.example"),
    ("app.example:8443", "https://app.example:8443"),
    ("[::1]:8000", "http://[::1]:8000"),
    ("localhost:8000", "http://localhost:8000"),
]
NOT_OWN = [
    (None, "https://app.example"),
    (None, "https://none"),
    ("", "https://app.example"),
    (CONTRADICTION, "https://app.example"),
    ("app.example", "https://app.example:8443"),
    ("app.example:8443", "https://app.example"),
    ("app.example:443", "http://app.example"),
    ("app.example", "https://app.example.evil.example"),
    ("app.example", "https://evil-app.example"),
    ("app.example", "https://app.example@evil.example"),
    ("app.example", "https://app.example/"),
    ("app.example", "https://app.example."),
    ("app.example", "app.example"),
    ("app.example", "null"),
    ("app.example", ""),
    ("null", "null"),
    ("app.example/x", "https://app.example/x"),
    ("app.example, app.example", "https://app.example, app.example"),
]


@pytest.mark.parametrize(("host", "origin"), OWN)
def test_an_origin_with_the_host_and_port_of_the_request_is_its_own(host, origin):
    assert Provenance.SAME_ORIGIN is provenance(Signs(method="GET", host=host, origin=origin), TRUSTED)


@pytest.mark.parametrize(("host", "origin"), NOT_OWN)
def test_any_other_origin_is_foreign(host, origin):
    assert Provenance.FOREIGN is provenance(Signs(method="GET", host=host, origin=origin), TRUSTED)


# What Firefox says of a form that a service worker has passed on; only the referrer says whose it was.
PASSED_ON = [
    (None, Provenance.SAME_ORIGIN),
    ("https://app.example/page?a=b#c", Provenance.SAME_ORIGIN),
    ("https://app.example", Provenance.SAME_ORIGIN),
    ("https://app.example:443/", Provenance.SAME_ORIGIN),
    ("https://spa.example/", Provenance.SAME_ORIGIN),  # trusted
    ("https://evil.example/", Provenance.FOREIGN),
    ("https://evil.app.example/", Provenance.FOREIGN),
    ("https://app.example:8443/", Provenance.FOREIGN),
    ("http://app.example/", Provenance.FOREIGN),
    ("https://evil.example/https://app.example/", Provenance.FOREIGN),
    ("https://app.example@evil.example/", Provenance.FOREIGN),
    ("https://app.example.evil.example/", Provenance.FOREIGN),
    ("android-app://app.example/", Provenance.FOREIGN),
    ("null", Provenance.FOREIGN),
    ("", Provenance.FOREIGN),
    (CONTRADICTION, Provenance.FOREIGN),
]


@pytest.mark.parametrize("mode", ["navigate", "same-origin", "cors"])
@pytest.mark.parametrize(("referrer", "expected"), PASSED_ON)
def test_i1_the_referrer_tells_whose_form_a_service_worker_has_passed_on(referrer, expected, mode):
    sent = signs(SAME, mode, "empty", method="POST", origin=OWN_ORIGIN, referrer=referrer)
    assert expected is provenance(sent, TRUSTED)
    assert (Caller.OTHER is ask(sent)) == (Provenance.FOREIGN is expected)


def test_a_link_of_others_may_say_where_it_was():
    for method in ("GET", "HEAD"):
        sent = signs(SAME, "same-origin", "empty", method=method, origin=OWN_ORIGIN, referrer="https://evil.example/")
        assert Provenance.SAME_ORIGIN is provenance(sent, TRUSTED)


NORMAL_ORIGINS = [
    ("https://app.example", "https://app.example"),
    ("HTTPS://App.Example", "https://app.example"),
    ("https://app.example:443", "https://app.example"),
    ("http://app.example:80", "http://app.example"),
    ("http://app.example:443", "http://app.example:443"),
    ("https://app.example:80", "https://app.example:80"),
    ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
    ("moz-extension://3f1c-77", "moz-extension://3f1c-77"),
    ("capacitor://localhost", "capacitor://localhost"),
    ("null", None),
    ("", None),
    ("*", None),
    ("https://*.example", None),
    ("https://", None),
    ("//app.example", None),
    ("https:app.example", None),
    ("https://app.example/", None),
    ("https://app.example?x", None),
    ("https://app.example#x", None),
    ("https://user@app.example", None),
    ("https://app.example:", None),
    ("https://app.example:443443", None),
    ("https://app.example:-1", None),
    ("https://app.example ", None),
    (" https://app.example", None),
    ("https://app.example\n", None),
    ("https://app.example https://evil.example", None),
    ("https://äpp.example", None),
    ("https://app.example:４４３", None),
    (CONTRADICTION, None),
]


@pytest.mark.parametrize(("text", "expected"), NORMAL_ORIGINS)
def test_origins_have_one_normal_form(text, expected):
    assert expected == normal_origin(text)


@given(
    st.text(alphabet=st.characters(max_codepoint=255)) | st.from_regex(r"https?://[a-zA-Z0-9.:\[\]@/-]{0,20}", fullmatch=True)
)
@example("https://a:443")
@settings(deadline=None, database=None)
def test_no_header_breaks_the_reading_of_an_origin(text):
    """Whatever is sent is None or a normal form, which is its own normal form."""
    normal = normal_origin(text)
    assert normal is None or normal == normal_origin(normal)
    assert provenance(Signs(method="POST", host=text, origin=text), frozenset()) in {Provenance.SAME_ORIGIN, Provenance.FOREIGN}


VALUES = st.none() | st.sampled_from(
    [SAME, SITE, CROSS, TYPED, "cors", "navigate", "no-cors", "empty", "document", CONTRADICTION]
)
ANY_SIGNS = st.builds(
    Signs,
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    host=st.just(HOST),
    origin=st.sampled_from(list(ORIGINS.values())),
    referrer=st.none() | st.text(alphabet=st.characters(max_codepoint=255)),
    site=VALUES,
    mode=VALUES,
    dest=VALUES,
    purpose=st.none() | st.just("prefetch"),
    event_stream=st.booleans(),
    rotation_off=st.booleans(),
)


@given(ANY_SIGNS)
@settings(deadline=None, database=None, max_examples=500)
def test_p11_nothing_is_handed_where_nobody_can_read_it(sent):
    """What the caller table promises, said once more as conditions that each handout needs."""
    who = ask(sent)
    if sent.rotation_off or sent.purpose is not None or CONTRADICTION in {sent.mode, sent.dest}:
        assert Caller.OTHER is who
    if sent.has_metadata and sent.site is None:
        assert Caller.OTHER is who
    if who is Caller.SCRIPT and sent.has_metadata:
        assert (sent.mode in {"cors", "same-origin"}, "empty", False) == (True, sent.dest, sent.event_stream)
        assert sent.site == SAME or sent.origin == TRUSTED_ORIGIN
    if who is Caller.SCRIPT:
        assert sent.origin in {None, OWN_ORIGIN, TRUSTED_ORIGIN}
    if who is Caller.DOCUMENT:
        assert "navigate" == sent.mode
        assert sent.dest in {"document", "empty"}
        assert sent.method in {"GET", "HEAD"} or sent.site in {SAME, TYPED}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_navigation_that_reads_is_a_page(method):
    assert Kind.PAGE is kind(signs(CROSS, "navigate", "document", method=method))
    assert Kind.PAGE is kind(signs(CROSS, "navigate", "empty", method=method))


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "get"])
def test_a_navigation_by_another_method_is_a_form(method):
    assert Kind.FORM is kind(signs(CROSS, "navigate", "document", method=method))
    assert Kind.FORM is kind(signs(CROSS, "navigate", "empty", method=method))


@pytest.mark.parametrize(
    "sent",
    [
        signs(None, "navigate", "document"),
        signs(SAME, "navigate", "document", purpose="prefetch"),
        signs(SAME, "cors", "empty", event_stream=True),
        signs(SAME, "cors", "image"),
        signs(SAME, "no-cors", "empty"),
    ],
)
def test_what_nobody_can_take_a_token_from_is_inert(sent):
    assert Kind.INERT is kind(sent)


@pytest.mark.parametrize(
    ("origin", "over_tls", "expected"),
    [
        ("http://app.example", True, Provenance.FOREIGN),
        ("http://app.example", False, Provenance.SAME_ORIGIN),
        ("https://app.example", True, Provenance.SAME_ORIGIN),
        ("https://app.example", False, Provenance.SAME_ORIGIN),
    ],
)
def test_i1_a_page_that_came_without_tls_is_foreign_where_we_know_that_we_have_it(origin, over_tls, expected):
    """Whoever sits on the network can serve such a page under our name."""
    assert expected is provenance(signs(method="POST", origin=origin, over_tls=over_tls), TRUSTED)
