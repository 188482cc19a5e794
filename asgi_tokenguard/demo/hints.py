"""What the demo prints: lines to paste, each tried by `tests/demo/test_hints.py` as it stands here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from asgi_tokenguard.core.lifetimes import Lifetimes

# Where every address is listened on, this one is the nearest.
NEAREST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (a comparison, no binding)
# Where curl (since 7.79) and browsers send Secure cookies over plain HTTP.
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})

HEAD: Final = """\
asgi_tokenguard demo on {url}  (Ctrl-C stops it)

A demo: users whose passwords everybody knows (ada / lovelace, alan / turing), one process, and a secret that was made
at this start, so that its sessions end with it.  Access tokens live {access} s here, 15 minutes by default.
Open {url} in a browser: its page shows what rotates, what is refused and why, with a button for each attack.
Or paste these lines into a shell, one after another (if you stop to read for longer than a token lives, an answer will show one
rotation more):
"""
REMOTE: Final = """
Mind the address: over plain HTTP, browsers and curl send the session cookie to localhost only, so from elsewhere rotation
does not work, and everybody on the way can read along.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A line to paste; its output contains the words of *shows*."""

    title: str
    command: str
    shows: tuple[str, ...] = ()


def text(host: str, port: int, lifetimes: Lifetimes) -> str:
    """All that is printed at start."""
    url = url_of(host, port)
    lines = [HEAD.format(url=url, access=lifetimes.access)]
    for number, hint in enumerate(transcript(url, lifetimes), 1):
        lines.append(f"{number:2}. {hint.title}")
        lines.append(f"    {hint.command}")
        if hint.shows:
            lines.append(f"      -> {', '.join(hint.shows)}")
    if NEAREST.get(host, host) not in LOCAL:
        lines.append(REMOTE)
    return "\n".join(lines)


def url_of(host: str, port: int) -> str:
    host = NEAREST.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def transcript(url: str, lifetimes: Lifetimes) -> Iterator[Hint]:
    yield Hint(title="A place for the cookie, and the address.", command=f"JAR=$(mktemp); URL={url}")
    yield Hint(title="Nobody gets in without a token.", command="curl -si $URL/api/me", shows=("401", "token_required"))
    yield Hint(
        title="Log in. The access token comes in a header, the refresh token in a cookie, which goes into the jar.",
        command=(
            "TOKEN=$(curl -s -D - -o /dev/null -c $JAR -d user=ada -d password=lovelace $URL/login"
            " | tr -d '\\r' | sed -n 's/^x-new-access-token: //p'); echo $TOKEN"
        ),
        shows=("eyJ",),
    )
    yield Hint(
        title="Use the access token; no cookie is needed.",
        command='curl -si -H "Authorization: Bearer $TOKEN" $URL/api/me',
        shows=("200", '"user":"ada"'),
    )
    yield Hint(
        title=f"After {lifetimes.access} s it is over.",
        command=f'sleep {lifetimes.access}; curl -si -H "Authorization: Bearer $TOKEN" $URL/api/me',
        shows=("401", "token_expired"),
    )
    yield Hint(
        title="With the cookie it is served and carries the next pair out: a rotation. (A thief has copied the cookie before.)",
        command='cp $JAR $JAR.stolen; curl -si -b $JAR -c $JAR -H "Authorization: Bearer $TOKEN" $URL/api/me',
        shows=("200", "x-new-access-token", "set-cookie: __Host-refresh="),
    )
    yield Hint(
        title="A GET works on the cookie alone: the access token again, no needless rotation. The new cookie is in use now.",
        command="curl -si -b $JAR -c $JAR $URL/api/me",
        shows=("200", "x-new-access-token"),
    )
    yield Hint(
        title="A POST does not, since a page of another site could send it in your name.",
        command="curl -si -b $JAR -X POST $URL/api/transfer",
        shows=("403", "cross_site_request"),
    )
    yield Hint(
        title="An access token of the session beside it proves that it is you; an expired one will do.",
        command='curl -si -b $JAR -c $JAR -H "Authorization: Bearer $TOKEN" -X POST $URL/api/transfer',
        shows=("200", "transferred"),
    )
    yield Hint(
        title="So does the page's own origin, as browsers state it.",
        command='curl -si -b $JAR -c $JAR -H "Origin: $URL" -X POST $URL/api/transfer',
        shows=("200", "transferred"),
    )
    yield Hint(
        title="Your sessions, with device and place.",
        command="curl -s -b $JAR -c $JAR $URL/auth/sessions",
        shows=('"current": true', "Paris", "curl"),
    )
    yield Hint(
        title="Log in on a second device, and end that session from the first one: it asks for a fresh login ...",
        command=(
            "curl -s -c $JAR.two -d user=ada -d password=lovelace $URL/login; sed -i.old /__Host-fresh/d $JAR; "
            'SID=$(curl -s -b $JAR.two $URL/api/me | sed \'s/.*"session_id":"\\([^"]*\\).*/\\1/\'); '
            'curl -si -b $JAR -H "Origin: $URL" -X DELETE $URL/auth/sessions/$SID'
        ),
        shows=("401", "step_up_required", "max_age"),
    )
    yield Hint(
        title="... so confirm the password, and end it. The second device is out at its next request.",
        command=(
            'curl -s -b $JAR -c $JAR -H "Origin: $URL" -d password=lovelace $URL/confirm; '
            'curl -si -b $JAR -c $JAR -H "Origin: $URL" -X DELETE $URL/auth/sessions/$SID; curl -si -b $JAR.two $URL/api/me'
        ),
        shows=("204", "401", "revoked"),
    )
    yield Hint(
        title="Move 72 km, to Compi\u00e8gne: whoever has your cookie there is asked for your password.",
        command='curl -si -b $JAR -H "X-Demo-Town: compiegne" $URL/api/me',
        shows=("401", "step_up_required"),
    )
    yield Hint(
        title="The thief shows the superseded cookie: theft or not, we cannot tell, so the session ends ...",
        command=f"sleep {int(lifetimes.grace) + 1}; curl -si -A thief -b $JAR.stolen $URL/api/me",
        shows=("401", "reuse_detected"),
    )
    yield Hint(title="... for you as well.", command="curl -si -b $JAR $URL/api/me", shows=("401", "reuse_detected"))
    yield Hint(
        title="Log in once more and log out: 204, and the cookie is gone.",
        command=(
            "curl -s -c $JAR -d user=ada -d password=lovelace $URL/login; "
            'curl -si -b $JAR -c $JAR -H "Origin: $URL" -X POST $URL/auth/logout; curl -si -b $JAR $URL/api/me'
        ),
        shows=("204", "Max-Age=0", "401", "token_required"),
    )
    yield Hint(title="Tidy up.", command="rm -f $JAR $JAR.stolen $JAR.two $JAR.old")
