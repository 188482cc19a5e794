"""The demo's page, written by the server: no script runs in it."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from asgi_tokenguard.auth import get_auth
from asgi_tokenguard.codes import DETAIL
from asgi_tokenguard.demo import travel

if TYPE_CHECKING:
    from starlette.requests import Request

    from asgi_tokenguard.auth import Auth
    from asgi_tokenguard.core.sessions import Session

PAGE: Final = Template((files(__package__) / "start.html").read_text(encoding="utf-8"))
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem}input{width:8rem}"
    "table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ccc}"
    ".note{background:#fff3cd;padding:.5rem 1rem}"
)
# All that the page may do is to show itself, to send its forms here, and, from its console, to fetch from here.
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; connect-src 'self'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # `no-referrer` would make the forms say `Origin: null`
    "Cache-Control": "no-store",
}
CONFIRM: Final = (
    '<form method="post" action="/confirm"><p><label>Password of {user} '
    '<input name="password" type="password" autocomplete="current-password" required></label> '
    "<button>Confirm</button></p></form>"
)


async def start(request: Request) -> str:
    auth = get_auth(request)
    return PAGE.substitute(
        style=STYLE,
        access=request.app.state.access,
        greeting=await _greeting(auth, asks="confirm" in request.query_params),
        sessions=_table(await auth.sessions()) if auth.is_authenticated else "",
        towns="".join(f'<option value="{town}">{escape(place.city or town)}' for town, (_, place) in travel.TOWNS.items()),
    )


async def _greeting(auth: Auth, *, asks: bool) -> str:
    if auth.pending is not None:
        user = escape(auth.subject or "")
        return _note(f"Your session has moved ({escape(auth.pending)}). Confirm that it is you.") + CONFIRM.format(user=user)
    if auth.is_authenticated:
        user = escape(auth.subject or "")
        asked = _note("Ending sessions needs a fresh confirmation.") + CONFIRM.format(user=user) if asks else ""
        return f"<p>You are signed in as <b>{user}</b>.</p>{asked}"
    reason = await auth.ended()
    why = "" if reason is None else _note(f"{escape(DETAIL[reason])} ({reason.value})")
    return f"<p>You are not signed in.</p>{why}"


def _note(text: str) -> str:
    return f'<p class="note" role="status">{text}</p>'


def _table(sessions: list[Session]) -> str:
    rows = "".join(_row(session) for session in sessions)
    return (
        "<h2>Your sessions</h2><table><tr><th>Device<th>Place<th>Address<th>Last seen<th></tr>"
        f"{rows}</table>"
        '<form method="post" action="/api/sessions/others/end"><p><button>End all others</button></p></form>'
    )


def _row(session: Session) -> str:
    device, place = session.device, session.location
    names = [] if device is None else [name for name in (device.browser, device.system) if name]
    what = escape(" on ".join(names) or "unknown device")
    where = escape(", ".join(name for name in (place.city, place.country) if name)) if place else "unknown"
    end = f'<form method="post" action="/api/sessions/{session.id}/end"><button>End</button></form>'
    return (
        f"<tr><td>{what}{' (this one)' if session.current else ''}<td>{where}<td>{escape(session.ip_address or '-')}"
        f"<td>{session.last_seen_at:%H:%M:%S}<td>{end}"
    )
