"""What every server has to show over a real wire, with one worker and with two (issue 6)."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque

import httpx
import pytest
from servers.client import COOKIE, PATIENCE, Visitor
from servers.fleet import KINDS, until
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.parametrize("served", KINDS, ids=str, indirect=True, scope="function"),
    pytest.mark.timeout(300),
]

STALENESS = 1.0  # the default
numbers = itertools.count()


@pytest.fixture
def user():
    """A user of this test alone."""
    return f"user-{next(numbers)}"


@pytest.fixture
def visitor(served):
    with Visitor(served) as visitor:
        yield visitor


@pytest.fixture
def page(visitor, user):
    return visitor.logged_in(user)


def test_a_login_opens_what_a_logout_closes(visitor, user):
    assert (401, "token_required") == ((answer := visitor.get("/me")).status_code, answer.json()["code"])
    assert "no-store" == visitor.post(f"/login?user={user}").headers["cache-control"]
    assert user == visitor.get("/me").json()["subject"]
    answer = visitor.post("/logout")
    assert (200, None) == (answer.status_code, visitor.cookie)
    assert (401, "logged_out") == ((answer := visitor.get("/me")).status_code, answer.json()["code"])


def test_an_access_token_that_is_over_rotates_within_the_next_request(served, fleet):
    early = fleet.early[served.kind]
    time.sleep(max(0, fleet.started + 4 - time.monotonic()))  # two seconds, as whole ones are counted, and some
    first = early.token, early.cookie
    assert "early" == early.get("/brief/me").json()["subject"]
    assert early.token != first[0]
    assert early.cookie != first[1]
    assert "early" == early.get("/brief/me").json()["subject"]


def test_i4_two_tokens_are_refused_on_the_wire_too(visitor, page, user):
    both = [*page.credentials, *page.credentials]
    for headers in (both[:1] * 2, both[1:2] * 2):
        answer = visitor.ask("GET", "/me", headers)
        assert (400, "duplicate_credentials") == (answer.status_code, answer.json()["code"])
    # Two lines of `Cookie` are none: HTTP/2 sends them so (RFC 9113 section 8.2.3).
    answer = visitor.ask("GET", "/me", [("cookie", "theme=dark"), ("cookie", f"{COOKIE}={page.cookie}")])
    assert user == answer.json()["subject"]


def test_i10_what_one_worker_revokes_no_other_serves_after_the_bound(served, page, user):
    here = until(lambda: (answer := page.get("/me").json())["from_memory"] and answer["worker"] or None)
    with served.elsewhere(here) as other:
        other_worker = other.post(f"/revoke?user={user}").json()["worker"]
        revoked = time.monotonic()
    assert (served.kind.workers == 1) == (here == other_worker)
    while (answer := served_after(page, revoked)).status_code != 401:
        assert here == answer.json()["worker"]
    assert "revoked" == answer.json()["code"]


def served_after(page, revoked):
    """Ask once more; what was asked for after the bound must not be served."""
    asked = time.monotonic()
    answer = page.ask("GET", "/me", page.bearer)
    assert answer.status_code == 401 or asked < revoked + STALENESS
    return answer


def test_a_socket_opens_by_pair_by_header_and_by_cookie(served, page, user):
    origin = [("origin", served.base), ("cookie", f"{COOKIE}={page.cookie}")]
    for headers, pair in ((None, ["tokenguard", page.token, "chat"]), (page.bearer, None), (origin, None)):
        with page.socket(headers, pair=pair) as socket:
            assert user == json.loads(socket.recv(PATIENCE))["subject"]
            socket.send("an echo")
            assert "an echo" == socket.recv(PATIENCE)
            assert ("tokenguard" if pair else None) == socket.subprotocol


def test_a_socket_is_refused_with_status_and_code(served, page):
    foreign = [("origin", "https://evil.example"), ("cookie", f"{COOKIE}={page.cookie}")]
    for headers, status, code in ((None, 401, "token_required"), (foreign, 403, "cross_site_request")):
        with pytest.raises(InvalidStatus) as refused:
            page.socket(headers)
        response = refused.value.response
        if served.kind.denies:
            assert (status, "application/json") == (response.status_code, response.headers["content-type"])
            assert code == json.loads(response.body)["code"]
        else:
            assert 403 == response.status_code


def test_i6_a_socket_is_closed_when_its_session_is_revoked_and_its_app_is_told(served, page, user):
    with page.socket(page.bearer) as socket:
        worker = json.loads(socket.recv(PATIENCE))["worker"]
        with served.elsewhere(worker) as other:
            assert 1 == other.post(f"/revoke?user={user}").json()["ended"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
        assert 4401 == closed.value.rcvd.code
        assert ("revoked" if served.kind.reasons else "") == closed.value.rcvd.reason
    assert [user, 4401, "revoked"] == until(lambda: next((end for end in served.ends() if end[0] == user), None))


def test_i6_an_event_stream_is_completed_when_its_session_is_revoked(served, page, user):
    with page.reading("/events") as (answer, parts), served.elsewhere(int(answer.headers["x-worker"])) as other:
        other.post(f"/revoke?user={user}")
        assert "data: x" in b"".join(parts).decode()  # to its end, and without an error
    assert 401 == page.get("/me").status_code


def test_i6_a_download_is_cut_off_and_does_not_look_whole(served, page, user):
    errors = (httpx.RemoteProtocolError,) if served.kind.cuts else (httpx.RemoteProtocolError, httpx.ReadTimeout)
    # Parts come 50 times a second, so that who hears nothing for two has been left to wait.
    patience = PATIENCE if served.kind.cuts else 2
    with page.reading("/download", patience) as (answer, parts), served.elsewhere(int(answer.headers["x-worker"])) as other:
        assert 1 == other.post(f"/revoke?user={user}").json()["ended"]
        with pytest.raises(errors):
            deque(parts)


def test_the_state_of_the_lifespan_reaches_the_app(served, page):
    assert (True if served.kind.lives else None) is page.get("/me").json()["state"]


def test_it_shuts_down_in_seconds_and_without_a_word_with_open_sockets(served, page):
    """
    The last one, as it stops the server; whoever comes after it gets another.

    A response that never ends is not among them: servers wait for it, and then cancel it with a traceback of their own.
    """
    with page.socket(page.bearer) as socket:
        socket.recv(PATIENCE)
        served.stop()
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)
    for complaint in ("was destroyed but it is pending", "never retrieved", *["Traceback"] * served.kind.quiet):
        assert complaint not in served.log, served.log
