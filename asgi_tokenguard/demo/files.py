"""
The files of the page, and what a browser may do with them.

Rule: the policies allow what the page does and nothing else: no inline script or style, nothing from elsewhere, no frame
around it.  Nothing in them comes from the request, but the number of the port that the server listens on.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

# Named here, since the table of the operating system may call a script "text/plain", which `nosniff` then keeps from running.
TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS: Final = {
    # Asked for again each time, since a release changes them; mostly the answer is 304.
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
# The page needs its own script, style and icon, and to talk to its own server ('self' is its WebSocket as well).  Trusted
# Types without a policy: no script of it can make markup out of text, whatever a session list contains.
PAGE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src {others}; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
# The page of "another site" (foreign.js) may be framed by the demo alone, and post there.
FOREIGN: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src {others}; "
    "form-action 'none'; base-uri 'none'; frame-ancestors {others}; require-trusted-types-for 'script'; trusted-types 'none'"
)
BARE: Final = "default-src 'none'; frame-ancestors 'none'"


class File(NamedTuple):
    content: bytes
    media_type: str
    etag: str


def _read() -> dict[str, File]:
    found = {}
    for path in (files(__package__) / "static").iterdir():
        media_type = TYPES.get(path.name.rpartition(".")[2])
        if media_type is not None:
            content = path.read_bytes()
            found[path.name] = File(content, f"{media_type}; charset=utf-8", f'"{sha256(content).hexdigest()[:32]}"')
    return found


FILES: Final = _read()


def answer(request: Request, name: str, policy: str = BARE) -> Response:
    """The file of that *name*; 404 where there is none."""
    file = FILES.get(name)
    if file is None:
        return Response("Not found.\n", 404, media_type="text/plain")
    headers = {**HEADERS, "Content-Security-Policy": policy.format(others=_names(request)), "ETag": file.etag}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers | {"Content-Type": file.media_type})


def _names(request: Request) -> str:
    """The two names of this computer: to a browser two sites with cookies of their own."""
    port = (request.scope.get("server") or ("", None))[1]
    suffix = "" if port is None else f":{port:d}"
    return f"http://localhost{suffix} http://127.0.0.1{suffix}"
